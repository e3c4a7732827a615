"""What every statement of the train section declares: `TrainStatement`, and the table of all of them.

In: classes whose fields are declared with `arg`. Out: `TRAIN_STATEMENTS`, from which reading, error messages, `cnnc ops` and
the tables of docs/language.md are generated. Loads no NumPy: the rules that need it are in cnnc/training/, in tables keyed
by these classes (`UPDATES`, `LOSSES`, `COUNTERS`, `AUGMENTATIONS`). tests/training/test_train_tables.py prints every
statement that a table lacks.

    @register
    class Sgd(Optimizer):
        kind = "sgd"
        example = "optimizer sgd lr=0.1 momentum=0.9"
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, TypeVar, cast

from cnnc.core.arguments import Declared

TargetKind = Literal["labels", "values"]
"""What an output is compared with: labels of classes, or numbers."""


class TrainStatement(Declared):
    """One statement of the train section; the first line of a class's docstring is its help.

    `keyword` is the word it begins with, `kind` the word after it (`adam`; "" where the statement has no kinds).
    `field` is the field of Recipe that it fills, the keyword where it is "". `example` is a line as one would write it.
    """

    keyword: ClassVar[str]
    kind: ClassVar[str] = ""
    field: ClassVar[str] = ""
    repeatable: ClassVar[bool] = False
    example: ClassVar[str]

    @property
    def recipe_value(self) -> Any:
        """What the Recipe holds for this statement."""
        return self


S = TypeVar("S", bound=TrainStatement)

_ORDER = ("data", "augment", "loss", "optimizer", "schedule", "batch", "epochs", "seed", "clip", "stop", "metric")

TRAIN_STATEMENTS: dict[str, dict[str, type[TrainStatement]]] = {keyword: {} for keyword in _ORDER}
"""The class of each statement by keyword and kind, in the order in which help lists them."""


def register(cls: type[S]) -> type[S]:
    """Class decorator: adds a statement to `TRAIN_STATEMENTS` under its keyword and kind."""
    TRAIN_STATEMENTS.setdefault(cls.keyword, {})[cls.kind] = cls
    return cls


def kinds_of(base: type[S]) -> dict[str, type[S]]:
    """The kinds of a statement by name, e.g. of `Optimizer`: sgd, adam, ..."""
    return cast("dict[str, type[S]]", TRAIN_STATEMENTS[base.keyword])
