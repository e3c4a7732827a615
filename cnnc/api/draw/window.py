"""`cnnc draw --slide`: a window that moves over its input; `--coverage`: how often each element of an input is read.

In: `DrawOptions`. Out: the content of the file, or CnncError E010 in words of the options.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from cnnc.api.draw.layer import drawn_layer
from cnnc.api.draw.options import DrawOptions, require_absent
from cnnc.core.tensor import TensorType, format_shape
from cnnc.diagnostics import CnncError, nearest
from cnnc.view.files import picture_bytes

if TYPE_CHECKING:
    from cnnc.graph.graph import Graph

MAX_POSITIONS, MAX_CELLS, MAX_TAPS = 256, 1200, 400
"""The most positions of an animation, cells of its input with padding, and taps of its window."""
MAX_SIDE = 4096
"""The most elements on an axis."""
FRAMES = 9
"""The most steps in a PNG."""

_EXAMPLES = {
    "conv": "k=3",
    "conv_transpose": "conv_transpose k=3 s=2",
    "pool": "pool max k=2",
    "filter": "filter sobel_x",
    "local": "local k=3",
}
"""The layers with a window, and a window of each that fits almost any input."""
_KINDS = {"maxpool": "pool max", "max_pool": "pool max", "avgpool": "pool avg", "avg_pool": "pool avg"}


class SlidingWindow(NamedTuple):
    """The layer that was typed, and the type of its input."""

    op: Any
    x: TensorType
    name: str


def slide_file(options: DrawOptions) -> bytes:
    """The content of the file."""
    from cnnc.view.animation import animated_svg, stills
    from cnnc.view.window_page import window_page

    require_absent(options, "--slide", "depth", "at", "image", "settings")
    window = typed_window(options)
    if options.coverage:
        from cnnc.view.coverage import window_coverage
        from cnnc.view.coverage_page import coverage_page

        return picture_bytes(coverage_page([window_coverage(window.op, window.x)], _title(window)), options.kind)
    page = window_page(window.op, window.x, window.name)
    if options.kind == "svg":
        return animated_svg(page).encode()
    return picture_bytes(stills(page, FRAMES) if options.kind == "png" else page, options.kind)


def _title(window: SlidingWindow) -> str:
    return f"{window.name} on {format_shape(window.x.spatial)}: how often each element is read"


# --- what was typed --------------------------------------------------------------------------------------------------


def typed_window(options: DrawOptions) -> SlidingWindow:
    """The layer of --slide on an input of SIZE. Raises CnncError E010, whose help is a command that draws something like it."""
    try:
        sizes = _sizes(options.source or "")
        window = _window(options.slide or "", sizes)
        if not options.coverage:
            _require_small(window)
    except CnncError as error:
        raise CnncError(error.diagnostics[0]._replace(help=working_command(options, error))) from None
    return window


def _window(typed: str, sizes: tuple[int, ...]) -> SlidingWindow:
    """The layer of --slide. Raises CnncError E010."""
    words = typed.split()
    if not words:
        raise _error("--slide: the window is empty")
    first = words[0] if re.fullmatch(r"[A-Za-z_]\w*", words[0]) else "conv"
    rest = words[1:] if first == words[0] else words
    keyword, *kind = _KINDS.get(first.lower(), first).split()
    if keyword not in _EXAMPLES:
        raise _error(f"--slide: `{first}` is not a layer with a window, which are {', '.join(_EXAMPLES)}")
    if any(character in typed for character in ";{}#\n"):
        raise _error("--slide takes one layer")
    if keyword in ("conv", "conv_transpose", "local") and not (rest and rest[0].isdigit()):
        kind = ["1"]
    op = _layer(" ".join([keyword, *kind, *rest]), sizes, typed)
    channels = getattr(op, "out", 1)
    if channels != 1:
        raise _error(f"--slide draws one output channel, not {channels:,}")
    return SlidingWindow(op, TensorType((1, *sizes)), " ".join([first, *rest]))


def _sizes(text: str) -> tuple[int, ...]:
    """The sizes of the input: `7` or `5x7`. Raises CnncError E010."""
    parts = text.strip().lower().split("x")
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise _error(f"--slide takes the size of an input, not `{text}`")
    sizes = tuple(int(part[:9]) for part in parts)
    if len(sizes) == 3 and sizes[0] in (1, 3):
        raise _error(f"--slide draws one channel, and {text} has three numbers")
    if len(sizes) > 2:
        raise _error(f"--slide draws one or two axes, not {len(sizes)}")
    if not all(1 <= size <= MAX_SIDE for size in sizes):
        raise _error(f"an input of {text} cannot be drawn: sizes are 1 to {MAX_SIDE:,}")
    return sizes


def _layer(line: str, sizes: tuple[int, ...], typed: str) -> Any:
    """The layer of a line of a source. Raises CnncError E010 with the words of the language's own error."""
    from cnnc.network import check

    network = check(f"input 1x{format_shape(sizes)}; {line}")
    errors = [each for each in network.diagnostics if each.severity == "error"]
    if errors:  # an argument that the layer does not have says more than one that is missing
        error = min(errors, key=lambda each: each.code != "E201")
        kind = CnncError if error.code.startswith("E3") else _WrongAtAnySize
        raise kind.of("E010", f'--slide "{typed}": {error.message}', help=error.help)
    layers = [node.op for node in network.require_graph().nodes if node.inputs]
    if len(layers) != 1:
        raise _error("--slide takes one layer")
    return layers[0]


