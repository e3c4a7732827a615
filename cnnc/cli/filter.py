"""`cnnc filter`: what named and given kernels make of an image, and where a patch occurs in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from cnnc.cli.console import layout, print_json, print_result, print_status
from cnnc.cli.options import json_option
from cnnc.cli.outputs import FORCE, Output, require_outputs
from cnnc.cli.picture_files import picture_kind, write_picture
from cnnc.diagnostics import CnncError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cnnc.core.arrays import Array
    from cnnc.ops.filter import Filter
    from cnnc.view.contact_sheet import SheetImage, SheetScale

MAX_SHEET = 100_000_000
"""The most pixels of a sheet."""

_LONG = 20  # characters of a number that is written exactly
_USUAL, _LARGE = 480, 960  # pixels of an image's longer side on a sheet of many and of two images


def filter_(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="An image file, in colour or grey.")],
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...",
            help='Filters as after the word `filter` in a source: sobel_x, "gabor angle=45", "[[1, 0], [0, -1]]", or in '
            'short "1 0; 0 -1". Default: all named ones.',
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", metavar="FILE", help="The sheet: .png, .svg or .html. Default: IMAGE-filters.png here."
        ),
    ] = None,
    stride: Annotated[
        str | None, typer.Option("-s", "--stride", metavar="N", help="Stride of all filters, as in a source.")
    ] = None,
    pad: Annotated[
        str | None,
        typer.Option("-p", "--pad", metavar="N|WORD", help="Padding of all filters, as in a source (default: same)."),
    ] = None,
    template: Annotated[
        Path | None,
        typer.Option(
            "--template",
            metavar="PATCH",
            help="Show where this smaller image occurs in IMAGE, by normalized cross-correlation. Default file: "
            "IMAGE-match.png here.",
        ),
    ] = None,
    scale: Annotated[
        int | None,
        typer.Option(
            "--scale",
            min=1,
            metavar="N",
            help="Pixels of the sheet per pixel of the image. Default: an image has at most 480 on a side, or 960 if it is "
            "the only one besides the original.",
        ),
    ] = None,
    force: FORCE = False,
    json: Annotated[
        bool, json_option("the kernel and the range of each result, or the best match, as a JSON object")
    ] = False,
) -> None:
    """Draw a sheet of what filters make of an image, or show where a patch occurs in it."""
    from cnnc.data.image_file import read_whole_image

    usual = Path(f"{image.stem}-{'match' if template else 'filters'}.png")
    out = out if out is not None else usual
    if template is not None and (names or stride or pad):
        raise CnncError.of("E010", "--template takes no filters, stride or padding", help="leave them out")
    require_outputs(
        [image, *([template] if template else [])],
        [Output(out, "-o", picture_kind(out, ("png", "svg", "html"), usual, "a sheet"))],
        force,
    )
    pixels, note = read_whole_image(image)
    if note:
        print_status(note)
    if template is not None:
        _match(image, pixels, template, out, scale, json)
    else:
        _filter(image, pixels, names or [], stride, pad, out, scale, json)


# --- filters -----------------------------------------------------------------------------------------------------


class _Result(NamedTuple):
    """The layer that a NAME stands for, and its output (H, W, C) for the image, whose values are 0 to 1."""

    name: str
    layer: Filter
    output: Array
    is_padded: bool


def _filter(
    image: Path,
    pixels: NDArray[np.uint8],
    names: Sequence[str],
    stride: str | None,
    pad: str | None,
    out: Path,
    scale: int | None,
    json: bool,
) -> None:
    from cnnc.view.contact_sheet import SheetImage, contact_sheet

    given = "".join([f" s={stride}" if stride else "", f" p={pad}" if pad else ""])
    results = [_result(name, given, pixels) for name in names] or list(_all_results(given, pixels))
    if not results:
        why = f"no named filter fits into {image}, {_size_text(pixels)}"
        raise CnncError.of("E010", why, help="leave -p out, or name a smaller filter, such as `box k=1`")
    tiles = [SheetImage("original", _as_values(pixels)), *(_tile(result) for result in results)]
    shown = _scale(tiles, scale, _LARGE if len(tiles) == 2 else _USUAL)
    title = f"{image.name}, {_size_text(pixels)}"
    drawing = contact_sheet(title, tiles, shown, _notes(tiles, results, shown))
    write_picture(out, drawing)
    if json:
        print_json(
            {
                "image": str(image),
                "output": str(out),
                "shape": list(pixels.shape),
                "filters": [_as_dict(r) for r in results],
            }
        )
        return
    _print_results(results)
    if shown.reduction > 1:
        print_result(f"shown at 1/{shown.reduction} of its size; --scale 1 shows all pixels")
    print_result(f"{out}: {len(tiles)} images")


def _all_results(given: str, pixels: NDArray[np.uint8]) -> Iterator[_Result]:
    """The result of each named kernel, except identity; those larger than the image are left out, and a line says so."""
    from cnnc.ops.kernels import NAMED

    for name in NAMED:
        try:
            if name != "identity":
                yield _result(name, given, pixels)
        except CnncError as error:
            if error.diagnostics[0].code != "E302":
                raise
            print_status(f"{name} is left out: {error.diagnostics[0].message}")


def _result(name: str, given: str, pixels: NDArray[np.uint8]) -> _Result:
    """Computes a filter as a network of this one layer. Raises CnncError with the diagnostics of its source."""
    from cnnc.network import check
    from cnnc.ops.filter import Filter
    from cnnc.reference.engine import forward

    shape = "x".join(map(str, pixels.shape))
    graph = check(f"input {shape}\nfilter {_as_source(name)}{given}", "filter").require_graph()
    layers = [node.op for node in graph.nodes[1:]]
    if len(layers) != 1 or not isinstance(layers[0], Filter):
        raise CnncError.of("E010", f"`{name}` is not one filter", help="give each filter as an argument of its own")
    feeds = {graph.nodes[0].name: pixels[None] / 255.0}
    trace = forward(graph, {}, feeds)
    is_padded = any(rule.begin or rule.end for rule in layers[0].rules(graph.nodes[0].type))
    return _Result(name.strip(), layers[0], trace.values[graph.nodes[1].name][0], is_padded)


def _as_source(name: str) -> str:
    """The arguments of the layer: a matrix in short, `1 0; 0 -1`, as nested lists; others as they are. Raises E010."""
    from cnnc.view.unfold.exact import is_symbolic, text_of
    from cnnc.view.unfold.typed_matrices import matrix

    if not re.match(r"\s*[-+]?\.?\d", name):
        return name
    text, *rest = re.split(r"\s+(?=[a-z_]\w*\s*=)", name.strip(), maxsplit=1)
    values = matrix(text, f"the kernel `{text}`")
    if len(values) > 1:
        raise CnncError.of(
            "E010",
            f"the kernel `{text}` has {len(values)} channels",
            help="each channel is filtered with the same kernel: give one",
        )
    letter = next((value for row in values[0] for value in row if is_symbolic(value)), None)
    if letter is not None:
        raise CnncError.of(
            "E010",
            f"the kernel `{text}`: `{text_of(letter)}` is not a number",
            help="write numbers, such as 3, -0.5 or 1/9",
        )
    rows = [f"[{', '.join(map(_number_text, row))}]" for row in values[0]]
    return " ".join([f"[{', '.join(rows)}]", *rest])


def _number_text(value: Any) -> str:
    """A number as the language writes it: exact if it is short."""
    from cnnc.view.unfold.exact import text_of

    text = text_of(value)
    return text if len(text) <= _LONG else repr(float(value))


def _tile(result: _Result) -> SheetImage:
    """How a result is shown: as an image if the numbers of its kernel sum to 1, or if none of them is negative."""
    from cnnc.ops.kernels import rotated
    from cnnc.view.contact_sheet import SheetImage

    kernel = result.layer.scaled_kernel()
    numbers = [n for row in kernel.numbers for n in row]
    total = sum(numbers)
    is_mean = abs(total - 1) < 1e-6
    signed = not is_mean and (min(numbers) < 0 or total == 0)
    rows = rotated(kernel.rows) if result.layer.flip else kernel.rows
    white = 1.0 if signed or is_mean else total
    return SheetImage(result.layer.title(), result.output, rows, kernel.divisor, signed, white)


def _notes(tiles: Sequence[SheetImage], results: Sequence[_Result], scale: SheetScale) -> list[str]:
    notes = ["Where black is a negative number, grey is 0."] if any(tile.signed for tile in tiles) else []
    notes.append("Where black and white are not given, they are 0 and 1; values outside are clipped.")
    if any(result.is_padded for result in results):
        notes.append("Beyond its border the image counts as 0; -p valid leaves out the results that read it.")
    if scale.reduction > 1:
        notes.append(f"Each pixel is the mean of {scale.reduction}x{scale.reduction} pixels.")
    return notes


def _statistics(result: _Result) -> dict[str, float]:
    """The minimum, maximum and mean of a result; a mean that is only the rounding error of its sum is 0."""
    y = result.output
    low, high, mean = float(y.min()), float(y.max()), float(y.mean())
    return {"minimum": low, "maximum": high, "mean": mean if abs(mean) > 1e-12 * max(-low, high) else 0.0}


def _as_dict(result: _Result) -> dict[str, Any]:
    height, width, channels = result.output.shape
    return {
        "name": result.name,
        "kernel": result.layer.kernel(),
        "shape": [channels, height, width],
        **_statistics(result),
    }


def _print_results(results: Sequence[_Result]) -> None:
    from cnnc.report.layout import ColumnLayout, fitted

    columns = [
        ColumnLayout("filter", least=12),
        *(ColumnLayout(name, right=True) for name in ("minimum", "maximum", "mean")),
    ]
    rows = [(r.layer.title(), *(f"{n:.4g}" for n in _statistics(r).values())) for r in results]
    print_result("\n".join(fitted(columns, rows, layout(), rule=True)))


# --- template matching -------------------------------------------------------------------------------------------


def _match(image: Path, pixels: NDArray[np.uint8], template: Path, out: Path, scale: int | None, json: bool) -> None:
    import numpy as np

    from cnnc.data.image_file import read_whole_image
    from cnnc.reference.template import best_match, normalized_correlation
    from cnnc.view.contact_sheet import SheetImage
    from cnnc.view.template_map import template_map

    patch, note = read_whole_image(template)
    if note:
        print_status(note)
    _require_patch(image, pixels, template, patch)
    channels = max(len(pixels), len(patch))  # grey among colour is the same in each channel
    whole, part = (np.broadcast_to(x, (channels, *x.shape[1:])) for x in (pixels, patch))
    scores = normalized_correlation(whole, part)
    row, column = best_match(scores)
    score = float(scores[row, column])
    shown = _scale([SheetImage("", _as_values(whole)), SheetImage("", scores[..., None])], scale, _LARGE)
    title = f"{template.name} in {image.name}"
    write_picture(out, template_map(title, _as_values(whole), _as_values(part), scores, (row, column), shown))
    if json:
        best = {"row": row, "column": column, "score": score}
        print_json({"image": str(image), "template": str(template), "output": str(out), "best": best})
        return
    print_result(f"best match at row {row}, column {column}: {score:.3f}")
    print_result(f"{out}: the image with the best match marked, and the score at each position")


def _require_patch(image: Path, pixels: NDArray[np.uint8], template: Path, patch: NDArray[np.uint8]) -> None:
    """Raises CnncError E608 for a patch that is larger than the image or too large, and for a patch or an image of one colour."""
    from cnnc.reference.template import MAX_PATCH

    if patch.shape[1] > pixels.shape[1] or patch.shape[2] > pixels.shape[2]:
        sizes = f"{template} is {_size_text(patch)}, larger than {image}, {_size_text(pixels)}"
        raise CnncError.of("E608", sizes, help="cut a smaller patch, or exchange the two files")
    if patch[0].size > MAX_PATCH:
        raise CnncError.of(
            "E608", f"{template} has {patch[0].size:,} pixels: at most {MAX_PATCH:,}", help="cut a smaller patch"
        )
    for path, values, help in (
        (template, patch, "cut a patch with an edge in it"),
        (image, pixels, "take an image with an edge in it"),
    ):
        if (values == values[:, :1, :1]).all():
            raise CnncError.of("E608", f"all pixels of {path} are the same: it correlates with nothing", help=help)


# --- both --------------------------------------------------------------------------------------------------------


def _as_values(pixels: NDArray[np.uint8]) -> Array:
    """Pixels (C, H, W) as values (H, W, C) from 0 to 1."""
    values: Array = pixels.transpose(1, 2, 0) / 255.0
    return values


def _size_text(pixels: NDArray[np.uint8]) -> str:
    channels, height, width = pixels.shape
    return f"{width}x{height} {'grey' if channels == 1 else 'colour'}"


def _scale(tiles: Sequence[SheetImage], given: int | None, side: int) -> SheetScale:
    """The scale of a sheet, by default for images of `side` pixels. Raises CnncError E010 for one that makes it too large."""
    from cnnc.view.contact_sheet import SheetScale, sheet_scale

    if given is None:
        return sheet_scale(tiles, side)
    pixels = sum(tile.values.shape[0] * tile.values.shape[1] for tile in tiles)
    if pixels * given**2 > MAX_SHEET:
        most = int((MAX_SHEET / pixels) ** 0.5)
        help = f"the largest is `--scale {most}`" if most else "leave --scale out, or name fewer filters"
        raise CnncError.of("E010", f"--scale {given} makes a sheet of more than {MAX_SHEET:,} pixels", help=help)
    return SheetScale(given, 1)
