"""Large tensors are judged in parts: the result is that of the whole tensor."""

from __future__ import annotations

import numpy as np
import pytest

from cnnc.core.arrays import Array
from cnnc.onnx.emit import tolerance
from cnnc.onnx.emit.tolerance import Deviation, Reference


def judged(double: Array, single: Array, output: Array, elements: int, monkeypatch: pytest.MonkeyPatch) -> Deviation:
    """The deviation of `output`, where parts have about this many elements."""
    monkeypatch.setattr(tolerance, "_BLOCK_ELEMENTS", elements)
    return Reference.of(double, single).network_deviation("x", output)


@pytest.mark.parametrize("shape", [(2, 3, 40, 5), (1, 7, 33), (3, 1, 9, 4, 4), (2, 50)])
@pytest.mark.parametrize("planted", [0.0, 1.0, np.nan, np.inf])
def test_parts_give_the_deviation_of_the_whole(
    shape: tuple[int, ...], planted: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    double = random.normal(size=shape) * np.arange(1, shape[1] + 1).reshape(-1, *(1,) * (len(shape) - 2))
    single = double.astype(np.float32)
    output = (double * (1 + 1e-7 * random.normal(size=shape))).astype(np.float32)
    output.reshape(-1)[-2] += planted
    whole = judged(double, single, output, 10**9, monkeypatch)
    assert whole.passes == (planted == 0)
    for elements in (1, 100):
        found = judged(double, single, output, elements, monkeypatch)
        assert found[0] == whole[0]
        np.testing.assert_allclose(found[1:], whole[1:], rtol=1e-12)


@pytest.mark.parametrize("shape", [(2, 2, 4, 3), (1, 2, 7), (2, 6)])
@pytest.mark.parametrize("elements", [1, 12])
def test_an_error_in_any_element_is_found(
    shape: tuple[int, ...], elements: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    double = np.random.default_rng(0).normal(size=shape)
    for place in np.ndindex(shape):
        output = double.copy()
        output[place] -= 0.01
        found = judged(double, double, output, elements, monkeypatch)
        assert not found.passes, place
        assert found.value == double[place]
        assert found.scale == np.abs(double).max()


def test_a_reference_that_is_not_a_number_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    double = np.ones((1, 2, 50, 4))
    double[0, 1, 30] = np.nan
    found = judged(double, double.astype(np.float32), double.astype(np.float32), 40, monkeypatch)
    assert not found.passes
    assert found.share == np.inf
