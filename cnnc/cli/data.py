"""`cnnc data`: what training would see of a data set, without training.

In: a network file, whose train section names the data, or the kind of the data and their path. Out: text or JSON; cnnc.data.survey
reads the data, cnnc.report.data lays out what it found.
"""

from __future__ import annotations

import re
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnc.cli.console import layout, print_diagnostics, print_json, print_result, print_status
from cnnc.cli.options import DATA, SETTINGS, json_option, parse_sizes, sizes_option
from cnnc.cli.usage import require_source, with_published_network
from cnnc.diagnostics import CnncError, nearest

if TYPE_CHECKING:
    from cnnc.core.tensor import TensorType
    from cnnc.data import Report, Request

_KIND_OF_SUFFIX = {".csv": "series", ".npz": "npz", ".tsv": "text", ".tar": "shards", ".zip": "images"}


def data(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILE|KIND", help="A network file, or a kind of data, e.g. images, npz, series, text, mnist."
        ),
    ],
    path: Annotated[
        str | None, typer.Argument(metavar="[PATH]", help="With KIND: the file or folder of the data.")
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            "--input",
            metavar="CxHxW",
            help="With KIND: resize images to this input (default: the most frequent size of the files).",
        ),
    ] = None,
    folder: DATA = None,
    at: Annotated[list[str] | None, sizes_option("Resize images to this size")] = None,
    settings: SETTINGS = None,
    json: Annotated[bool, json_option("all numbers as a JSON object")] = False,
) -> None:
    """Show what training would see of a data set: shares, classes, value ranges, skipped files, duplicates."""
    from cnnc.report.data import data_text, with_conclusions

    lines: list[str] = []

    def report(line: str) -> None:
        lines.append(line)
        print_status(line)

    kind = _kind(source, path)
    if kind is not None:
        _require_no(settings, "--set")
        _require_no(at, "--at")
        result = _survey_of_kind(kind, path, folder, size, report)
    else:
        _require_no(size, "--input", "a KIND")
        _require_no(path, "PATH", "a KIND", help=f"write `{join(['cnnc', 'data', source, '--data', path or ''])}`")
        result = _survey_of_network(Path(source), folder, settings or [], parse_sizes(at), report)
    survey = {**with_conclusions(result), "read": lines}
    if json:
        from cnnc.recipe.metrics import finite

        print_json(finite(survey))
    else:
        print_result(data_text(survey, layout()))


def _require_no(value: object, option: str, subject: str = "a network FILE", help: str = "") -> None:
    """Raises CnncError E010 for an option that applies to the other kind of source."""
    if value:
        raise CnncError.of("E010", f"{option} applies to {subject}", help=help or f"leave {option} out")


def _kind(source: str, path: str | None) -> str | None:
    """The kind of data that the first word names; None where it is a network file. Raises CnncError E601, E603, E010."""
    from cnnc.data import KNOWN, READERS

    if source in READERS:
        if path is None and source not in KNOWN:
            help = f"write `cnnc data {source} PATH`, or name a network file"
            raise CnncError.of("E603", f"`cnnc data {source}` does not name a file or folder", help=help)
        return source
    if path is None:
        _require_network(source)
        return None
    if Path(source).exists() or Path(source).suffix:
        return None
    guess = nearest(source, READERS)
    help = f"write `{join(['cnnc', 'data', guess, path])}`" if guess else f"the kinds are: {', '.join(READERS)}"
    raise CnncError.of("E601", f"there is no kind of data called `{source}`", help=help)


def _require_network(source: str) -> None:
    """Raises CnncError E010 for data without their kind."""
    path = Path(source)
    is_run = (path / "network.cnn").is_file()
    kind = "images" if path.is_dir() and not is_run else _KIND_OF_SUFFIX.get(path.suffix.lower())
    if kind is not None and path.exists():
        help = f"write `{join(['cnnc', 'data', kind, source])}`"
        raise CnncError.of("E010", f"{source} is not a network file: name the kind of the data first", help=help)
    require_source(path, "data")


def _survey_of_network(
    file: Path, folder: Path | None, settings: list[str], sizes: dict[str, int], report: Report
) -> dict[str, Any]:
    """What training of a network file would see."""
    from cnnc.data.survey import survey
    from cnnc.network import load
    from cnnc.recipe.recipe import require_recipe
    from cnnc.training.loop import open_data, split

    try:
        network = load(file, settings, sizes)
    except CnncError as error:
        raise with_published_network(error, file) from None
    graph = network.require_graph()
    print_diagnostics(network.diagnostics)
    recipe = require_recipe(network.recipe, network.name)
    dataset = open_data(network, folder, report)
    training, validation = split(dataset.train, recipe.data.val, recipe.seed)
    shares = {"training": training, "validation": validation, "test": dataset.test}
    names = [node.name for node in graph.inputs]
    losses = [
        {"loss": loss.kind, "compares_with": "the input" if loss.of_input else loss.compares_with}
        for loss in recipe.losses
    ]
    surveyed = survey(dataset, shares, names, recipe.losses[0].ignored_label)
    return {"network": network.name, "losses": losses, **surveyed}


def _survey_of_kind(
    kind: str, path: str | None, folder: Path | None, size: str | None, report: Report
) -> dict[str, Any]:
    """What training on `data KIND "PATH"` would see, with the default shares."""
    from cnnc.data import KNOWN, Request, load
    from cnnc.data.survey import survey
    from cnnc.recipe.statements import Data
    from cnnc.training.loop import split

    if kind in KNOWN:
        _require_no(size, "--input", "images and shards")
        dataset = load(kind, Path(path) if path is not None else folder, report)
    else:
        inputs = _inputs(kind, Request(folder=folder, path=path), size, report)
        dataset = load(kind, folder, report, path=path, inputs=inputs)
    training, validation = split(dataset.train, Data.make(name=kind).val, 0)
    shares = {"training": training, "validation": validation, "test": dataset.test}
    return {"network": None, "losses": [], **survey(dataset, shares)}


def _inputs(kind: str, request: Request, size: str | None, report: Report) -> tuple[TensorType, ...]:
    """The input to which images are resized; () for other data. Raises CnncError E010, E602, E603, E906."""
    from cnnc.core.tensor import TensorType, format_shape

    if kind not in ("images", "shards"):
        _require_no(size, "--input", "images and shards")
        return ()
    if size is not None:
        return (TensorType(_parsed_shape(size)),)
    from cnnc.data import images, shards
    from cnnc.data.natural_shape import natural_shape

    files, keys = images.image_files(request) if kind == "images" else shards.image_files(request)
    shape = natural_shape(files, keys)
    if shape is None:
        return (TensorType((3, 1, 1)),)  # the reader says which files are not images
    report(f"images are resized to {format_shape(shape)}, the most frequent size; --input sets another")
    return (TensorType(shape),)


def _parsed_shape(text: str) -> tuple[int, ...]:
    """The shape `3x64x64`. Raises CnncError E010."""
    match = re.fullmatch(r"([13])x([1-9]\d{0,3})x([1-9]\d{0,3})", text, re.ASCII)
    if match is None:
        message = f"--input {text}: expected channels (1 or 3), height and width"
        raise CnncError.of("E010", message, help="write, for example, `--input 3x64x64`")
    return tuple(map(int, match.groups()))
