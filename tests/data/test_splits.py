"""Classes, and the random split into training and test examples."""

from __future__ import annotations

import numpy as np
import pytest

from cnnc.data import Request
from cnnc.data.dataset import Split
from cnnc.data.splits import (
    class_indices_of,
    draw_test_split,
    parse_number,
    report_classes,
    require_classes,
    split_off_test,
)
from cnnc.diagnostics import CnncError

LABELS = np.array([0] * 50 + [1] * 20 + [2] * 5 + [3], np.int64)


def test_the_same_fraction_of_each_class_is_drawn() -> None:
    train, test = draw_test_split(len(LABELS), LABELS, Request(test=0.2), "here")
    assert np.bincount(LABELS[test], minlength=4).tolist() == [
        10,
        4,
        1,
        0,
    ]  # the only example of a class is for training
    assert sorted([*train, *test]) == list(range(len(LABELS)))
    assert train.tolist() == sorted(train)


def test_each_class_has_a_test_and_a_training_example() -> None:
    labels = np.array([0, 0, 1, 1, 1], np.int64)
    for share in (0.01, 0.99):
        train, test = draw_test_split(5, labels, Request(test=share), "here")
        assert set(labels[train]) == set(labels[test]) == {0, 1}


def test_the_split_depends_on_the_seed() -> None:
    draws = [draw_test_split(len(LABELS), LABELS, Request(test=0.2, seed=s), "here")[1].tolist() for s in (3, 3, 4)]
    assert draws[0] == draws[1] != draws[2]
    assert draws[0] != list(range(len(draws[0])))


def test_without_labels_a_fraction_of_all_examples_is_drawn() -> None:
    train, test = draw_test_split(20, None, Request(test=0.25), "here")
    assert (len(train), len(test)) == (15, 5)


@pytest.mark.parametrize("labels", [[0], [0, 1, 2]])
def test_too_few_examples_to_split(labels: list[int]) -> None:
    with pytest.raises(CnncError, match=f"here: too few examples for a training and a test split: {len(labels)}"):
        draw_test_split(len(labels), np.array(labels, np.int64), Request(), "here")


def test_report_lines() -> None:
    lines: list[str] = []
    request = Request(report=lines.append, test=0.2, seed=7)
    split_off_test(request, "here", Split.of(np.zeros((76, 1)), LABELS), LABELS)
    report_classes(request, "here", ("a", "b", "c", "d"), LABELS)
    report_classes(request, "here", tuple("abcdefghijklm"), np.zeros(3, np.int64))
    assert lines[0] == "here: 61 training and 15 test examples (test fraction 0.2, seed 7)"
    assert lines[1] == "here: 4 classes: a 50, b 20, c 5, d 1"
    assert lines[2].startswith("here: 13 classes: a 3, b 0,")
    assert lines[2].endswith("j 0, and 3 more")


@pytest.mark.parametrize(
    ("labels", "classes", "indices"),
    [
        (["10", "9", "-1", "9"], ("-1", "9", "10"), [2, 1, 0, 1]),
        (["1.0", "1", "0.5", "1e0"], ("0.5", "1"), [1, 1, 0, 1]),
        (["b", "10", "9"], ("10", "9", "b"), [2, 0, 1]),
    ],
)
def test_classes_are_sorted(labels: list[str], classes: tuple[str, ...], indices: list[int]) -> None:
    classes_found, numbers = class_indices_of(labels)
    assert classes_found == classes
    assert numbers.tolist() == indices


@pytest.mark.parametrize("text", ["1_0", "٣", "nan", "inf", "0x1", "", "1e999", "e5", "."])
def test_text_that_is_not_a_number(text: str) -> None:
    assert parse_number(text) is None


def test_classes_are_compared_with_the_network() -> None:
    require_classes(Request(classes=2), ("a", "b"), "here")
    require_classes(Request(), ("a", "b"), "here")
    with pytest.raises(CnncError) as caught:
        require_classes(Request(classes=10), ("a", "b"), "here")
    assert caught.value.diagnostics[0].message == "here: found 2 classes (a, b); the network's output has 10"
    assert caught.value.diagnostics[0].help == "end with `fc 2`"


def test_a_single_class_gets_other_help() -> None:
    with pytest.raises(CnncError) as caught:
        require_classes(Request(classes=2), ("cat",), "here")
    assert caught.value.diagnostics[0].message == "here: found 1 class (cat); the network's output has 2"
    assert "fc" not in caught.value.diagnostics[0].help
