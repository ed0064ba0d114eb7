"""Where a network's body begins and ends, and that the rest stays as it was."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from colour_detector import FRAMES, SIDE, colour_detector
from onnx import ModelProto, TensorProto, helper, numpy_helper, parser

from wildgate_build.errors import PrecisionError
from wildgate_build.precision.body import NetworkBody


def graph(text: str, **weights: np.ndarray) -> ModelProto:
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {text}')
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in weights.items())
    return model


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def run(model: ModelProto, **inputs: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


def frames(count: int = 2) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (count, FRAMES, SIDE, SIDE, 3), np.uint8)


def test_the_body_lies_between_first_and_last_convolution() -> None:
    body = NetworkBody.of(colour_detector())
    assert body.inputs == ("net_scaled",)
    assert body.outputs == ("net_name_map", "net_size_map")
    assert [node.op_type for node in body.extract().graph.node] == [
        "Conv",
        "Relu",
        "Conv",
        "Relu",
        "Add",
        "Conv",
        "Conv",
    ]


def test_the_front_gives_the_bodys_inputs() -> None:
    model = colour_detector()
    seen = frames(1)
    [scaled] = run(NetworkBody.of(model).front(), FRAMES=seen)
    np.testing.assert_allclose(scaled, (seen[0].transpose(0, 3, 1, 2).astype(np.float32) - 114) / 64, atol=1e-5)


def test_putting_the_same_body_back_changes_nothing() -> None:
    model = colour_detector()
    body = NetworkBody.of(model)
    again = body.replaced(body.extract(), "new_")
    onnx.checker.check_model(again, full_check=True)
    assert [node.op_type for node in again.graph.node[:3]] == ["Cast", "Reshape", "Transpose"]
    np.testing.assert_array_equal(run(again, FRAMES=frames())[0], run(model, FRAMES=frames())[0])


def test_a_constant_that_body_and_rest_share_may_change_in_the_body_alone() -> None:
    model = graph(
        """g (float[1,2,4,4] x) => (float[1,2,4,4] y)
        {
            a = Conv (x, w)
            b = Mul (a, half)
            c = Conv (b, w)
            y = Mul (c, half)
        }""",
        w=ones(2, 2, 1, 1),
        half=np.array(0.5, np.float32),
    )
    body = NetworkBody.of(model)
    part = body.extract()
    for tensor in part.graph.initializer:
        if tensor.name == "half":
            tensor.CopyFrom(numpy_helper.from_array(np.array(3, np.float32), "half"))
    changed = body.replaced(part, "new_")
    before, after = (run(m, x=ones(1, 2, 4, 4))[0] for m in (model, changed))
    np.testing.assert_allclose(after, before * 6)


def test_a_product_of_two_activations_has_no_weights() -> None:
    body = NetworkBody.of(
        graph(
            """g (float[4,4] x) => (float[4,4] y)
            {
                a = MatMul (x, w)
                b = MatMul (a, v)
                y = MatMul (b, x)
            }""",
            w=ones(4, 4),
            v=ones(4, 4),
        )
    )
    assert (body.inputs, body.outputs) == (("x",), ("b",))


@pytest.mark.parametrize(
    ("operator", "weights"),
    [
        ("Gemm (a, w)", ones(4, 1)),
        ("Gemm <transB = 1> (a, w)", ones(1, 4)),
        ("MatMul (a, w)", ones(4, 1)),
        ("MatMul (w, a)", ones(1, 4)),
    ],
)
def test_an_expectation_over_bins_is_no_part_of_the_body(operator: str, weights: np.ndarray) -> None:
    rows = 1 if operator.startswith("MatMul (w") else 4
    model = graph(
        f"g (float[4,4] x) => (float[{rows},{4 if rows == 1 else 1}] y) {{ a = MatMul (x, v) y = {operator} }}",
        w=weights,
        v=ones(4, 4),
    )
    assert NetworkBody.of(model).outputs == ("a",)


def test_the_distribution_of_edges_as_a_convolution_is_no_part_of_the_body() -> None:
    model = graph(
        """g (float[1,16,4,100] x) => (float[1,1,4,100] y)
        {
            a = Conv (x, w)
            b = Softmax <axis = 1> (a)
            y = Conv (b, bins)
        }""",
        w=ones(16, 16, 1, 1),
        bins=np.arange(16, dtype=np.float32).reshape(1, 16, 1, 1),
    )
    assert NetworkBody.of(model).outputs == ("a",)


def test_a_weight_behind_an_identity_is_a_weight() -> None:
    model = graph(
        "g (float[1,2,4,4] x) => (float[1,2,4,4] y) { copy = Identity (w) y = Conv (x, copy) }", w=ones(2, 2, 1, 1)
    )
    body = NetworkBody.of(model)
    assert (body.inputs, body.outputs) == (("x",), ("y",))
    np.testing.assert_array_equal(run(body.extract(), x=ones(1, 2, 4, 4))[0], 2 * ones(1, 2, 4, 4))


def test_a_graph_without_weights_is_refused() -> None:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    nothing = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "nothing", values[:1], values[1:])
    with pytest.raises(PrecisionError, match="no convolution and no product with constant weights"):
        NetworkBody.of(helper.make_model(nothing, opset_imports=[helper.make_opsetid("", 17)]))
