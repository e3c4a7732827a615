"""`cnnc import`: translates an ONNX model into a network file and a checkpoint of its weights."""

from __future__ import annotations

from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnc.cli.console import print_diagnostics, print_json, print_result, print_status
from cnnc.cli.options import MAX_MEMORY, MAX_PARAMETERS, json_option, parse_sizes, sizes_option
from cnnc.cli.outputs import FORCE, Output, require_outputs
from cnnc.diagnostics import CnncError, one_line

if TYPE_CHECKING:
    from cnnc.onnx.importer.importer import ImportedNetwork
    from cnnc.onnx.importer.verify import Agreement


def import_(
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="An ONNX model, from cnnc or any other tool.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="NET.cnn",
            help="Network file to write (default: MODEL.cnn); the weights go next to it.",
        ),
    ] = None,
    at: Annotated[list[str] | None, sizes_option("Fix open sizes of the model")] = None,
    flat: Annotated[bool, typer.Option("--flat", help="Write one layer per line, without repeats and blocks.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Compare the network with the model on onnxruntime.")
    ] = True,
    force: FORCE = False,
    json: Annotated[
        bool, json_option("a JSON object with totals, names and the nodes that cannot be imported")
    ] = False,
    max_memory: MAX_MEMORY = None,
    max_params: MAX_PARAMETERS = None,
) -> None:
    """Translate an ONNX model into a network file (.cnn) and its weights (.safetensors)."""
    from cnnc.api.importing import read
    from cnnc.onnx.importer.importer import save
    from cnnc.onnx.importer.recognize.layers import NotImported

    file = out or Path(f"{model.stem or 'model'}.cnn")
    if file.suffix != ".cnn":
        example = file / f"{model.stem}.cnn" if file.is_dir() else file.with_suffix(".cnn")
        raise CnncError.of("E010", f"--out takes a network file such as {example}, not {file}")
    if out is None and file.exists() and file != model and not force:
        help = f"`-o OTHER.cnn` writes another file; --force replaces {file}"
        raise CnncError.of("E902", f"{file} already exists", help=help)
    if model.suffix != ".cnn":  # else the argument is not a model, and the error of `import_model` explains it
        _require_outputs(model, file, force)
    try:
        imported, agreement = read(model, file, parse_sizes(at), flat, verify)
    except NotImported as error:
        if json:
            print_json({"model": str(model), "refused": [c._asdict() for c in error.causes]})
        raise
    _require_outputs(model, file, force)
    weights = save(imported, file)
    print_diagnostics(imported.network.diagnostics)
    if json:
        print_json(_as_dict(imported, agreement, model, file, weights))
    else:
        _report(imported, agreement, file, weights)


def _require_outputs(model: Path, file: Path, force: bool) -> None:
    """Raises CnncError E902 if the network file or the checkpoint next to it may not be written."""
    weights = file.with_suffix(".safetensors")
    require_outputs([model], [Output(file, "-o", "network"), Output(weights, "-o", "weights")], force)
    if weights.exists() and not file.exists() and not force:
        help = "name another file with -o, or replace it with --force"
        raise CnncError.of("E902", f"cannot write {weights}: it exists, and {file} does not", help=help)


def _as_dict(
    imported: ImportedNetwork, agreement: Agreement | None, model: Path, file: Path, weights: Path
) -> dict[str, Any]:
    graph = imported.network.require_graph()
    return {
        "model": str(model),
        "text": str(file),
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
        "channels_last": sorted(imported.channels_last),
        "limits": imported.limits,
        "names": dict(imported.names),
        "verified": agreement._asdict() if agreement is not None else None,
        "refused": [],
    }


def _report_layout(imported: ImportedNetwork, agreement: Agreement | None) -> None:
    """Prints which inputs and outputs were channels last and are now channels first."""
    graph = imported.network.require_graph()
    pairs = [*imported.inputs.items(), *zip(imported.model.outputs, imported.outputs, strict=True)]
    names = {old: new for old, new in pairs if old in imported.channels_last}
    if not names:
        return
    shapes = ", ".join(f"{new} {graph.by_name[new].type}" for new in names.values())
    compared = agreement is not None and agreement.compared
    print_result(
        f"channels last (NHWC) in the model, channels first in the network: {shapes}"
        + ("; the comparison fed the model transposed arrays" if compared else "")
    )


def _report(imported: ImportedNetwork, agreement: Agreement | None, file: Path, weights: Path) -> None:
    """Prints what was read, the totals of the network, names that changed, and the files written."""
    network, graph = imported.network, imported.network.require_graph()
    structures = [f"{imported.blocks} block{'s' if imported.blocks > 1 else ''}"] if imported.blocks else []
    structures += [f"{imported.repeats} repeat{'s' if imported.repeats > 1 else ''}"] if imported.repeats else []
    with_structures = f", with {' and '.join(structures)}" if structures else ""
    macs = f", {graph.total_macs:,} MACs" if network.survey is None else ""
    buffers = f" and {graph.total_buffers:,} buffers" if graph.total_buffers else ""
    print_result(f"read {len(imported.model.nodes):,} nodes of opset {imported.model.opset}")
    print_result(
        f"{network.name}: {len(graph.nodes):,} layers{with_structures}; {graph.total_parameters:,} parameters{buffers}{macs}"
    )
    for old_name, name in [*imported.inputs.items(), *zip(imported.model.outputs, imported.outputs, strict=True)]:
        if old_name != name:
            print_result(one_line(f"{old_name} is renamed to {name}"))
    _report_layout(imported, agreement)
    if imported.limits:
        print_status(one_line(f"not all sizes of the model: {imported.limits}"))
    if agreement is not None and agreement.compared and not agreement.difference:
        print_result("verified: outputs equal the model's")
    elif agreement is not None and agreement.compared:
        print_result(
            f"verified: outputs differ from the model's by at most {agreement.share:.1%} of what is allowed "
            f"({one_line(agreement.output)}: {agreement.difference:.1e} of {agreement.allowed:.1e})"
        )
    elif agreement is not None:
        print_status(one_line(f"not verified: {agreement.reason}"))
    print_result(f"wrote {file} and {weights}; next: {join(['cnnc', 'export', str(weights)])}")
