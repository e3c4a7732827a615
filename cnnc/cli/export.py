"""`cnnc export`: an ONNX model, written only after it was compared with the network tensor by tensor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cnnc.cli.check import SETTING
from cnnc.cli.console import say, show, tell
from cnnc.diagnostics import CnncError

if TYPE_CHECKING:
    from cnnc.export.export import Exported


def export(
    source: Annotated[
        Path, typer.Argument(metavar="RUN|FILE", help="A run folder, a checkpoint, or a network (.cnn).")
    ],
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="OUT.onnx", help="The model (NAME.onnx).")] = None,
    last: Annotated[bool, typer.Option("--last", help="The last weights of the run instead of the best.")] = False,
    opset: Annotated[int, typer.Option("--opset", help="ONNX opset.")] = 17,
    outputs: Annotated[
        list[str] | None, typer.Option("--outputs", metavar="NAME,NAME", help="Only what these layers need.")
    ] = None,
    card: Annotated[bool, typer.Option("--card", help="Write a model card beside the model (OUT.md).")] = False,
    card_file: Annotated[
        Path | None, typer.Option("--card-file", metavar="PATH", help="Write the model card there.")
    ] = None,
    settings: SETTING = None,
    json: Annotated[bool, typer.Option("--json", help="The proof as one JSON object.")] = False,
) -> None:
    """Export a trained run (or an untrained network) to ONNX, and prove that it computes the same."""
    named = [name.strip() for name in ",".join(outputs or []).split(",") if name.strip()]
    if source.suffix == ".cnn":
        exported = _export_untrained(source, out, settings or [], opset, named)
    else:
        if settings:
            raise CnncError.of("E010", "--set changes a network's FILE; a run keeps what it was trained with")
        exported = export_run(source, out, last=last, opset=opset, outputs=named)
    report(exported, json)
    if card or card_file is not None:
        path = card_file or exported.path.with_suffix(".md")
        _write_card(exported.path, path)
        tell(f"wrote {path}") if json else say(f"wrote {path}")


def _write_card(model: Path, path: Path) -> None:
    """The card of a model, from what the model itself says. Raises CnncError E902."""
    from cnnc.export.info import describe, properties, read_model
    from cnnc.export.metadata import read_facts
    from cnnc.files import write_atomic
    from cnnc.network import check
    from cnnc.report.card import card

    found = describe(model)
    facts = read_facts(properties(read_model(model)))
    network = check(facts.source, facts.file, facts.settings, facts.at, kept=facts.includes)
    outputs = [entry["name"] for entry in found["outputs"]]
    write_atomic(path, card(found, network.part(outputs).summary()).encode())


def export_run(
    run: Path, out: Path | None, *, last: bool = False, opset: int = 17, outputs: Sequence[str] = ()
) -> Exported:
    """Exports the weights of a run, to NAME.onnx where `out` is left out. Raises CnncError."""
    from cnnc.api import export as export_model

    folder = run if run.is_dir() else run.parent
    return export_model(run, out or Path(f"{folder.resolve().name}.onnx"), last=last, outputs=outputs, opset=opset)


def _export_untrained(
    file: Path, out: Path | None, settings: list[str], opset: int, outputs: Sequence[str]
) -> Exported:
    from cnnc.data.catalog import KNOWN
    from cnnc.export.export import export as export_network
    from cnnc.network import load
    from cnnc.reference import initialize

    network = load(file, settings)
    graph = network.require_graph()
    show(network.diagnostics)
    recipe = network.recipe
    seed = recipe.seed if recipe is not None else 0
    tell(f"{network.name} is untrained: its weights are drawn at random (seed {seed})")
    facts = KNOWN.get(recipe.data.name) if recipe is not None else None
    classes = facts.classes if facts is not None else ()
    return export_network(
        network,
        initialize(graph, seed),
        out or Path(f"{file.stem}.onnx"),
        outputs=outputs,
        classes=classes,
        opset=opset,
    )


def report(exported: Exported, json: bool) -> None:
    """Says what was written and how it was proven."""
    worst = exported.proof.worst
    tensors = len({d.name for d in exported.proof.deviations})
    if json:
        from json import dumps

        say(
            dumps(
                {
                    "file": str(exported.path),
                    "bytes": exported.size,
                    "opset": exported.opset,
                    "ir": exported.ir,
                    "tensors": tensors,
                    "worst": {"name": worst.name, "difference": worst.difference, "scale": worst.scale},
                }
            )
        )
        return
    say(f"wrote {exported.path}: {exported.size:,} bytes, opset {exported.opset}, IR {exported.ir}")
    say(
        f"verified: {tensors} tensors compared with the network; "
        f"the largest deviation is {worst.relative:.1e} of the tensor's scale ({worst.name})"
    )
