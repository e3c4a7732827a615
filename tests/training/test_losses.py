"""The losses: their values, their gradients, and scores at the edge of what floating point holds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from cnnc.core.arrays import Array
from cnnc.data.dataset import Dataset, Split
from cnnc.network import check
from cnnc.recipe.losses import L1, Bce, Contrastive, CrossEntropy, Focal, Huber, Loss, Mse, balanced_weights
from cnnc.reference.initializers import initialize
from cnnc.training.losses import averaged_count, compute_loss, cross_entropy, divisor, measured_outputs
from cnnc.training.objective import Objective, Score
from tests.training.statement_cases import LOSSES


def test_equal_scores_cost_the_logarithm_of_the_classes() -> None:
    loss = cross_entropy(np.zeros((4, 10)), np.array([0, 3, 9, 9]))
    assert loss.value == pytest.approx(math.log(10), rel=1e-14)


def test_value_is_that_of_the_definition() -> None:
    random = np.random.default_rng(1)
    scores, labels = random.normal(0, 3, (16, 7)), random.integers(0, 7, 16)
    probabilities = [math.exp(row[label]) / sum(map(math.exp, row)) for row, label in zip(scores, labels, strict=True)]
    expected = -sum(map(math.log, probabilities)) / 16
    assert cross_entropy(scores, labels).value == pytest.approx(expected, rel=1e-12)


def test_gradient_is_that_of_central_differences() -> None:
    random = np.random.default_rng(2)
    scores, labels = random.normal(0, 1, (3, 5)), np.array([4, 0, 2])
    gradient = cross_entropy(scores, labels).gradient
    for index in np.ndindex(*scores.shape):
        up, down = scores.copy(), scores.copy()
        up[index] += 1e-5
        down[index] -= 1e-5
        slope = (cross_entropy(up, labels).value - cross_entropy(down, labels).value) / 2e-5
        assert gradient[index] == pytest.approx(slope, rel=1e-6, abs=1e-9)


def test_large_scores_do_not_overflow() -> None:
    scores = np.array([[1e4, 0, -1e4], [-3e38, 3e38, 0]], np.float32)
    with np.errstate(over="raise", invalid="raise"):
        loss = cross_entropy(scores[:1], np.array([0]))
    assert loss.value == 0
    assert np.isfinite(loss.gradient).all()
    with np.errstate(over="ignore"):
        assert cross_entropy(scores[1:], np.array([1])).value == 0


def test_scores_are_left_alone_and_keep_their_type() -> None:
    scores = np.arange(6, dtype=np.float32).reshape(2, 3)
    loss = cross_entropy(scores, np.array([0, 1]))
    np.testing.assert_array_equal(scores, np.arange(6, dtype=np.float32).reshape(2, 3))
    assert loss.gradient.dtype == np.float32
    np.testing.assert_allclose(loss.gradient.sum(-1), 0, atol=1e-7)


def test_a_score_that_is_no_number_makes_a_loss_that_is_none() -> None:
    assert math.isnan(cross_entropy(np.array([[np.nan, 0.0]]), np.array([1])).value)


@pytest.mark.long
def test_pytorch_agrees() -> None:
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(3)
    scores, labels = random.normal(0, 2, (8, 10)), random.integers(0, 10, 8)
    theirs = torch.tensor(scores, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(theirs, torch.tensor(labels))
    loss.backward()
    ours = cross_entropy(scores, labels)
    assert ours.value == pytest.approx(float(loss.detach()), rel=1e-12)
    np.testing.assert_allclose(ours.gradient, theirs.grad.numpy(), rtol=1e-10, atol=1e-14)


def slopes(loss: Loss, outputs: Array, target: Array) -> Array:
    """Central differences of a loss in every output."""
    found = np.empty_like(outputs)
    for index in np.ndindex(*outputs.shape):
        up, down = outputs.copy(), outputs.copy()
        up[index] += 1e-5
        down[index] -= 1e-5
        found[index] = (compute_loss(loss, up, target).value - compute_loss(loss, down, target).value) / 2e-5
    return found


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_gradients_are_those_of_central_differences(loss: Loss) -> None:
    random = np.random.default_rng(3)
    outputs = random.normal(0, 1, (3, 2, 4))
    target = random.integers(0, 4, (3, 2)) if loss.compares_with == "labels" else random.random((3, 2, 4))
    gradient = compute_loss(loss, outputs, target).gradient
    np.testing.assert_allclose(gradient, slopes(loss, outputs, target), rtol=1e-6, atol=1e-9)


def test_values_of_losses_on_values() -> None:
    outputs, target = np.array([[1.0, -2.0]]), np.array([[0.5, 1.0]])
    losses = (Mse.make(), L1.make(), Huber.make(delta=0.7), Bce.make())
    found = [compute_loss(loss, outputs, target).value for loss in losses]
    squared, absolute = (0.25 + 9) / 2, (0.5 + 3) / 2
    huber = (0.125 + 0.7 * (3 - 0.35)) / 2
    binary = (-0.5 * math.log(1 / (1 + math.exp(-1))) - 0.5 * math.log(1 - 1 / (1 + math.exp(-1)))) / 2
    binary += -math.log(1 / (1 + math.exp(2))) / 2
    assert found == pytest.approx([squared, absolute, huber, binary])


def test_contrastive_loss_pulls_pairs_together_and_pushes_others_to_the_margin() -> None:
    distances, target = np.array([[0.5], [3.0], [0.5], [3.0]]), np.array([[0.0], [0.0], [1.0], [1.0]])
    value, gradient = compute_loss(Contrastive.make(margin=2), distances, target)
    assert value == pytest.approx((0.125 + 4.5 + 0.5 * 1.5**2 + 0) / 4)
    np.testing.assert_allclose(gradient[:, 0], np.array([0.5, 3, -1.5, 0]) / 4)


def test_metrics_of_contrastive_loss_read_distances_in_margins() -> None:
    loss = Contrastive.make(margin=2)
    np.testing.assert_allclose(measured_outputs(loss, np.array([0.0, 1.0, 2.0, 9.0])), [0, 0.5, 1, 1])


@pytest.mark.parametrize("extra", [{"smoothing": 0.1}, {"ignore": 2}, {"smoothing": 0.3, "ignore": 0}])
def test_smoothing_and_an_ignored_class_per_pixel(extra: dict[str, Any]) -> None:
    kind = CrossEntropy.make(**extra)
    random = np.random.default_rng(4)
    scores, labels = random.normal(0, 1, (2, 3, 2, 4)), random.integers(0, 4, (2, 3, 2))
    found = compute_loss(kind, scores, labels)
    np.testing.assert_allclose(found.gradient, slopes(kind, scores, labels), rtol=1e-6, atol=1e-9)
    total, count = 0.0, 0
    for row, label in zip(scores.reshape(-1, 4), labels.reshape(-1), strict=True):
        if label == extra.get("ignore"):
            continue
        logs = row - math.log(sum(map(math.exp, row)))
        share = extra.get("smoothing", 0.0)
        total -= (1 - share) * logs[label] + share * logs.mean()
        count += 1
    assert found.value == pytest.approx(total / count)


def test_a_batch_of_ignored_labels_costs_nothing() -> None:
    kind = CrossEntropy.make(ignore=1)
    found = compute_loss(kind, np.ones((3, 4)), np.ones(3, np.int64))
    assert found.value == 0
    assert not found.gradient.any()


# --- losses on the probabilities of mixed examples -------------------------------------------------------------------

SOFT = [loss for loss in LOSSES if loss.takes_probabilities]


@pytest.mark.parametrize("loss", SOFT, ids=repr)
def test_probabilities_of_one_class_are_its_label(loss: Loss) -> None:
    random = np.random.default_rng(6)
    scores, labels = random.normal(0, 2, (6, 4)), np.array([0, 1, 2, 3, 2, 1])
    rows = np.eye(4)[labels] * (labels != loss.ignored_label)[:, None]
    hard, soft = compute_loss(loss, scores, labels), compute_loss(loss, scores, rows)
    assert soft.value == pytest.approx(hard.value, rel=1e-12)
    np.testing.assert_allclose(soft.gradient, hard.gradient, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("loss", [loss for loss in SOFT if loss.counts_every_label], ids=repr)
def test_a_mixture_costs_the_mixture_of_the_costs(loss: Loss) -> None:
    """The definition of Zhang et al. 2018: the loss is linear in the target."""
    random = np.random.default_rng(7)
    scores, target = random.normal(0, 2, (5, 4)), random.dirichlet(np.ones(4), 5)
    found = compute_loss(loss, scores, target)
    of_class = [[compute_loss(loss, row[None], np.array([c])).value for c in range(4)] for row in scores]
    assert found.value == pytest.approx((target * of_class).sum() / 5, rel=1e-12)
    np.testing.assert_allclose(found.gradient, slopes(loss, scores, target), rtol=1e-5, atol=1e-9)


def log_softmax(row: Array) -> list[float]:
    total = math.log(sum(math.exp(score) for score in row))
    return [score - total for score in row]


def test_weights_are_those_of_the_mean() -> None:
    """sum(w*loss)/sum(w), as in PyTorch."""
    random = np.random.default_rng(5)
    scores, labels, weights = random.normal(0, 1, (6, 3)), np.array([0, 1, 2, 2, 1, 0]), (1.0, 5.0, 0.0)
    loss = CrossEntropy.make(weights=weights)
    losses = [-weights[label] * log_softmax(row)[label] for row, label in zip(scores, labels, strict=True)]
    assert compute_loss(loss, scores, labels).value == pytest.approx(sum(losses) / 12, rel=1e-12)
    assert averaged_count(loss, labels) == 12


def test_focal_loss_is_that_of_the_paper() -> None:
    random = np.random.default_rng(5)
    scores, labels, alpha = random.normal(0, 2, (6, 3)), np.array([0, 1, 2, 2, 1, 0]), (0.25, 0.75, 2.0)
    expected = 0.0
    for row, label in zip(scores, labels, strict=True):
        log = log_softmax(row)[label]
        expected -= alpha[label] * (1 - math.exp(log)) ** 1.5 * log / 6
    found = compute_loss(Focal.make(gamma=1.5, alpha=alpha), scores, labels).value
    assert found == pytest.approx(expected, rel=1e-12)


def test_focal_loss_without_an_exponent_is_the_cross_entropy() -> None:
    random = np.random.default_rng(5)
    scores, labels = random.normal(0, 2, (6, 3)), np.array([0, 1, 2, 2, 1, 0])
    assert compute_loss(Focal.make(gamma=0), scores, labels).value == pytest.approx(
        cross_entropy(scores, labels).value, rel=1e-12
    )


@pytest.mark.parametrize("score", [60.0, 1e4])
def test_focal_loss_of_a_certain_prediction_has_a_finite_gradient(score: float) -> None:
    scores = np.array([[score, 0, 0], [0, score, 0]], np.float32)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        found = compute_loss(Focal.make(gamma=0.5), scores, np.array([0, 0]))
    assert found.value == pytest.approx(score / 2)
    assert np.isfinite(found.gradient).all()


def test_positives_of_bce_have_their_weight() -> None:
    """As pos_weight of PyTorch: only the part of the positives is multiplied, and the mean is over the elements."""
    scores, target = np.array([[1.0, -2.0, 0.5]]), np.array([[1.0, 0.25, 0.0]])
    p = 1 / (1 + np.exp(-scores))
    expected = -(3 * target * np.log(p) + (1 - target) * np.log(1 - p)).mean()
    assert compute_loss(Bce.make(pos_weight=3), scores, target).value == pytest.approx(expected, rel=1e-12)


LABEL_LOSSES = [loss for loss in LOSSES if loss.compares_with == "labels" and loss.ignored_label is None]


@pytest.mark.parametrize("loss", LABEL_LOSSES, ids=repr)
def test_probabilities_as_targets(loss: Loss) -> None:
    """One-hot targets cost what the labels do; the gradient of others is that of central differences."""
    random = np.random.default_rng(6)
    scores, labels = random.normal(0, 1, (3, 2, 4)), random.integers(0, 4, (3, 2))
    hard, soft = compute_loss(loss, scores, labels), compute_loss(loss, scores, np.eye(4)[labels])
    assert soft.value == pytest.approx(hard.value, rel=1e-12)
    np.testing.assert_allclose(soft.gradient, hard.gradient, rtol=1e-9, atol=1e-15)
    mixed = random.dirichlet(np.ones(4), (3, 2))
    np.testing.assert_allclose(
        compute_loss(loss, scores, mixed).gradient, slopes(loss, scores, mixed), rtol=1e-6, atol=1e-9
    )


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    """n/(C*n_c) over the classes that occur; the mean over the labels is 1."""
    assert balanced_weights([500, 100]) == (0.6, 3.0)
    assert balanced_weights([6, 0, 2]) == (8 / 12, 1.0, 2.0)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_losses_of_parts_of_a_batch_add_up(loss: Loss) -> None:
    """Processes that share a batch multiply the loss of their part by its share of what the mean is over."""
    random = np.random.default_rng(7)
    outputs = random.normal(0, 1, (9, 2, 4))
    target = random.integers(0, 4, (9, 2)) if loss.compares_with == "labels" else random.random((9, 2, 4))
    if loss.compares_with == "labels":
        target[0] = 1  # of a class that may have the weight 0
    whole, total = compute_loss(loss, outputs, target).value, averaged_count(loss, target)
    parts = [slice(0, 1), slice(1, 1), slice(1, 6), slice(6, 9)]
    found = sum(
        compute_loss(loss, outputs[part], target[part]).value * divisor(averaged_count(loss, target[part])) / total
        for part in parts
        if len(target[part])
    )
    assert found == pytest.approx(whole, rel=1e-12)


def test_metrics_of_bce_compare_probabilities_with_or_without_a_final_sigmoid() -> None:
    x = np.linspace(-3, 3, 24, dtype=np.float32).reshape(12, 2)
    split = Split.of(x, (x > 0).astype(np.float32))

    def score(end: str) -> Score:
        network = check(f'input 2\nfc 2 weights=[[5, 0], [0, 5]] biases=0{end}\ntrain {{ data npz "x.npz"; loss bce }}')
        graph, recipe = network.require_graph(), network.recipe
        assert recipe is not None
        return Objective(graph, recipe, Dataset("npz", (), split, split)).evaluate(initialize(graph, 0), split)

    assert score("").metric == "mse"
    assert score("").result == score("\nsigmoid").result < 0.1
