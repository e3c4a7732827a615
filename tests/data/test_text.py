"""`data text`: labelled sentences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cnnc.data import Request, load
from cnnc.data import lines as lines_module
from cnnc.data.file_tree import locate
from cnnc.data.text import build_vocabulary, encode, split_words
from cnnc.diagnostics import CnncError
from tests.data.conftest import data_folder, loaded_and_reported, refused, takes

FIVE = (takes(5, dtype="int64"),)


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def reviews(count: int = 10) -> str:
    return "".join(f"{('bad', 'good')[n % 2]}\tThe film no {n} is {('awful', 'fine')[n % 2]}!\n" for n in range(count))


def test_words() -> None:
    assert split_words("It's GOOD, isn’t it?  ... Été 3.5\t_x_") == (
        ("it's", "good", ",", "isn’t", "it", "?", ".", ".", ".", "été", "3", ".", "5", "_x_")
    )
    assert split_words("'quoted' rock'n'roll ") == ("'", "quoted", "'", "rock'n'roll")
    assert split_words("  \t") == ()


def test_vocabulary_and_numbers() -> None:
    sentences = [("b", "a", "c"), ("a", "d", "b"), ("a",)]
    assert build_vocabulary(sentences) == ["a", "b", "c", "d"]
    assert build_vocabulary(sentences, 4) == ["a", "b"]
    assert build_vocabulary(sentences, 2) == []
    assert encode(sentences, {"a": 2, "b": 3}, 2).tolist() == [[3, 2], [2, 1], [2, 0]]


@pytest.mark.parametrize(
    "lines",
    [
        ["good,fine film", "bad,awful film"] * 5,
        ["label,text", *['good,"fine, funny"', "bad,awful"] * 5],
        ["text,label", *['"fine\nand ""funny""",good', "awful,bad"] * 5],
        [",text,label", *(f"{n},film {n},{('bad', 'good')[n % 2]}" for n in range(10))],
        ["id,text,label", *(f"{n * 7},film {n},{('bad', 'good')[n % 2]}" for n in range(10, 0, -1))],
        ["sep=;", *["good;fine, funny", "bad;awful"] * 5],
    ],
    ids=["plain", "quoted", "wrapped, label last", "pandas", "ids", "sep"],
)
def test_a_csv_file(lines: list[str], tmp_path: Path) -> None:
    place = write(tmp_path / "a.csv", "\r\n".join(lines) + "\r\n")
    data, _ = loaded_and_reported("text", place, inputs=FIVE, classes=2, test=0.2)
    assert data.classes == ("bad", "good")
    assert np.bincount(data.train.labels).tolist() == [4, 4]
    assert not {"label", "text"} & set(data.vocabulary)


def test_the_words_of_a_quoted_cell(tmp_path: Path) -> None:
    place = write(tmp_path / "a.csv", "label,text\n" + 'good,"fine, and\nwarm"\nbad,dull\n' * 5)
    data, _ = loaded_and_reported("text", place, inputs=FIVE, classes=2, test=0.2)
    assert set(data.vocabulary) == {"fine", ",", "and", "warm", "dull"}


def test_a_csv_line_of_too_many_cells(tmp_path: Path) -> None:
    text = refused(
        "text", write(tmp_path / "a.csv", "good,fine\nbad,awful\n" * 3 + "good,fine, and funny\n"), inputs=FIVE
    )
    assert "a.csv:7: expected a label and 1 sentence, found 3 cells" in text
    assert 'put a sentence that has commas into quotes: `good,"fine, and funny"`' in text


