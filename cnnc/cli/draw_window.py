"""`cnnc draw --slide`: a window that moves over its input; `--coverage`: how often each element of an input is read.

In: `DrawOptions`. Out: the content of the file, or CnncError E010 in words of the options.
"""

from __future__ import annotations

import re
from shlex import join
from typing import Any, NamedTuple

from cnnc.cli.draw import DrawOptions
from cnnc.cli.picture_files import picture_bytes
from cnnc.core.tensor import TensorType, format_shape
from cnnc.diagnostics import CnncError, nearest

MAX_POSITIONS, MAX_CELLS, MAX_TAPS = 400, 1200, 400
"""The most positions of an animation, cells of its input with padding, and taps of its window."""
MAX_SIDE = 4096
"""The most elements on an axis."""
FRAMES = 9
"""The most steps in a PNG."""

_LAYERS = ("conv", "conv_transpose", "pool", "filter", "local")
_KINDS = {"maxpool": "pool max", "max_pool": "pool max", "avgpool": "pool avg", "avg_pool": "pool avg"}
_EXAMPLE = 'cnnc draw --slide "k=3 s=2 p=1" 5x5'


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
    _require_small(options, window)
    page = window_page(window.op, window.x, window.name)
    if options.kind == "svg":
        return animated_svg(page).encode()
    return picture_bytes(stills(page, FRAMES) if options.kind == "png" else page, options.kind)


def _title(window: SlidingWindow) -> str:
    return f"{window.name} on {format_shape(window.x.spatial)}: how often each element is read"


# --- what was typed --------------------------------------------------------------------------------------------------


def typed_window(options: DrawOptions) -> SlidingWindow:
    """The layer of --slide on an input of SIZE. Raises CnncError E010."""
    sizes = _sizes(options.source or "")
    words = (options.slide or "").split()
    first = words[0] if words and re.fullmatch(r"[A-Za-z_]\w*", words[0]) else "conv"
    rest = words[1:] if words and first == words[0] else words
    keyword, *kind = _KINDS.get(first.lower(), first).split()
    if keyword not in _LAYERS:
        near = nearest(keyword, (*_LAYERS, *_KINDS)) or "conv"
        message = f"--slide: `{first}` is not a layer with a window"
        raise _error(message, f'did you mean `--slide "{" ".join([near, *rest])}"`? Layers: {", ".join(_LAYERS)}')
    if any(character in word for word in words for character in ";{}#\n"):
        raise _error("--slide takes one layer", f"for example `{_EXAMPLE}`")
    if keyword in ("conv", "conv_transpose", "local") and not (rest and rest[0].isdigit()):
        kind = ["1"]
    typed = " ".join([first, *rest]) if words else ""
    op = _layer(" ".join([keyword, *kind, *rest]), sizes, typed)
    channels = getattr(op, "out", 1)
    if channels != 1:
        raise _error(
            f"--slide draws one output channel, not {channels:,}",
            f'leave the number out: `--slide "{_without_channels(words)}"`',
        )
    return SlidingWindow(op, TensorType((1, *sizes)), typed or "conv")


def _without_channels(words: list[str]) -> str:
    return " ".join(word for word in words if not word.isdigit())


def _sizes(text: str) -> tuple[int, ...]:
    """The sizes of the input: `7` or `5x7`. Raises CnncError E010."""
    parts = text.strip().lower().split("x")
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise _error(f"--slide takes the size of an input, not `{text}`", f"for example `{_EXAMPLE}`")
    sizes = tuple(int(part[:9]) for part in parts)
    if len(sizes) == 3 and sizes[0] in (1, 3):
        raise _error(
            f"--slide draws one channel, and {text} has three numbers",
            f"leave the channels out: `{format_shape(sizes[1:])}`",
        )
    if len(sizes) > 2:
        raise _error(f"--slide draws one or two axes, not {len(sizes)}", f"for example `{format_shape(sizes[:2])}`")
    if not all(1 <= size <= MAX_SIDE for size in sizes):
        fitting = format_shape(tuple(min(max(size, 5), 9) for size in sizes))
        raise _error(f"an input of {text} cannot be drawn: sizes are 1 to {MAX_SIDE:,}", f"for example `{fitting}`")
    return sizes


