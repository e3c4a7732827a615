"""A table that a trained network reads may have its columns in another order, and others beside them: a header names them."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from cnnc.core.tensor import TensorType
from cnnc.data import load
from cnnc.data.series import read_unlabelled
from cnnc.data.table_layout import DeclaredColumns
from cnnc.diagnostics import CnncError

NAMES = ("length", "width", "weight")
THREE = (TensorType((3,), "float32"),)
ROWS = [[1.5, 20.0, 300.0], [2.5, 30.0, 400.0], [3.5, 40.0, 500.0]]


def table(path: Path, header: str, *rows: str) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def predicted(path: Path, names: tuple[str, ...] = NAMES) -> tuple[list[list[float]], list[str]]:
    lines: list[str] = []
    values = read_unlabelled(path, len(names), lines.append, DeclaredColumns(values=names))
    return values.tolist(), [line.replace(str(path), "PLACE") for line in lines]


@pytest.mark.parametrize(
    ("header", "order"),
    [("width,weight,length", (1, 2, 0)), ("weight,width,length", (2, 1, 0)), ("WEIGHT;Length;width", (2, 0, 1))],
)
def test_columns_are_taken_by_name(tmp_path: Path, header: str, order: tuple[int, ...]) -> None:
    mark = ";" if ";" in header else ","
    values, lines = predicted(table(tmp_path / "a.csv", header, *(mark.join(str(r[n]) for n in order) for r in ROWS)))
    assert values == ROWS
    names = header.replace(mark, ", ")
    assert lines[0] == f"PLACE: the first line is a header: {names}"
    assert (
        lines[1].lower() == "place: columns are taken by their names, in the order of training: length, width, weight"
    )


def test_other_columns_are_not_read(tmp_path: Path) -> None:
    rows = [f"x{n},{w},red,{g},{length}" for n, (length, w, g) in enumerate(ROWS)]
    values, lines = predicted(table(tmp_path / "a.csv", "name,width,colour,weight,length", *rows))
    assert values == ROWS
    assert lines[-1] == "PLACE: not read: name, colour"


def test_the_order_of_training_needs_no_note(tmp_path: Path) -> None:
    rows = [",".join(map(str, row)) for row in ROWS]
    values, lines = predicted(table(tmp_path / "a.csv", ",".join(NAMES), *rows))
    assert (values, lines) == (ROWS, ["PLACE: the first line is a header: length, width, weight"])
    open_length = read_unlabelled(tmp_path / "a.csv", 0, declared=DeclaredColumns(values=NAMES))
    assert open_length.tolist() == ROWS
    one_row, _ = predicted(table(tmp_path / "b.csv", "weight,width,length", "300,20,1.5"))
    assert one_row == ROWS[:1]


def test_without_a_header_columns_are_taken_in_order(tmp_path: Path) -> None:
    rows = [",".join(map(str, row)) for row in ROWS]
    assert predicted(table(tmp_path / "a.csv", rows[0], *rows[1:])) == (ROWS, [])


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ("length,width,mass", "there is no column weight, which the training table has"),
        ("a,b,c", "there are no columns length, width, weight, which the training table has"),
        ("length,width,weight,weight", "2 columns are named weight"),
        ("length,width,depth,mass", "there is no column weight, which the training table has"),
    ],
)
def test_a_header_that_lacks_a_column_is_an_error(tmp_path: Path, header: str, problem: str) -> None:
    count = header.count(",") + 1
    path = table(tmp_path / "a.csv", header, *(",".join(map(str, [*row, 7][:count])) for row in ROWS))
    with pytest.raises(CnncError) as raised:
        predicted(path)
    assert (raised.value.diagnostics[0].code, raised.value.diagnostics[0].message) == ("E602", f"{path}: {problem}")
    if "training" in problem:
        help = raised.value.diagnostics[0].help
        assert help == (
            "name the columns as in training; without a header they are taken in the order length, width, weight"
        )
        headless = table(tmp_path / "b.csv", *(",".join(map(str, row)) for row in ROWS))
        assert predicted(headless) == (ROWS, [])


def test_a_short_row_under_named_columns_is_an_error(tmp_path: Path) -> None:
    """A row with as many cells as there are values could be taken for one without the other columns."""
    for row in ("400,30", "400,30,2.5", "400,blue,30,2.5,7"):
        path = table(tmp_path / "a.csv", "weight,colour,width,length", "300,red,20,1.5", row)
        with pytest.raises(CnncError, match=r"a\.csv:3: expected 4 cells, as in the first line, found"):
            predicted(path)


@pytest.mark.parametrize(
    ("row", "help"),
    [("length,width,weight", "the header is repeated: leave the line out"), ("2024-01-31,2,3", ""), ("red,2,3", "")],
)
def test_a_column_that_the_network_takes_is_not_to_be_left_out(tmp_path: Path, row: str, help: str) -> None:
    path = table(tmp_path / "a.csv", "length,width,weight", "1,2,3", row)
    with pytest.raises(CnncError, match="expected a number as value 1 \\(length\\)") as raised:
        predicted(path)
    assert raised.value.diagnostics[0].help == help


def test_the_help_for_a_name_that_occurs_twice_is_for_tables_to_predict(tmp_path: Path) -> None:
    with pytest.raises(CnncError) as raised:
        predicted(table(tmp_path / "a.csv", "length,width,weight,weight", "1,2,3,4"))
    assert raised.value.diagnostics[0].help == "the network takes it by its name: delete or rename the others"


def test_thousands_of_columns_are_found_in_linear_time(tmp_path: Path) -> None:
    """Comparing each name with each column would take a minute."""
    names = tuple(f"c{n}" for n in range(20_000))
    path = table(tmp_path / "a.csv", ",".join(reversed(names)), ",".join(map(str, range(20_000))))
    start = time.process_time()
    values, _ = predicted(path, names)
    assert values == [list(map(float, reversed(range(20_000))))]
    assert time.process_time() - start < 5


@pytest.mark.parametrize("first", [["id", *range(1, 4)], ["date", *(f"2024-01-0{n}" for n in range(1, 4))]])
def test_line_numbers_and_timestamps_beside_the_values_are_no_labels(tmp_path: Path, first: list[object]) -> None:
    cells = zip(first, ["a,b", "1,2", "3,4", "5,6"], strict=True)
    path = table(tmp_path / "a.csv", *(f"{one},{rest}" for one, rest in cells))
    with pytest.raises(CnncError, match="there is no column of labels beside those of the values"):
        load("series", tmp_path, path=path.name, inputs=(TensorType((2,), "float32"),), classes=3, columns=("b", "a"))


def test_a_header_without_a_name_for_each_column_names_none(tmp_path: Path) -> None:
    """R writes no name over the names of the rows, which are read as labels here."""
    path = table(tmp_path / "a.csv", "width,length", *(f"{'ab'[n % 2]},{n}.5,{n * 2}" for n in range(20)))
    data = load("series", tmp_path, path=path.name, inputs=(TensorType((2,), "float32"),), classes=2)
    assert data.train.images.shape[1] == 2
    assert data.columns == ()


def test_training_keeps_the_names_of_the_values(tmp_path: Path) -> None:
    rows = [f"{n},{n % 5}.5,{'ab'[n % 2]},{n * 2}" for n in range(20)]
    path = table(tmp_path / "a.csv", "id,width,kind,length", *rows)
    data = load("series", tmp_path, path="a.csv", inputs=(TensorType((2,), "float32"),), classes=2, label=("kind",))
    assert data.columns == ("width", "length")
    for header in ("id,width,kind,width", "id,1,kind,2", "id,,kind,b", 'id,"1,5",kind,b'):
        table(path, header, *rows)
        assert load("series", tmp_path, path="a.csv", classes=2, label=(3,)).columns == (), header
    table(path, rows[0], *rows[1:])
    assert load("series", tmp_path, path="a.csv", classes=2, label=(3,)).columns == ()


@pytest.mark.parametrize(
    ("header", "row", "label"),
    [
        ("kind,b,a", "{kind},{b},{a}", ()),
        ("b,kind,a", "{b},{kind},{a}", ("kind",)),
        ("a,note,b,kind", "{a},9,{b},{kind}", ("kind",)),
        ("id,a,b,kind", "{n},{a},{b},{kind}", ()),
    ],
)
def test_the_tables_of_a_folder_agree_by_name(tmp_path: Path, header: str, row: str, label: tuple[str, ...]) -> None:
    first = [{"n": n, "a": n + 0.5, "b": n * 10.0, "kind": "xy"[n % 2]} for n in range(12)]
    table(tmp_path / "train.csv", "kind,a,b", *("{kind},{a},{b}".format(**each) for each in first))
    table(tmp_path / "test.csv", header, *(row.format(**each) for each in first))
    data = load(
        "series", tmp_path.parent, path=tmp_path.name, inputs=(TensorType((2,), "float32"),), classes=2, label=label
    )
    assert np.array_equal(data.test.images, data.train.images)
    assert np.array_equal(data.test.labels, data.train.labels)


def test_targets_beside_values_that_are_named(tmp_path: Path) -> None:
    rows = [f"{n * 3},{n + 0.5},{n * 10}" for n in range(12)]
    path = table(tmp_path / "a.csv", "price,b,a", *rows)
    data = load(
        "series",
        tmp_path,
        path=path.name,
        inputs=(TensorType((2,), "float32"),),
        target_values=1,
        label=("price",),
        columns=("a", "b"),
    )
    both = np.concatenate([data.train.images, data.test.images])
    prices = np.concatenate([data.train.targets[0][:], data.test.targets[0][:]])
    assert sorted(map(tuple, both.tolist())) == [(n * 10, n + 0.5) for n in range(12)]
    assert np.allclose(prices[:, 0] / 3 + 0.5, both[:, 1])


def test_an_autoencoder_takes_its_columns_by_name(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", "weight,name,width,length", *(f"{g},x,{w},{length}" for length, w, g in ROWS * 5))
    data = load("series", tmp_path, path=path.name, inputs=THREE, columns=NAMES)
    assert data.train.images[0].tolist() in ROWS
    assert data.columns == NAMES


@pytest.mark.parametrize("label", ["kind", "KIND", 2])
def test_a_label_that_the_source_names_is_not_told_to_be_left_out(tmp_path: Path, label: str | int) -> None:
    path = table(tmp_path / "a.csv", "weight,kind,note,width,length", *(f"{g},a,x,{w},{x}" for x, w, g in ROWS))
    lines: list[str] = []
    declared = DeclaredColumns((label,), values=NAMES)
    assert read_unlabelled(path, 3, lines.append, declared).tolist() == ROWS
    assert lines[-1] == f"{path}: not read: note"


def test_a_table_of_nothing_but_values_has_no_labels(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", "b,a", *(f"{n}.5,{n % 2}" for n in range(12)))
    with pytest.raises(CnncError, match="there is no column of labels beside those of the values") as raised:
        load("series", tmp_path, path=path.name, inputs=(TensorType((2,), "float32"),), classes=2, columns=("a", "b"))
    assert raised.value.diagnostics[0].help == "name it as in training, or with `label=`"
