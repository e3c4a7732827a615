"""`cnnc import`: an ONNX model becomes a text of the language, and a checkpoint of its weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnc.cli.check import AT, sizes_at
from cnnc.cli.console import say, show, tell
from cnnc.diagnostics import CnncError

if TYPE_CHECKING:
    from cnnc.onnx.importer.importer import ImportedNetwork
    from cnnc.onnx.importer.verify import Agreement


def import_(
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="An ONNX model, of cnnc or of anybody.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="NET.cnn", help="The text (MODEL.cnn); weights beside it.")
    ] = None,
    at: AT = None,
    flat: Annotated[bool, typer.Option("--flat", help="A layer a line: no repeats, no blocks.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Compare the network with the model on onnxruntime.")
    ] = True,
    json: Annotated[bool, typer.Option("--json", help="Totals, names and refused nodes as one JSON object.")] = False,
) -> None:
    """Turn an ONNX model into a network (.cnn) and its weights (.safetensors), for `cnnc export`, `check` and you."""
    from cnnc.onnx.importer.importer import import_model, save
    from cnnc.onnx.importer.recognize.layers import NotImported
    from cnnc.onnx.importer.verify import verify_import

    text = out or Path(model.with_suffix(".cnn").name)
    if text.suffix != ".cnn":
        raise CnncError.of("E010", f"--out names a network's text, {text.with_suffix('.cnn')}, not {text}")
    if out is None and text.exists() and text != model:
        raise CnncError.of(
            "E902", f"{text} exists already", help="name another text with -o, or the same to replace it"
        )
    try:
        imported = import_model(model, text, at=sizes_at(at or []), flat=flat)
        agreement = verify_import(imported, model) if verify else None
    except NotImported as error:
        if json:
            _say({"model": str(model), "refused": [c._asdict() for c in error.causes]})
        raise
    weights = save(imported, text)
    show(imported.network.diagnostics)
    if json:
        _say(_as_dict(imported, agreement, model, text, weights))
    else:
        _report(imported, agreement, text, weights)


def _say(found: dict[str, Any]) -> None:
    from json import dumps

    say(dumps(found, indent=2, ensure_ascii=False))


def _as_dict(
    imported: ImportedNetwork, agreement: Agreement | None, model: Path, text: Path, weights: Path
) -> dict[str, Any]:
    graph = imported.network.require_graph()
    return {
        "model": str(model),
        "text": str(text),
        "weights": str(weights),
        "opset": imported.model.opset,
        "producer": imported.model.producer,
        "nodes": len(imported.model.nodes),
        "layers": len(graph.nodes),
        "params": graph.total_parameters,
        "buffers": graph.total_buffers,
        "macs": graph.total_macs if imported.network.survey is None else None,
        "repeats": imported.repeats,
        "blocks": imported.blocks,
        "inputs": dict(imported.inputs),
        "outputs": dict(zip(imported.model.outputs, imported.outputs, strict=True)),
        "names": dict(imported.names),
        "verified": agreement._asdict() if agreement is not None else None,
        "refused": [],
    }


def _report(imported: ImportedNetwork, agreement: Agreement | None, text: Path, weights: Path) -> None:
    network, graph = imported.network, imported.network.require_graph()
    found = [f"{imported.blocks} block{'s' if imported.blocks > 1 else ''}"] if imported.blocks else []
    found += [f"{imported.repeats} repeat{'s' if imported.repeats > 1 else ''}"] if imported.repeats else []
    gathered = f", with {' and '.join(found)}" if found else ""
    macs = f", {graph.total_macs:,} MACs" if network.survey is None else ""
    buffers = f" and {graph.total_buffers:,} buffers" if graph.total_buffers else ""
    say(f"read {len(imported.model.nodes):,} nodes of opset {imported.model.opset}")
    say(f"{network.name}: {len(graph.nodes):,} layers{gathered}; {graph.total_parameters:,} parameters{buffers}{macs}")
    for was, name in [*imported.inputs.items(), *zip(imported.model.outputs, imported.outputs, strict=True)]:
        if was != name:
            say(f"{was} is called {name}")
    if agreement is not None and agreement.compared:
        say(f"verified: the outputs differ by at most {agreement.relative:.1e} of their scale from the model's")
    elif agreement is not None:
        tell(f"not verified: {agreement.reason}")
    say(f"wrote {text} and {weights}; next: cnnc export {weights}")
