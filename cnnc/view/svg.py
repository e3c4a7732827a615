"""A drawing as SVG: one self-contained document that any browser shows.

In: a `Drawing`. Out: SVG text, the same for the same drawing, without scripts and outside addresses. Colours follow the
reader's setting (light or dark); programs that know no media queries, and printers, take the light ones.

    svg_text(arranged(page))     # '<svg xmlns="http://www.w3.org/2000/svg" class="c3f09a41b" role="img" ...'
"""

from __future__ import annotations

import base64
import re
import struct
import zlib
from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from cnnc.view.drawing import Box, Drawing, Edge, Label, Marker, Polygon, Raster, Role, Shape
from cnnc.view.geometry import arrowhead, bends, line_points, marker_points
from cnnc.view.palette import DARK, FORMS, LEVELS, LIGHT, MARKING, Palette, level
from cnnc.view.text_width import MONO, SANS, shown_text


def svg_text(drawing: Drawing) -> str:
    """The SVG document of a drawing."""
    body = "".join(f"{shape_text(shape)}\n" for shape in drawing.shapes)
    return document(drawing, body, map(look_of, drawing.shapes)) + "\n"


def document(drawing: Drawing, body: str, used: Iterable[str]) -> str:
    """The SVG element around a body whose shapes have these classes; its name keeps its style apart on a shared page."""
    name = f"c{zlib.crc32((text(drawing.title) + body).encode()):08x}"
    looks = set(used)
    width, height = number(drawing.width), number(drawing.height)
    description = "\n".join(map(text, drawing.description.splitlines()))
    hatched = any(look.startswith("b ") and FORMS[_role(look)].hatched for look in looks)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{name}" role="img" aria-labelledby="{name}-t {name}-d" '
        f'width="{width}" height="{height}" viewBox="0 0 {width} {height}">\n'
        f'<title id="{name}-t">{text(drawing.title)}</title>\n'
        f'<desc id="{name}-d">{description}</desc>\n'
        "<metadata>drawn by cnnc</metadata>\n"
        f"<style>\n{style(name, looks)}</style>\n"
        + (HATCH.format(name=name) if hatched else "")
        + f'<rect class="ground" width="{width}" height="{height}"/>\n{body}</svg>'
    )


