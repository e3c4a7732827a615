"""What verification accepts and rejects: planted errors, including small ones among large elements."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from cnnc.core.arrays import Array, Weights
from cnnc.diagnostics import CnncError
from cnnc.graph.graph import Graph
from cnnc.network import check
from cnnc.onnx.emit import verify
from cnnc.onnx.emit.layer_by_layer import LayerByLayer
from cnnc.onnx.emit.model import emit
from cnnc.onnx.emit.passes import run_passes
from cnnc.onnx.emit.tolerance import ATOL, RTOL, Deviation
from cnnc.onnx.emit.verify import (
    Comparison,
    Verification,
    combined,
    random_weights,
    sample_count,
    sample_feeds,
    verify_model,
    with_outputs,
)
from cnnc.onnx.run.segments import RunnableModel
from cnnc.onnx.run.session import Session
from cnnc.reference.engine import layer_outputs
from cnnc.reference.initializers import initialize

NET = "input 3x8x8; c: conv 4 k=3 p=1; relu; f: fc 6"


def built(text: str, seed: int = 0) -> tuple[Graph, Weights, onnx.ModelProto]:
    graph = check(text).require_graph()
    weights = random_weights(graph, seed)
    return graph, weights, emit(*run_passes(graph, weights), {})


def verification_of(graph: Graph, weights: Weights, model: onnx.ModelProto) -> Verification:
    return verify_model(model, graph, weights, sample_feeds(graph, 3))


def planted(model: onnx.ModelProto, name: str, place: tuple[int, ...], value: float) -> None:
    """Adds to one element of an initializer."""
    (stored,) = [tensor for tensor in model.graph.initializer if tensor.name == name]
    values = numpy_helper.to_array(stored).copy()
    values[place] += value
    stored.CopyFrom(numpy_helper.from_array(values, name))


def scaled(weights: Weights, factors: Array) -> Weights:
    """Scales the channels of the first convolution."""
    wide = {"c.weight": weights["c.weight"] * factors[:, None, None, None], "c.bias": weights["c.bias"] * factors}
    return {**weights, **{name: array.astype(np.float32) for name, array in wide.items()}}


def test_a_correct_model_passes_with_a_margin() -> None:
    for seed in range(5):
        assert verification_of(*built(NET, seed)).worst.share < 0.3


def test_an_error_in_a_small_channel_fails() -> None:
    """An error of 1 % in a channel whose elements are a thousandth of its neighbours'."""
    graph = check(NET).require_graph()
    weights = scaled(random_weights(graph, 0), np.array([1000, 1000, 1000, 1]))
    model = emit(*run_passes(graph, weights), {})
    verification_of(graph, weights, model).require_within_tolerance(graph)
    planted(model, "c.bias", (3,), 0.01)
    deviation = next(d for d in verification_of(graph, weights, model).deviations if d.name == "c")
    assert not deviation.passes
    assert deviation.difference < ATOL + RTOL * deviation.scale, (
        "the tolerance of the whole tensor would have hidden it"
    )


def test_an_error_in_a_small_element_of_a_vector_fails() -> None:
    graph = check("input 5; f: fc 4").require_graph()
    weights = {
        "f.weight": np.zeros((4, 5), np.float32),
        "f.bias": np.array([1000, 500, 0.01, 1000], np.float32),
    }
    model = emit(graph, weights, {})
    verification_of(graph, weights, model).require_within_tolerance(graph)
    planted(model, "f.bias", (2,), 0.001)
    with pytest.raises(
        CnncError, match=r"f of the exported graph deviates from the network: by 0\.001 at a value of 0\.01"
    ):
        verification_of(graph, weights, model).require_within_tolerance(graph)


def test_the_tolerance_scales_with_tiny_tensors() -> None:
    graph = check(NET).require_graph()
    weights = scaled(random_weights(graph, 0), np.full(4, 1e-6))
    model = emit(*run_passes(graph, weights), {})
    verification_of(graph, weights, model).require_within_tolerance(graph)
    planted(model, "c.bias", (0,), 1e-8)
    assert not next(d for d in verification_of(graph, weights, model).deviations if d.name == "c").passes


