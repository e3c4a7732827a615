"""What a model needs, in bytes and parameters, on graphs whose needs are counted by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import cnnc
from cnnc.diagnostics import CnncError
from cnnc.onnx.run.needs import (
    largest_batch,
    require_run_within_limits,
    require_weights_within_limits,
    running_memory,
)

ROW = 4 * 1000
"""The bytes of one example of an activation."""

Chain = Sequence[tuple[str, str]]


def model(
    nodes: Chain = (("x", "a"), ("a", "b"), ("b", "y")),
    outputs: str = "y",
    weights: Mapping[str, int] = {},
    extra: Sequence[onnx.NodeProto] = (),
    batch: int | str = "N",
) -> onnx.ModelProto:
    """A chain of relus on rows of 1,000 float32 values; `weights` have so many float32 elements."""
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, 1000]) for name in ("x", *outputs)]
    tensors = [numpy_helper.from_array(np.zeros(count, np.float32), name) for name, count in weights.items()]
    relus = [helper.make_node("Relu", [a], [b]) for a, b in nodes]
    graph = helper.make_graph([*extra, *relus], "g", infos[:1], infos[1:], tensors)
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("elsewhere", 1)], ir_version=8
    )


def with_constant() -> onnx.ModelProto:
    """710 parameters, which take 2,880 bytes."""
    constant = numpy_helper.from_array(np.zeros(10, np.int64))
    return model(weights={"v": 200, "w": 500}, extra=[helper.make_node("Constant", [], ["c"], value=constant)])


def test_parameters_are_counted_and_the_largest_is_named() -> None:
    with cnnc.limits(params=710):
        require_weights_within_limits(with_constant(), "m")
    with cnnc.limits(params=709), pytest.raises(CnncError, match="m has 710 parameters; the limit is 709") as error:
        require_weights_within_limits(with_constant(), "m")
    assert error.value.diagnostics[0].help == "w has 500 of them"


@pytest.mark.parametrize(("copies", "need"), [(1, 2880), (3, 8640)])
def test_weights_in_memory(copies: int, need: int) -> None:
    with cnnc.limits(memory=need):
        require_weights_within_limits(with_constant(), "m", copies)
    with cnnc.limits(memory=need - 1), pytest.raises(CnncError, match="m, with its weights in memory, needs"):
        require_weights_within_limits(with_constant(), "m", copies)
    with cnnc.limits(memory=2880):
        require_weights_within_limits(with_constant(), "m")
    with cnnc.limits(memory=2879), pytest.raises(CnncError, match="m, with its weights in memory, needs"):
        require_weights_within_limits(with_constant(), "m")


def test_running_needs_the_weights_twice_and_what_is_alive() -> None:
    assert running_memory(model(), {}) == 3 * ROW  # the input, and two activations
    assert running_memory(with_constant(), {}) == 2 * 2880 + 3 * ROW + 80  # the constant as an activation as well
    assert running_memory(model(), {"x": (7, 1000)}) == 7 * 3 * ROW
    assert running_memory(model(), {"x": (7,)}) == 3 * ROW, "a shape of another rank is not that of the input"
    assert running_memory(model(batch=5), {}) == 5 * 3 * ROW
    early = model((("x", "y"), ("y", "a"), ("a", "b"), ("b", "z")), "yz")
    assert running_memory(early, {}) == 4 * ROW  # an output stays to the end


def test_what_is_not_known_counts_nothing_and_a_weight_is_no_activation() -> None:
    unknown = helper.make_node("Mystery", ["x"], ["m"], domain="elsewhere")
    assert running_memory(model(extra=[unknown]), {}) == 3 * ROW
    assert running_memory(model(outputs="ym", extra=[unknown]), {}) == 3 * ROW
    listed = model(weights={"w": 500})
    listed.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [500]))
    assert running_memory(listed, {}) == 2 * 500 * 4 + 3 * ROW


def test_an_element_type_that_does_not_exist_counts_a_byte() -> None:
    odd = model()
    odd.graph.initializer.add(name="q", data_type=99, dims=[2, 5])
    with cnnc.limits(memory=10):
        require_weights_within_limits(odd, "m")
    with cnnc.limits(memory=9), pytest.raises(CnncError, match="m, with its weights in memory, needs 10 B"):
        require_weights_within_limits(odd, "m")


def test_sizes_that_the_model_computes_are_known() -> None:
    three = numpy_helper.from_array(np.array([3, 1], np.int64))
    computed = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Constant", [], ["three"], value=three),
        helper.make_node("Mul", ["s", "three"], ["size"]),
        helper.make_node("ConstantOfShape", ["size"], ["large"]),
    ]
    found = running_memory(model(extra=computed), {"x": (2, 1000)})
    assert found >= 2 * ROW + 3 * 2 * ROW


def test_the_largest_batch_within_the_limit() -> None:
    net, shapes = model(weights={"w": 500}), {"x": (1, 1000)}
    assert largest_batch(net, shapes, 64) == 64
    for limit, batch in (
        (2 * 2000 + 5 * 3 * ROW, 5),
        (2 * 2000 + 5 * 3 * ROW - 1, 4),
        (2 * 2000 + 3 * ROW, 1),
        (1, 1),
        (10**9, 64),
    ):
        with cnnc.limits(memory=limit):
            assert largest_batch(net, shapes, 64) == batch
            if limit > 1:
                require_run_within_limits(net, "m", {"x": (batch, 1000)})
    with cnnc.limits(memory=2 * 2000 + 5 * 3 * ROW - 1):
        with pytest.raises(CnncError, match="running m at x 5x1000 needs 64,000 B") as error:
            require_run_within_limits(net, "m", {"x": (5, 1000)})
        assert error.value.diagnostics[0].help == "smaller inputs need less"
        require_run_within_limits(net, "m")
    with cnnc.limits(memory=2 * 2000 - 1), pytest.raises(CnncError, match="m, with its weights in memory, needs"):
        require_run_within_limits(net, "m")
    with cnnc.limits(memory=10**6):
        assert largest_batch(model(batch=5), {}, 64) == 64, "the batch changes nothing"
