"""The losses on PyTorch, in a table keyed by the classes of recipe/losses.py; autograd differentiates them.

In: the statement, activations and targets, channels first: (N, C) or (N, C, *spatial), with labels of (N) or (N, *spatial),
or with probabilities of the classes, of the shape of the activations.
Out: the mean over the batch, a scalar of at least float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnc.recipe.losses import L1, Balance, Bce, Contrastive, CrossEntropy, Focal, Huber, Loss, Mse
from cnnc.training.losses import are_probabilities
from cnnc.training.objective import Objective, Term

TorchLoss = Callable[[Any, Tensor, Tensor], Tensor]
"""(statement, activations, targets) -> mean loss"""

LOSSES: dict[type[Loss], TorchLoss] = {}

Fn = TypeVar("Fn", bound=TorchLoss)


class BatchResult(NamedTuple):
    """The loss of a batch (a scalar), and how many of all predictions are correct (two integers)."""

    loss: Tensor
    counts: Tensor


def loss_of(cls: type[Loss]) -> Callable[[Fn], Fn]:
    """Registers the function of a loss."""

    def register(function: Fn) -> Fn:
        LOSSES[cls] = function
        return function

    return register


@loss_of(CrossEntropy)
def cross_entropy(loss: CrossEntropy, scores: Tensor, target: Tensor) -> Tensor:
    """The mean over the labels that count, with their weights; a batch without such labels costs 0."""
    weights = None if loss.weights is None else _numbers(loss.weights, scores)
    if target.is_floating_point():
        return _cross_entropy_of_shares(loss, scores, target, weights)
    if loss.ignore is None and weights is None:
        return F.cross_entropy(scores, target, label_smoothing=loss.smoothing)
    ignored = -100 if loss.ignore is None else loss.ignore  # -100 is what PyTorch ignores by default
    total = F.cross_entropy(
        scores, target, weights, ignore_index=ignored, reduction="sum", label_smoothing=loss.smoothing
    )
    counts = target != ignored
    if weights is None:
        return total / counts.sum().clamp(min=1)
    return total / _divisor((weights[target * counts] * counts).sum())


def _cross_entropy_of_shares(loss: CrossEntropy, scores: Tensor, shares: Tensor, weights: Tensor | None) -> Tensor:
    """−Σ w·t·log softmax(scores) for shares t of the classes, divided by Σ w·t."""
    by_class = scores.new_ones(1) if weights is None else weights
    by_class = _by_channel(by_class, scores)
    total = _divisor((shares * by_class).sum())
    target = (1 - loss.smoothing) * shares + loss.smoothing / scores.shape[1] * shares.sum(1, keepdim=True)
    return -(target * by_class * F.log_softmax(scores, 1)).sum() / total


@loss_of(Focal)
def focal(loss: Focal, scores: Tensor, target: Tensor) -> Tensor:
    """−Σ α·t·(1 − p)^γ·log p for shares t of the classes (Lin et al. 2017, equation 5), divided by Σ t."""
    logs = F.log_softmax(scores, 1)
    q = (-torch.expm1(logs)).clamp(min=torch.finfo(scores.dtype).tiny)
    losses = -(q**loss.gamma) * logs
    if loss.alpha is not None:
        losses = losses * _by_channel(_numbers(loss.alpha, scores), scores)
    if target.is_floating_point():
        return (losses * target).sum() / _divisor(target.sum())
    if loss.ignore is None:
        return losses.gather(1, target.unsqueeze(1)).mean()
    counts = target != loss.ignore
    of_labels = losses.gather(1, (target * counts).unsqueeze(1)).squeeze(1)
    return (of_labels * counts).sum() / counts.sum().clamp(min=1)


def _divisor(total: Tensor) -> Tensor:
    """The total, or 1 where no label of a batch counts."""
    return torch.where(total == 0, 1, total)


def _numbers(weights: Balance, scores: Tensor) -> Tensor:
    """Weights that training has computed or the source gives."""
    assert isinstance(weights, tuple)
    return scores.new_tensor(weights)


def _by_channel(numbers: Tensor, scores: Tensor) -> Tensor:
    """One number, or one for each channel, in a shape that multiplies (N, C, *spatial)."""
    return numbers.reshape(-1, *[1] * (scores.dim() - 2))


@loss_of(Mse)
def mse(loss: Mse, outputs: Tensor, target: Tensor) -> Tensor:
    return F.mse_loss(outputs, target)


@loss_of(L1)
def l1(loss: L1, outputs: Tensor, target: Tensor) -> Tensor:
    return F.l1_loss(outputs, target)


@loss_of(Huber)
def huber(loss: Huber, outputs: Tensor, target: Tensor) -> Tensor:
    return F.huber_loss(outputs, target, delta=loss.delta)


@loss_of(Bce)
def bce(loss: Bce, scores: Tensor, target: Tensor) -> Tensor:
    if loss.pos_weight is None:
        return F.binary_cross_entropy_with_logits(scores, target)
    pos_weight = _by_channel(_numbers(loss.pos_weight, scores), scores)
    return F.binary_cross_entropy_with_logits(scores, target, pos_weight=pos_weight)


@loss_of(Contrastive)
def contrastive(loss: Contrastive, distances: Tensor, target: Tensor) -> Tensor:
    missing = (loss.margin - distances).clamp(min=0)
    return (0.5 * ((1 - target) * distances.square() + target * missing.square())).mean()


def batch_loss(
    objective: Objective,
    activations: Mapping[str, Tensor],
    targets: Sequence[Tensor],
    shares: Sequence[float] | None = None,
) -> BatchResult:
    """The weighted sum of the losses of a batch, and the counts of the first loss that compares with labels.

    Where these are some of the examples of a batch, `shares` tells for each loss their part of what its mean is over; the
    losses of all of them then add up to those of the batch.
    """
    total: Tensor | None = None
    for term, share in zip(objective.terms, shares or [1.0] * len(objective.terms), strict=True):
        scores = _exact(activations[term.node.name])
        target = _target(objective, term, activations, targets)
        value = LOSSES[type(term.loss)](term.loss, scores, target)
        weight = term.loss.weight * share
        value = value * weight if weight != 1 else value
        total = value if total is None else total + value
    assert total is not None
    return BatchResult(total, _counts(objective, activations, targets, total.device))


def _counts(
    objective: Objective, activations: Mapping[str, Tensor], targets: Sequence[Tensor], device: torch.device
) -> Tensor:
    """The number of correct predictions and of all predictions; zeros where no loss compares with labels."""
    term = objective.term_by_target.get("labels")
    if term is None:
        return torch.zeros(2, dtype=torch.int64, device=device)
    labels = _target(objective, term, activations, targets)
    ignored = term.loss.ignored_label
    if are_probabilities(term.loss, labels):  # a mixed example counts as the class of its larger part
        labels = labels.argmax(1) if ignored is None else torch.where(labels.any(1), labels.argmax(1), ignored)
    hits = activations[term.node.name].detach().argmax(1) == labels
    if ignored is None:
        right = hits.sum()
        return torch.stack([right, torch.full_like(right, labels.numel())])
    counted = labels != ignored
    return torch.stack([(hits & counted).sum(), counted.sum()])


def _exact(scores: Tensor) -> Tensor:
    """Scores in float32, in which the losses of a network with lower precision are computed."""
    return scores if scores.dtype in (torch.float32, torch.float64) else scores.to(torch.float32)


def _target(objective: Objective, term: Term, activations: Mapping[str, Tensor], targets: Sequence[Tensor]) -> Tensor:
    """The target of a loss, in the shape of the output; label maps are without the channels."""
    if term.column is None:
        return activations[objective.input]
    target, output = targets[term.column], activations[term.node.name]
    if are_probabilities(term.loss, target):
        return target[:, : output.shape[1]].to(torch.promote_types(output.dtype, torch.float32)).reshape(output.shape)
    if term.loss.compares_with == "labels":
        return target.reshape(output.shape[0], *output.shape[2:])
    if target.dtype == torch.uint8:
        target = target.to(torch.float32) / 255
    return target.to(torch.promote_types(output.dtype, torch.float32)).reshape(output.shape)
