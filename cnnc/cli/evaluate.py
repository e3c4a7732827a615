"""`cnnc eval`: scores an exported model on onnxruntime, or a run with NumPy, on the test set of its data."""

from __future__ import annotations

from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnc.cli.console import layout, print_json, print_result, print_status
from cnnc.cli.options import DATA, PROVIDER, ProviderChoice, json_option
from cnnc.diagnostics import CnncError

if TYPE_CHECKING:
    from cnnc.api import Evaluation
    from cnnc.onnx.run.session import Session


def evaluate(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL|RUN", help="An exported model (.onnx), a run folder or a checkpoint.")
    ],
    data: DATA = None,
    name: Annotated[
        str | None, typer.Option("--on", metavar="NAME", help="Score a classifier on this data set instead of its own.")
    ] = None,
    provider: PROVIDER = ProviderChoice.auto,
    json: Annotated[bool, json_option("the score as a JSON object")] = False,
) -> None:
    """Score a model or a run on the test set of its data, with each class; for a run, also print the confusion matrix."""
    if model.is_dir() or model.suffix == ".safetensors":
        if name is not None:
            raise CnncError.of("E010", "--on applies to models; a run is scored on the data that its network names")
        _score_run(model, data, json)
        return
    if model.suffix == ".cnn" and model.is_file():
        help = f"`{join(['cnnc', 'train', str(model)])}` trains it and prints the score on the test set"
        raise CnncError.of("E604", f"{model} is a source file, not a model or a run", help=help)
    from cnnc.onnx.run.session import open_model

    session = open_model(model, provider.value)
    print_status(f"running on {session.provider}")
    if name is None:
        _score_model(session, data, json)
    else:
        _score_on(session, data, name, json)


def _score_run(run: Path, data: Path | None, json: bool) -> None:
    from cnnc.api import evaluate_run
    from cnnc.recipe.metrics import decimals

    evaluation = evaluate_run(run, data, print_status)
    if json:
        _print_score({"run": str(run), **_as_dict(evaluation)})
        return
    _print_result(evaluation, f", loss {decimals(evaluation.score.loss)}")
    if evaluation.confusion:
        from cnnc.report.confusion import confusion_text

        print_result()
        print_result(confusion_text(evaluation.confusion, evaluation.closing.classes, layout()))


def _print_result(evaluation: Evaluation, ending: str) -> None:
    """The score with its interval, a line about the classes, and what stands out."""
    from cnnc.report.closing import classes_text, next_steps, score_text

    closing = evaluation.closing
    print_result(f"{evaluation.data}: {score_text(closing)}{ending}")
    if closing.confusion:
        print_result(classes_text(closing.classes, closing.confusion))
    for each in next_steps(closing):
        print_status(f"note: {each}")


def _score_model(session: Session, data: Path | None, json: bool) -> None:
    from cnnc.api import evaluate_model

    evaluation = evaluate_model(session, data, print_status)
    if json:
        _print_score({"model": session.name, "provider": session.provider, **_as_dict(evaluation)})
        return
    _print_result(evaluation, f" on {session.provider}")


def _score_on(session: Session, data: Path | None, name: str, json: bool) -> None:
    """Prints the accuracy on a named data set. The model needs no metadata; its first output must be class scores."""
    from cnnc.core.intervals import interval_text, wilson
    from cnnc.data import load
    from cnnc.onnx.run.batched_run import count_correct

    counted = count_correct(session, load(name, data, print_status).test)
    interval = wilson(counted.right, counted.total)
    if json:
        result = {
            "right": counted.right,
            "total": counted.total,
            "accuracy": counted.accuracy,
            "accuracy_interval": list(interval),
        }
        _print_score({"model": session.name, "data": name, "provider": session.provider, **result})
        return
    print_result(
        f"{name}: test accuracy {counted.accuracy:.2%} ({counted.right:,} of {counted.total:,}), 95% interval "
        f"{interval_text(interval)} on {session.provider}"
    )


def _as_dict(evaluation: Evaluation) -> dict[str, Any]:
    from cnnc.report.closing import confusion_facts, next_steps

    result: dict[str, Any] = {"data": evaluation.data, **evaluation.score.as_dict()}
    if evaluation.confusion:
        result |= confusion_facts(evaluation.closing)
    return {**result, "next_steps": [each._asdict() for each in next_steps(evaluation.closing)]}


def _print_score(result: dict[str, Any]) -> None:
    """Prints a score as JSON, with null for numbers that are not finite."""
    from cnnc.recipe.metrics import finite

    print_json(finite(result), indent=None)
