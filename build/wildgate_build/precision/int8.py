"""INT8 by Q/DQ nodes, with ONNX Runtime's quantiser; only the network's body is touched.

There are two dialects, since no one file serves every runtime. Measured with ONNX Runtime 1.31 and TensorRT-RTX 1.7:

`cpu`: activations unsigned with a zero point, weights of 7 bits for each channel, biases int32. On a CPU with AVX2
    and without VNNI, 8-bit weights saturate the 16-bit sums of pairs, and detections are lost; depthwise convolutions
    alone are summed in 32 bits, and keep 8. ONNX Runtime runs
    signed activations slower than fp32 there. TensorRT refuses the int32 biases and zero points other than 0, and
    reads unsigned numbers as signed ones.
`tensorrt`: activations and weights signed and symmetric, weights for each channel, biases fp32, and only inputs of
    operators quantised, so that a convolution fuses with what follows it. What TensorRT and TensorRT-RTX take.

NVIDIA ModelOpt writes the second dialect as well, but needs torch with CUDA; ONNX Runtime's quantiser is there anyway.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt
import onnx
from onnx import ModelProto, shape_inference
from onnxruntime.quantization import CalibrationMethod, QDQQuantizer, QuantType, create_calibrator
from onnxruntime.quantization.shape_inference import quant_pre_process

from wildgate_build.errors import PrecisionError

__all__ = ["Dialect", "Method", "Quantiser"]

Feed = dict[str, npt.NDArray[Any]]

_LEAST_OPSET: Final = 13  # the first whose QuantizeLinear has a scale for each channel
_WEIGHTED: Final = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_OWN: Final = frozenset({*_WEIGHTED, "Add", "Mul", "Sigmoid", "LeakyRelu", "Concat", "GlobalAveragePool"})


class Dialect(StrEnum):
    """Which runtime the Q/DQ nodes are written for."""

    CPU = "cpu"
    TENSORRT = "tensorrt"


class Method(StrEnum):
    """How the range of an activation is chosen from those seen.

    The whole range; the least loss of information (KL divergence, Migacz, GTC 2017); the range without the last
    thousandth of a percent.
    """

    MINMAX = "minmax"
    ENTROPY = "entropy"
    PERCENTILE = "percentile"


_CALIBRATIONS: Final = {
    Method.MINMAX: CalibrationMethod.MinMax,
    Method.ENTROPY: CalibrationMethod.Entropy,
    Method.PERCENTILE: CalibrationMethod.Percentile,
}


@dataclass(frozen=True)
class _DialectOptions:
    """The options of ONNX Runtime's quantiser that make a dialect."""

    operators: tuple[str, ...]
    activations: QuantType
    seven_bit_weights: bool
    extra: dict[str, object]


_PASSING: Final = ("Relu", "Clip", "LeakyRelu", "Sigmoid", "Mul", "Concat", "Split", "MaxPool", "AveragePool", "Resize")
_DIALECTS: Final = {
    Dialect.CPU: _DialectOptions(
        operators=(*_WEIGHTED, "Add", *_PASSING, "GlobalAveragePool", "Reshape", "Transpose"),
        activations=QuantType.QUInt8,
        seven_bit_weights=True,
        extra={},
    ),
    Dialect.TENSORRT: _DialectOptions(
        operators=(*_WEIGHTED, "Add"),
        activations=QuantType.QInt8,
        seven_bit_weights=False,
        extra={
            "ActivationSymmetric": True,
            "QuantizeBias": False,
            "OpTypesToExcludeOutputQuantization": [*_WEIGHTED, "Add"],
        },
    ),
}


