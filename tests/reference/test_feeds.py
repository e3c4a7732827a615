"""What the engine accepts for a network's inputs, and the errors for the rest."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from cnnc.core.arrays import Array
from cnnc.diagnostics import CnncError, Exit
from cnnc.reference.engine import forward
from cnnc.reference.initializers import initialize
from tests.reference.networks import graph, out


def test_bytes_are_scaled_to_one() -> None:
    x = np.array([[0, 51, 255]], np.uint8)
    np.testing.assert_allclose(out("input 3 dtype=uint8; relu", x), [[0, 0.2, 1]], rtol=1e-6)


def test_a_feed_of_another_shape_is_an_error_of_data() -> None:
    with pytest.raises(CnncError, match="the input input1 takes 3x4x5, not 3x5x4") as caught:
        out("input 3x4x5; relu", np.zeros((1, 3, 5, 4), np.float32))
    assert caught.value.diagnostics[0].code == "E602"
    assert caught.value.status is Exit.DATA


@pytest.mark.parametrize(
    ("text", "feeds", "message"),
    [
        ("input 2 dtype=int64; embed 3 vocab=5", {"input1": np.array([[0, 5]])}, "takes integers from 0 to 4, not 5"),
        ("input 2 dtype=int64; embed 3 vocab=5", {"input1": np.array([[-1, 2]])}, "takes integers from 0 to 4, not -1"),
        ("input 2 dtype=int64; embed 3 vocab=5", {"input1": np.zeros((1, 2))}, "takes int64, not float64"),
        ("a: input 2; b: input 2; add a", {"a": np.zeros((1, 2))}, "no value given for input b"),
        (
            "a: input 2; b: input 2; add a",
            {"a": np.zeros((1, 2)), "b": np.zeros((3, 2))},
            "different batch sizes: 1 for a, 3 for b",
        ),
    ],
)
def test_feeds_that_do_not_fit_are_errors_of_data(text: str, feeds: Mapping[str, Array], message: str) -> None:
    net = graph(text)
    with pytest.raises(CnncError, match=message) as caught:
        forward(net, initialize(net, 0), feeds)
    assert caught.value.diagnostics[0].code == "E602"


def test_an_input_that_nothing_reads_need_not_be_fed() -> None:
    net = graph("a: input 2; relu; b: input 3; from relu1; t: tanh; output t")
    assert forward(net, {}, {"a": np.ones((1, 2))}).values["t"].shape == (1, 2)