def _layer(line: str, sizes: tuple[int, ...], typed: str) -> Any:
    """The layer of a line of a source. Raises CnncError E010 with the words of the language's own error."""
    from cnnc.network import check

    network = check(f"input 1x{format_shape(sizes)}; {line}")
    for diagnostic in network.diagnostics:
        if diagnostic.severity == "error":
            raise _error(f'--slide "{typed}": {diagnostic.message}', diagnostic.help or f"for example `{_EXAMPLE}`")
    layers = [node.op for node in network.require_graph().nodes if node.inputs]
    if len(layers) != 1:
        raise _error("--slide takes one layer", f"for example `{_EXAMPLE}`")
    return layers[0]


def _require_small(options: DrawOptions, window: SlidingWindow) -> None:
    """Raises CnncError E010 for more positions, cells or taps than can be followed; its help names a size that can."""
    from cnnc.view.window_page import frame_cells, position_count

    def too_large(x: TensorType) -> str:
        positions, cells = position_count(window.op, x), frame_cells(window.op, x)
        taps = 1
        for rule in window.op.rules(x):
            taps *= rule.k
        for count, most, what in (
            (positions, MAX_POSITIONS, "positions"),
            (cells, MAX_CELLS, "cells with padding"),
            (taps, MAX_TAPS, "taps"),
        ):
            if count > most:
                return f"{count:,} {what}; at most {most:,} can be followed"
        return ""

    reason = too_large(window.x)
    if not reason:
        return
    for side in range(24, 0, -1):
        smaller = TensorType((1, *(min(side, size) for size in window.x.spatial)))
        if all(rule.out >= 1 for rule in window.op.rules(smaller)) and not too_large(smaller):
            words = ["cnnc", "draw", "--slide", options.slide or "", format_shape(smaller.spatial)]
            raise _error(f"the animation has {reason}", f"a smaller input: `{join(words)}`")
    raise _error(f"the animation has {reason}", f"a smaller window and less padding: `{_EXAMPLE}`")


def require_absent(options: DrawOptions, mode: str, *names: str) -> None:
    """Raises CnncError E010 for an option that a mode of `draw` does not take."""
    for name in names:
        if getattr(options, name) not in (None, (), False):
            option = "--set" if name == "settings" else f"--{name}"
            raise _error(f"{option} does not go with {mode}", f"leave {option} out")


def _error(message: str, help: str) -> CnncError:
    return CnncError.of("E010", message, help=help)


# --- a layer of a network ----------------------------------------------------------------------------------------------


def coverage_file(options: DrawOptions) -> bytes:
    """The content of the file."""
    import numpy as np

    from cnnc.cli.draw_field import drawn_layer
    from cnnc.view.coverage import Coverage, layer_coverage, paths
    from cnnc.view.coverage_page import coverage_page

    require_absent(options, "--coverage", "depth", "image")
    layer = drawn_layer(options, "--coverage")
    node, graph = layer.node, layer.graph
    if layer.position is not None:
        raise _error(f"--coverage counts all positions of {node.name}", f"write `--at {node.name}`")
    through = paths(graph, node.name, np.ones(node.type.spatial))
    title = f"paths from {{}} to {node.name}"
    count = int(np.prod(node.type.spatial))
    whole = [
        Coverage(title.format(each.name), through[each.name], count)
        for each in graph.inputs
        if each.name in through and each.name not in node.inputs and len(each.type.spatial) in (1, 2)
    ]
    first = layer_coverage(graph, node)
    if first.counts.ndim not in (1, 2):
        raise _error(
            f"--coverage draws one or two axes, and {node.inputs[0]} has {first.counts.ndim}",
            "choose another with --at",
        )
    return picture_bytes(
        coverage_page([first, *whole], f"{graph.name}: how often {node.name} reads each element"), options.kind
    )
