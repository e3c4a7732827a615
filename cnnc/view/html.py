"""A page as HTML: one self-contained file to step through, by arrow keys, buttons, a slider, or a click on a result.

In: a `Page`. Out: HTML text that loads nothing and works offline; without JavaScript it shows the page's current step.
The picture is in it once, as SVG; each other step holds only what differs from it.

    html_text(page)     # '<!doctype html> <html lang="en">...'
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

from cnnc.view.arrange import WIDTH, layout_of, legend_of, legend_width, roles_of
from cnnc.view.changes import StepChange, elements
from cnnc.view.drawing import Drawing, Shape
from cnnc.view.labels import MARGIN
from cnnc.view.page import Page, Panel, Step
from cnnc.view.panels import panel_shapes
from cnnc.view.svg import document, look_of, text
from cnnc.view.text_width import shown_text


def html_text(page: Page, width: int = WIDTH) -> str:
    """The HTML document of a page; without controls if it has a single step."""
    picture, steps = page_parts(page, width)
    return html_file(page.title, f"<h1>{text(page.title)}</h1>\n{page_text(page, picture)}", steps)


def page_parts(page: Page, width: int = WIDTH) -> tuple[str, str]:
    """The picture of a page at its current step, as SVG, and its steps as JSON, "" if there is only one."""
    layout = layout_of(page, MARGIN, width)
    current = _panels(page, page.current)
    base = [panel_shapes(panel, place) for panel, place in zip(current, layout.places, strict=True)]
    shown = [_panels(page, number) for number in range(len(page.steps))]
    changes: list[StepChange] = []
    for panels in shown:
        change, first = StepChange(), 0
        for index, (panel, place) in enumerate(zip(panels, layout.places, strict=True)):
            if panel is not current[index]:
                change.add(index, first, current[index], panel, place)
            first += len(base[index])
        changes.append(change)
    roles = roles_of(panel for panels in (current, *shown) for panel in panels)
    legend, bottom = legend_of(roles, layout.bottom, layout.width - 2 * MARGIN)
    fixed: list[Shape] = [*layout.signs, *legend]
    body = elements(fixed) + "".join(f'<g class="panel">\n{elements(shapes)}</g>\n' for shapes in base)
    used = {look_of(shape) for shapes in (fixed, *base) for shape in shapes}.union(*(change.used for change in changes))
    drawing = Drawing(max(layout.width, legend_width(legend)), bottom + MARGIN, page.title, page.description, ())
    return document(drawing, body, used), _steps_json(page, changes) if len(page.steps) > 1 else ""


def drawing_html(drawing: Drawing) -> str:
    """The HTML document of a drawing, which has a title of its own and no steps."""
    return html_file(drawing.title, drawing_picture(drawing))


def drawing_picture(drawing: Drawing) -> str:
    """The element of a drawing."""
    return _picture(document(drawing, elements(drawing.shapes), map(look_of, drawing.shapes)))


def drawings_html(drawings: Mapping[str, Drawing], current: int = 0) -> str:
    """The HTML document of drawings of one thing, by the name of each: one is shown, buttons switch. Needs no script."""
    first = next(iter(drawings.values()))
    switches, pictures, rules = "", "", ""
    for index, (name, drawing) in enumerate(drawings.items()):
        checked = " checked" if index == current else ""
        switches += (
            f'<label><input type="radio" name="shown" id="shown{index}"{checked}> <span>{text(name)}</span></label>\n'
        )
        picture = document(drawing, elements(drawing.shapes), map(look_of, drawing.shapes))
        pictures += f'<div class="drawing drawing{index}">\n{_picture(picture)}</div>\n'
        rules += f"main:has(#shown{index}:checked) .drawing{index} {{ display: block; }}\n"
    fieldset = f'<fieldset class="switches"><legend>show</legend>\n{switches}</fieldset>\n'
    return html_file(first.title, fieldset + pictures, style=f".drawing {{ display: none; }}\n{rules}")


def _panels(page: Page, number: int) -> list[Panel]:
    return [panel for band in page.at_step(number)[0] for panel in band.panels]


def _steps_json(page: Page, changes: Iterable[StepChange]) -> str:
    """The steps for the script, safe within a script element."""
    looks: dict[str, int] = {}
    steps = [{**_step_texts(step), **change.as_json(looks)} for step, change in zip(page.steps, changes, strict=True)]
    data: dict[str, Any] = {"current": page.current, "looks": list(looks), "steps": steps}
    return script_json(data)


def script_json(data: Any) -> str:
    """JSON that is safe within a script element."""
    text = json.dumps(data, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _step_texts(step: Step) -> dict[str, Any]:
    texts: dict[str, Any] = {"title": shown_text(step.title), "lines": "\n".join(map(shown_text, step.lines))}
    return {**texts, "at": list(step.position)} if step.position else texts


def page_text(page: Page, picture: str, prefix: str = "") -> str:
    """What stands below the title of a page: its description, picture, current step and notes."""
    notes = "".join(f"<p>{text(note)}</p>" for note in page.notes)
    return (
        f"<p>{text(page.description)}</p>\n"
        + _picture(picture)
        + (_step_section(page, page.steps[page.current], prefix) if page.steps else "")
        + (f"<footer>{notes}</footer>\n" if notes else "")
    )


def _picture(picture: str) -> str:
    """A picture that scrolls, by keys too, if it is wider than the window."""
    return f'<div class="picture" tabindex="0" role="group" aria-label="picture">\n{picture}\n</div>\n'


def html_file(
    title: str,
    main: str,
    steps: str = "",
    *,
    scripted: bool = False,
    style: str = "",
    script: str = "",
    connects: bool = False,
) -> str:
    """A file with this content: a page whose steps are given, or a document that may need the script for its pages.

    `style` is added to the style of all files. A page of another kind brings its own `script`; with `connects` it may read
    from the server that it came from.
    """
    style = files("cnnc.view").joinpath("page.css").read_text(encoding="utf-8") + style
    if scripted or steps:
        script = files("cnnc.view").joinpath("page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = f"script-src 'sha256-{digest}'; " if script else ""
    allowed += "connect-src 'self'; " if connects else ""
    policy = (
        f"default-src 'none'; {allowed}style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="generator" content="cnnc">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body{' data-steps' if steps else ''}>\n<main>\n{main}</main>\n"
        + (steps_element(steps) if steps else "")
        + (f"<script>{script}</script>\n" if script else "")
        + "</body>\n</html>\n"
    )


def steps_element(steps: str, prefix: str = "") -> str:
    """The element that holds the steps of a page for the script."""
    return f'<script type="application/json" id="{prefix}steps">{steps}</script>\n'


def _step_section(page: Page, step: Step, prefix: str) -> str:
    """The step's title and formulas, below the controls if there are other steps."""
    level = "h3" if prefix else "h2"
    return (
        f'<section id="{prefix}step" class="steps">\n{_controls(page, prefix) if len(page.steps) > 1 else ""}'
        f'<div aria-live="polite"><{level} id="{prefix}title">{text(step.title)}</{level}>\n'
        f'<pre id="{prefix}lines">{chr(10).join(map(text, step.lines))}</pre></div>\n</section>\n'
    )


def _controls(page: Page, prefix: str) -> str:
    last = len(page.steps)
    rows = ", ↑ ↓ by a row" if any(len(step.position) > 1 for step in page.steps) else ""
    return (
        f'<nav id="{prefix}controls" aria-label="steps" hidden>\n'
        '<button type="button" data-go="first" aria-label="first step">|◀</button>'
        '<button type="button" data-go="back" aria-label="previous step">◀</button>'
        '<button type="button" data-go="on" aria-label="next step">▶</button>'
        '<button type="button" data-go="last" aria-label="last step">▶|</button>'
        f'<button type="button" id="{prefix}play" aria-pressed="false">Play</button>\n'
        f'<input type="range" id="{prefix}slider" min="1" max="{last}" value="{page.current + 1}" aria-label="step">\n'
        f'<span id="{prefix}count">{page.current + 1} of {last}</span>\n'
        f'<span class="keys">keys: ← → by a step{rows}, Home, End</span>\n</nav>\n'
    )
