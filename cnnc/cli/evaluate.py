"""`cnnc eval`: the score of an exported model on its data set, on onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cnnc.cli.console import say, tell
from cnnc.cli.predict import PROVIDER, ProviderChoice
from cnnc.cli.train import DATA
from cnnc.diagnostics import CnncError


def evaluate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="An exported model (.onnx).")],
    data: DATA = None,
    name: Annotated[str | None, typer.Option("--on", metavar="NAME", help="Another data set than its own.")] = None,
    provider: PROVIDER = ProviderChoice.auto,
    json: Annotated[bool, typer.Option("--json", help="The score as one JSON object.")] = False,
) -> None:
    """Score an exported model on the test set of its data."""
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
