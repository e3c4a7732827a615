"""Arrays in memory, or mapped from files, as a data set: what a program passes in place of the data of the train section.

In: arrays by the names that a .npz file would have: `x` and `y`, or those of the inputs and outputs of the network, and the
same with `_test`. Out: a `Dataset`, with the checks and conversions of `npz`. A memory map stays on the disk.

    read(Request(classes=10), {"x": images, "y": labels})
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc.data import Request
from cnnc.data.dataset import Column, Dataset
from cnnc.data.npz import ArrayHeader, ColumnType, ConvertedColumn, convert, data_of

NAME = "arrays"
"""The name of a data set of arrays, which checkpoints record."""


def read(request: Request, arrays: Mapping[str, NDArray[Any]]) -> Dataset:
    """The data set of these arrays. Raises CnncError E602, which names the array and the example."""
    headers = {
        name: ArrayHeader(name, f"the array {name}", array.shape, array.dtype, False, 0, zipfile.ZipInfo(name))
        for name, array in arrays.items()
    }

    def column(header: ArrayHeader, column_type: ColumnType) -> Column:
        values = arrays[header.name]
        grows = column_type.shape and values.dtype.itemsize < np.dtype(column_type.dtype).itemsize
        stays = grows or isinstance(values, np.memmap)
        return ConvertedColumn(values, column_type) if stays else convert(values, column_type)

    return data_of(request, Path(NAME), headers, column, name=NAME)
