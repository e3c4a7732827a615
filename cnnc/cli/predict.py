"""`cnnc predict`: what an exported model sees in pictures."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from cnnc.cli.console import say, show, tell
from cnnc.diagnostics import CnncError, Exit


class ProviderChoice(StrEnum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


PROVIDER = Annotated[ProviderChoice, typer.Option("--provider", help="Where onnxruntime runs it.")]


def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="An exported model (.onnx).")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="PNG, JPEG or .npy files.")],
    provider: PROVIDER = ProviderChoice.auto,
    count: Annotated[int, typer.Option("--top", min=1, help="How many classes to name.")] = 3,
    json: Annotated[bool, typer.Option("--json", help="One JSON list, an object an example.")] = False,
) -> None:
    """Classify pictures with an exported model on onnxruntime."""
    from cnnc.data.pictures import read_examples
    from cnnc.export.runtime import open_model
    from cnnc.export.score import input_shape, top

    session = open_model(model, provider.value)
    shape = input_shape(session)
    named = session.facts().get("classes")
    classes = [str(name) for name in named] if isinstance(named, list) else []
    tell(f"running on {session.provider}")
    results: list[dict[str, Any]] = []
    status = Exit.OK
    for path in images:
        try:
            examples, note = read_examples(path, shape)
            if note:
                tell(note)
            found = top(session, examples, classes, count)
        except CnncError as error:  # one bad picture does not keep the others waiting
            show(error.diagnostics)
            status = max(status, error.status)
            continue
        for index, guesses in enumerate(found):
            name = str(path) if len(found) == 1 else f"{path}[{index}]"
            results.append({"file": name, "top": [{"class": g.name, "probability": g.probability} for g in guesses]})
            if not json:
                say(f"{name}: {'  '.join(f'{g.name} {g.probability:.1%}' for g in guesses)}")
    if json:
        from json import dumps

        say(dumps(results, indent=2, ensure_ascii=False))
    raise typer.Exit(status)
