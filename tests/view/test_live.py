"""The page of a training and its replay: self-contained, of bounded size, and texts of users stay text."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnc import check
from cnnc.reference.initializers import initialize
from cnnc.view.live import page as pages
from cnnc.view.live.kernels import LAYERS, kernel_images, kernels_note
from cnnc.view.live.moment import ClassCounts, KernelImage, Learned, Moment, Sample, SamplePrediction, Series, Subject
from cnnc.view.live.page import event_json, every_second, live_html, replay_html
from cnnc.view.live.parts import Parts, duration, position
from cnnc.view.training_curves import TrainingRun
from tests.view.browser import document_after_scripts, needs_browser

HOSTILE = "</script><img src=x onerror=alert(1)>\"'&\u202e"
GREY = np.arange(64, dtype=np.uint8).reshape(8, 8)


def subject(name: str = "Net", **changes: Any) -> Subject:
    samples = (Sample(GREY, "cat"), Sample(GREY, "dog"))
    whole = Subject(
        name, "two samples", 10, 20, "images", samples, "Predictions for 2", ("cat", "dog"), frozenset({"loss"})
    )
    return whole._replace(**changes)


def moment(epoch: int = 1, step: int = 0, **changes: Any) -> Moment:
    rows = tuple(
        {"epoch": n, "train_loss": 1 / n, "val_loss": 2 / n, "val_accuracy": 1 - 1 / n, "lr": 0.1}
        for n in range(1, epoch + 1)
    )
    whole = Moment(
        "training",
        epoch,
        step,
        TrainingRun("Net", rows, epoch) if rows else None,
        tuple((n / 4, 1 / n) for n in range(1, 4 * epoch + 1)),
        1234.5,
        98_700_000,
        61.0,
        7200.0,
        ClassCounts((9, 0), (10, 0), "20 validation images"),
        Learned(
            (SamplePrediction("cat", 0.9, True), SamplePrediction("cat", 0.6, False)),
            (KernelImage("conv1: 2 kernels", ("The first 2 are shown.",), "black is −1", GREY, 4),),
        ),
    )
    return whole._replace(**changes)


class Reader(HTMLParser):
    """What a page contains: elements with attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data


