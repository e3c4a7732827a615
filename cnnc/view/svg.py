"""A drawing as SVG: one self-contained document that any browser shows.

In: a `Drawing`. Out: SVG text, the same for the same drawing, without scripts and outside addresses. Colours follow the
reader's setting (light or dark); programs that know no media queries, and printers, take the light ones.

    svg_text(arranged(page))     # '<svg xmlns="http://www.w3.org/2000/svg" class="c3f09a41b" role="img" ...'
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from cnnc.view.drawing import Box, Drawing, Edge, Label, Marker, Raster, Role, Shape
from cnnc.view.geometry import arrowhead, bends, marker_points
from cnnc.view.palette import DARK, FORMS, LEVELS, LIGHT, MARKING, Palette, level
from cnnc.view.text_width import MONO, SANS, shown_text


def svg_text(drawing: Drawing) -> str:
    """The SVG document of a drawing."""
    body = "".join(f"{shape_text(shape)}\n" for shape in drawing.shapes)
    return document(drawing, body, map(look_of, drawing.shapes)) + "\n"


def document(drawing: Drawing, body: str, used: Iterable[str]) -> str:
    """The SVG element around a body whose shapes have these classes; its name keeps its style apart on a shared page."""
    name = f"c{zlib.crc32((text(drawing.title) + body).encode()):08x}"
    width, height = number(drawing.width), number(drawing.height)
    description = "\n".join(map(text, drawing.description.splitlines()))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{name}" role="img" aria-labelledby="{name}-t {name}-d" '
        f'width="{width}" height="{height}" viewBox="0 0 {width} {height}">\n'
        f'<title id="{name}-t">{text(drawing.title)}</title>\n'
        f'<desc id="{name}-d">{description}</desc>\n'
        f"<style>{style(name, used)}</style>\n"
        f'<defs><pattern id="{name}-h" width="6" height="6" patternUnits="userSpaceOnUse">'
        f'<rect class="b" width="6" height="6"/><path class="h" d="M-1 7L7 -1M-1 1L1 -1M5 7L7 5"/></pattern></defs>\n'
        f'<rect class="g" width="{width}" height="{height}"/>\n{body}</svg>'
    )


# Shapes


def shape_text(shape: Shape) -> str:
    """The element of a shape: always exactly one."""
    pairs = "".join(f' {key}="{value}"' for key, value in attributes(shape).items())
    tag = tag_of(shape)
    if isinstance(shape, Label):
        spaces = ' xml:space="preserve"' if "  " in shape.text or shape.text.startswith(" ") else ""
        return f"<text{pairs}{spaces}>{text(shape.text)}</text>"
    hint = f"<title>{text(shape.hint)}</title>" if shape.hint else ""
    if isinstance(shape, Edge) and (shape.arrow or shape.halo):
        halo = f'<path class="halo" d="{attributes(shape)["d"]}"/>' if shape.halo else ""
        head = f'<path class="m {shape.role}" d="{_path(arrowhead(shape))}Z"/>' if shape.arrow else ""
        return f"<g>{hint}{halo}{head}<path{pairs}/></g>"
    return f"<{tag}{pairs}>{hint}</{tag}>" if hint else f"<{tag}{pairs}/>"


def tag_of(shape: Shape) -> str:
    """The name of the element that has the attributes of a shape."""
    match shape:
        case Box():
            return "rect"
        case Label():
            return "text"
        case Raster():
            return "image"
        case Marker(form="circle"):
            return "circle"
        case Edge() | Marker():
            return "path"


def attributes(shape: Shape) -> dict[str, str]:
    """The attributes of a shape's element."""
    match shape:
        case Box():
            corner = {"rx": number(shape.corner)} if shape.corner else {}
            return {"class": look_of(shape), **_place(shape), **corner}
        case Label():
            return {"class": look_of(shape), "x": number(shape.x), "y": number(shape.y)}
        case Edge():
            return {"class": look_of(shape), "d": _edge_path(shape)}
        case Marker(form="circle"):
            centre = {"cx": number(shape.x), "cy": number(shape.y)}
            return {"class": look_of(shape), **centre, "r": number(shape.size / 2)}
        case Marker():
            return {"class": look_of(shape), "d": _path(marker_points(shape)) + "Z"}
        case Raster():
            enlarged = shape.width >= shape.pixels.shape[1]
            sharp = {"class": "r", "image-rendering": "pixelated"} if enlarged else {}
            data = base64.b64encode(png_bytes(shape.pixels)).decode()
            return {**sharp, **_place(shape), "preserveAspectRatio": "none", "href": f"data:image/png;base64,{data}"}


def look_of(shape: Shape) -> str:
    """The class of a shape's element; "" for an image."""
    match shape:
        case Box():
            return f"b {shape.role}{_heat_class(shape.shade)}"
        case Label():
            size = number(shape.size).replace(".", "-")
            return f"t {shape.role} a{shape.anchor[0]} z{size}{' mono' if shape.mono else ''}{_heat_class(shape.shade)}"
        case Edge():
            return f"e {shape.role}"
        case Marker():
            return f"m {shape.role}"
        case Raster():
            return ""


