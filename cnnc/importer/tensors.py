"""The numbers of an ONNX file, read with care: nothing is allocated before the bytes for it were seen.

In: a TensorProto of a stranger, and the folder of the file. Out: an array. Data outside the file are taken
from regular files within that folder only, links followed. Raises CnncError E624, E622.
"""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from cnnc.diagnostics import CnncError
from cnnc.reference.engine import Array

# The field that holds the elements of a type where raw_data does not, and how many entries an element takes.
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
MAX_AXES = 16


def array_of(tensor: onnx.TensorProto, folder: Path | None, what: str) -> Array:
    """The array of a tensor; `what` names it in errors."""
    if tensor.data_type not in _FIELDS:
        raise damaged(f"{what} has the element type {type_name(tensor.data_type)}, which cnnc does not read")
    dims = tuple(tensor.dims)
    if len(dims) > MAX_AXES or any(d < 0 for d in dims):
        raise damaged(f"{what} has the impossible shape {'x'.join(map(str, dims[:MAX_AXES]))}")
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))
    count = prod(dims)  # of Python's integers, which do not overflow
    if tensor.data_location == TensorProto.EXTERNAL:
        return _external(tensor, folder, count * dtype.itemsize, what).view(dtype.newbyteorder("<")).reshape(dims)
    if tensor.HasField("raw_data"):
        found, needed, unit = len(tensor.raw_data), count * dtype.itemsize, "bytes"
    else:
        found, needed, unit = len(getattr(tensor, _FIELDS[tensor.data_type])), count, "elements"
    if found != needed:
        shape = "x".join(map(str, dims))
        raise damaged(f"{what} is declared {shape}, which takes {needed:,} {unit}; it has {found:,}")
    try:
        return np.asarray(numpy_helper.to_array(tensor))
    except Exception as error:
        raise damaged(f"{what} cannot be read: {error}") from error


def _external(tensor: onnx.TensorProto, folder: Path | None, needed: int, what: str) -> np.ndarray[Any, Any]:
    """The bytes of a tensor that lie in another file. Raises CnncError E622."""
    entries = {e.key: e.value for e in tensor.external_data}
    location = entries.get("location", "")
    if folder is None or not isinstance(location, str) or not location:
        raise CnncError.of("E622", f"{what} lies in another file, which is not named")
    root = folder.resolve()
    try:
        path = (root / location).resolve()
        inside = path.is_relative_to(root) and not Path(location).is_absolute()
        size = path.stat().st_size if inside and path.is_file() else -1
    except (OSError, ValueError, RuntimeError) as error:
        raise CnncError.of("E622", f"{what} lies in {_shown(location)}, which cannot be opened") from error
    if not inside:
        raise CnncError.of(
            "E622", f"{what} lies in {_shown(location)}, outside the model's folder", help="move both into one folder"
        )
    if size < 0:
        raise CnncError.of("E622", f"{what} lies in {_shown(location)}, which is not there")
    offset, length = (_whole(entries.get(key), default, what) for key, default in (("offset", 0), ("length", needed)))
    if length != needed or offset + length > size:
        message = f"{what} takes {needed:,} bytes; {_shown(location)} was to have {length:,} of them from {offset:,} on"
        raise CnncError.of("E622", f"{message}, and has {size:,} in all")
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(length)
    except OSError as error:
        raise CnncError.of("E622", f"{what}: cannot read {_shown(location)}") from error
    if len(data) != length:
        raise CnncError.of("E622", f"{what}: {_shown(location)} ended early")
    return np.frombuffer(data, np.uint8)


def _whole(text: str | bytes | None, default: int, what: str) -> int:
    if text is None or text == "":
        return default
    if isinstance(text, bytes):
        raise CnncError.of("E622", f"{what}: where it lies is not written in UTF-8")
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise CnncError.of("E622", f"{what}: `{_shown(text)}` is no number of bytes")
    return int(text)


def _shown(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:97]}..."


def type_name(number: int) -> str:
    try:
        return str(TensorProto.DataType.Name(number)).lower()
    except ValueError:
        return str(number)


def damaged(message: str) -> CnncError:
    return CnncError.of("E624", message, help="make the file anew; `python -m onnx.checker` may say more")