def data_of(replay: str) -> Any:
    """The moments in a replay."""
    found = re.search(r'<script type="application/json" id="moments">(.*?)</script>', replay, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_what_a_moment_shows() -> None:
    parts = Parts(subject()).of(moment(3, 5))
    assert "Epoch 4 of 10, step 5 of 20" in parts["state"]
    assert 'value="65"' in parts["state"]
    assert parts["news"].startswith("Epoch 3: training loss 0.3333, validation loss 0.6667, validation accuracy 0.6667")
    words = Reader(parts["numbers"]).words
    for text in ("1,234 images/s", "99 MB", "1 min 1 s", "2 h 0 min", "0.08333"):
        assert text in words
    assert "90.0%" in parts["classes"]
    assert "9 of 10" in parts["classes"]
    assert "✓" in parts["sample0"]
    assert "true dog" in parts["sample1"]
    assert parts["kernel0"].count("<img") == 1


def test_before_the_first_step() -> None:
    parts = Parts(subject()).of(moment(0, run=None, losses=(), rate=None, memory=0, left=None, counts=None))
    assert "Before the first step" in parts["state"]
    assert parts["news"] == ""
    assert Reader(parts["numbers"]).words.count("–") == 4


def test_early_stopping_makes_the_time_left_an_upper_limit() -> None:
    assert "at most 2 h" in Parts(subject(may_stop_early=True)).of(moment())["numbers"]


def test_what_has_not_changed_is_not_drawn_again() -> None:
    drawer, first = Parts(subject()), moment()
    before = drawer.of(first)
    after = drawer.of(first._replace(step=7))
    assert after["state"] != before["state"]
    for name in ("loss", "curves", "scores", "classes", "sample0", "kernel0"):
        assert after[name] is before[name]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 0 s"), (3599, "59 min 59 s"), (90061, "25 h 1 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_positions() -> None:
    assert position(subject(), moment(0)) == "before the first step"
    assert position(subject(), moment(2)) == "epoch 2 of 10 ended"
    assert position(subject(), moment(2, 7)) == "epoch 3 of 10, step 7 of 20"


def hostile() -> tuple[Subject, Moment]:
    samples = (Sample(HOSTILE, HOSTILE), Sample("b", "c"))
    who = subject(HOSTILE, samples=samples, classes=(HOSTILE, "dog"), description=HOSTILE, notes=(HOSTILE,))
    kernels = (KernelImage(HOSTILE, (HOSTILE,), HOSTILE, GREY, 2),)
    learned = Learned((SamplePrediction(HOSTILE, 0.5, False), SamplePrediction("c", 0.5, True)), kernels)
    return who, moment(2, learned=learned, end=HOSTILE, counts=ClassCounts((1, 2), (2, 2), HOSTILE))


def test_hostile_names_stay_text() -> None:
    who, when = hostile()
    parts = Parts(who).of(when)
    for page in (live_html(who, when, parts), replay_html(who, [moment(0, learned=when.learned), when])):
        read = Reader(page)
        assert [tag for tag, attributes in read.elements if any(name.startswith("on") for name in attributes)] == []
        assert all(attributes["src"] for tag, attributes in read.elements if tag == "img")
        assert {(attributes["src"] or "")[:15] for tag, attributes in read.elements if tag == "img"} == {
            "data:image/png;"
        }
        assert "onerror=alert(1)" in read.words
    for html in parts.values():
        assert "<img src=x" not in html
        assert "</script>" not in html


def test_pages_load_nothing_from_elsewhere() -> None:
    parts = Parts(subject()).of(moment())
    live, replay = live_html(subject(), moment(), parts), replay_html(subject(), [moment(0), moment()])
    for page in (live, replay):
        outside = set(re.findall(r"https?://[\w./:-]+", page)) - {"http://www.w3.org/2000/svg"}
        assert outside == set()
        assert [a for tag, a in Reader(page).elements if tag in ("link", "iframe", "object", "base")] == []
        (policy,) = (a["content"] for tag, a in Reader(page).elements if a.get("http-equiv"))
        assert policy is not None
        assert policy.startswith("default-src 'none'; script-src 'sha256-")
        assert ("connect-src 'self'" in policy) is (page is live)
    assert "EventSource" in live


def test_a_replay_holds_every_moment() -> None:
    moments = [moment(0), *(moment(n) for n in range(1, 11))]
    data = data_of(replay_html(subject(), moments))
    assert [each["title"] for each in data["moments"]] == [position(subject(), each) for each in moments]
    drawer = Parts(subject())
    for stored, each in zip(data["moments"], moments, strict=True):
        assert {name: data["strings"][number] for name, number in stored["parts"].items()} == drawer.of(each)
    assert len(data["strings"]) == len(set(data["strings"])), "a part that repeats is stored once"


def test_a_replay_that_would_be_too_large_leaves_moments_out(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = [moment(n) for n in range(1, 41)]
    whole = len(replay_html(subject(), moments))
    monkeypatch.setattr(pages, "REPLAY_BYTES", whole // 3)
    replay = replay_html(subject(), moments)
    data = data_of(replay)
    assert len(replay) < whole / 2
    assert data["moments"][0]["title"] == "epoch 1 of 10 ended"
    assert data["moments"][-1]["title"] == "epoch 40 of 10 ended"
    assert len(data["moments"]) >= 5


def test_every_second() -> None:
    assert every_second([0, 1, 2, 3, 4]) == [0, 2, 4]
    assert every_second([0, 1, 2, 3]) == [0, 2, 3]
    assert every_second([0, 1]) == [0, 1]


def test_an_event_is_one_line() -> None:
    parts = Parts(subject()).of(moment())
    assert "\n" not in event_json(parts)
    assert json.loads(event_json(parts)) == parts


def test_pairs_triples_and_curves() -> None:
    series = Series.of(np.array([0.0, np.nan, 1.0, np.inf]))
    assert (series.low, series.high) == (0, 1)
    for first, target in ((GREY, None), (GREY, GREY), (series, series), ("1 2", "3")):
        who = subject(samples=(Sample(first, target),), classes=())
        when = moment(learned=Learned((SamplePrediction(first),), ()))
        page = live_html(who, when, Parts(who).of(when))
        assert ("<span>target</span>" in page) is (not isinstance(target, str | None))
        assert "Accuracy per class" not in page


def test_many_classes_are_cut() -> None:
    who = subject(classes=tuple(map(str, range(1000))))
    html = Parts(who).of(moment(counts=ClassCounts((1,) * 1000, (2,) * 1000, "x")))["classes"]
    assert html.count("<tr>") == 101
    assert "The first 100 of 1,000 classes are shown." in html


# --- kernels -----------------------------------------------------------------------------------------------------


def test_kernels_of_a_layer_are_one_image() -> None:
    graph = check("net N\ninput 3x8x8\nconv 5 k=3\nconv 4 k=1\nflatten\nfc 7\n").require_graph()
    weights = initialize(graph, 0)
    first, second, third = kernel_images(graph, weights)
    assert first.title == "conv1: 5 kernels of 3x3x3"
    assert first.pixels.shape == (3, 5 * 4 - 1, 3)
    assert (second.pixels.shape, third.pixels.shape) == ((4, 5), (7, 144))
    gaps = first.pixels[:, 3::4]
    assert not gaps.any(), "the lines between kernels are transparent"
    weights["conv1.weight"][...] = 0
    assert first.pixels.any(), "the image is a copy"


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e38, 0.0])
def test_kernels_of_any_number(value: float) -> None:
    graph = check("net N\ninput 1x8x8\nconv 2 k=3\n").require_graph()
    weights = initialize(graph, 0)
    weights["conv1.weight"][0] = value
    (image,) = kernel_images(graph, weights)
    assert image.pixels.shape[0] == 3


def test_of_deep_and_large_networks_a_part_is_shown() -> None:
    deep = check("net N\ninput 1x8x8\n" + "conv 2 k=3 p=1\n" * 30).require_graph()
    images = kernel_images(deep, initialize(deep, 0))
    assert len(images) == LAYERS
    assert str(LAYERS) in kernels_note(deep, {}, LAYERS)
    large = check("net N\ninput 2000\nfc 2001\nfc 2\n").require_graph()
    weights = initialize(large, 0)
    images = kernel_images(large, weights)
    assert [image.title for image in images] == ["fc2: weights of 2x2,001"]
    assert "more than 4,000,000 weights" in kernels_note(large, weights, 1)


def test_kernels_of_series_are_rows() -> None:
    graph = check("net N\ninput 1x20\nconv 6 k=5\n").require_graph()
    (image,) = kernel_images(graph, initialize(graph, 0))
    assert image.pixels.shape == (6, 5)


# --- in a browser ------------------------------------------------------------------------------------------------


@pytest.mark.long
@needs_browser
def test_a_replay_in_a_browser(tmp_path: Path) -> None:
    """Its script shows the last moment and the controls, and nothing of a user becomes an element."""
    who, when = hostile()
    page = replay_html(who, [moment(0, learned=when.learned), when._replace(state="finished")])
    read = Reader(document_after_scripts(page, tmp_path))
    slider = next(attributes for tag, attributes in read.elements if attributes.get("id") == "slider")
    assert slider["max"] == "1"
    assert "hidden" not in next(attributes for tag, attributes in read.elements if attributes.get("id") == "replay")
    assert "epoch 2 of 10 ended (2 of 2)" in read.words
    assert "Finished: epoch 2 of 10 ended" in read.words
    assert [a for tag, a in read.elements if tag == "img" and a.get("src") == "x"] == []
