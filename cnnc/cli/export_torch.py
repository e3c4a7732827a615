"""`cnnc export --target torch`: writes the network as PyTorch source and its weights, compared with NumPy where PyTorch is installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnc.cli.console import layout, print_diagnostics, print_json, print_result, print_status
from cnnc.cli.outputs import Output, require_outputs
from cnnc.diagnostics import CnncError
from cnnc.report.deviations import deviation_dict, deviation_table, largest

if TYPE_CHECKING:
    from cnnc.onnx.emit.verify import Verification
    from cnnc.torch.source.export import ExportedSource
    from cnnc.training.trained import TrainedNetwork


def export_torch(
    source: Path,
    out: Path,
    *,
    last: bool,
    outputs: Sequence[str],
    settings: Sequence[str],
    at: Mapping[str, int],
    force: bool,
    json: bool,
    show_outputs: bool,
) -> None:
    """Writes the source of a run, a checkpoint or a network file, and prints what was written and compared."""
    from cnnc.onnx.emit.verify import random_weights
    from cnnc.torch.source.export import export_source
    from cnnc.torch.source.unedited import weights_beside

    if not out.name or Path("/dev") in out.absolute().parents:  # the weights would be written there
        raise CnncError.of("E010", "--target torch writes two files", help="name the first with -o: `-o net.py`")
    require_outputs([source], [Output(out, "-o", "python"), Output(weights_beside(out), "-o", "weights")], force)
    trained = _read(source, last, settings, at)
    proof = random_weights(trained.graph, 0) if trained.untrained else None
    exported = export_source(
        trained.network,
        trained.weights,
        out,
        outputs=outputs,
        classes=trained.classes,
        vocabulary=trained.vocabulary,
        columns=trained.columns,
        proof_weights=proof,
    )
    _report(exported, trained, json, show_outputs)


def _read(source: Path, last: bool, settings: Sequence[str], at: Mapping[str, int]) -> TrainedNetwork:
    """The network with its weights: those of a run or checkpoint, or the initial ones of a network file."""
    from cnnc.cli.usage import with_published_network
    from cnnc.data.catalog import KNOWN
    from cnnc.network import load
    from cnnc.training import checkpoint as checkpoints
    from cnnc.training.trained import TrainedNetwork, require_no_settings, untrained

    if source.suffix == ".cnn" and not source.is_dir():
        try:
            network = load(source, settings, at)
        except CnncError as error:
            raise with_published_network(error, source) from None
        network.require_graph()
        print_diagnostics(network.diagnostics)
        facts = KNOWN.get(network.recipe.data.name) if network.recipe is not None else None
        return untrained(network)._replace(classes=facts.classes if facts is not None else ())
    require_no_settings(settings, "a run keeps the settings it was trained with")
    saved = checkpoints.load(checkpoints.find(source, "last" if last else "best"))
    return TrainedNetwork(saved.network(at), saved.weights, saved.vocabulary, "", saved.classes, saved.columns)


def _report(exported: ExportedSource, trained: TrainedNetwork, json: bool, show_outputs: bool) -> None:
    if json:
        print_json(_as_dict(exported), indent=None)
        return
    print_result(f"wrote {exported.path}: {exported.size:,} bytes, class {exported.class_name}")
    state = f": {trained.untrained.removeprefix('untrained: ')}" if trained.untrained else ""
    print_result(f"wrote {exported.weights_path}: {exported.weights_size:,} bytes{state}")
    if exported.verification is None:
        print_result("not compared with the network: PyTorch is not installed")
        print_status('`pip install "cnnc[torch]"` installs it, and the export then runs the source before writing it')
    else:
        print_result(f"verified: {_verified(exported.verification)}")
        if show_outputs:
            print_result(
                deviation_table(
                    [(d, f"{d.value:.3g}") for d in exported.verification.layers], ("layer", "at value"), layout()
                )
            )
    if exported.sizes:
        fixed = ", ".join(f"{symbol}={size}" for symbol, size in exported.sizes.items())
        print_status(f"sizes are fixed: {fixed}")


def _verified(verification: Verification) -> str:
    count = len(verification.layers)
    tensors = f"{count} tensor{'s' if count != 1 else ''}"
    return f"{tensors} computed with PyTorch and compared with the network; {largest(verification.worst)}"


def _as_dict(exported: ExportedSource) -> dict[str, Any]:
    verification = exported.verification
    layers = verification.layers if verification is not None else ()
    return {
        "file": str(exported.path),
        "weights": str(exported.weights_path),
        "bytes": exported.size,
        "weights_bytes": exported.weights_size,
        "class": exported.class_name,
        "compared": verification is not None,
        "worst": deviation_dict(verification.worst) if verification is not None else None,
        "tensors": [deviation_dict(d) for d in layers],
        "sizes": dict(exported.sizes),
    }
