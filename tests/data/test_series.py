"""`data series`: labelled series, one per line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cnnc.data import load
from cnnc.data.series import read_unlabelled
from cnnc.data.table_layout import DeclaredColumns
from cnnc.diagnostics import CnncError
from tests.data.conftest import loaded_and_reported, refused, takes

THREE = (takes(1, 3),)


def rows(count: int = 10, mark: str = ",") -> str:
    return "".join(mark.join((f"{n % 2}", f"{n}", "-1.5", "2e-1")) + "\n" for n in range(count))


def write(tmp_path: Path, text: str) -> Path:
    (tmp_path / "beats.csv").write_text(text, encoding="utf-8", newline="")
    return tmp_path / "beats.csv"


@pytest.mark.parametrize("mark", [",", ";", "\t", " , "])
@pytest.mark.parametrize("header", ["", "label,a,b,c\n", "Class,1,2,3\n"])
def test_one_series_per_line(tmp_path: Path, mark: str, header: str) -> None:
    place = write(tmp_path, header.replace(",", mark) + rows(mark=mark))
    data, lines = loaded_and_reported("series", place, inputs=THREE, classes=2, test=0.2)
    assert data.classes == ("0", "1")
    assert data.train.images.shape == (8, 1, 3)
    assert data.train.images.dtype == np.float32
    assert data.train.images[0, 0, 1:].tolist() == [-1.5, pytest.approx(0.2)]
    assert np.array_equal(data.train.images[:, 0, 0] % 2, data.train.labels)
    assert lines == [
        "PLACE: 2 classes: 0 5, 1 5",
        "PLACE: 8 training and 2 test examples (test fraction 0.2, seed 0)",
    ]


def test_vector_inputs_text_labels_and_quotes(tmp_path: Path) -> None:
    place = write(tmp_path, '\n"up","1"," 2 ",3\r\n' + "up,4,5,6\ndown,7,8,9\ndown,0,0,0\n")
    data = load("series", path=str(place), inputs=(takes(3),), test=0.5)
    assert data.classes == ("down", "up")
    assert data.train.images.shape == (2, 3)
    assert load("series", path=str(place)).train.images.shape == (2, 1, 3)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("1,2,3", "beats.csv:3: expected 3 values, which the network takes, found 2"),
        ("1,2,3,4,5", "beats.csv:3: expected 3 values, which the network takes, found 4"),
        ("1,2,,4", "beats.csv:3: expected a number as value 2, found ''"),
        ("1,2,x,4", "beats.csv:3: expected a number as value 2, found 'x'"),
        ("1,2,nan,4", "expected a number as value 2, found 'nan'"),
        ("1,2,3,inf", "expected a number as value 3, found 'inf'"),
        ("1,2,3,1e39", "expected a number as value 3, found '1e39'"),
        ("1,1_0,3,4", "expected a number as value 1, found '1_0'"),
        (",1,2,3", "expected a label, found none"),
        ("1", "expected a label and its values"),
        ("1;2;3;4", "expected a label and its values"),
    ],
)
def test_bad_lines(tmp_path: Path, line: str, text: str) -> None:
    assert text in refused("series", write(tmp_path, rows(2) + line + "\n"), inputs=THREE)


@pytest.mark.parametrize(
    ("line", "help"),
    [
        ("a,1,,3", "fill in what is missing, or leave the line out"),
        ("a,1,NA,3", "fill in what is missing, or leave the line out"),
        ("1,2,3,a", "the label comes first, before the values"),
    ],
)
def test_help_for_a_cell_that_is_not_a_number(tmp_path: Path, line: str, help: str) -> None:
    assert f"| {help}" in refused("series", write(tmp_path, f"{rows(4)}{line}\n"), inputs=THREE)


def test_help_for_decimal_commas(tmp_path: Path) -> None:
    place = write(tmp_path, "a;1.5;2;3\nb;1,5;2;3\n")
    assert "found '1,5' | write decimals with a point" in refused("series", place, inputs=THREE)


def test_the_home_folder_of_nobody() -> None:
    text = refused("series", "~nobody-has-this-name/beats.csv", "E603", inputs=THREE)
    assert "names the home folder of an unknown user" in text


def test_the_first_line_gives_the_length(tmp_path: Path) -> None:
    text = refused("series", write(tmp_path, rows(2) + "1,2,3\n"))
    assert "beats.csv:3: expected 3 values, which the first line has, found 2" in text


def test_an_invalid_first_line_is_not_a_header(tmp_path: Path) -> None:
    text = refused("series", write(tmp_path, "0,1,x,2\n" + rows()), inputs=THREE)
    assert "beats.csv:1: expected a number as value 2, found 'x'" in text
    text = refused("series", write(tmp_path, "0,nan,nan,nan\n" + rows()), inputs=THREE)
    assert "beats.csv:1: expected a number as value 1, found 'nan'" in text


def test_other_encodings_and_an_empty_file(tmp_path: Path) -> None:
    place = write(tmp_path, rows())
    place.write_bytes(place.read_bytes() + b"\xff,1,2,3\n")
    assert "beats.csv:11: expected UTF-8, found the byte 0xff at column 1" in refused("series", place, inputs=THREE)
    assert "expected series, found none" in refused("series", write(tmp_path, "label,a,b,c\n"), inputs=THREE)
    assert "does not exist" in refused("series", tmp_path / "absent.csv", "E603", inputs=THREE)


@pytest.mark.parametrize("inputs", [(takes(2, 3),), (takes(1, 3, 3),), THREE * 2])
def test_networks_whose_input_is_not_a_series_of_one_channel(tmp_path: Path, inputs: tuple[object, ...]) -> None:
    assert "save several channels as x (N, C, T) and y in a .npz file" in refused(
        "series", write(tmp_path, rows()), inputs=inputs
    )


def test_one_value_per_line(tmp_path: Path) -> None:
    place = write(tmp_path, "".join(f"{'ab'[n % 2]},{n}.5\n" for n in range(8)))
    data = load("series", path=str(place), inputs=(takes(1),), classes=2, test=0.25)
    assert sorted(np.concatenate([data.train.images, data.test.images]).tolist()) == [[n + 0.5] for n in range(8)]


def test_lines_of_one_cell_are_reported_from_the_first_on(tmp_path: Path) -> None:
    text = refused("series", write(tmp_path, "1 2 3 4\n0 2 3 4\n"))
    assert "beats.csv:1: expected a label and its values" in text


def test_prediction_without_a_known_length(tmp_path: Path) -> None:
    """A length of 0 means that of the first line, whose first cell is a label if it is not a number."""
    for text, values in (("1,2,3\n", [[1, 2, 3]]), ("up,2,3\n", [[2, 3]]), ("up,2,3\ndown,4,5\n", [[2, 3], [4, 5]])):
        assert read_unlabelled(write(tmp_path, text), 0).tolist() == values
    with pytest.raises(CnncError, match=r"beats\.csv: expected series, found none"):
        read_unlabelled(write(tmp_path, "\n\n"), 0)


def test_prediction_of_a_table_of_one_or_two_lines(tmp_path: Path) -> None:
    """Nothing follows a single line that it could be the header of."""
    assert read_unlabelled(write(tmp_path, "a,b\n1,2\n"), 2).tolist() == [[1, 2]]
    assert read_unlabelled(write(tmp_path, "v\na,1\nb,2\n"), 1).tolist() == [[1], [2]]  # the header lacks the label
    with pytest.raises(CnncError, match=r"beats\.csv:1: expected a number as value 1, found 'a'"):
        read_unlabelled(write(tmp_path, "a,b\n"), 2)
    with pytest.raises(CnncError, match=r"beats\.csv: expected series, found none"):
        read_unlabelled(write(tmp_path, "b,a\n"), 2, declared=DeclaredColumns(values=("a", "b")))


def test_a_different_number_of_classes_than_the_network(tmp_path: Path) -> None:
    assert "found 2 classes" in refused("series", write(tmp_path, rows()), inputs=THREE, classes=5)


def test_several_channels_are_read_from_a_npz(tmp_path: Path) -> None:
    np.savez(tmp_path / "beats.npz", x=np.zeros((6, 2, 3)), y=np.arange(6) % 2)
    data = load("series", path=str(tmp_path / "beats.npz"), inputs=(takes(2, 3),), classes=2)
    assert data.name == "series"
    assert data.train.images.shape == (4, 2, 3)
