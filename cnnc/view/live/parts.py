"""A moment of a training as HTML: the text of each element of the page, by its id.

In: a `Subject` and a `Moment`. Out: HTML without ids of its own, in which every text of a user is escaped. What has not
changed since the last moment is not drawn again.

    Parts(subject).of(moment)     # {"state": "Epoch 4 of 10, step 120 of 844", "loss": "<svg ...", ...}
"""

from __future__ import annotations

import base64
from math import ceil, floor
from typing import Any

import numpy as np

from cnnc.view.axis import Axis, AxisScale, round_step, scale_of
from cnnc.view.changes import elements
from cnnc.view.chart import Curve, CurvePoint
from cnnc.view.drawing import Drawing, Edge
from cnnc.view.labels import SMALL
from cnnc.view.live.moment import ClassCounts, Learned, Moment, SamplePrediction, Series, Shown, Subject
from cnnc.view.shades import Pixels
from cnnc.view.svg import document, look_of, png_bytes, text
from cnnc.view.text_width import text_width
from cnnc.view.training_curves import TrainingRun, curve_panel, curve_panels, score_table, value_text

CHART = 460
"""The width of a chart, which the page makes smaller where it must."""
CLASSES = 100
"""The most classes with a bar each."""
_SIDE, _CURVE, _CURVE_HEIGHT = 84, 168, 56
_SPREAD = 100
"""Where the largest loss is this many times the smallest, the axis is logarithmic."""

Html = dict[str, str]


class Parts:
    """Draws moments of one training, and keeps what it has drawn of the last one."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self._last: dict[str, tuple[Any, Html]] = {}

    def of(self, moment: Moment) -> Html:
        """The HTML of each element, by its id."""
        return {
            "state": _state(self.subject, moment),
            "news": _news(self.subject, moment),
            "numbers": _numbers(self.subject, moment),
            **self._once("loss", moment.losses, _losses),
            **self._once("curves", moment.run, lambda run: _curves(self.subject, run)),
            **self._once("classes", moment.counts, lambda counts: _classes(self.subject, counts)),
            **self._once("learned", moment.learned, lambda learned: _learned(self.subject, learned)),
        }

    def _once(self, name: str, what: Any, draw: Any) -> Html:
        """What `draw(what)` returns, or returned for the last moment if that showed the same object."""
        if name not in self._last or self._last[name][0] is not what:
            self._last[name] = (what, draw(what))
        return self._last[name][1]


# Where the training is


def position(subject: Subject, moment: Moment) -> str:
    """Where a moment is: `epoch 4 of 10, step 120 of 844`."""
    if not moment.step:
        return f"epoch {moment.epoch:,} of {subject.epochs:,} ended" if moment.epoch else "before the first step"
    return f"epoch {moment.epoch + 1:,} of {subject.epochs:,}, step {moment.step:,} of {subject.steps:,}"


def _state(subject: Subject, moment: Moment) -> str:
    done, all_steps = moment.epoch * subject.steps + moment.step, subject.epochs * subject.steps
    where = position(subject, moment)
    word = "" if moment.state == "training" else f"{moment.state}: "
    line = (word + where)[:1].upper() + (word + where)[1:]
    return f'<progress max="{all_steps}" value="{done}" aria-label="steps"></progress> {text(line)}'


def _news(subject: Subject, moment: Moment) -> str:
    """A sentence that changes with each epoch, and at the end."""
    run = moment.run
    if run is None:
        return text(moment.end)
    row = run.rows[-1]
    values = [
        f"{'training' if split == 'train' else 'validation'} {name} {value_text(value)}"
        for key, value in row.items()
        for split, _, name in [key.partition("_")]
        if split in ("train", "val") and value is not None
    ]
    best = "" if run.best_epoch is None else f" The best epoch so far is {run.best_epoch:,}."
    return text(f"Epoch {int(row['epoch'] or 0):,}: {', '.join(values)}.{best} {moment.end}".strip())


def _numbers(subject: Subject, moment: Moment) -> str:
    loss = value_text(moment.losses[-1][1]) if moment.losses else "–"
    left = "–"
    if moment.state == "training" and moment.left is not None:
        left = ("at most " if subject.may_stop_early else "") + duration(moment.left)
    facts = {
        "loss of the last batches": loss,
        "speed": f"{moment.rate:,.0f} {subject.noun}/s" if moment.rate is not None else "–",
        "memory of the process": f"{moment.memory / 1e6:,.0f} MB" if moment.memory else "–",
        "time so far": duration(moment.seconds),
        "time left": left,
    }
    return "".join(f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>" for name, value in facts.items())


def duration(seconds: float) -> str:
    """A time in words: `3 min 20 s`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"


# Curves


