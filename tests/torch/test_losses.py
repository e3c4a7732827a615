"""The losses on PyTorch against those of the NumPy trainer: values and gradients in float64, and the counts."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from cnnc.core.arrays import Array
from cnnc.recipe.losses import CrossEntropy, Loss
from cnnc.reference.layout import to_channels_first, to_channels_last
from cnnc.torch.losses import LOSSES
from cnnc.training.losses import compute_loss
from tests.training.statement_cases import LOSSES as CASES

SHAPES = [(4,), (4, 3), (4, 3, 2), (4, 2, 3, 2)]
BATCH = 5


def target_for(loss: Loss, shape: tuple[int, ...], random: np.random.Generator) -> Array:
    if loss.compares_with == "labels":
        return random.integers(0, shape[0], (BATCH, *shape[1:]))
    return random.uniform(size=(BATCH, *shape))


@pytest.mark.parametrize("scale", [1.0, 1000.0])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("loss", CASES, ids=repr)
def test_a_loss_and_its_gradient_equal_those_of_numpy(loss: Loss, shape: tuple[int, ...], scale: float) -> None:
    random = np.random.default_rng(3)
    scores, target = random.normal(size=(BATCH, *shape)) * scale, target_for(loss, shape, random)
    in_numpy = target if loss.compares_with == "labels" else to_channels_last(target)
    expected = compute_loss(loss, to_channels_last(scores), in_numpy)
    tensor = torch.tensor(scores, requires_grad=True)
    value = LOSSES[type(loss)](loss, tensor, torch.tensor(target))
    value.backward()
    assert value.item() == pytest.approx(expected.value, rel=1e-9)
    np.testing.assert_allclose(tensor.grad.numpy(), to_channels_first(expected.gradient), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("loss", [loss for loss in CASES if loss.takes_probabilities], ids=repr)
@pytest.mark.parametrize("mass", [1.0, 0.4])
def test_a_loss_on_probabilities_equals_that_of_numpy(loss: Loss, mass: float) -> None:
    random = np.random.default_rng(4)
    scores, target = random.normal(size=(BATCH, 4)), random.dirichlet(np.ones(4), BATCH)
    if loss.ignored_label is not None:
        target[0] *= mass
        target[1] = 0
    expected = compute_loss(loss, scores, target)
    tensor = torch.tensor(scores, requires_grad=True)
    value = LOSSES[type(loss)](loss, tensor, torch.tensor(target))
    value.backward()
    assert value.item() == pytest.approx(expected.value, rel=1e-9)
    np.testing.assert_allclose(tensor.grad.numpy(), expected.gradient, rtol=1e-9, atol=1e-15)


def test_a_batch_without_labels_that_count_costs_nothing() -> None:
    scores = torch.randn(3, 4, requires_grad=True)
    loss = CrossEntropy.make(ignore=1)
    value = LOSSES[CrossEntropy](loss, scores, torch.ones(3, dtype=torch.int64))
    value.backward()
    assert value.item() == 0
    assert not scores.grad.any()


@pytest.mark.parametrize("smoothing", [0, 0.1])
@pytest.mark.parametrize("kind", ["labels", "probabilities"])
def test_a_batch_of_a_class_with_the_weight_0_costs_what_it_does_in_numpy(smoothing: float, kind: str) -> None:
    loss = CrossEntropy.make(weights=(1, 0, 5), smoothing=smoothing)
    scores, labels = np.random.default_rng(5).normal(size=(4, 3)), np.ones(4, np.int64)
    target = labels if kind == "labels" else np.eye(3)[labels]
    expected = compute_loss(loss, scores, target)
    tensor = torch.tensor(scores, requires_grad=True)
    value = LOSSES[CrossEntropy](loss, tensor, torch.tensor(target))
    value.backward()
    assert value.item() == pytest.approx(expected.value, rel=1e-9)
    assert (value.item() > 0) == (smoothing > 0)
    np.testing.assert_allclose(tensor.grad.numpy(), expected.gradient, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize(
    "loss", [row for row in CASES if row.compares_with == "labels" and row.ignored_label is None], ids=repr
)
def test_probabilities_as_targets_cost_what_they_do_in_numpy(loss: Loss) -> None:
    random = np.random.default_rng(3)
    scores, target = random.normal(size=(BATCH, 4, 3)), random.dirichlet(np.ones(4), (BATCH, 3))
    expected = compute_loss(loss, to_channels_last(scores), target)
    tensor = torch.tensor(scores, requires_grad=True)
    value = LOSSES[type(loss)](loss, tensor, torch.tensor(to_channels_first(target)))
    value.backward()
    assert value.item() == pytest.approx(expected.value, rel=1e-9)
    np.testing.assert_allclose(tensor.grad.numpy(), to_channels_first(expected.gradient), rtol=1e-9, atol=1e-15)