HATCH = (
    '<defs><pattern id="{name}-h" width="6" height="6" patternUnits="userSpaceOnUse">'
    '<rect class="hatched" width="6" height="6"/><path class="hatch" d="M-1 7L7 -1M-1 1L1 -1M5 7L7 5"/></pattern></defs>\n'
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
        case Edge() | Marker() | Polygon():
            return "path"


def attributes(shape: Shape) -> dict[str, str]:
    """The attributes of a shape's element."""
    match shape:
        case Box():
            corner = {"rx": number(shape.corner)} if shape.corner else {}
            return {"class": look_of(shape), **_place(shape), **corner}
        case Label():
            return {"class": look_of(shape), "x": number(shape.x), "y": number(shape.y)}
        case Polygon():
            return {"class": look_of(shape), "d": _path(shape.points) + "Z"}
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
        case Box() | Polygon():
            return f"b {shape.role}{_heat_class(shape.shade)}"
        case Label():
            size = number(shape.size).replace(".", "-")
            return f"t {shape.role} a{shape.anchor[0]} z{size}{' mono' if shape.mono else ''}{_heat_class(shape.shade)}"
        case Edge():
            return f"e {shape.role}{' thin' if shape.thin else ''}"
        case Marker():
            return f"{'h' if shape.hollow else 'm'} {shape.role}"
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
    points = line_points(edge)
    if not edge.corner:
        return _path(points[:-1] if _is_closed(points) else points) + ("Z" if _is_closed(points) else "")
    path = _path(points[:1])
    for start, control, end in bends(edge):
        path += f"L{_points([start])}" + (f"Q{_points([control, end])}" if start != end else "")
    return path + ("Z" if _is_closed(points) else f"L{_points(points[-1:])}")


def _is_closed(points: Sequence[tuple[float, float]]) -> bool:
    return len(points) > 2 and points[0] == points[-1]


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


def png_bytes(pixels: NDArray[np.uint8], transparent: bool = False) -> bytes:
    """An image, grey (H, W) or RGB (H, W, 3), as PNG; with `transparent`, black pixels are not drawn."""
    height, width = pixels.shape[:2]
    rows = np.ascontiguousarray(pixels, dtype=np.uint8).reshape(height, -1)
    scanlines = np.hstack([np.zeros((height, 1), np.uint8), rows]).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if pixels.ndim == 3 else 0, 0, 0, 0)
    clear = [(b"tRNS", bytes(6 if pixels.ndim == 3 else 2))] if transparent else []
    chunks = ((b"IHDR", header), *clear, (b"IDAT", zlib.compress(scanlines, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


# Style


def style(name: str, looks: set[str]) -> str:
    """The rules for these classes within the element `name`, one per line: form and light colours, then dark colours."""
    kinds = {(look.split()[0], _role(look)) for look in looks if look}
    pairs = sorted(
        kinds | {("m", role) for kind, role in kinds if kind == "e"}
    )  # an arrowhead has the class of a marker
    words = {word for look in looks for word in look.split()}
    shades = sorted((int(word[1:]) * (1 if word[0] == "p" else -1), word) for word in words if _is_heat(word))
    rules = [
        ".b{stroke-linejoin:round}",
        f"text{{font-family:{SANS};white-space:pre}}",
        f".mono{{font-family:{MONO}}}",
        ".am{text-anchor:middle}",
        ".ae{text-anchor:end}",
        ".r{image-rendering:pixelated}",
        ".e,.halo{fill:none;stroke-linejoin:round}",
        *(f".{word}{{font-size:{word[1:].replace('-', '.')}px}}" for word in sorted(words) if re.match(r"z\d", word)),
        *(_form_rule(kind, role) for kind, role in pairs),
        ".e.thin{stroke-width:1}" if "thin" in words else "",
        *colour_rules(LIGHT, pairs, shades, name),
    ]
    dark = colour_rules(DARK, pairs, shades, name)
    return f"{_within(name, rules)}@media screen and (prefers-color-scheme:dark){{\n{_within(name, dark)}}}\n"


def _within(name: str, rules: Iterable[str]) -> str:
    """The rules for what is inside the element `name` only."""
    split = (rule.partition("{") for rule in rules if rule)
    return "".join(f".{name} {selector.replace(',', f',.{name} ')}{{{rest}\n" for selector, _, rest in split)


def _role(look: str) -> Role:
    """The role in a class such as `b read s p3`."""
    role = look.split()[1]
    return next(known for known in FORMS if known == role)


def _is_heat(word: str) -> bool:
    return word[0] in "np" and word[1:].isdigit()


def _form_rule(kind: str, role: Role) -> str:
    form = FORMS[role]
    if kind == "t":
        return f".t.{role}{{font-weight:bold}}" if form.bold else ""
    if kind == "m":
        return ""
    if kind == "h":
        return f".h.{role}{{stroke-width:1.5}}"
    dash = f";stroke-dasharray:{' '.join(map(number, form.dash))}" if form.dash else ""
    return f".{kind}.{role}{{stroke-width:{number(form.width)}{dash}}}"


def colour_rules(
    palette: Palette, pairs: Sequence[tuple[str, Role]], shades: Sequence[tuple[int, str]], name: str
) -> list[str]:
    """The rules for one kind of background: of each role as box, text, edge and marker, then of the shades."""
    rules = [f".ground{{fill:{palette.background}}}"]
    rules.append(f".halo{{stroke:{palette.background};stroke-width:5}}")
    for kind, role in pairs:
        look, hatched = palette.look(role), FORMS[role].hatched
        fill = f"url(#{name}-h)" if hatched else look.fill
        values = {
            "b": f"fill:{fill};stroke:{look.line}",
            "t": f"fill:{look.text}",
            "e": f"stroke:{look.line}",
            "m": f"fill:{look.line}",
            "h": f"fill:{palette.background};stroke:{look.line}",
        }
        rules.append(f".{kind}.{role}{{{values[kind]}}}")
        if kind == "b" and hatched:
            rules += [f".hatched{{fill:{look.fill}}}", f".hatch{{fill:none;stroke:{palette.look('axis').line}}}"]
    if shades:
        rules += [f".b.s.{role}{{stroke:{palette.mark}}}" for role in MARKING if ("b", role) in pairs]
    for step, word in shades:
        fill, readable = palette.heat(step / LEVELS)
        rules += [f".b.{word}{{fill:{fill}}}", f".t.{word}{{fill:{readable}}}"]
    return rules