def test_cancellation_may_deviate_by_the_noise_of_float32() -> None:
    """Sums of terms of 1e4 that cancel to near 0, next to one that does not, where an error of 0.1 is not rounding."""
    graph = check("input 64; f: fc 4").require_graph()
    terms = np.random.default_rng(0).normal(size=(4, 64)).astype(np.float32) * 1e4
    terms[:3] -= terms[:3].mean(1, keepdims=True)
    weights = {"f.weight": terms, "f.bias": np.zeros(4, np.float32)}
    model = emit(graph, weights, {})
    feeds = {"input1": np.full((3, 64), 0.7, np.float32)}
    found = verify_model(model, graph, weights, feeds)
    found.require_within_tolerance(graph)
    assert found.worst.difference > 1e-4 + 1e-3 * abs(found.worst.value), "without the noise term it would fail"
    planted(model, "f.bias", (0,), 1.0)
    assert not verify_model(model, graph, weights, feeds).worst.passes


def test_one_wrong_element_of_a_large_image_fails() -> None:
    text = "input 2x40x40; c: conv 3 k=3 p=1"
    graph, weights, model = built(text)
    (pads,) = [a for node in model.graph.node for a in node.attribute if a.name == "pads"]
    assert list(pads.ints) == [1, 1, 1, 1]
    planted(model, "c.weight", (0, 0, 0, 0), 2e-4)
    assert not verification_of(graph, weights, model).worst.passes


def test_nan_and_infinity_fail() -> None:
    graph, weights, model = built(NET)
    planted(model, "f.bias", (1,), np.inf)
    assert verification_of(graph, weights, model).worst.share == np.inf


def test_the_error_is_at_the_first_line_and_reports_the_worst() -> None:
    graph, weights, model = built(NET)
    planted(model, "c.bias", (0,), 0.1)
    planted(model, "f.bias", (0,), 100)
    verification = verification_of(graph, weights, model)
    assert verification.worst.name == "f"
    with pytest.raises(CnncError) as caught:
        verification.require_within_tolerance(graph)
    (found,) = caught.value.diagnostics
    assert found.span is not None
    assert found.span.text == "c: conv 4 k=3 p=1"


def test_the_report_has_one_line_per_layer() -> None:
    verification = verification_of(*built(NET))
    assert [d.name for d in verification.layers] == ["c", "relu1", "f"]
    assert [d.name for d in verification.deviations] == [
        "c",
        "relu1",
        "f",
        "f",
    ]  # the output is also compared in the optimized model
    assert verification.layers[-1].share == max(d.share for d in verification.deviations[2:])


def test_the_largest_deviation_of_a_layer_is_relative_to_what_is_allowed() -> None:
    small, large, other = (
        Deviation("a", 0.5, 1.0, 1.0, 1.0),
        Deviation("a", 0.3, 1.0, 0.4, 1.0, optimized=True),
        Deviation("b", 0.9, 1.0, 2.0, 1.0),
    )
    found = combined([Verification((small, other)), Verification((large,), by_layer=True)])
    assert found == Verification((small, other, large), by_layer=True)
    assert found.layers == (large, other)
    assert found.worst == large
    assert combined([Verification((other,))] * 2) == Verification((other, other), by_layer=False)
    found.require_within_tolerance(check("a: input 1; b: relu").require_graph())


def test_a_layer_on_its_own_keeps_only_the_tensors_that_are_still_to_be_read() -> None:
    graph = check("input 4; a: fc 4; b: relu; c: fc 4; d: add a c; e: relu").require_graph()
    weights, feeds = random_weights(graph, 0), sample_feeds(graph, 3)
    layers = LayerByLayer(graph, weights, feeds, "abcde")
    kept = {}
    for name, output in layer_outputs(graph, weights, feeds, "abcde"):
        if name in "abcde":
            assert layers.deviation(name, output).passes
            kept[name] = "".join(layers._given)
    assert kept == {"a": "a", "b": "ab", "c": "ac", "d": "d", "e": "e"}


def test_random_weights_have_no_constant_parameters() -> None:
    graph = check("input 3x6x6; conv 4 k=3; bn; prelu; conv 4 k=1; group_norm groups=2; affine").require_graph()
    for name, array in random_weights(graph, 0).items():
        assert len(np.unique(array)) == array.size, name
        assert (array > 0).all() or "var" not in name
    same = random_weights(graph, 0)
    assert all(np.array_equal(array, same[name]) for name, array in random_weights(graph, 0).items())
    assert np.array_equal(same["conv1.weight"], initialize(graph, 0)["conv1.weight"])