def test_a_folder_with_train_and_test_csv(tmp_path: Path) -> None:
    for name, count in (("train.csv", 6), ("test.csv", 4)):
        write(tmp_path / name, "label,text\n" + "good,fine\nbad,awful\n" * (count // 2))
    data, _ = loaded_and_reported("text", tmp_path, inputs=FIVE, classes=2)
    assert (len(data.train), len(data.test)) == (6, 4)


def test_a_file_of_labels_and_sentences(tmp_path: Path) -> None:
    place = write(tmp_path / "a.tsv", reviews())
    data, lines = loaded_and_reported("text", place, inputs=FIVE, classes=2, test=0.2)
    assert data.classes == ("bad", "good")
    assert data.train.images.shape == (8, 5)
    assert data.train.images.dtype == np.int64
    assert np.bincount(data.train.labels).tolist() == [4, 4]
    assert set(data.vocabulary[:5]) == {"the", "film", "no", "is", "!"}
    assert data.vocabulary[:4] == ("the", "film", "no", "is")
    assert data.train.images[:, :3].tolist() == [[2, 3, 4]] * 8
    assert lines == [
        "PLACE: 2 classes: bad 5, good 5",
        "PLACE: 8 training and 2 test examples (test fraction 0.2, seed 0)",
        "PLACE: 10 of 10 sentences are truncated to 5 words",
        f"PLACE: {len(data.vocabulary)} words in the vocabulary",
    ]


def test_words_that_occur_only_in_the_test_split_are_unknown(tmp_path: Path) -> None:
    place = write(tmp_path / "a.tsv", reviews())
    data = load("text", path=str(place), inputs=(takes(9, dtype="int64"),), test=0.2)
    numbers = {str(n) for n in range(10)}
    assert len(numbers & set(data.vocabulary)) == 8  # those of the test split are not included
    assert (data.train.images != 1).all()
    assert (data.test.images[:, 3] == 1).all()
    assert data.test.images[:, 7:].tolist() == [[0, 0]] * 2
    read = [[data.vocabulary[n - 2] for n in row if n > 1] for row in data.train.images.tolist()]
    assert read[0] == ["the", "film", "no", read[0][3], "is", read[0][5], "!"]


def test_the_vocabulary_is_limited(tmp_path: Path) -> None:
    place = write(tmp_path / "a.tsv", reviews())
    data = load("text", path=str(place), inputs=FIVE, vocabulary_size=6)
    assert data.vocabulary == ("the", "film", "no", "is")
    assert data.train.images.max() == 5
    assert (data.train.images[:, 3] == 1).all()


def test_two_sentences(tmp_path: Path) -> None:
    place = write(tmp_path / "a.tsv", "".join(f"{n % 2}\ta b\tb c d\n" for n in range(6)))
    data = load("text", path=str(place), inputs=(takes(2, dtype="int64"), takes(4, dtype="int64")))
    assert data.vocabulary == ("b", "a", "c", "d")
    assert data.train.inputs[0][:].tolist() == [[3, 2]] * 4
    assert data.train.inputs[1][:].tolist() == [[2, 4, 5, 0]] * 4
    assert data.classes == ("0", "1")


def test_numbers_sort_as_numbers(tmp_path: Path) -> None:
    place = write(tmp_path / "a.tsv", "".join(f"{n}\tword\n" for n in (10, 9, 2) * 2))
    assert load("text", path=str(place), inputs=FIVE).classes == ("2", "9", "10")


def test_header_blank_lines_and_line_ends(tmp_path: Path) -> None:
    place = write(
        tmp_path / "a.tsv", "\ufeffLabel\tText\r\n" + reviews().replace("\n", "\r\n\r\n") + "good\tlast\x85one"
    )
    data, lines = loaded_and_reported("text", place)
    assert lines[0] == "PLACE: 2 classes: bad 5, good 6"
    assert data.train.images.shape[1] == 7  # the longest sentence, without a network


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("good", "a.tsv:3: expected label TAB sentence, found 0 tabs"),
        ("good\ta\tb", "a.tsv:3: expected label TAB sentence, found 2 tabs"),
        ("\ta b", "a.tsv:3: expected a label, found none"),
        ("good\t  ", "a.tsv:3: expected a sentence, found no word in it"),
        ("good\ta\0b", "a.tsv:3: expected text, found a zero byte"),
    ],
)
def test_bad_lines(tmp_path: Path, line: str, text: str) -> None:
    assert text in refused("text", write(tmp_path / "a.tsv", reviews(2) + line + "\n"), inputs=FIVE)


def test_latin_1_is_refused_in_a_file(tmp_path: Path) -> None:
    place = write(tmp_path / "a.tsv", reviews(4) + "good\tcafé\n", "latin-1")
    text = refused("text", place, inputs=FIVE)
    assert f"{place}:5: expected UTF-8, found the byte 0xe9 at column 9 | if it is Latin-1: iconv" in text


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_is_recognized_by_its_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    place = write(tmp_path / "a.tsv", "\ufeff" + reviews(4), encoding)
    assert "| it is UTF-16: iconv -f utf-16 -t utf-8 a.tsv > utf8-a.tsv" in refused("text", place, inputs=FIVE)


def test_long_lines_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_module, "MAX_BYTES", 50)
    place = write(tmp_path / "a.tsv", reviews(2) + "good\t" + "a" * 60)
    assert f"{place}:3: expected lines of at most 50 bytes" in refused("text", place, inputs=FIVE)


def test_an_empty_file(tmp_path: Path) -> None:
    assert "expected sentences, found none" in refused("text", write(tmp_path / "a.tsv", "\n\n"), inputs=FIVE)
    assert "does not exist" in refused("text", tmp_path / "b.tsv", "E603", inputs=FIVE)


@pytest.mark.parametrize("inputs", [(takes(5),), (takes(1, 5, dtype="int64"),), FIVE * 3])
def test_networks_whose_input_is_not_a_sentence(tmp_path: Path, inputs: tuple[object, ...]) -> None:
    assert "the network" in refused("text", write(tmp_path / "a.tsv", reviews()), inputs=inputs)


def test_a_different_number_of_classes_than_the_network(tmp_path: Path) -> None:
    text = refused("text", write(tmp_path / "a.tsv", reviews()), inputs=FIVE, classes=3)
    assert "found 2 classes (bad, good); the network's output has 3" in text


# ---- folders


