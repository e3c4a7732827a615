"""What all tests share: as many BLAS threads as the program itself uses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cnnc.reference.parallel import one_blas_thread


@pytest.fixture(scope="session", autouse=True)
def _one_blas_thread() -> Iterator[None]:
    """As in training and export; several pytest workers on few cores are slow otherwise."""
    with one_blas_thread():
        yield
