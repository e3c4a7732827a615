"""Losses, optimizers, clipping and metrics of the step graph against the NumPy trainer, row by row of statement_cases.py."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from cnnc.core.arrays import Array, Weights
from cnnc.network import check
from cnnc.onnx.emit.model import DEFAULT_OPSET, assemble
from cnnc.onnx.run.session import Session
from cnnc.onnx.train_step.losses import LOSSES as STEP_LOSSES
from cnnc.onnx.train_step.losses import LOSSES_OF_SHARES
from cnnc.onnx.train_step.metrics import METRICS as STEP_METRICS
from cnnc.onnx.train_step.optimizers import UPDATES, WeightState, clip_gradients
from cnnc.onnx.train_step.step_emitter import StepEmitter
from cnnc.recipe.losses import CrossEntropy, Loss
from cnnc.recipe.optimizers import Optimizer
from cnnc.reference.layout import to_channels_last
from cnnc.training.losses import compute_loss
from cnnc.training.metrics import COUNTERS, ConfusionCounter, score_of
from cnnc.training.optimizers import clip_gradients as clip_in_numpy
from cnnc.training.optimizers import update
from tests.training.statement_cases import LOSSES, METRICS, OPTIMIZERS, MetricCase

Tensors = Mapping[str, str]
OPSETS = [13, DEFAULT_OPSET]
SHAPES = [(4,), (4, 3), (4, 3, 2)]


def emitter_at(shape: tuple[int, ...], opset: int = DEFAULT_OPSET) -> StepEmitter:
    """An emitter within a layer whose output has this shape."""
    e = StepEmitter(check(f"input {'x'.join(map(str, shape))}\nrelu").require_graph(), opset)
    e.node = e.graph.by_name["relu1"]
    return e


def computed(e: StepEmitter, feeds: Mapping[str, Array], results: Mapping[str, tuple[str, int]]) -> dict[str, Array]:
    """What onnxruntime computes for named tensors of a type."""
    infos = [helper.make_tensor_value_info(tensor, dtype, None) for tensor, dtype in results.values()]
    session = Session(assemble(e, infos, [], {}).SerializeToString(), "step", "cpu", threads=1)
    tensors = [tensor for tensor, _ in results.values()]
    return dict(zip(results, session.run(dict(feeds), tensors), strict=True))


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_a_loss_and_its_gradient(loss: Loss, shape: tuple[int, ...], opset: int, scale: float) -> None:
    random, batch = np.random.default_rng(3), 5
    outputs = (random.normal(size=(batch, *shape)) * scale).astype(np.float32)
    labels = loss.compares_with == "labels"
    target = (
        random.integers(0, shape[0], (batch, *shape[1:]))
        if labels
        else random.random(size=outputs.shape).astype(np.float32)
    )
    e = emitter_at(shape, opset)
    e.add_input("outputs", ("N", *shape))
    e.add_input("target", ("N", *target.shape[1:]), TensorProto.INT64 if labels else TensorProto.FLOAT)
    tensors = STEP_LOSSES[type(loss)](e, loss, "outputs", "target")
    found = computed(
        e,
        {"outputs": outputs, "target": target},
        {"value": (tensors.value, TensorProto.FLOAT), "gradient": (tensors.gradient, TensorProto.FLOAT)},
    )
    exact = to_channels_last(outputs).astype(np.float64)
    expected = compute_loss(loss, exact, target if labels else to_channels_last(target).astype(np.float64))
    assert found["value"].shape == ()
    np.testing.assert_allclose(found["value"], expected.value, rtol=1e-6)
    np.testing.assert_allclose(to_channels_last(found["gradient"]), expected.gradient, rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("loss", [loss for loss in LOSSES if loss.takes_probabilities], ids=repr)
@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_a_loss_on_probabilities_and_its_gradient(loss: Loss, scale: float) -> None:
    random = np.random.default_rng(4)
    outputs = (random.normal(size=(5, 4)) * scale).astype(np.float32)
    target = random.dirichlet(np.ones(4), 5).astype(np.float32)
    if loss.ignored_label is not None:
        target[0] *= 0.3
        target[1] = 0
    e = emitter_at((4,))
    e.add_input("outputs", ("N", 4))
    e.add_input("target", ("N", 4), TensorProto.FLOAT)
    tensors = LOSSES_OF_SHARES[type(loss)](e, loss, "outputs", "target")
    found = computed(
        e,
        {"outputs": outputs, "target": target},
        {"value": (tensors.value, TensorProto.FLOAT), "gradient": (tensors.gradient, TensorProto.FLOAT)},
    )
    expected = compute_loss(loss, outputs.astype(np.float64), target)
    np.testing.assert_allclose(found["value"], expected.value, rtol=1e-6)
    np.testing.assert_allclose(found["gradient"], expected.gradient, rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("loss", [row for row in LOSSES if row.ignored_label is not None], ids=repr)
@pytest.mark.parametrize("count", [0, 5])
def test_ignored_labels_outside_the_classes_count_nothing(loss: Loss, count: int) -> None:
    """255 marks borders in label maps; a batch of borders alone has loss and gradient 0."""
    loss = loss.replace(ignore=255)
    labels = np.full((2, 3), 255)
    labels.flat[:count] = 1
    scores = np.random.default_rng(3).normal(size=(2, 4, 3)).astype(np.float32)
    e = emitter_at((4, 3))
    e.add_input("outputs", ("N", 4, 3))
    e.add_input("target", ("N", 3), TensorProto.INT64)
    tensors = STEP_LOSSES[type(loss)](e, loss, "outputs", "target")
    results = {"value": (tensors.value, TensorProto.FLOAT), "gradient": (tensors.gradient, TensorProto.FLOAT)}
    found = computed(e, {"outputs": scores, "target": labels}, results)
    expected = compute_loss(loss, to_channels_last(scores).astype(np.float64), labels)
    np.testing.assert_allclose(found["value"], expected.value, rtol=1e-6)
    np.testing.assert_allclose(to_channels_last(found["gradient"]), expected.gradient, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("smoothing", [0, 0.1])
def test_a_batch_of_a_class_with_the_weight_0_costs_its_smoothing(smoothing: float) -> None:
    loss = CrossEntropy.make(weights=(1, 0, 5), smoothing=smoothing)
    labels = np.ones(4, np.int64)
    scores = np.random.default_rng(3).normal(size=(4, 3)).astype(np.float32)
    e = emitter_at((3,))
    e.add_input("outputs", ("N", 3))
    e.add_input("target", ("N",), TensorProto.INT64)
    tensors = STEP_LOSSES[CrossEntropy](e, loss, "outputs", "target")
    results = {"value": (tensors.value, TensorProto.FLOAT), "gradient": (tensors.gradient, TensorProto.FLOAT)}
    found = computed(e, {"outputs": scores, "target": labels}, results)
    expected = compute_loss(loss, scores.astype(np.float64), labels)
    np.testing.assert_allclose(found["value"], expected.value, rtol=1e-6)
    np.testing.assert_allclose(found["gradient"], expected.gradient, rtol=1e-6, atol=1e-8)


STEPS = 12
RATES = [0.1 * (1 + math.cos(math.pi * step / STEPS)) for step in range(STEPS)]


@pytest.mark.parametrize("op", OPTIMIZERS, ids=repr)
def test_an_optimizer_steps_as_in_numpy(op: Optimizer) -> None:
    random = np.random.default_rng(7)
    weight, *gradients = random.normal(size=(1 + STEPS, 6, 5)).astype(np.float32)
    e = emitter_at((4,))
    for name in ("weight", "gradient", *op.slots):
        e.add_input(name, weight.shape)
    rate, step = e.add_input("rate", ()), e.add_input("step", (), TensorProto.INT64)
    state = UPDATES[type(op)](e, op, rate, step if op.counts_steps else "", WeightState("weight", op.slots), "gradient")
    names = {
        name: (tensor, TensorProto.FLOAT)
        for name, tensor in zip(("weight", *op.slots), (state.weight, *state.slots), strict=True)
    }
    arrays = {"weight": weight} | {slot: np.zeros_like(weight) for slot in op.slots}
    exact: Weights = {"w": weight.astype(np.float64)}
    slots: Weights = {}
    for number, (gradient, rate_now) in enumerate(zip(gradients, RATES, strict=True), start=1):
        scalars: dict[str, Array] = {"rate": np.array(rate_now, np.float32), "step": np.array(number, np.int64)}
        arrays = computed(e, {**arrays, **scalars, "gradient": gradient}, names)
        update(op, exact, {"w": gradient.astype(np.float64)}, slots, rate_now)
    np.testing.assert_allclose(arrays["weight"], exact["w"], rtol=1e-4, atol=1e-5)
    for slot in op.slots:
        np.testing.assert_allclose(arrays[slot], slots[f"w.{slot}"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("norm", [0.5, 1000.0])
@pytest.mark.parametrize("opset", OPSETS)
def test_gradients_are_clipped_as_in_numpy(norm: float, opset: int) -> None:
    random = np.random.default_rng(7)
    gradients = {"a": random.normal(size=(3, 2)), "b": random.normal(size=(4,))}
    e = emitter_at((4,), opset)
    for name, gradient in gradients.items():
        e.add_input(name, gradient.shape)
    clipped = clip_gradients(e, {name: name for name in gradients}, norm)
    feeds = {name: gradient.astype(np.float32) for name, gradient in gradients.items()}
    found = computed(e, feeds, {name: (tensor, TensorProto.FLOAT) for name, tensor in clipped.items()})
    clip_in_numpy(gradients, norm)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(found[name], gradient, rtol=1e-6)
    if norm == 1000.0:
        assert all(np.array_equal(found[name], feeds[name]) for name in feeds), "short gradients are left as they are"


FINISHED: dict[str, Callable[[Array, int], float]] = {
    "psnr": lambda total, count: 10 * math.log10(count / total) if total else math.inf,
    **{
        metric.kind: partial(lambda metric, total, count: score_of(metric, total), metric)
        for metric, counter in COUNTERS.items()
        if issubclass(counter, ConfusionCounter)
    },
}
"""What a host makes of the sums where it is not total/count, as onnx/train_step/metrics.py says."""


@pytest.mark.parametrize("case", METRICS, ids=lambda case: case.metric.kind)
def test_sums_of_a_metric_over_batches(case: MetricCase) -> None:
    shape = np.shape(case.batches[0][0])[1:]
    labels = case.metric.compares_with == "labels"
    e = emitter_at(shape)
    e.add_input("outputs", ("N", *shape))
    e.add_input("target", ("N",) if labels else ("N", *shape), TensorProto.INT64 if labels else TensorProto.FLOAT)
    sums = STEP_METRICS[case.metric](e, "outputs", "target", case.ignored)
    total, count = np.zeros(sums.shape), 0
    for outputs, target in case.batches:
        feeds: dict[str, Any] = {
            "outputs": np.array(outputs, np.float32),
            "target": np.array(target, np.int64 if labels else np.float32),
        }
        batch = computed(e, feeds, {"total": (sums.total, sums.dtype), "count": (sums.counted, TensorProto.INT64)})
        total, count = total + batch["total"], count + int(batch["count"])
        assert batch["total"].shape == sums.shape
    finish = FINISHED.get(case.metric.kind, _mean)
    assert finish(total, count) == pytest.approx(case.expected, rel=1e-6)


def _mean(total: Array, count: int) -> float:
    return float(total) / count
