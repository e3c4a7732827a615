"""`cnnc export`: writes an ONNX model after comparing it with the network, tensor by tensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from itertools import chain, count
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnc.cli.console import is_stdout, layout, print_diagnostics, print_json, print_result, print_status
from cnnc.cli.export_torch import export_torch
from cnnc.cli.export_training import export_training
from cnnc.cli.options import DATA, MAX_MEMORY, MAX_PARAMETERS, OFFLINE, SETTINGS, json_option, parse_sizes, sizes_option
from cnnc.cli.outputs import FORCE, Output, require_outputs
from cnnc.core.files import real_path
from cnnc.diagnostics import CnncError
from cnnc.report.deviations import deviation_dict, deviation_table, largest

if TYPE_CHECKING:
    from cnnc.onnx.emit.verify import Verification
    from cnnc.onnx.export import Exported, Options
    from cnnc.onnx.quantize.examples import Quality


DEFAULT_OPSET = 17


class Target(StrEnum):
    """The values of --target."""

    mcu = "mcu"
    torch = "torch"


def export(
    source: Annotated[
        Path | None, typer.Argument(metavar="RUN|FILE", help="A run folder, a checkpoint, or a network file (.cnn).")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="OUT.onnx",
            help="Model to write (default: NAME.onnx, after the run or file; NAME.py for --target torch).",
        ),
    ] = None,
    last: Annotated[
        bool, typer.Option("--last", help="Export the last weights of the run instead of the best.")
    ] = False,
    opset: Annotated[
        int, typer.Option("--opset", help="Version of the ONNX operator set, 13 or newer.")
    ] = DEFAULT_OPSET,
    outputs: Annotated[
        list[str] | None,
        typer.Option(
            "--outputs", metavar="NAME,NAME", help="Make these layers the outputs; export only what they need."
        ),
    ] = None,
    training: Annotated[
        bool,
        typer.Option(
            "--training",
            help="Write one training step as a graph of ONNX operators, and beside it the network with its weights as inputs, and the weights (default: NAME.step.onnx).",
        ),
    ] = False,
    fp16: Annotated[bool, typer.Option("--fp16", help="Use 16-bit floats for weights and activations.")] = False,
    int8: Annotated[
        bool,
        typer.Option("--int8", help="Use 8-bit integers for weights and activations, calibrated on training data."),
    ] = False,
    data: DATA = None,
    offline: OFFLINE = False,
    target: Annotated[
        Target | None,
        typer.Option(
            "--target",
            help="Fit the model to a target: mcu (microcontrollers). Or write PyTorch source instead of a model: torch.",
        ),
    ] = None,
    external: Annotated[bool, typer.Option("--external", help="Write the weights to a separate file.")] = False,
    no_pass: Annotated[
        list[str] | None,
        typer.Option("--no-pass", metavar="NAME", help="Skip this optimization pass (see --passes). Repeatable."),
    ] = None,
    passes: Annotated[bool, typer.Option("--passes", help="List the optimization passes and exit.")] = False,
    show_layers: Annotated[
        bool, typer.Option("--report", help="Print the largest deviation between model and network for each layer.")
    ] = False,
    card: Annotated[bool, typer.Option("--card", help="Write a model card next to the model (OUT.md).")] = False,
    card_file: Annotated[
        Path | None, typer.Option("--card-file", metavar="PATH", help="Write the model card to this file.")
    ] = None,
    at: Annotated[list[str] | None, sizes_option("Fix this size in the model")] = None,
    settings: SETTINGS = None,
    force: FORCE = False,
    json: Annotated[bool, json_option("the result of the export as a JSON object")] = False,
    max_memory: MAX_MEMORY = None,
    max_params: MAX_PARAMETERS = None,
) -> None:
    """Export a run, or a network file with its initial weights, to ONNX or PyTorch, and verify that the model computes the same as the network."""
    if passes:
        _list_passes()
        return
    if source is None:
        raise CnncError.of("E010", "no run or network given", help="name a run folder, a checkpoint or a network file")
    of_models = {
        "--fp16": fp16,
        "--int8": int8,
        "--data": data,
        "--external": external,
        "--no-pass": no_pass,
        "--card": card,
        "--card-file": card_file,
    }
    if training:
        _require_no_options_beside("--training", {"--outputs": outputs, "--target": target, **of_models})
        export_training(
            source,
            out or default_output(source).with_suffix(".step.onnx"),
            last=last,
            opset=opset,
            settings=settings or [],
            at=parse_sizes(at),
            force=force,
            json=json,
            show_arrays=show_layers,
        )
        return
    output_names = [name.strip() for name in ",".join(outputs or []).split(",") if name.strip()]
    if target is Target.torch:
        _require_no_options_beside("--target torch", {"--opset": opset != DEFAULT_OPSET, **of_models})
        export_torch(
            source,
            out or default_output(source, ".py"),
            last=last,
            outputs=output_names,
            settings=settings or [],
            at=parse_sizes(at),
            force=force,
            json=json,
            show_outputs=show_layers,
        )
        return
    options = _options(opset, no_pass or [], fp16, int8, external, target)
    sizes = parse_sizes(at)
    out = out or default_output(source)
    card_file = card_file or (out.with_suffix(".md") if card else None)
    _require_outputs(source, out, card_file, force, json)
    if source.suffix == ".cnn":
        exported = export_file(source, out, settings or [], sizes, options, output_names, data)
    else:
        from cnnc.training.trained import require_no_settings

        require_no_settings(settings or (), "a run keeps the settings it was trained with")
        exported = export_run(source, out, last=last, outputs=output_names, options=options, data=data, at=sizes)
    report(exported, json, show_layers)
    unnamed = ", ".join(f"{symbol}={size}" for symbol, size in exported.sizes.items() if symbol not in sizes)
    if unnamed:
        print_status(f"--at fixes all sizes of the model, also {unnamed}")
    if card_file is not None:
        _write_card(exported, card_file)
        print_status(f"wrote {card_file}") if json else print_result(f"wrote {card_file}")


def _require_no_options_beside(option: str, others: Mapping[str, object]) -> None:
    """Raises CnncError E010 for the first option with a value that this kind of export does not have."""
    given = next((name for name, value in others.items() if value), None)
    if given is not None:
        raise CnncError.of("E010", f"{option} and {given} exclude each other", help=f"leave {given} out")


def _require_outputs(source: Path, out: Path, card_file: Path | None, force: bool, json: bool) -> None:
    """Raises CnncError for a model or card that would replace what is not meant, or share standard output."""
    targets = [Output(out, "-o", "onnx")]
    if card_file is not None:
        targets.append(Output(card_file, "--card-file", "card"))
    require_outputs([source], targets, force)
    if is_stdout(out) and (json or card_file is not None):
        raise CnncError.of("E010", f"{out} takes the model alone", help="name a file with -o for --json and --card")


def default_output(source: Path, suffix: str = ".onnx") -> Path:
    """The file that is written without --out: named after the network file, or after the run folder of a checkpoint.

    Another checkpoint gives it its own name, numbered if that exists: NAME.onnx may be the model that was imported.
    """
    from cnnc.training.checkpoint import RUN_FILES

    if source.suffix == ".cnn":
        return Path(f"{source.stem}{suffix}")
    if source.is_dir() or source.name in RUN_FILES:
        return Path(f"{real_path(source if source.is_dir() else source.parent).name}{suffix}")
    names = chain([f"{source.stem}{suffix}"], (f"{source.stem}-{number}{suffix}" for number in count(2)))
    return next(path for path in map(Path, names) if not path.exists())


def _options(
    opset: int, skipped_passes: list[str], fp16: bool, int8: bool, external: bool, target: Target | None
) -> Options:
    from cnnc.onnx.export import Options

    if fp16 and int8:
        raise CnncError.of("E010", "--fp16 and --int8 exclude each other")
    return Options(
        opset,
        tuple(skipped_passes),
        external,
        target.value if target is not None else "",
        "float16" if fp16 else "int8" if int8 else "float32",
    )


def _list_passes() -> None:
    from cnnc.onnx.emit.passes import PASSES

    width = max(map(len, PASSES))
    for name, run in PASSES.items():
        print_result(f"{name:<{width}}  {(run.__doc__ or '').splitlines()[0]}")


def _write_card(exported: Exported, path: Path) -> None:
    """Writes the model card from the metadata of the model. Raises CnncError E902."""
    from cnnc.core.files import write_atomic
    from cnnc.network import check
    from cnnc.onnx.metadata import read_facts
    from cnnc.onnx.run.inspect import describe, properties, read_model
    from cnnc.report.card import card

    description = describe(exported.path)
    facts = read_facts(properties(read_model(exported.path)))
    network = check(facts.source, facts.file, facts.settings, facts.at, includes=facts.includes)
    outputs = [entry["name"] for entry in description["outputs"]]
    write_atomic(path, card(description, network.part(outputs).summary(), _verified(exported.verification)).encode())


def export_run(
    run: Path,
    out: Path,
    *,
    last: bool = False,
    outputs: Sequence[str] = (),
    options: Options | None = None,
    data: Path | None = None,
    at: Mapping[str, int] | None = None,
) -> Exported:
    """Exports the weights of a run to `out`. Raises CnncError."""
    from cnnc.api.exporting import export as export_model

    return export_model(run, out, last=last, outputs=outputs, options=options, data=data, at=at)


def export_file(
    file: Path,
    out: Path,
    settings: list[str],
    at: Mapping[str, int],
    options: Options,
    outputs: Sequence[str],
    data: Path | None,
) -> Exported:
    """Exports a network file with its initial weights: those that the source gives, or random ones."""
    from cnnc.api.exporting import calibration_examples
    from cnnc.cli.usage import with_published_network
    from cnnc.data.catalog import KNOWN
    from cnnc.network import load
    from cnnc.onnx.emit.verify import random_weights
    from cnnc.onnx.export import export as export_network
    from cnnc.reference.initializers import initialize

    try:
        network = load(file, settings, at)
    except CnncError as error:
        raise with_published_network(error, file) from None
    graph = network.require_graph()
    print_diagnostics(network.diagnostics)
    recipe = network.recipe
    seed = recipe.seed if recipe is not None else 0
    examples = None
    if graph.starts_at_random:
        imported = file.with_suffix(".safetensors")
        command = join(["cnnc", "export", str(imported)])
        hint = f"; `{command}` exports those in {imported}" if imported.is_file() else ""
        print_status(f"{network.name} is untrained: its weights are random (seed {seed}){hint}")
        weights = random_weights(graph, seed)
    else:
        weights = initialize(graph, seed)
        examples = calibration_examples(network, data) if options.precision != "float32" else None
    facts = KNOWN.get(recipe.data.name) if recipe is not None else None
    classes = facts.classes if facts is not None else ()
    return export_network(network, weights, out, outputs=outputs, classes=classes, options=options, examples=examples)


def report(exported: Exported, json: bool, layers: bool = False) -> None:
    """Prints the file written and the result of its verification; `layers` adds one line per layer."""
    if json:
        print_json(_as_dict(exported), indent=None)
        return
    show = _printer(exported.path)
    weights_file = f" with {exported.data.name}" if exported.data is not None else ""
    show(f"wrote {exported.path}{weights_file}: {exported.size:,} bytes, opset {exported.opset}, IR {exported.ir}")
    show(f"verified: {_verified(exported.verification)}")
    if layers:
        show(
            deviation_table(
                [(d, f"{d.value:.3g}") for d in exported.verification.layers], ("layer", "at value"), layout()
            )
        )
    if exported.quality is not None:
        show(_quality(exported.quality))
    if exported.footprint is not None:
        ram, at, flash = exported.footprint
        show(
            f"microcontroller: {ram:,} bytes of RAM for activations (peak at {at}), {flash:,} bytes of flash for constants"
        )


def _printer(model: Path) -> Callable[[str], None]:
    """What prints the report: to stderr if the model itself went to stdout (`-o /dev/stdout`)."""
    return print_status if is_stdout(model) else print_result


_REASONS = {
    "float16": "computed in float32, as float16 cannot hold their sums or constants",
    "int8": "kept in float32, as int8 would lose accuracy",
}


def _verified(verification: Verification) -> str:
    """What was compared, and the deviation that was closest to its allowance."""
    count = len(verification.layers)
    how = "layer by layer" if verification.by_layer else "element by element"
    return f"{count} tensor{'s' if count != 1 else ''} compared with the network, {how}; {largest(verification.worst)}"


def _quality(quality: Quality) -> str:
    examples = f"{quality.samples:,} {'random inputs' if quality.random else 'examples'}"
    if quality.metric == "accuracy":
        lines = [f"{quality.precision}: accuracy {quality.after:.2%} on {examples}, {quality.before:.2%} in float32"]
        lines += _changed(quality)
    else:
        lines = [f"{quality.precision}: deviates by {quality.after:.2%} from float32 on {examples}"]
    if quality.kept:
        lines.append(f"{_REASONS[quality.precision]}: {', '.join(quality.kept)}")
    if quality.faster:
        lines.append(f"computed in float32, as int8 is slower: {', '.join(quality.faster)}")
    return "\n".join(lines)


def _quality_facts(quality: Quality) -> dict[str, Any]:
    changed = quality.changed._asdict() if quality.changed is not None else None
    return {**quality._asdict(), "changed": changed}


def _changed(quality: Quality) -> list[str]:
    """How many answers changed, with the interval of the accuracy lost; and where the examples are too few to judge by."""
    if quality.changed is None:
        return []
    from cnnc.core.intervals import points_text
    from cnnc.onnx.quantize.int8 import MAX_ACCURACY_LOSS

    lost, gained, other, interval = quality.changed
    count = lost + gained + other
    answers = f"{count:,} answer{'s' if count != 1 else ''} changed"
    lines = [f"{answers} ({lost:,} lost, {gained:,} gained); 95% interval of the loss {points_text(interval)}"]
    if interval[1] > MAX_ACCURACY_LOSS:
        limit = f"{100 * MAX_ACCURACY_LOSS:g} point"
        lines.append(
            f"{quality.samples:,} examples cannot show that at most {limit} is lost; a larger test set can, e.g. of `data ... test=0.2`"
        )
    return lines


def _as_dict(exported: Exported) -> dict[str, Any]:
    verification, quality, footprint = exported.verification, exported.quality, exported.footprint
    return {
        "file": str(exported.path),
        "data": str(exported.data) if exported.data is not None else None,
        "bytes": exported.size,
        "opset": exported.opset,
        "ir": exported.ir,
        "tensors": len(verification.layers),
        "by_layer": verification.by_layer,
        "worst": deviation_dict(verification.worst),
        "layers": [deviation_dict(d) for d in verification.layers],
        "quality": _quality_facts(quality) if quality is not None else None,
        "footprint": footprint._asdict() if footprint is not None else None,
    }
