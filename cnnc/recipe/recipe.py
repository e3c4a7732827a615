"""`Recipe`: how a network is trained, with typed statements and defaults filled in. Loads no NumPy.

reading.py reads a train section into it; training, reports and export read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from cnnc.core.record import Record
from cnnc.diagnostics import CnncError, Diagnostic, Span
from cnnc.language import syntax
from cnnc.recipe.augmentation import Augment
from cnnc.recipe.losses import CrossEntropy, Loss
from cnnc.recipe.optimizers import Optimizer, Sgd
from cnnc.recipe.schedules import Constant, Schedule
from cnnc.recipe.statements import Data, Stop


class Recipe(Record):
    """How a network is trained. `spans` holds the span of each statement that is written, by keyword."""

    data: Data
    augment: Augment | None = None
    losses: tuple[Loss, ...] = (CrossEntropy.make(),)
    optimizer: Optimizer = Sgd.make(lr=0.01, momentum=0.9)
    schedule: Schedule = Constant.make()
    batch: int = 32
    epochs: int = 10
    seed: int = 0
    clip: float | None = None
    stop: Stop | None = None
    metrics: tuple[str, ...] = ()
    quiet_fields: ClassVar[tuple[str, ...]] = ("spans",)
    spans: Mapping[str, Span] = {}

    @property
    def slots(self) -> int:
        """The number of arrays that the optimizer keeps for each weight."""
        return len(self.optimizer.slots)

    @property
    def metric(self) -> str:
        """The metric that decides which epoch is best: the first one named, else the default of the first loss."""
        return self.metrics[0] if self.metrics else self.losses[0].default_metric

    def learning_rate(self, epoch: float) -> float:
        """The learning rate at a point of training; `epoch` counts from 0 and has a fraction within an epoch."""
        return self.optimizer.lr * self.schedule.factor(epoch, self.epochs)


_ADD_SECTION = "add `train { data digits; loss cross_entropy; optimizer sgd lr=0.05; epochs 5 }`"


def without_train_section(settings: Mapping[str, syntax.Expression], name: str) -> list[Diagnostic]:
    """E115: settings of train statements, for the network `name` that has no train section."""
    return [
        Diagnostic("E115", f"{name} has no train section to set `{path}` in", value.span, help=_ADD_SECTION)
        for path, value in settings.items()
        if path.startswith("train.")
    ]


def require_recipe(recipe: Recipe | None, name: str) -> Recipe:
    """The recipe of the network `name`. Raises CnncError E509 where it has no train section."""
    if recipe is None:
        raise CnncError.of("E509", f"{name} has no train section", help=_ADD_SECTION)
    return recipe
