"""`cnnc eval`: scores an exported model on onnxruntime, or a run with NumPy, on the test set of its data."""

from __future__ import annotations

from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnc.cli.console import layout, print_json, print_result, print_status
from cnnc.cli.options import DATA, MAX_MEMORY, MAX_PARAMETERS, OFFLINE, PROVIDER, ProviderChoice, json_option
from cnnc.core.intervals import wilson
from cnnc.diagnostics import CnncError
from cnnc.recipe.metrics import decimals, finite

if TYPE_CHECKING:
    from cnnc.api.evaluation import Evaluation


def evaluate(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL|RUN", help="An exported model (.onnx), a run folder or a checkpoint.")
    ],
    data: DATA = None,
    offline: OFFLINE = False,
    name: Annotated[
        str | None, typer.Option("--on", metavar="NAME", help="Score a classifier on this data set instead of its own.")
    ] = None,
    provider: PROVIDER = ProviderChoice.auto,
    json: Annotated[bool, json_option("the score as a JSON object")] = False,
    max_memory: MAX_MEMORY = None,
    max_params: MAX_PARAMETERS = None,
) -> None:
    """Score a model or a run on the test set of its data, with each class; for a run, also print the confusion matrix."""
    if model.suffix == ".cnn" and model.is_file():
        help = f"`{join(['cnnc', 'train', str(model)])}` trains it and prints the score on the test set"
        raise CnncError.of("E604", f"{model} is a source file, not a model or a run", help=help)
    from cnnc.api.evaluation import evaluate as score
    from cnnc.api.evaluation import is_onnx

    if name is not None and not is_onnx(model):
        raise CnncError.of("E010", "--on applies to models; a run is scored on the data that its network names")
    evaluation = score(model, data, on=name, provider=provider.value, progress=print_status)
    if json:
        print_json(finite(_as_dict(evaluation, model, on=name)), indent=None)
        return
    loss = f", loss {decimals(evaluation.score.loss)}"
    _print(evaluation, f" on {evaluation.provider}" if evaluation.provider else loss)
    if evaluation.confusion and not evaluation.provider:
        from cnnc.report.confusion import confusion_text

        print_result()
        print_result(confusion_text(evaluation.confusion, evaluation.class_names, layout()))


def _print(evaluation: Evaluation, ending: str) -> None:
    """The score with its interval, a line about the classes, and what stands out."""
    from cnnc.report.closing import classes_text, next_steps

    closing = evaluation.closing
    print_result(f"{evaluation.data}: test {evaluation.summary}{ending}")
    if closing is None:
        return
    if closing.confusion:
        print_result(classes_text(closing.classes, closing.confusion))
    for each in next_steps(closing):
        print_status(f"next: {each}")


def _as_dict(evaluation: Evaluation, model: Path, on: str | None) -> dict[str, Any]:
    """The score for JSON."""
    if not evaluation.provider:
        return {"run": str(model), **evaluation.as_dict()}
    names = {"model": str(model), "provider": evaluation.provider}
    if on is None:
        return {**names, **evaluation.as_dict()}
    score = evaluation.score
    interval = list(wilson(score.right, score.total))
    counts = {"right": score.right, "total": score.total, "accuracy": score.accuracy, "accuracy_interval": interval}
    return {"model": str(model), "data": on, "provider": evaluation.provider, **counts}