@pytest.mark.parametrize("names", [("film.neg", "film.pos"), ("neg.txt", "pos.txt"), ("a.neg", "b.pos")])
def test_a_folder_with_one_file_per_label(tmp_path: Path, names: tuple[str, str]) -> None:
    write(tmp_path / names[1], "good one\nfine two\n")
    write(tmp_path / names[0], "bad one\n\nawful two\n")
    write(tmp_path / "README.md", "about")
    write(tmp_path / ".hidden.pos", "no")
    data, lines = loaded_and_reported("text", tmp_path, inputs=FIVE, test=0.5)
    assert data.classes == ("neg", "pos")
    assert lines[:2] == ["PLACE: not read: README.md", "PLACE: 2 classes: neg 2, pos 2"]


def test_a_folder_with_a_given_test_split(tmp_path: Path) -> None:
    write(tmp_path / "train.tsv", "label\tquery\tdocument\n1\tred fox\ta fox\n0\tblue sky\ta fox\n1\tblue\tsky\n")
    write(tmp_path / "test.tsv", "0\tgreen fox\tsky\n1\tsky\tblue\n")
    data, lines = loaded_and_reported(
        "text", tmp_path, inputs=(takes(3, dtype="int64"), takes(4, dtype="int64")), classes=2
    )
    assert lines[1] == "PLACE: 3 training and 2 test examples"
    assert data.vocabulary == ("fox", "a", "blue", "sky", "red"), "built from the training sentences only"
    assert data.train.labels.tolist() == [1, 0, 1]
    assert data.test.labels.tolist() == [0, 1]
    assert data.test.inputs[0][:].tolist() == [[1, 2, 0], [5, 0, 0]]
    assert data.test.inputs[1][:].tolist() == [[5, 0, 0, 0], [4, 0, 0, 0]]


@pytest.mark.parametrize("name", ["val", "dev"])
def test_a_given_validation_share(tmp_path: Path, name: str) -> None:
    for stem, word in (("train", "fox"), (name, "owl"), ("test", "cat")):
        write(tmp_path / f"{stem}.tsv", f"1\tred {word}\n0\tblue {word}\n")
    data, lines = loaded_and_reported("text", tmp_path)
    assert data.validation is not None
    assert "owl" not in data.vocabulary
    assert (len(data.train), len(data.validation), len(data.test)) == (2, 2, 2)
    assert "PLACE: 2 training, 2 validation and 2 test examples" in lines


@pytest.mark.parametrize("empty", ["train.tsv", "test.tsv"])
def test_a_folder_with_an_empty_split(tmp_path: Path, empty: str) -> None:
    for name in ("train.tsv", "test.tsv"):
        write(tmp_path / name, "" if name == empty else reviews())
    assert f"{empty}: expected sentences, found none" in refused("text", tmp_path, inputs=FIVE)


def test_latin_1_is_read_and_reported_in_a_folder(tmp_path: Path) -> None:
    write(tmp_path / "a.pos", "un café\x85noir\ndeux\n", "latin-1")
    write(tmp_path / "a.neg", "un thé\ndeux\n")
    _, lines = loaded_and_reported("text", tmp_path, inputs=FIVE, test=0.5, seed=1)
    assert lines[0] == "PLACE/a.pos is not UTF-8: read as Latin-1"
    assert lines[1] == "PLACE: 2 classes: neg 2, pos 2"


def test_folders_that_do_not_fit(tmp_path: Path) -> None:
    write(tmp_path / "a.pos", "one\ntwo\n")
    assert "for at least two labels" in refused("text", tmp_path, inputs=FIVE)
    write(tmp_path / "a.neg", "...\n \n")
    assert "use a .tsv file" in refused("text", tmp_path, inputs=FIVE * 2)


# ---- real data


def test_real_movie_reviews() -> None:
    place = data_folder("text", "rt-polarity.pos")
    data, lines = loaded_and_reported(
        "text", place, inputs=(takes(40, dtype="int64"),), classes=2, vocabulary_size=5000
    )
    assert data.classes == ("neg", "pos")
    assert (len(data.train), len(data.test)) == (9_596, 1_066)
    assert np.bincount(data.train.labels).tolist() == [4_798, 4_798]
    assert data.vocabulary[:2] == (".", "the")
    assert len(data.vocabulary) == 4_998
    assert data.train.images.max() == 4_999
    assert any("rt-polarity.neg is not UTF-8: read as Latin-1" in line for line in lines)
    assert 0.01 < (data.test.images == 1).mean() / (data.test.images > 0).mean() < 0.15


def test_a_path_is_searched_in_the_environment_variables_folder_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home" / "words").mkdir(parents=True)
    monkeypatch.setenv("CNNC_DATA", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert locate(Request(path="words"), "text", "words") == tmp_path / "home" / "words"
    assert locate(Request(path="made/words"), "text", "words") == tmp_path / "home" / "words"
    (tmp_path / "words").mkdir()
    assert locate(Request(path="words"), "text", "words") == Path("words")
    with pytest.raises(CnncError) as error:
        locate(Request(path="other"), "text", "words")
    assert error.value.diagnostics[0].code == "E603"
