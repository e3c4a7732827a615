"""`cnnc export --training`: writes the training step after comparing it with the NumPy trainer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnc.cli.console import layout, print_diagnostics, print_json, print_result, print_status
from cnnc.cli.outputs import Output, require_outputs
from cnnc.diagnostics import CnncError
from cnnc.report.deviations import deviation_dict, deviation_table, largest

if TYPE_CHECKING:
    from cnnc.network import Network
    from cnnc.onnx.train_step.export import ExportedStep
    from cnnc.training.checkpoint import Checkpoint


def export_training(
    source: Path,
    out: Path,
    *,
    last: bool,
    opset: int,
    settings: Sequence[str],
    at: Mapping[str, int],
    force: bool,
    json: bool,
    show_arrays: bool,
) -> None:
    """Writes the training step of a run, a checkpoint or a network file, and prints what was written and compared."""
    from cnnc.onnx.train_step.export import StepFiles, export_step

    files = StepFiles.beside(out)
    if Path("/dev") in out.absolute().parents:  # the other two files would be written there
        raise CnncError.of("E010", "--training writes three files", help="name the first with -o: `-o step.onnx`")
    outputs = [Output(files.step, "-o", "onnx"), Output(files.inference, "-o", "onnx")]
    require_outputs([source], [*outputs, Output(files.weights, "-o", "weights")], force)
    network, saved, trained, state = read_start(source, last, settings, at)
    _report(export_step(network, saved, out, opset, trained), state, json, show_arrays)


def read_start(
    source: Path, last: bool, settings: Sequence[str], at: Mapping[str, int]
) -> tuple[Network, Checkpoint, dict[str, Any] | None, str]:
    """The network, a checkpoint of the weights to begin with, the summary of its training, and what they are, in words."""
    from cnnc.api.exporting import training_summary
    from cnnc.cli.usage import with_published_network
    from cnnc.data.catalog import KNOWN
    from cnnc.network import load
    from cnnc.onnx.train_step.export import initial_checkpoint
    from cnnc.reference.initializers import initialize
    from cnnc.training import checkpoint as checkpoints

    if source.suffix != ".cnn":
        if settings:
            raise CnncError.of("E010", "--set applies to a network FILE; a run keeps the settings it was trained with")
        path = checkpoints.find(source, "last" if last else "best")
        saved = checkpoints.load(path)
        return saved.network(at), saved, training_summary(saved, path.parent), f"the weights of {path}"
    try:
        network = load(source, settings, at)
    except CnncError as error:
        raise with_published_network(error, source) from None
    graph, recipe = network.require_graph(), network.recipe
    print_diagnostics(network.diagnostics)
    seed = recipe.seed if recipe is not None else 0
    facts = KNOWN.get(recipe.data.name) if recipe is not None else None
    classes = facts.classes if facts is not None else ()
    state = f"initial weights (seed {seed})" if graph.starts_at_random else "the weights that the source gives"
    return network, initial_checkpoint(network, initialize(graph, seed), classes), None, state


def _report(exported: ExportedStep, state: str, json: bool, show_arrays: bool) -> None:
    if json:
        print_json(_as_dict(exported), indent=None)
        return
    step, inference, weights = (
        f"wrote {path}: {size:,} bytes" for path, size in zip(exported.files, exported.sizes_of_files, strict=True)
    )
    print_result(f"{step}, opset {exported.opset}, IR {exported.ir}: one training step, the weights are inputs")
    print_result(f"{inference}: inference, the weights are inputs")
    print_result(f"{weights}: {state}")
    print_result(f"verified: {_verified(exported)}")
    if show_arrays:
        print_result(
            deviation_table([(d, f"{d.change:.1e}") for d in exported.deviations], ("array", "change"), layout())
        )
    for statement in exported.left_out:
        task = "chooses the examples of each" if statement.startswith("data") else "changes the images before it"
        print_status(f"left out: `{statement}`; whoever runs the step {task}")
    if exported.draws:
        layers = ", ".join(exported.draws)
        print_status(
            f"{layers} drop{'s' if len(exported.draws) == 1 else ''} elements by the input train.seed: feed another number at each step"
        )
    if exported.sizes:
        fixed = ", ".join(f"{symbol}={size}" for symbol, size in exported.sizes.items())
        print_status(f"sizes are fixed: {fixed}; --at sets others")


def _verified(exported: ExportedStep) -> str:
    worst = exported.worst
    return (
        f"{exported.steps} steps of {exported.batch} random examples taken beside the NumPy trainer, {len(exported.deviations)} arrays "
        f"(weights, buffers and slots) compared after each; {largest(worst, f', after a change of {worst.change:.1e}')}"
    )


def _as_dict(exported: ExportedStep) -> dict[str, Any]:
    files, sizes = exported.files, exported.sizes_of_files
    return {
        "file": str(files.step),
        "inference": str(files.inference),
        "weights": str(files.weights),
        "bytes": sizes[0],
        "inference_bytes": sizes[1],
        "weights_bytes": sizes[2],
        "opset": exported.opset,
        "ir": exported.ir,
        "steps": exported.steps,
        "batch": exported.batch,
        "worst": deviation_dict(exported.worst),
        "arrays": [deviation_dict(d) for d in exported.deviations],
        "left_out": list(exported.left_out),
        "draws": list(exported.draws),
        "sizes": dict(exported.sizes),
    }
