"""Statement × table: no statement of the train section is half there. Each hole is printed with what fills it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cnnc.data.catalog import KNOWN, READ_FROM_FILES
from cnnc.language.synonyms import is_train_statement
from cnnc.network import check
from cnnc.onnx.train_step.losses import LOSSES as STEP_LOSSES
from cnnc.onnx.train_step.metrics import METRICS as STEP_METRICS
from cnnc.onnx.train_step.metrics import OUTPUTS as STEP_OUTPUTS
from cnnc.onnx.train_step.optimizers import UPDATES as STEP_UPDATES
from cnnc.ops import OPS
from cnnc.recipe.augmentation import Augment
from cnnc.recipe.declaration import TRAIN_STATEMENTS, TrainStatement, kinds_of
from cnnc.recipe.losses import Loss
from cnnc.recipe.metrics import Metric, metric_named
from cnnc.recipe.optimizers import Optimizer
from cnnc.recipe.recipe import Recipe
from cnnc.recipe.schedules import Schedule
from cnnc.recipe.statements import Data
from cnnc.report.reference import first_line
from cnnc.training.augment import AUGMENTATIONS
from cnnc.training.losses import LOSSES
from cnnc.training.metrics import COUNTERS
from cnnc.training.objective import OUTPUTS, SCORES
from cnnc.training.optimizers import UPDATES
from tests.paths import PACKAGE
from tests.syntax_trees import registered_names
from tests.training import statement_cases as cases

CASES = "tests/training/statement_cases.py"
TABLES: tuple[dict[Any, Any], ...] = (UPDATES, LOSSES, COUNTERS, STEP_UPDATES, STEP_LOSSES, STEP_METRICS)
TORCH_UPDATES = {n for d in ("optimizer_of", "update_of") for n in registered_names(PACKAGE / "torch/optimizers.py", d)}
TORCH_LOSSES = registered_names(PACKAGE / "torch" / "losses.py", "loss_of")
STATEMENTS = [cls for kinds in TRAIN_STATEMENTS.values() for cls in kinds.values()]


def name_of(cls: type[TrainStatement]) -> str:
    return f"{cls.keyword} {cls.kind}".strip()


def optimizer_holes() -> Iterator[str]:
    for name, cls in kinds_of(Optimizer).items():
        if cls not in UPDATES:
            yield f"optimizer {name} has no update rule: @update_of({cls.__name__}) in cnnc/training/optimizers.py"
        if cls not in STEP_UPDATES:
            yield f"optimizer {name} has no ONNX update: @update_of({cls.__name__}) in cnnc/onnx/train_step/optimizers.py"
        if cls.__name__ not in TORCH_UPDATES:
            yield f"optimizer {name} is not on PyTorch: @update_of({cls.__name__}) in cnnc/torch/optimizers.py"
        if cls.slots is Optimizer.slots:
            yield f"optimizer {name} does not say its slots: the property `slots` in cnnc/recipe/optimizers.py"
        if cls not in cases.FORMULAS or not any(type(op) is cls for op in cases.OPTIMIZERS):
            yield f"optimizer {name} has no formula to be tested against: @formula_of({cls.__name__}, ...) in {CASES}"


def loss_holes() -> Iterator[str]:
    for name, cls in kinds_of(Loss).items():
        if cls not in LOSSES:
            yield f"loss {name} has no function: @loss_of({cls.__name__}) in cnnc/training/losses.py"
        if cls not in STEP_LOSSES:
            yield f"loss {name} has no ONNX nodes: @loss_of({cls.__name__}) in cnnc/onnx/train_step/losses.py"
        if cls.__name__ not in TORCH_LOSSES:
            yield f"loss {name} is not on PyTorch: @loss_of({cls.__name__}) in cnnc/torch/losses.py"
        if not any(type(loss) is cls for loss in cases.LOSSES):
            yield f"loss {name} has no gradient check: add {cls.__name__}.make(...) to LOSSES in {CASES}"
        for layer in cls.included_layers:
            if layer not in OPS or layer not in SCORES or (cls.compares_with == "values" and layer not in OUTPUTS):
                yield f"loss {name} includes {layer}: add it to SCORES and OUTPUTS in cnnc/training/objective.py"
            if cls.compares_with == "values" and layer not in STEP_OUTPUTS:
                yield f"loss {name} includes {layer}: add it to OUTPUTS in cnnc/onnx/train_step/metrics.py"


def schedule_holes() -> Iterator[str]:
    for name, cls in kinds_of(Schedule).items():
        if cls.factor is Schedule.factor:
            yield f"schedule {name} has no factor: the method `factor` in cnnc/recipe/schedules.py"
        if not any(type(case.schedule) is cls for case in cases.SCHEDULES):
            yield f"schedule {name} has no table of factors: add a ScheduleCase to SCHEDULES in {CASES}"


def metric_holes() -> Iterator[str]:
    for name, cls in kinds_of(Metric).items():
        if cls not in COUNTERS:
            yield f"metric {name} has no counter: @counter_of({cls.__name__}) in cnnc/training/metrics.py"
        if cls not in STEP_METRICS:
            yield f"metric {name} has no ONNX sums: @metric_of({cls.__name__}) in cnnc/onnx/train_step/metrics.py"
        if not any(case.metric is cls for case in cases.METRICS):
            yield f"metric {name} has no expected value: add a MetricCase to METRICS in {CASES}"


def augmentation_holes() -> Iterator[str]:
    names = [spec.name for spec in Augment.arguments]
    for name in names:
        if name not in AUGMENTATIONS:
            yield f'augment {name} has no function: @step_of("{name}") in cnnc/training/augment.py'
        if name not in cases.AUGMENTATIONS:
            yield f"augment {name} is not tested: add a value to AUGMENTATIONS in {CASES}"
    for name in sorted(set(AUGMENTATIONS) - set(names)):
        yield f"cnnc/training/augment.py has a function {name}: declare the argument in cnnc/recipe/augmentation.py"


def declaration_holes() -> Iterator[str]:
    for cls in STATEMENTS:
        if not first_line(cls).endswith(".") or cls.__doc__ == cls.__mro__[1].__doc__:
            yield f"{name_of(cls)} has no help: a docstring whose first line is one sentence"
        if not hasattr(cls, "example"):
            yield f"{name_of(cls)} has no example: the attribute `example`"
        if (cls.field or cls.keyword) not in Recipe.fields:
            yield f"{name_of(cls)} fills no field of Recipe (cnnc/recipe/recipe.py)"


def name_holes() -> Iterator[str]:
    """Names that are listed elsewhere too."""
    for keyword in TRAIN_STATEMENTS:
        if keyword not in OPS and not is_train_statement(keyword):
            yield f"{keyword} outside a train section is not explained: add it to _TRAIN in cnnc/language/synonyms.py"
    for name in (*KNOWN, *READ_FROM_FILES):
        if name not in (Data.__doc__ or ""):
            yield f"data set {name} is not in the help: name it in the docstring of Data in cnnc/recipe/statements.py"


def test_every_statement_is_in_every_table() -> None:
    holes = [
        *declaration_holes(),
        *name_holes(),
        *optimizer_holes(),
        *loss_holes(),
        *schedule_holes(),
        *metric_holes(),
        *augmentation_holes(),
    ]
    assert holes == [], "\n" + "\n".join(holes)


def test_every_statement_has_a_class() -> None:
    assert [keyword for keyword, kinds in TRAIN_STATEMENTS.items() if not kinds] == []


def test_tables_hold_no_statement_that_is_not_in_the_language() -> None:
    """Else a rule that is registered for a class without @register would never run."""
    registered = {cls.__name__ for table in TABLES for cls in table}
    assert sorted(registered - {cls.__name__ for cls in STATEMENTS}) == []


def program(cls: type[TrainStatement]) -> str:
    """A network with the example of a statement in its train section, and what the example needs."""
    on_values = issubclass(cls, Loss | Metric) and cls.compares_with == "values"
    statements = [cls.example]
    if cls.keyword != "data":
        needs_numbers = on_values and issubclass(cls, Loss) and "target=input" not in cls.example
        statements.append('data npz "pairs.npz"' if needs_numbers else "data digits")
    if cls.keyword != "loss":
        statements.append("loss mse target=input" if on_values else "loss cross_entropy")
    return f"input 1x8x8\n{'conv 1 k=1' if on_values else 'fc 10'}\ntrain {{ {'; '.join(statements)} }}\n"


@pytest.mark.parametrize("cls", STATEMENTS, ids=name_of)
def test_the_example_of_a_statement_is_one_of_it(cls: type[TrainStatement]) -> None:
    assert cls.example.startswith(name_of(cls))
    network = check(program(cls))
    assert network.diagnostics == ()
    assert network.recipe is not None
    assert cls.keyword in network.recipe.spans
    if cls.kind:
        filled = getattr(network.recipe, cls.field or cls.keyword)
        statement = filled[-1] if cls.repeatable else filled
        assert isinstance(statement, cls) or metric_named(statement) is cls
