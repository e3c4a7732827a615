"""The page of a training: while it runs, it reads moments from the server that it came from; a replay holds them.

In: a `Subject` and moments. Out: HTML. The replay loads nothing and works offline; without JavaScript both show the
moment that they were made with.

    live_html(subject, moment)
    replay_html(subject, moments)
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from cnnc.view.html import html_file, script_json
from cnnc.view.live.moment import Moment, Series, Subject
from cnnc.view.live.parts import Html, Parts, position, shown_html
from cnnc.view.svg import text

REPLAY_BYTES = 8_000_000
"""The most bytes of the moments in a replay, for a training whose moments are not larger than that."""


def live_html(subject: Subject, moment: Moment, parts: Html) -> str:
    """The page that shows a training while it runs, with the parts of a moment in it."""
    line = "Live: the page follows the training. Closing it does not disturb the training."
    status = f'<p id="connection" role="status">{line}</p>\n'
    return _file(f"Training of {subject.name}", status + _main(subject, moment, parts), connects=True)


def replay_html(subject: Subject, moments: Sequence[Moment]) -> str:
    """The page with all moments in it, and a slider over them. Some are left out where they would take too many bytes."""
    drawer = Parts(subject)
    drawn = [(moment, drawer.of(moment)) for moment in moments]
    data = _encoded(subject, drawn)
    while len(data) > REPLAY_BYTES and len(drawn) > 2:
        drawn = every_second(drawn)
        data = _encoded(subject, drawn)
    last, parts = drawn[-1]
    line = f"A replay of {len(drawn):,} moments of the training."
    main = f"<p>{line}<noscript> Without JavaScript, the page shows the last one.</noscript></p>\n{_main(subject, last, parts)}{_controls(len(drawn))}"
    return _file(
        f"Replay of the training of {subject.name}",
        main + f'<script type="application/json" id="moments">{data}</script>\n',
    )


def every_second(items: Sequence[Any]) -> list[Any]:
    """Half of the items, with the first and the last one."""
    return [*items[:-1:2], items[-1]]


def _encoded(subject: Subject, drawn: Sequence[tuple[Moment, Html]]) -> str:
    """Moments as JSON; a part that several of them show alike is in it once."""
    strings: dict[str, int] = {}
    moments = [
        {
            "title": position(subject, moment),
            "parts": {name: strings.setdefault(part, len(strings)) for name, part in parts.items()},
        }
        for moment, parts in drawn
    ]
    return script_json({"strings": list(strings), "moments": moments})


def event_json(parts: Html) -> str:
    """The parts of a moment as one line of JSON."""
    return json.dumps(parts, separators=(",", ":"))


def _file(title: str, main: str, connects: bool = False) -> str:
    here = files("cnnc.view.live")
    style, script = (here.joinpath(name).read_text(encoding="utf-8") for name in ("live.css", "live.js"))
    return html_file(title, f"<h1>{text(title)}</h1>\n{main}", style=style, script=script, connects=connects)


def _main(subject: Subject, moment: Moment, parts: Html) -> str:
    notes = "".join(f'<p class="note">{text(note)}</p>\n' for note in subject.notes)
    return (
        f"<p>{text(subject.description)}</p>\n"
        f'<div id="state">{parts["state"]}</div>\n'
        f'<p id="news" aria-live="polite">{parts["news"]}</p>\n'
        f'<dl id="numbers">{parts["numbers"]}</dl>\n'
        + _section("Curves", _charts(parts))
        + (_section(subject.samples_title, _samples(subject, parts)) if subject.samples else "")
        + (_section("Accuracy per class", _scrolling("classes", parts["classes"])) if subject.classes else "")
        + (_section("Kernels", _kernels(moment, parts)) if moment.learned.kernels else "")
        + notes
    )


def _section(title: str, body: str) -> str:
    return f'<section class="part">\n<h2>{text(title)}</h2>\n{body}</section>\n'


def _scrolling(name: str, body: str) -> str:
    return f'<div class="table" id="{name}" tabindex="0" role="group" aria-label="{name}">{body}</div>\n'


def _charts(parts: Html) -> str:
    charts = f'<div class="charts"><div id="loss">{parts["loss"]}</div><div id="curves">{parts["curves"]}</div>\n'
    return charts + _scrolling("scores", parts["scores"]) + "</div>\n"


def _samples(subject: Subject, parts: Html) -> str:
    """Texts and numbers as a table, images and curves beside one another."""
    if isinstance(subject.samples[0].shown, str):
        heads = "<tr><th>input</th><th>output</th><th>target</th></tr>"
        rows = "".join(
            f'<tr><td>{shown_html(sample.shown, "input")}</td><td id="sample{i}">{parts[f"sample{i}"]}</td>'
            f"<td>{shown_html(sample.target, 'target') if sample.target is not None else ''}</td></tr>\n"
            for i, sample in enumerate(subject.samples)
        )
        return f'<div class="table" tabindex="0" role="group" aria-label="predictions"><table><thead>{heads}</thead><tbody>{rows}</tbody></table></div>\n'
    first = subject.samples[0]
    is_class = isinstance(first.target, str)
    parts_of_one = 1 if is_class else 2 if first.target is None else 3
    kind = f"{'curves' if isinstance(first.shown, Series) else 'images'}{parts_of_one}"
    figures = "".join(
        _class_figure(subject, i, parts) if is_class else _triple(subject, i, parts)
        for i in range(len(subject.samples))
    )
    return f'<div class="samples {kind}">\n{figures}</div>\n'


def _class_figure(subject: Subject, i: int, parts: Html) -> str:
    """An input above its predicted class."""
    image = shown_html(subject.samples[i].shown, f"input of class {subject.samples[i].target}")
    return f'<figure>{image}<figcaption id="sample{i}">{parts[f"sample{i}"]}</figcaption></figure>\n'


def _triple(subject: Subject, i: int, parts: Html) -> str:
    """An input beside its output and its target."""
    sample = subject.samples[i]
    target = "" if sample.target is None else f"<div><span>target</span>{shown_html(sample.target, 'target')}</div>"
    return (
        f'<div class="triple"><div><span>input</span>{shown_html(sample.shown, "input")}</div>'
        f'<div><span>output</span><div id="sample{i}">{parts[f"sample{i}"]}</div></div>{target}</div>\n'
    )


def _kernels(moment: Moment, parts: Html) -> str:
    figures = []
    for i, image in enumerate(moment.learned.kernels):
        notes = "".join(f'<p class="note">{text(note)}</p>' for note in image.notes)
        figures.append(
            f'<div class="kernel"><h3>{text(image.title)}</h3>{notes}<div id="kernel{i}">{parts[f"kernel{i}"]}</div></div>\n'
        )
    return f'<div class="kernels">\n{"".join(figures)}</div>\n'


def _controls(count: int) -> str:
    return (
        '<div class="steps" id="replay" hidden>\n<nav aria-label="moments">\n'
        '<button type="button" data-go="first" aria-label="first moment">|◀</button>'
        '<button type="button" data-go="back" aria-label="previous moment">◀</button>'
        '<button type="button" data-go="on" aria-label="next moment">▶</button>'
        '<button type="button" data-go="last" aria-label="last moment">▶|</button>'
        '<button type="button" id="play" aria-pressed="false">Play</button>\n'
        f'<input type="range" id="slider" min="0" max="{count - 1}" value="{count - 1}" aria-label="moment">\n'
        '<span id="moment"></span>\n<span class="keys">keys: ← → by a moment, Home, End</span>\n</nav>\n</div>\n'
    )