def _require_small(window: SlidingWindow) -> None:
    """Raises CnncError E010 for more positions, cells or taps than can be followed."""
    from cnnc.view.window_page import frame_cells, position_count

    op, x = window.op, window.x
    for count, most, what in (
        (position_count(op, x), MAX_POSITIONS, "positions"),
        (frame_cells(op, x), MAX_CELLS, "cells with padding"),
        (prod(rule.k for rule in op.rules(x)), MAX_TAPS, "taps"),
    ):
        if count > most:
            raise _error(f"the animation has {count:,} {what}; at most {most:,} can be followed")


class _WrongAtAnySize(CnncError):
    """What is wrong with a layer whatever the size of its input, such as an argument that it does not have."""


def _error(message: str, help: str = "") -> CnncError:
    return CnncError.of("E010", message, help=help)


# --- a command that works instead --------------------------------------------------------------------------------------


def working_command(options: DrawOptions, error: CnncError | None = None) -> str:
    """A command that draws a window, as near to the typed one as can be; `error` says what is wrong with it.

    Each correction that is tried is carried out, so that the command works whatever was typed.
    """
    help = error.diagnostics[0].help if error is not None else ""
    for slide in dict.fromkeys(_corrected(options.slide or "", help)):
        for sizes in _smaller(options.source or ""):
            try:
                window = _window(slide, sizes)
                if not options.coverage:
                    _require_small(window)
            except _WrongAtAnySize:
                break
            except CnncError:
                continue
            return options.command(slide=slide, source=format_shape(sizes))
    return options.command(slide="k=3", source="5x5")


def _corrected(typed: str, help: str) -> Iterator[str]:
    """The window, and what it may have been meant to be: what the language's help names, without one of its words, or an example."""
    words = re.split("[;{}#\n]", typed)[0].split()
    layer = words.pop(0) if words and re.fullmatch(r"[A-Za-z_]\w*", words[0]) else ""
    if layer and layer.lower() not in (*_EXAMPLES, *_KINDS):
        layer = nearest(layer, (*_EXAMPLES, *_KINDS)) or ""
    yield typed
    quoted = re.findall("`([^`]*)`", help)
    yield from (line.replace(" 1 ", " ") for line in quoted if line.split(" ")[0] in _EXAMPLES)
    names = [name for name in quoted if re.fullmatch(r"[a-z]\w*", name)]
    values = re.findall(r"\b[a-z]\w*=[^\s`,;]+", help)
    for kept in (words, *([*words[:i], *words[i + 1 :]] for i in reversed(range(len(words))))):
        yield " ".join(filter(None, [layer, *kept]))
        for value in (*values, "k=3"):
            others = [word for word in kept if word.split("=")[0] != value.split("=")[0]]
            yield " ".join(filter(None, [layer, *others, value]))
        for i, word in enumerate(kept):
            renamed = [f"{name}={word.partition('=')[2]}" for name in names]
            yield from (" ".join(filter(None, [layer, *kept[:i], each, *kept[i + 1 :]])) for each in renamed)
    yield _EXAMPLES[_KINDS.get(layer.lower(), layer or "conv").split()[0]]


def _smaller(typed: str) -> Iterator[tuple[int, ...]]:
    """The size of the input, and smaller ones, each once; of more than two axes, the last two."""
    is_size = re.fullmatch(r"\d+(x\d+)*", typed, re.ASCII)
    sizes = tuple(int(number[:9]) for number in typed.split("x")[-2:]) if is_size else (5, 5)
    sides = (MAX_SIDE, *range(24, 0, -1))
    yield from dict.fromkeys(tuple(min(max(size, 1), side) for size in sizes) for side in sides)


# --- a layer of a network ----------------------------------------------------------------------------------------------


def coverage_file(options: DrawOptions) -> bytes:
    """The content of the file."""
    import numpy as np

    from cnnc.view.coverage import Coverage, layer_coverage, paths
    from cnnc.view.coverage_page import coverage_page

    layer = drawn_layer(options, "--coverage", _covering, ("depth", "image"))
    node, graph = layer.node, layer.graph
    if layer.position is not None:
        help = options.command(at=node.name)
        raise _error(f"--coverage counts all positions of {node.name}", help)
    through = paths(graph, node.name, np.ones(node.type.spatial))
    title = f"paths from {{}} to {node.name}"
    count = int(np.prod(node.type.spatial))
    whole = [
        Coverage(title.format(each.name), through[each.name].counts, count, exponent=through[each.name].exponent)
        for each in graph.inputs
        if each.name in through and each.name not in node.inputs and len(each.type.spatial) in (1, 2)
    ]
    first = layer_coverage(graph, node)
    return picture_bytes(
        coverage_page([first, *whole], f"{graph.name}: how often {node.name} reads each element"), options.kind
    )


def _covering(graph: Graph) -> list[str]:
    """The layers that read a sequence or an image."""
    return [
        node.name
        for node in graph.nodes
        if node.inputs and len(graph.input_types(node)[0].spatial) in (1, 2) and len(node.type.spatial) <= 2
    ]