def _losses(losses: tuple[tuple[float, float], ...]) -> Html:
    """The mean loss of the batches over the epochs, with fractions of them."""
    if len(losses) < 2:
        return {"loss": "<p>No step has been made yet.</p>"}
    values = [loss for _, loss in losses]
    log = min(values) > 0 and max(values) / min(values) >= _SPREAD
    up = scale_of(Axis("loss", log), values, 8 if log else 5)
    first, last = floor(losses[0][0]), ceil(losses[-1][0])
    step = max(1, int(round_step((last - first) / 8)))
    across = AxisScale(first, last, False, tuple((float(n), f"{n:,}") for n in range(first, last + 1, step)))
    left = max(text_width(tick, SMALL) for _, tick in up.ticks) + 8
    curve = Curve("mean loss of the batches", tuple(CurvePoint(x, y) for x, y in losses))
    return {"loss": _svg(curve_panel("loss of the batches", [curve], across, up, CHART, left, None))}


def _curves(subject: Subject, run: TrainingRun | None) -> Html:
    """Each quantity over the epochs, and the table that is their legend."""
    if run is None:
        return {"curves": "", "scores": "<p>The first epoch has not ended yet.</p>"}
    panels = curve_panels([run], subject.falling, CHART)
    return {"curves": "".join(f"<div>{_svg(panel)}</div>" for panel in panels), "scores": _svg(score_table(run))}


def _svg(drawing: Drawing) -> str:
    return document(drawing, elements(drawing.shapes), map(look_of, drawing.shapes))


# Classes


def _classes(subject: Subject, counts: ClassCounts | None) -> Html:
    """A bar for each class: the share of its labels that were predicted."""
    if counts is None:
        return {"classes": "<p>Counted at the end of each epoch.</p>"}
    rows = []
    for index, (right, total) in enumerate(zip(counts.right[:CLASSES], counts.total[:CLASSES], strict=True)):
        share = right / total if total else 0.0
        value = f"{share:.1%}" if total else "–"
        rows.append(
            f'<tr><th scope="row">{text(class_name(subject, index))}</th>'
            f'<td class="bar"><span style="width:{share:.1%}"></span></td>'
            f'<td class="right">{value}</td><td class="right">{right:,} of {total:,}</td></tr>'
        )
    notes = f"On {counts.on}."
    if len(counts.total) > CLASSES:
        notes += f" The first {CLASSES} of {len(counts.total):,} classes are shown."
    heads = "<tr><th>class</th><th></th><th>correct</th><th>labels</th></tr>"
    return {"classes": f"<p>{text(notes)}</p><table><thead>{heads}</thead><tbody>{''.join(rows)}</tbody></table>"}


def class_name(subject: Subject, index: int) -> str:
    """The name of a class, or its number."""
    return subject.classes[index] if index < len(subject.classes) else str(index)


# What it has learned


def _learned(subject: Subject, learned: Learned) -> Html:
    predictions = {f"sample{i}": _prediction(subject, i, each) for i, each in enumerate(learned.predictions)}
    kernels = {f"kernel{i}": _kernel(image.pixels, image.zoom, image.scale) for i, image in enumerate(learned.kernels)}
    return {**predictions, **kernels}


def _prediction(subject: Subject, number: int, prediction: SamplePrediction) -> str:
    shown, sample = shown_html(prediction.shown, "output"), subject.samples[number]
    share = "" if prediction.probability is None else f' <span class="share">{prediction.probability:.0%}</span>'
    has_column = isinstance(sample.shown, str) or not isinstance(sample.target, str)
    true = "" if has_column or prediction.right else f", true {text(str(sample.target))}"
    if prediction.right is None:
        return shown + true
    kind, sign = ("correct", "✓") if prediction.right else ("wrong", "×")
    return f'<span class="{kind}"><span role="img" aria-label="{kind}">{sign}</span> <b>{shown}</b>{share}{true}</span>'


def _kernel(pixels: Pixels, zoom: int, scale: str) -> str:
    return f"{_image(pixels, zoom, 'kernels', transparent=True)}<p>{text(scale[:1].upper() + scale[1:])}.</p>"


def shown_html(shown: Shown, name: str) -> str:
    """An input, an output or a target; `name` is the text of an image for readers who do not see it."""
    if isinstance(shown, str):
        return text(shown)
    if isinstance(shown, Series):
        return _curve(shown, name)
    longest = max(shown.shape[:2])
    return _image(shown, max(1, _SIDE // longest) if longest <= _SIDE else _SIDE / longest, name)


def _image(pixels: Pixels, zoom: float, name: str, transparent: bool = False) -> str:
    data = base64.b64encode(png_bytes(pixels, transparent)).decode()
    height, width = (max(1, round(size * zoom)) for size in pixels.shape[:2])
    return f'<img src="data:image/png;base64,{data}" width="{width}" height="{height}" alt="{text(name)}">'


def _curve(series: Series, name: str) -> str:
    low, high = series.low, series.high
    shares = np.clip((np.nan_to_num(series.values.astype(np.float64)) - low) / (high - low or 1.0), 0, 1)
    step = _CURVE / max(1, len(shares) - 1)
    points = tuple((i * step, 3 + (_CURVE_HEIGHT - 6) * (1 - float(share))) for i, share in enumerate(shares))
    line = Edge(points if len(points) > 1 else ((0, points[0][1]), (_CURVE, points[0][1])), "series1")
    return _svg(Drawing(_CURVE, _CURVE_HEIGHT, name, f"from {value_text(low)} to {value_text(high)}", (line,)))
