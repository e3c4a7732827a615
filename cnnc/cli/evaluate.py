"""`cnnc eval`: the score of an exported model on its data set, on onnxruntime; or of a run, with NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cnnc.cli.console import say, tell
from cnnc.cli.predict import PROVIDER, ProviderChoice
from cnnc.cli.train import DATA
from cnnc.diagnostics import CnncError


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
    else:
        _model(model, data, name, provider, json)


def _model(model: Path, data: Path | None, name: str | None, provider: ProviderChoice, json: bool) -> None:
    from cnnc.data import load
    from cnnc.export.runtime import open_model
    from cnnc.export.score import score

    session = open_model(model, provider.value)
    wanted = name or session.facts().get("data")
    if not isinstance(wanted, str):
        raise CnncError.of("E609", f"{model} names no data set", help="say which: --on mnist")
    dataset = load(wanted, data, tell)
    tell(f"running on {session.provider}")
    found = score(session, dataset.test)
    if json:
        from json import dumps

        result = {"right": found.right, "total": found.total, "accuracy": found.accuracy}
        say(dumps({"model": str(model), "data": wanted, "provider": session.provider, **result}))
        return
    say(f"{wanted}: test accuracy {found.accuracy:.2%} ({found.right:,} of {found.total:,}) on {session.provider}")


def _run(run: Path, data: Path | None, json: bool) -> None:
    from cnnc.recipe import require
    from cnnc.reference.parallel import one_blas_thread
    from cnnc.training import checkpoint as checkpoints
    from cnnc.training.loop import open_data
    from cnnc.training.objective import Objective, confusion

    saved = checkpoints.load(checkpoints.find(run, "best"))
    network = saved.network()
    recipe = require(network.recipe, network.name)
    dataset = open_data(network, data, tell)
    objective = Objective(network.require_graph(), recipe, dataset)
    with one_blas_thread():
        score = objective.evaluate(saved.weights, dataset.test)
        matrix = confusion(objective, saved.weights, dataset.test) if objective.answers else []
    if json:
        _run_json(run, recipe.data.name, score, matrix, dataset.classes)
        return
    of = f" ({score.right:,} of {score.total:,})" if objective.answers else ""
    say(f"{recipe.data.name}: test {score}{of}, loss {score.loss:.4f}")
    if matrix:
        from cnnc.report.confusion import confusion_text

        say()
        say(confusion_text(matrix, _names(matrix, dataset.classes)))


def _names(matrix: list[list[int]], classes: tuple[str, ...]) -> list[str]:
    return list(classes) if len(classes) == len(matrix) else [str(i) for i in range(len(matrix))]


def _run_json(run: Path, name: str, score: Any, matrix: list[list[int]], classes: tuple[str, ...]) -> None:
    from json import dumps

    from cnnc.report.confusion import class_scores

    found = {"run": str(run), "data": name, "right": score.right, "total": score.total, "loss": score.loss}
    found[score.metric] = score.result
    if matrix:
        names = _names(matrix, classes)
        found["confusion"] = matrix
        found["classes"] = [s._asdict() for s in class_scores(matrix, names)]
    say(dumps(found))
