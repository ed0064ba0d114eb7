"""fp16: weights and activations of the network's body, with ONNX Runtime's converter.

The body alone is handed to the converter. Given a whole graph and a list of nodes to leave alone, it would pass
values between these through fp16 as well, pixel coordinates included.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
from onnx import ModelProto, TensorProto, numpy_helper
from onnxruntime.transformers.float16 import convert_float_to_float16

from wildgate_build.errors import PrecisionError

__all__ = ["halved"]

_LARGEST: Final = float(np.finfo(np.float16).max)


def halved(body: ModelProto, excluded: Iterable[str] = ()) -> ModelProto:
    """The body in fp16, its inputs and outputs in fp32 as before; `excluded` names nodes that stay fp32.

    Raises PrecisionError for a weight past 65504, fp16's largest number.
    """
    for tensor in body.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and tensor.dims:
            largest = float(np.abs(numpy_helper.to_array(tensor)).max(initial=0.0))
            if largest > _LARGEST:
                raise PrecisionError(f"{tensor.name} holds {largest:g}, fp16 ends at {_LARGEST:g}")
    copy = ModelProto()
    copy.CopyFrom(body)  # the converter works in place
    half: ModelProto = convert_float_to_float16(copy, keep_io_types=True, node_block_list=list(excluded))
    return half
