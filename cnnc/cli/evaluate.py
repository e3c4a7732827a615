"""`cnnc eval`: the score of an exported model on its data set, on onnxruntime; or of a run, with NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnc.cli.console import say, tell
from cnnc.cli.predict import PROVIDER, ProviderChoice
from cnnc.cli.train import DATA
from cnnc.diagnostics import CnncError

if TYPE_CHECKING:
    from cnnc.api import Evaluation
    from cnnc.onnx.run.session import Session


def evaluate(
    model: Annotated[Path, typer.Argument(metavar="MODEL|RUN", help="An exported model (.onnx), or a run folder.")],
    data: DATA = None,
    name: Annotated[str | None, typer.Option("--on", metavar="NAME", help="Another data set than its own.")] = None,
    provider: PROVIDER = ProviderChoice.auto,
    json: Annotated[bool, typer.Option("--json", help="The score as one JSON object.")] = False,
) -> None:
    """Score a model or a run on the test set of its data; a run shows its confusion matrix as well."""
    if model.is_dir() or model.suffix == ".safetensors":
        if name is not None:
            raise CnncError.of("E010", "--on is for models; a run is scored on the data it was trained for")
        _run(model, data, json)
        return
    from cnnc.onnx.run.session import open_model

    session = open_model(model, provider.value)
    tell(f"running on {session.provider}")
    if name is None:
        _model(session, data, json)
    else:
        _classify(session, data, name, json)


def _run(run: Path, data: Path | None, json: bool) -> None:
    from cnnc.api import evaluate_run
    from cnnc.recipe.metrics import decimals

    found = evaluate_run(run, data, tell)
    if json:
        _say_json({"run": str(run), **_as_dict(found)})
        return
    say(f"{found.data}: test {found.score}{_of(found)}, loss {decimals(found.score.loss)}")
    if found.confusion:
        from cnnc.report.confusion import confusion_text

        say()
        say(confusion_text(found.confusion, _names(found)))


def _model(session: Session, data: Path | None, json: bool) -> None:
    from cnnc.api import evaluate_model

    found = evaluate_model(session, data, tell)
    if json:
        _say_json({"model": session.name, "provider": session.provider, **_as_dict(found)})
        return
    say(f"{found.data}: test {found.score}{_of(found)} on {session.provider}")


def _classify(session: Session, data: Path | None, name: str, json: bool) -> None:
    """The accuracy on a data set that has a name; all that is needed of the model are scores of classes."""
    from cnnc.data import load
    from cnnc.onnx.run.batched_run import score

    found = score(session, load(name, data, tell).test)
    if json:
        result = {"right": found.right, "total": found.total, "accuracy": found.accuracy}
        _say_json({"model": session.name, "data": name, "provider": session.provider, **result})
        return
    say(f"{name}: test accuracy {found.accuracy:.2%} ({found.right:,} of {found.total:,}) on {session.provider}")


def _of(found: Evaluation) -> str:
    """What the first metric was counted from, and the other metrics."""
    from cnnc.recipe.metrics import format_metric

    of = f" ({found.score.right:,} of {found.score.total:,})" if found.confusion else ""
    return of + "".join(f", {metric} {format_metric(metric, value)}" for metric, value in found.score.others)


def _names(found: Evaluation) -> list[str]:
    same = len(found.classes) == len(found.confusion)
    return list(found.classes) if same else [str(i) for i in range(len(found.confusion))]


def _as_dict(found: Evaluation) -> dict[str, Any]:
    result: dict[str, Any] = {"data": found.data, **found.score.as_dict()}
    if found.confusion:
        from cnnc.report.confusion import class_scores

        result["confusion"] = found.confusion
        result["classes"] = [s._asdict() for s in class_scores(found.confusion, _names(found))]
    return result


def _say_json(result: dict[str, Any]) -> None:
    from json import dumps

    from cnnc.recipe.metrics import finite

    say(dumps(finite(result), ensure_ascii=False))
