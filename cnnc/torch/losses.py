"""The losses on PyTorch, in a table keyed by the classes of recipe/losses.py; autograd differentiates them.

In: the statement, activations and targets, channels first: (N, C) or (N, C, *spatial), with labels of (N) or (N, *spatial).
Out: the mean over the batch, a scalar of at least float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnc.recipe.losses import L1, Bce, Contrastive, CrossEntropy, Huber, Loss, Mse
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
def cross_entropy(loss: CrossEntropy, scores: Tensor, labels: Tensor) -> Tensor:
    if loss.ignore is None:
        return F.cross_entropy(scores, labels, label_smoothing=loss.smoothing)
    total = F.cross_entropy(scores, labels, ignore_index=loss.ignore, reduction="sum", label_smoothing=loss.smoothing)
    return total / (labels != loss.ignore).sum().clamp(min=1)  # a batch without labels that count costs 0


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
    return F.binary_cross_entropy_with_logits(scores, target)


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
        value = LOSSES[type(term.loss)](term.loss, scores, _target(objective, term, activations, targets))
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
    hits, ignored = activations[term.node.name].detach().argmax(1) == labels, term.loss.ignored_label
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
    if term.loss.compares_with == "labels":
        return target.reshape(output.shape[0], *output.shape[2:])
    if target.dtype == torch.uint8:
        target = target.to(torch.float32) / 255
    return target.to(torch.promote_types(output.dtype, torch.float32)).reshape(output.shape)
