"""Tables as spreadsheets, pandas and Kaggle write them: columns by name, targets, number formats, quotes, timestamps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnc.data.dataset import Dataset
from cnnc.data.number_format import AmbiguousNumbers, NumberFormat, find_number_format
from cnnc.data.series import read_unlabelled
from cnnc.data.table_layout import DeclaredColumns
from tests.data.conftest import loaded_and_reported, refused, takes

TWO = (takes(2),)


def write(tmp_path: Path, *lines: str) -> Path:
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path / "t.csv"


def everything(data: Dataset) -> list[list[float]]:
    """The values of all examples, in the order of the file."""
    return sorted(np.concatenate([data.train.images, data.test.images]).tolist(), key=lambda row: row[-1])


def flats(tmp_path: Path, count: int = 12) -> Path:
    """Rows of id, timestamp, two measurements, a kind, and two prices."""
    rows = [f"{n},2024-01-{n + 1:02d} 10:00,{n}.5,{n * n}.25,{'ab'[n % 2]},{n}.125,{-n}.75" for n in range(count)]
    return write(tmp_path, "id,built,rooms,area,kind,price,rent", *rows)


@pytest.mark.parametrize("label", [("kind",), ("KIND",), (5,)])
def test_the_source_names_the_label_and_what_is_not_read(tmp_path: Path, label: tuple[str | int, ...]) -> None:
    place = flats(tmp_path)
    data, lines = loaded_and_reported("series", place, inputs=TWO, classes=2, label=label, index=("built", 6, -1))
    assert data.classes == ("a", "b")
    assert sorted(data.train.images[:, 0].tolist() + data.test.images[:, 0].tolist()) == [n + 0.5 for n in range(12)]
    assert lines[:2] == [
        "PLACE: the first line is a header: id, built, rooms, ...",
        "PLACE: column 1 numbers the lines and is not read",
    ]


def test_targets_are_columns_of_numbers(tmp_path: Path) -> None:
    place = flats(tmp_path)
    data, _ = loaded_and_reported(
        "series", place, inputs=TWO, target_values=2, label=("rent", "price"), index=("built", "kind")
    )
    assert data.classes == ()
    assert data.train.labels.dtype == np.float32
    rooms = data.train.images[:, 0] - 0.5
    assert data.train.labels[:, 1].tolist() == (rooms + 0.125).tolist()
    assert data.train.labels[1:, 0].tolist() == (-rooms[1:] - 0.75).tolist()


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ({"label": ("prize",), "classes": 2}, "there is no column prize | write `price`"),
        ({"label": (9,), "classes": 2}, "there is no column 9; the table has 7"),
        (
            {"label": ("price",), "classes": 12},
            "expected labels in column price, found 12 different fractional numbers",
        ),
        ({"label": ("kind", "id"), "classes": 2}, "label= names 2 columns; an example has one class"),
        ({"target_values": 2}, "which 2 columns hold the targets? | name them, such as `label=[6, 7]`"),
        ({"target_values": 1}, "which column holds the target? | name it, such as `label=last`"),
        ({"target_values": 2, "label": ("price",)}, "label= names 1 column; the network's output has 2 values"),
        (
            {"target_values": 1, "label": ("kind",), "index": ("built",)},
            "t.csv:2: expected a number as target, found 'a'",
        ),
        (
            {"label": ("rent",), "index": ("built",), "target_values": 1},
            "leave a column that holds no numbers out with `index=[built, kind]`",
        ),
        ({"label": ("kind",), "header": False}, "there is no column kind: the table has no header"),
    ],
)
def test_columns_that_do_not_fit(tmp_path: Path, request_: dict[str, Any], text: str) -> None:
    assert text in refused("series", flats(tmp_path), **request_)


def test_following_the_help_reads_a_table_with_a_label_and_words_between_its_values(tmp_path: Path) -> None:
    rows = [f"P{n};{n}.25;{'ab'[n % 2]};note {n};{n + 1}.5" for n in range(8)]
    place = write(tmp_path, "lot;length;kind;the note;width", *rows)
    text = refused("series", place, inputs=TWO, classes=2)
    assert "(kind), found 'a' | " in text
    assert "if it is the label, write `label=kind`" in text
    text = refused("series", place, inputs=TWO, classes=2, label=("kind",))
    assert "(lot), found 'P0' | leave a column that holds no numbers out with `index=lot`" in text
    assert "label=" not in text
    text = refused("series", place, inputs=TWO, classes=2, label=("kind",), index=("lot",))
    assert "(the note), found 'note 0' | leave a column" in text
    assert '`index=[lot, "the note"]`' in text
    data, _ = loaded_and_reported("series", place, inputs=TWO, classes=2, label=("kind",), index=("lot", "the note"))
    assert data.classes == ("a", "b")
    assert everything(data) == [[n + 0.25, n + 1.5] for n in range(8)]
    text = refused("series", place, inputs=TWO, classes=2, index=("lot", "the note"))
    assert "name the column of the label, such as `label=kind`" in text


def test_targets_that_the_header_names(tmp_path: Path) -> None:
    rows = [f"{n},{n + 1},{n + 2},{n + 3}" for n in range(6)]
    data, _ = loaded_and_reported(
        "series", write(tmp_path, "a,target_1,b,target_2", *rows), inputs=TWO, target_values=2
    )
    assert np.array_equal(data.train.labels, data.train.images + 1)


def test_a_first_column_of_timestamps_is_left_out_and_told(tmp_path: Path) -> None:
    rows = [f"2024-01-{n + 1:02d}T10:00:00Z,{'ab'[n % 2]},{n}.5,{n}" for n in range(8)]
    data, lines = loaded_and_reported("series", write(tmp_path, ",y,a,b", *rows), inputs=TWO, classes=2)
    assert "PLACE: column 1 holds timestamps and is not read" in lines
    assert data.classes == ("a", "b")
    rows = [f"{n},{row}" for n, row in enumerate(rows)]
    data, lines = loaded_and_reported("series", write(tmp_path, "id,when,y,a,b", *rows))
    assert "PLACE: column 2 holds timestamps and is not read" in lines
    assert data.classes == ("a", "b")


def test_other_timestamps_are_named_as_such(tmp_path: Path) -> None:
    rows = [f"{n}.5,12:{n:02d}:03,{'ab'[n % 2]}" for n in range(8)]
    text = refused("series", write(tmp_path, "a,at what time,kind", *rows), classes=2)
    assert "t.csv:2: expected a number as value 2 (at what time), found '12:00:03'" in text
    assert 'it is a timestamp: leave the column out with `index="at what time"`' in text


def test_measurements_in_whole_numbers_are_not_counted_as_classes(tmp_path: Path) -> None:
    rows = [f"{n * 7 % 101},{n}.5,{n % 3}" for n in range(150)]
    data, lines = loaded_and_reported("series", write(tmp_path, "age,height,group", *rows))
    assert data.classes == ("0", "1", "2")
    assert "PLACE: the label is in column 3" in lines


def test_a_table_without_labels_for_a_network_that_predicts_its_input(tmp_path: Path) -> None:
    data, lines = loaded_and_reported("series", write(tmp_path, "a,b", *(f"{n},{n}.5" for n in range(10))), inputs=TWO)
    assert data.train.targets == ()
    assert data.train.images.shape == (9, 2)
    assert "PLACE: no labels: each line has the 2 values that the network takes" in lines


def test_spreadsheets_in_german(tmp_path: Path) -> None:
    rows = [f'"{"ab"[n % 2]}; x";1.234,5;{n},5' for n in range(6)]
    data, lines = loaded_and_reported("series", write(tmp_path, "sep=;", "kind;a;b", *rows), inputs=TWO)
    assert data.classes == ("a; x", "b; x")
    assert everything(data)[0] == [1234.5, 0.5]
    assert "PLACE: numbers have decimal commas" in lines
    assert "PLACE: numbers have groups of three digits" in lines


def test_quoted_cells(tmp_path: Path) -> None:
    rows = [f'{"ab"[n % 2]},"1,234.5","{n}"' for n in range(6)]
    data, _ = loaded_and_reported("series", write(tmp_path, *rows), inputs=TWO)
    assert everything(data)[0] == [1234.5, 0.0]
    assert "the quotes of a cell do not end in its line" in refused("series", write(tmp_path, *rows, 'a,"1,2'))


@pytest.mark.parametrize(
    ("cells", "expected", "plain"),
    [
        ("1,5 2", (",", False), "1.5 2"),
        ("1,234 0,5", (",", False), "1.234 0.5"),
        ("1.234,5 2.000", (",", True), "1234.5 2000"),
        ("1,234.5 1.5", (".", True), "1234.5 1.5"),
        ("1,234 1.5", (".", True), "1234 1.5"),
        ("1,234,567 7", (".", True), "1234567 7"),
        ("1'234.5 -2e-3", (".", True), "1234.5 -2e-3"),
        ("12\u00a0345,5 1", (",", True), "12345.5 1"),
        ("1.5 1,5", (".", False), "1.5 1,5"),
        ("05.01.2024 1.5", (".", False), "05.01.2024 1.5"),
        ("1.2.3 cat", (".", False), "1.2.3 cat"),
    ],
)
def test_number_formats(cells: str, expected: tuple[str, bool], plain: str) -> None:
    found = find_number_format([cells.split(" ")])
    assert found == NumberFormat(*expected)
    assert [found.plain(cell) for cell in cells.split(" ")] == plain.split(" ")


def test_a_comma_that_may_be_two_things_is_not_guessed(tmp_path: Path) -> None:
    place = write(tmp_path, *(f"{'ab'[n % 2]};{n + 1},234;{n}" for n in range(6)))
    assert "1,234 may be two numbers | write `decimal=comma`" in refused("series", place, inputs=TWO)
    with pytest.raises(AmbiguousNumbers):
        find_number_format([["1,234"]])
    for decimal, value in (("comma", 1.234), ("point", 1234.0)):
        data, _ = loaded_and_reported("series", place, inputs=TWO, decimal=decimal)
        assert everything(data)[0][0] == pytest.approx(value)


def test_prediction_reads_the_table_of_the_training_with_and_without_targets(tmp_path: Path) -> None:
    declared = DeclaredColumns(("price", "rent"), ("built", "kind"))
    whole = read_unlabelled(flats(tmp_path), 2, declared=declared)
    lines = (tmp_path / "t.csv").read_text(encoding="utf-8").splitlines()
    for columns in (slice(0, 5), slice(2, 4)):
        place = write(tmp_path, *(",".join(line.split(",")[columns]) for line in lines))
        assert np.array_equal(read_unlabelled(place, 2, declared=declared), whole), columns
    assert whole[3].tolist() == [3.5, 9.25]


def test_prediction_leaves_timestamps_out_also_without_a_label(tmp_path: Path) -> None:
    rows = [f"2024-01-{n + 1:02d},{n}.5,{n},{'ab'[n % 2]}" for n in range(8)]
    for columns in (slice(0, 4), slice(0, 3), slice(1, 3)):
        place = write(tmp_path, *(",".join(row.split(",")[columns]) for row in ["when,a,b,kind", *rows]))
        assert read_unlabelled(place, 2).tolist() == [[n + 0.5, n] for n in range(8)], columns


def test_a_folder_with_a_table_for_each_share(tmp_path: Path) -> None:
    def rows(first: int, count: int) -> str:
        return "label,a,b\n" + "".join(f"{'ab'[n % 2]},{n},{n}.5\n" for n in range(first, first + count))

    for name, first in (("Beats_TRAIN.csv", 0), ("beats-val.csv", 20), ("Beats_TEST.csv", 30)):
        (tmp_path / name).write_text(rows(first, 4), encoding="utf-8")
    (tmp_path / "notes.md").write_text("x", encoding="utf-8")
    (tmp_path / ".train.csv").write_text("hidden", encoding="utf-8")
    (tmp_path / "other_train.csv").mkdir()
    data, lines = loaded_and_reported("series", tmp_path, inputs=TWO, classes=2)
    assert data.validation is not None
    for share, first in ((data.train, 0), (data.validation, 20), (data.test, 30)):
        assert share.images[:, 0].tolist() == [first, first + 1, first + 2, first + 3]
    assert lines == [
        "PLACE: not read: notes.md",
        "PLACE: 2 classes: a 6, b 6",
        "PLACE: 4 training, 4 validation and 4 test examples",
    ]


def test_a_table_of_kaggle_without_labels_is_no_test_share(tmp_path: Path) -> None:
    rows = [f"{'ab'[n % 2]},{n},{n}.5" for n in range(20)]
    (tmp_path / "train.csv").write_text("\n".join(["label,a,b", *rows]), encoding="utf-8")
    (tmp_path / "test.csv").write_text("\n".join(["a,b", *(row[2:] for row in rows)]), encoding="utf-8")
    data, lines = loaded_and_reported("series", tmp_path, inputs=TWO, classes=2)
    assert (len(data.train), len(data.test)) == (18, 2)
    assert "PLACE: not read: test.csv" in lines
    (tmp_path / "train.csv").unlink()
    assert "found no table of training" in refused("series", tmp_path, inputs=TWO)


def test_a_table_with_a_short_header_is_not_taken_for_one_without_labels(tmp_path: Path) -> None:
    rows = [f"{'ab'[n % 2]},{n},{n}.5" for n in range(20)]
    (tmp_path / "train.csv").write_text("\n".join(["label,a,b", *rows]), encoding="utf-8")
    (tmp_path / "test.csv").write_text("\n".join(["a,b", *rows]), encoding="utf-8")
    text = refused("series", tmp_path, inputs=TWO)
    assert "test.csv" in text
    assert "not read" not in text


def test_lines_longer_than_the_first(tmp_path: Path) -> None:
    place = write(tmp_path, "a,b", *("x,1,2" for _ in range(4)))
    assert "the first line has 2 cells, most lines have more" in refused("series", place, label=(-1,))