@pytest.mark.parametrize("what", ["mean", "var", "scale", "shift"])
def test_a_wrongly_folded_batch_norm_fails(what: str) -> None:
    """With the initial statistics, folding that ignores them would pass."""
    graph = check("input 3x6x6; conv 4 k=3; bn; relu").require_graph()
    weights = random_weights(graph, 0)
    fresh = np.full(4, 1.0 if what in ("var", "scale") else 0.0, np.float32)
    model = emit(*run_passes(graph, {**weights, f"bn1.{what}": fresh}), {})
    assert not verification_of(graph, weights, model).worst.passes


def test_of_two_layers_that_err_each_is_judged_on_its_own() -> None:
    """From the model's own inputs: the layers after a wrong one are right."""
    graph, weights, model = built(NET)
    planted(model, "c.bias", (0,), 0.1)
    found = comparison_of(graph, weights, model)._compare_layer_by_layer()
    assert found.by_layer
    assert [(d.name, d.passes) for d in found.deviations] == [("c", False), ("relu1", True), ("f", True)]
    whole = comparison_of(graph, weights, model).compare_tensors()
    assert whole.by_layer, "a tensor that deviates from the network is judged again"
    assert not whole.worst.passes


def comparison_of(graph: Graph, weights: Weights, model: onnx.ModelProto, samples: int = 3) -> Comparison:
    return Comparison(RunnableModel(model, {}, graph.name), graph, weights, sample_feeds(graph, samples))


@pytest.mark.parametrize("error", [0.0, 0.1])
def test_the_outputs_of_the_optimized_model_are_compared_as_well(error: float) -> None:
    """Here another model stands for what a wrong optimization makes of this one."""
    graph, weights, model = built(NET)
    comparison = comparison_of(graph, weights, model)
    tensors = comparison.compare_tensors()
    tensors.require_within_tolerance(graph)
    planted(model, "f.bias", (5,), error)
    found = comparison.compare_outputs(Session(model.SerializeToString(), graph.name, "cpu"))
    assert [(d.name, d.optimized) for d in found.deviations] == [
        ("c", False),
        ("relu1", False),
        ("f", False),
        ("f", True),
    ]
    assert found.deviations[:-1] == tensors.deviations
    assert [d.passes for d in found.deviations] == [True, True, True, not error]
    with (
        nullcontext() if not error else pytest.raises(CnncError, match="f of the exported graph, as onnxruntime optim")
    ):
        found.require_within_tolerance(graph)


def test_of_a_large_network_all_samples_are_compared_at_the_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = check("input 5; a: fc 4; b: fc 3").require_graph()
    assert sample_count(graph) == sample_count(check(NET).require_graph()) == 3
    monkeypatch.setattr(verify, "LARGE_MACS", graph.total_macs - 1)
    assert sample_count(graph) == 2
    weights = random_weights(graph, 0)
    feeds = {"input1": np.stack([np.zeros(5, np.float32), np.ones(5, np.float32)])}
    model = emit(graph, weights, {})
    verify_model(model, graph, weights, feeds).require_within_tolerance(graph)
    planted(model, "a.weight", (0, 0), 0.5)  # which the first sample does not see
    found = verify_model(model, graph, weights, feeds)
    assert found.by_layer, "the output deviates at the second sample; then each layer is judged at all samples"
    assert [(d.name, d.passes) for d in found.deviations if not d.optimized] == [("a", False), ("b", True)]


def test_feeds_reach_both_ends_of_their_range() -> None:
    graph = check(
        "image: input 1x40x40 dtype=uint8; conv 1 k=3; words: input 900 dtype=int64; embed 3 vocab=7"
    ).require_graph()
    feeds = sample_feeds(graph, 3)
    assert [(name, array.shape, array.min(), array.max()) for name, array in feeds.items()] == [
        ("image", (3, 1, 40, 40), 0, 255),
        ("words", (3, 900), 0, 6),
    ]
    assert not np.array_equal(sample_feeds(graph, 3, 1)["image"], feeds["image"])
    (values,) = sample_feeds(check("input 1000; relu").require_graph(), 3).values()
    assert 0 <= values.min() < 0.01
    assert 0.99 < values.max() < 1


def test_a_copy_of_a_model_with_other_outputs() -> None:
    graph, _, model = built(NET)
    before = model.SerializeToString(deterministic=True)
    session = Session(with_outputs(model, ["relu1", "f"]).SerializeToString(), "copy", "cpu")
    assert [array.shape for array in session.run(sample_feeds(graph, 2))] == [(2, 4, 8, 8), (2, 6)]
    assert model.SerializeToString(deterministic=True) == before