def _heat_class(shade: float | None) -> str:
    if shade is None:
        return ""
    step = level(shade)
    return f" s n{-step}" if step < 0 else f" s p{step}"


def _place(shape: Box | Raster) -> dict[str, str]:
    return {key: number(getattr(shape, key)) for key in ("x", "y", "width", "height")}


def _edge_path(edge: Edge) -> str:
    path = _path(edge.points[:1])
    for start, control, end in bends(edge):
        path += f"L{_points([start])}" + (f"Q{_points([control, end])}" if start != end else "")
    closed = len(edge.points) > 2 and edge.points[0] == edge.points[-1]
    return path + ("Z" if closed else f"L{_points(edge.points[-1:])}")


def _path(points: Iterable[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{number(x)} {number(y)}" for x, y in points)


def _points(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{number(x)} {number(y)}" for x, y in points)


def number(value: float) -> str:
    """A coordinate to a hundredth, without zeros at the end."""
    digits = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if digits == "-0" else digits


def text(value: str) -> str:
    """A text for XML and HTML, in an attribute too."""
    return escape(shown_text(value), {'"': "&quot;", "'": "&#39;"})


def png_bytes(pixels: NDArray[np.uint8]) -> bytes:
    """An image, grey (H, W) or RGB (H, W, 3), as PNG."""
    height, width = pixels.shape[:2]
    rows = np.ascontiguousarray(pixels, dtype=np.uint8).reshape(height, -1)
    scanlines = np.hstack([np.zeros((height, 1), np.uint8), rows]).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if pixels.ndim == 3 else 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(scanlines, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


# Style


def style(name: str, used: Iterable[str]) -> str:
    """The rules for these classes within the element `name`: what is common, then light and dark colours."""
    words = {word for look in set(used) for word in look.split()}
    roles: list[Role] = sorted((role for role in FORMS if role in words or role == "padding"), key=list(FORMS).index)
    heats = sorted((w for w in words if w[1:].isdigit() and w[0] in "np"), key=lambda w: (w[0], int(w[1:])))
    sizes = sorted(w for w in words if w[0] == "z" and w[1:2].isdigit())
    at = f".{name} "
    rules = [
        f"{at}text{{font-family:{SANS};white-space:pre}}{at}.mono{{font-family:{MONO}}}",
        f"{at}.e,{at}.halo{{fill:none}}{at}.e,{at}.halo{{stroke-linejoin:round}}{at}.r{{image-rendering:pixelated}}",
        f"{at}.am{{text-anchor:middle}}{at}.ae{{text-anchor:end}}",
        *(f"{at}.{size}{{font-size:{size[1:].replace('-', '.')}px}}" for size in sizes),
        *(_form_rule(at, role, name) for role in roles),
    ]
    dark = colour_rules(DARK, at, roles, heats, name)
    return (
        "".join(rules)
        + colour_rules(LIGHT, at, roles, heats, name)
        + f"@media screen and (prefers-color-scheme:dark){{{dark}}}"
    )


def _form_rule(at: str, role: Role, name: str) -> str:
    form = FORMS[role]
    dash = f";stroke-dasharray:{' '.join(map(number, form.dash))}" if form.dash else ""
    rule = f"{at}.b.{role},{at}.e.{role}{{stroke-width:{number(form.width)}{dash}}}"
    return rule + (f"{at}.t.{role}{{font-weight:bold}}" if form.bold else "")


def colour_rules(palette: Palette, at: str, roles: Sequence[Role], heats: Sequence[str], name: str) -> str:
    """The rules that hold for one kind of background."""
    rules = [f"{at}.g{{fill:{palette.background}}}{at}.halo{{stroke:{palette.background};stroke-width:5}}"]
    padding = palette.look("padding")
    rules.append(f"{at}.b{{fill:{padding.fill}}}{at}.h{{fill:none;stroke:{palette.look('axis').line}}}")
    for role in roles:
        look = palette.look(role)
        fill = f"url(#{name}-h)" if FORMS[role].hatched else look.fill
        rules.append(f"{at}.b.{role}{{fill:{fill};stroke:{look.line}}}{at}.e.{role}{{stroke:{look.line}}}")
        rules.append(f"{at}.m.{role}{{fill:{look.line}}}{at}.t.{role}{{fill:{look.text}}}")
    rules += [f"{at}.b.s.{role}{{stroke:{palette.mark}}}" for role in MARKING if heats and role in roles]
    for heat in heats:
        fill, readable = palette.heat((1 if heat[0] == "p" else -1) * int(heat[1:]) / LEVELS)
        rules.append(f"{at}.b.{heat}{{fill:{fill}}}{at}.t.{heat}{{fill:{readable}}}")
    return "".join(rules)
