"""Reads tensors of an untrusted ONNX file. Memory is allocated only after the bytes to fill it have been checked.

In: a TensorProto, and the external data of its model. Out: an array. Raises CnncError E624, E622.
"""

from __future__ import annotations

from math import prod

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from cnnc.core.arrays import Array
from cnnc.diagnostics import CnncError
from cnnc.onnx.external_files import ExternalData

# The field that holds the elements of each type where raw_data does not.
_FIELDS: dict[int, str] = {
    TensorProto.FLOAT: "float_data",
    TensorProto.DOUBLE: "double_data",
    TensorProto.INT64: "int64_data",
    TensorProto.UINT64: "uint64_data",
    TensorProto.UINT32: "uint64_data",
    TensorProto.FLOAT16: "int32_data",
    TensorProto.BFLOAT16: "int32_data",
    TensorProto.INT32: "int32_data",
    TensorProto.INT16: "int32_data",
    TensorProto.INT8: "int32_data",
    TensorProto.UINT16: "int32_data",
    TensorProto.UINT8: "int32_data",
    TensorProto.BOOL: "int32_data",
}
MAX_TENSOR_AXES = 16  # of an array in the file; the language has fewer


def array_from_proto(
    tensor: onnx.TensorProto, external: ExternalData, what: str, raw_data: NDArray[np.uint8] | None = None
) -> Array:
    """The array of a tensor; `what` names the tensor in errors. Raises CnncError E624, E622.

    `raw_data` are its raw data if they are not in the message.
    """
    if tensor.data_type not in _FIELDS:
        raise damaged(f"{what} has the element type {element_type_name(tensor.data_type)}, which cnnc does not read")
    dims = tuple(tensor.dims)
    if len(dims) > MAX_TENSOR_AXES or any(d < 0 for d in dims):
        raise damaged(f"{what} has the impossible shape {'x'.join(map(str, dims[:MAX_TENSOR_AXES]))}")
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))
    count = prod(dims)  # Python integers do not overflow
    if tensor.data_location == TensorProto.EXTERNAL:
        data = external.read({e.key: e.value for e in tensor.external_data}, count * dtype.itemsize, what)
        return data.view(dtype.newbyteorder("<")).reshape(dims)
    if raw_data is not None:
        held, needed, unit = raw_data.nbytes, count * dtype.itemsize, "bytes"
    elif tensor.HasField("raw_data"):
        held, needed, unit = len(tensor.raw_data), count * dtype.itemsize, "bytes"
    else:
        held, needed, unit = len(getattr(tensor, _FIELDS[tensor.data_type])), count, "elements"
    if held != needed:
        shape = "x".join(map(str, dims))
        raise damaged(f"{what} is declared {shape}, which takes {needed:,} {unit}; it has {held:,}")
    if raw_data is not None:
        return np.asarray(raw_data.view(dtype.newbyteorder("<")).reshape(dims))
    try:
        return np.asarray(numpy_helper.to_array(tensor))
    except Exception as error:
        raise damaged(f"{what} cannot be read: {error}") from error


def element_type_name(number: int) -> str:
    """The name of an ONNX element type, or its number where it has none."""
    try:
        return str(TensorProto.DataType.Name(number)).lower()
    except ValueError:
        return str(number)


def damaged(message: str) -> CnncError:
    """The E624 of a file that is not a valid model."""
    return CnncError.of("E624", message, help="export the model again; onnx.checker.check_model may say more")
