"""Shows that the curves of runs are complete, readable for few and many epochs, and that their texts overlap nothing."""

from __future__ import annotations

import math
import random
from collections import Counter
from xml.etree import ElementTree

import pytest

from cnnc.view.drawing import Box, Drawing, Edge, Label, Marker
from cnnc.view.svg import svg_text
from cnnc.view.training_curves import TrainingRun, epoch_scale, training_curves, value_text
from tests.view.overlaps import Area, area, outside, overlap


def trained(epochs: int, seed: int = 0, name: str = "lenet5", best: int | None = 1, **extra: float) -> TrainingRun:
    noise = random.Random(seed)
    rows = []
    for epoch in range(1, epochs + 1):
        loss = 2.3 * math.exp(-epoch / 60) + 0.05 * noise.random()
        rows.append(
            {
                "epoch": epoch,
                "train_loss": loss,
                "train_accuracy": 1 - loss / 3,
                "val_loss": loss + 0.1,
                "val_accuracy": 0.95 - loss / 3,
                "lr": 0.1 * 0.1 ** (epoch // 100),
                "seconds": 3.0,
                **extra,
            }
        )
    return TrainingRun(name, tuple(rows), best, {"loss": 0.3, "accuracy": 0.91} if seed % 2 == 0 else {})


def edited(run: TrainingRun, key: str, values: dict[int, float | None]) -> TrainingRun:
    """The run with other numbers at these epochs."""
    rows = [{**row, key: values.get(int(row["epoch"] or 0), row.get(key))} for row in run.rows]
    return run._replace(rows=tuple(rows))


SHAPES = {
    "one epoch": [trained(1)],
    "three": [trained(3, best=2)],
    "many": [trained(300, best=187)],
    "best at the start": [trained(300, best=1)],
    "thousands": [trained(2_000, best=1_999)],
    "without best": [trained(7, best=None)],
    "diverges": [edited(trained(30), "train_loss", {9: None, 10: None, 20: 1e28})],
    "a huge loss": [edited(trained(30), "train_loss", {9: 1e300})],
    "further metrics": [trained(5, val_top5=0.9, val_iou=0.4, val_a_very_long_name_of_a_metric=0.1)],
    "two": [trained(3, 0, "a"), trained(300, 1, "b", 20)],
    "eight": [trained(300 - 30 * i, i, f"runs/{'long-name' * i}{i}", 40) for i in range(8)],
    "sixteen": [trained(20, i, f"run {i}", i + 1) for i in range(16)],
    "hostile": [trained(3, 0, "<script>alert(1)</script>&\n\x00\u202e"), trained(4, 1, "漢" * 60)],
    "other metrics": [trained(3, 0, "a"), TrainingRun("b", ({"epoch": 1, "train_loss": 0.1, "val_mse": 0.2},))],
    "nothing but epochs": [TrainingRun("a", ({"epoch": 1}, {"epoch": 2}))],
}


def texts(drawing: Drawing) -> list[str]:
    return [shape.text for shape in drawing.shapes if isinstance(shape, Label)]


def marker_area(marker: Marker) -> Area:
    half = marker.size / 2
    return marker.x - half, marker.y - half, marker.x + half, marker.y + half


def pieces(edge: Edge) -> list[Area]:
    pairs = zip(edge.points, edge.points[1:], strict=False)
    return [(min(a[0], b[0]), min(a[1], b[1]), max(a[0], b[0]), max(a[1], b[1])) for a, b in pairs]


@pytest.mark.parametrize("runs", SHAPES.values(), ids=SHAPES)
def test_texts_overlap_nothing(runs: list[TrainingRun]) -> None:
    drawing = training_curves("Training", runs)
    labels = [(shape, area(shape)) for shape in drawing.shapes if isinstance(shape, Label)]
    assert [(a, b) for i, (a, first) in enumerate(labels) for b, second in labels[:i] if overlap(first, second)] == []
    markers = [marker_area(shape) for shape in drawing.shapes if isinstance(shape, Marker)]
    assert [(label, m) for label, place in labels for m in markers if overlap(place, m)] == []
    straight = [
        (label, edge)
        for edge in drawing.shapes
        if isinstance(edge, Edge)
        for piece in pieces(edge)
        for label, place in labels
        if overlap(place, piece)
    ]
    assert straight == []
    assert outside(drawing._replace(shapes=tuple(s for s in drawing.shapes if isinstance(s, Label | Edge | Box)))) == []
    whole = (0, 0, drawing.width, drawing.height)
    assert all(whole[0] <= m[0] and m[2] <= whole[2] and m[3] <= whole[3] for m in markers)


@pytest.mark.parametrize(
    ("last", "ticks"),
    [
        (1, ["1"]),
        (3, ["1", "2", "3"]),
        (5, ["1", "2", "3", "4", "5"]),
        (25, ["1", "5", "10", "15", "20", "25"]),
        (300, ["1", "50", "100", "150", "200", "250", "300"]),
        (12_000, ["1", "2,000", "4,000", "6,000", "8,000", "10,000", "12,000"]),
    ],
)
def test_epochs_have_round_ticks(last: int, ticks: list[str]) -> None:
    scale = epoch_scale(last, 6)
    assert [text for _, text in scale.ticks] == ticks
    assert scale.shows(1)
    assert scale.shows(last)


def test_every_metric_and_the_learning_rate_have_a_panel() -> None:
    drawn = texts(training_curves("x", [trained(5, val_top5=0.9, val_iou=0.4)]))
    assert [text for text in drawn if text in ("loss", "accuracy", "top5", "iou", "learning rate")] == [
        *("loss", "accuracy", "top5", "iou"),  # heads of the table
        *("loss", "accuracy", "top5", "iou", "learning rate"),
    ]


def test_training_validation_and_test_differ_in_form_and_role() -> None:
    drawing = training_curves("x", [trained(5)])
    forms: dict[str, set[tuple[str, str]]] = {}
    for shape in drawing.shapes:
        if isinstance(shape, Marker) and shape.hint:
            forms.setdefault(shape.hint.split(":")[0], set()).add((shape.form, shape.role))
    assert forms == {
        "training": {("circle", "series1")},
        "validation": {("square", "series2")},
        "test": {("triangle", "series3")},
        "learning rate": {("diamond", "series4")},
    }


def test_the_best_epoch_has_a_ring_a_line_and_its_number() -> None:
    drawing = training_curves("x", [trained(300, best=187)])
    rings = [shape for shape in drawing.shapes if isinstance(shape, Marker) and shape.size > 7]
    at_best = [
        shape for shape in drawing.shapes if isinstance(shape, Marker) and shape.hint.startswith("validation: 187,")
    ]
    assert [(ring.x, ring.y) for ring in rings] == [(marker.x, marker.y) for marker in at_best]
    assert len(rings) == 2  # loss and accuracy
    assert texts(drawing).count("best: 187") == 3
    assert "at the best epoch, 187 of 300" in texts(drawing)
    upright = {
        e.points[0][0] for e in drawing.shapes if isinstance(e, Edge) and e.role == "note" and len(e.points) == 2
    }
    assert {ring.x for ring in rings} <= upright


def test_few_markers_on_many_epochs_and_all_on_few() -> None:
    def count(epochs: int) -> int:
        shapes = training_curves("x", [trained(epochs)]).shapes
        return sum(isinstance(s, Marker) and s.hint.startswith("training:") for s in shapes)

    assert count(3) == 6
    assert count(1) == 2
    assert 16 <= count(300) <= 26


def test_thousands_of_epochs_take_no_more_points_than_pixels_show() -> None:
    run = edited(trained(20_000), "train_loss", {7_001: 99.0, 7_002: -99.0})
    lines = [s for s in training_curves("x", [run]).shapes if isinstance(s, Edge) and s.role == "series1"]
    line = lines[1]  # after the sample in the table
    heights = [y for _, y in line.points]
    assert len(line.points) < 4 * 300
    assert line.points[heights.index(min(heights))][0] == pytest.approx(
        line.points[heights.index(max(heights))][0], abs=1
    )  # a peak is kept, and the valley beside it
    assert [x for x, _ in line.points] == sorted(x for x, _ in line.points)


def test_many_runs_share_the_markers() -> None:
    drawing = training_curves("x", [trained(40, seed, f"run {seed}", best=None) for seed in range(16)])
    counts = Counter(s.hint.split(":")[0] for s in drawing.shapes if isinstance(s, Marker) and s.hint)
    assert all(
        3 <= counts[f"run {seed}, {split}"] <= 5 * 2 for seed in range(16) for split in ("training", "validation")
    )


def test_a_constant_is_drawn_beside_zero() -> None:
    drawn = texts(training_curves("x", [edited(trained(3), "lr", {1: 0.2, 2: 0.2, 3: 0.2})]))
    assert drawn[-7:-2] == ["0", "0.05", "0.10", "0.15", "0.20"]


def test_losses_of_different_kinds_are_pointed_out() -> None:
    note = "The runs have different metrics: compare their losses only where they are of the same kind."
    assert note in texts(training_curves("x", SHAPES["other metrics"]))
    assert note not in texts(training_curves("x", SHAPES["two"]))


def test_an_axis_is_logarithmic_where_it_spans_decades() -> None:
    assert "learning rate (logarithmic)" in texts(training_curves("x", [trained(300)]))
    assert "learning rate" in texts(training_curves("x", [trained(30)]))
    spread = edited(trained(30), "val_accuracy", {1: 0.0001})
    assert "accuracy" in texts(training_curves("x", [spread], ("loss",)))
    assert "accuracy (logarithmic)" in texts(training_curves("x", [spread], ("loss", "accuracy")))
    assert "loss" in texts(training_curves("x", [edited(trained(30), "train_loss", {3: 0.0, 4: 1e9})]))


def test_numbers_that_are_not_finite_are_named_and_leave_a_gap() -> None:
    drawing = training_curves("x", [edited(trained(12), "val_loss", {5: None, 8: None, 9: None})])
    assert "Validation loss is missing or not finite at epoch 5, 8 to 9." in texts(drawing)
    lengths = [len(s.points) for s in drawing.shapes if isinstance(s, Edge) and s.role == "series2"]
    assert lengths == [2, 4, 2, 3, 12]  # the sample, three parts of the loss, accuracy


def test_several_runs_are_told_apart_and_their_scores_are_in_the_table() -> None:
    drawing = training_curves("x", [trained(3, 0, "first", 2), trained(5, 1, "second", 4)])
    markers = [s for s in drawing.shapes if isinstance(s, Marker) and s.hint]
    looks = {(m.hint.split(":")[0], m.role, m.hollow) for m in markers}
    assert {
        ("first, training", "series1", True),
        ("first, validation", "series1", False),
        ("second, training", "series2", True),
        ("second, validation", "series2", False),
    } <= looks
    assert {"first", "second", "0.91", "–"} <= set(texts(drawing))
    assert "second: 5 epochs; best epoch 4: training loss" in drawing.description


def test_hostile_names_stay_text() -> None:
    root = ElementTree.fromstring(svg_text(training_curves("<b>", SHAPES["hostile"])))
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert tags <= {"svg", "title", "desc", "metadata", "style", "rect", "text", "path", "circle"}
    assert any("<script>" in (element.text or "") for element in root.iter())


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "1"), (0.98333, "0.9833"), (1e-7, "1e-7"), (2e28, "2e28"), (-0.5, "−0.5"), (None, "–"), (7, "7")],
)
def test_numbers_in_the_table(value: float | None, text: str) -> None:
    assert value_text(value) == text
