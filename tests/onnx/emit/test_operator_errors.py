"""The installed onnxruntime errs by no more than half of what verification allows each operator."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.operator_errors import ELEMENTWISE, all_measured, distributed_inputs, elementwise_inputs, measure
from cnnc.onnx.emit.model import DEFAULT_OPSET
from cnnc.onnx.emit.operator_errors import OPERATOR_ERRORS, TINY, operator_error
from cnnc.ops.activation import Elu, Relu, Sigmoid, Silu


@pytest.mark.long
def test_every_operator_errs_by_at_most_half_of_its_allowance() -> None:
    measured = list(all_measured(2000, [(4, 9, 9), (2, 60, 60)]))
    assert [m for m in measured if not m.share < 0.5] == []


@pytest.mark.slow
def test_large_maps_too() -> None:
    assert [m for m in all_measured(20_000, [(2, 500, 500)]) if not m.share < 0.5] == []


def test_onnxruntime_errs_where_the_table_says() -> None:
    """Without its entry in the table, each of these would be refused."""
    for layer, least in (("sigmoid", 5e-8), ("elu", 2e-8), ("silu", 1e-6)):
        assert measure(layer, elementwise_inputs(1000), [DEFAULT_OPSET]).absolute > least, layer


def test_the_allowance_does_not_depend_on_the_result() -> None:
    x = np.array([-30.0, -1e-9, 2.0])
    assert np.all(operator_error(Sigmoid(), {}, x, np.zeros(3)) == 2**-21 + TINY)
    assert operator_error(Silu(), {}, x, np.zeros(3))[0] == 30 * 2**-21 + TINY  # type: ignore[index]
    assert list(operator_error(Elu(2.0), {}, x, x) > TINY) == [True, True, False]  # type: ignore[arg-type]
    assert operator_error(Relu(), {}, x, x) == TINY


def test_the_inputs_reach_what_matters() -> None:
    x = np.concatenate([rows.reshape(-1) for rows in elementwise_inputs(1000)])
    assert x.min() < -100
    assert (np.abs(x[x != 0]) < 1e-8).any()
    assert {rows.shape[1] for rows in elementwise_inputs(1000)} == {1, 3, 7, 16, 1003}
    assert len(distributed_inputs([(3,), (4,)])) == 14
    assert len(ELEMENTWISE) < len(OPERATOR_ERRORS)