class Quantiser:
    """Calibrates a body once and quantises it as often as wanted, each time with other operators left out.

    `body` is a model of float inputs and outputs, every node with a name. Batch normalisations are folded into their
    convolutions and constants computed before anything else. Raises PrecisionError.
    """

    def __init__(self, body: ModelProto, dialect: Dialect, method: Method) -> None:
        self._options = _DIALECTS[dialect]
        self._method = method
        self.body = _prepared(body)
        self._ranges: Any = None

    @property
    def operators(self) -> tuple[str, ...]:
        """The names of the operators that are quantised for their own sake, in the order of the graph.

        The others, such as Relu, follow what lies before them.
        """
        own = set(self._options.operators) & _OWN
        return tuple(node.name for node in self.body.graph.node if node.op_type in own)

    def in_int8(self, quantised: ModelProto, excluded: Iterable[str] = ()) -> int:
        """How many of the operators compute in INT8 in `quantised`, what `quantised(excluded)` gave.

        An excluded one between others that are not gets quantised numbers as well, and computes in fp32.
        """
        own = set(self.operators).difference(excluded)
        graph = quantised.graph
        made = {name for node in graph.node if node.op_type == "DequantizeLinear" for name in node.output}
        return sum(node.name in own and made.issuperset(node.input[:2]) for node in graph.node)  # a bias may be fp32

    @property
    def last(self) -> tuple[str, ...]:
        """The operators with weights whose results leave the body: logits and edges of boxes, as a rule.

        Left in fp32 they cost no time (ONNX Runtime 1.31 on a CPU, where they would be quantised back at once), and
        the shipped detector's scores stay nearer to fp32's: 0.005 off on average instead of 0.013.
        """
        outputs = {output.name for output in self.body.graph.output}
        nodes = (node for node in self.body.graph.node if outputs & set(node.output))
        return tuple(node.name for node in nodes if node.op_type in _WEIGHTED)

    def calibrate(self, feeds: Iterable[Feed]) -> None:
        """Records the ranges of all activations on `feeds`, inputs of the body. Raises PrecisionError."""
        # Calibration with histograms prints to standard output.
        with _scratch() as scratch, redirect_stdout(io.StringIO()):
            model = scratch / "body.onnx"
            onnx.save_model(self.body, model)
            calibrator = create_calibrator(
                model,
                list(self._options.operators),
                augmented_model_path=str(scratch / "augmented.onnx"),
                calibrate_method=_CALIBRATIONS[self._method],
            )
            for feed in feeds:  # One by one: histograms are made of all activations that were handed over at once.
                calibrator.collect_data(_OneFeed(feed))
            self._ranges = calibrator.compute_data()

    def quantised(self, excluded: Iterable[str] = ()) -> ModelProto:
        """The body with Q/DQ nodes at all operators of the dialect but the `excluded` ones (names of nodes).

        Raises PrecisionError, and RuntimeError before `calibrate`.
        """
        if self._ranges is None:
            raise RuntimeError("calibrate() comes first")
        body = ModelProto()
        body.CopyFrom(self.body)  # the quantiser works in place
        quantizer = QDQQuantizer(
            body,
            True,  # a scale for each channel of weights
            self._options.seven_bit_weights,
            QuantType.QInt8,
            self._options.activations,
            self._ranges,
            [],
            list(excluded),
            list(self._options.operators),
            {
                "WeightSymmetric": True,
                "MatMulConstBOnly": True,
                "TensorQuantOverrides": self._depthwise_weights() if self._options.seven_bit_weights else {},
                **self._options.extra,
            },
        )
        try:
            quantizer.quantize_model()
        except Exception as error:  # whatever a graph of a shape that it does not know makes it raise
            raise PrecisionError(f"ONNX Runtime cannot quantise the graph: {error}") from error
        quantised: ModelProto = quantizer.model.model
        return quantised

    def _depthwise_weights(self) -> dict[str, list[dict[str, object]]]:
        """Options by which the weights of depthwise convolutions keep 8 bits.

        ONNX Runtime sums theirs in 32 bits on every CPU, so they do not saturate, and they lose most by 7 bits.
        """
        weights = {entry.name: entry.dims for entry in self.body.graph.initializer}
        groups = {
            node.input[1]: attribute.i
            for node in self.body.graph.node
            if node.op_type == "Conv" and node.input[1] in weights
            for attribute in node.attribute
            if attribute.name == "group"
        }
        eight_bits = {"quant_type": QuantType.QInt8, "axis": 0, "symmetric": True, "reduce_range": False}
        return {name: [dict(eight_bits)] for name, group in groups.items() if group == weights[name][0] > 1}


class _OneFeed:
    """ONNX Runtime's calibration data reader for a single feed."""

    def __init__(self, feed: Feed) -> None:
        self._feeds: Iterator[Feed] = iter((feed,))

    def get_next(self) -> Feed | None:
        return next(self._feeds, None)


@contextmanager
def _scratch() -> Iterator[Path]:
    try:
        with tempfile.TemporaryDirectory(prefix="wildgate-int8-") as folder:
            yield Path(folder)
    except OSError as error:
        raise PrecisionError(f"scratch files cannot be written: {error}") from error


def _prepared(body: ModelProto) -> ModelProto:
    opset = max((entry.version for entry in body.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    if opset < _LEAST_OPSET:
        raise PrecisionError(f"INT8 with a scale for each channel needs opset {_LEAST_OPSET}, this graph has {opset}")
    with _scratch() as scratch:
        target = scratch / "prepared.onnx"
        given = ModelProto()
        given.CopyFrom(body)  # what it is given is changed
        try:
            quant_pre_process(given, target, skip_symbolic_shape=True)
        except Exception as error:
            raise PrecisionError(f"ONNX Runtime cannot prepare the graph: {error}") from error
        prepared = onnx.load(target)
    # ONNX Runtime lists every domain that it knows.
    del prepared.opset_import[:]
    prepared.opset_import.extend(body.opset_import)
    return shape_inference.infer_shapes(prepared)
