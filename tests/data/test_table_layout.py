"""Which column of a text table is the label, and which line a header: found, or the documented layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cnnc.data.series import read_unlabelled
from cnnc.data.table_layout import DeclaredColumns, TableLayout, find_layout
from cnnc.diagnostics import CnncError
from tests.data.conftest import loaded_and_reported, refused, takes

RANDOM = np.random.default_rng(0)
SERIES = RANDOM.normal(size=(30, 6)).round(4)
LABELS = [str(n % 3) for n in range(30)]
NAMES = "t0,t1,t2,t3,t4,t5"
COUNT = "0,1,2,3,4,5"
SCALE = "0.5,1.5,2.5,4,8,16"
WORDS = [f"c{n}" for n in LABELS]


def table(*columns: object, header: str = "", separator: str = ",") -> str:
    """The columns side by side; an array gives its columns."""
    parts = [[str(v) for v in row] for row in np.column_stack([np.array(c) for c in columns]).tolist()]
    lines = ([header.replace(",", separator)] if header else []) + [separator.join(row) for row in parts]
    return "\n".join(lines) + "\n"


def floats(labels: list[str]) -> list[str]:
    """Labels as numpy.savetxt writes them."""
    return [f"{float(label):.18e}" for label in labels]


HEADER, LAST, INDEX = (
    "the first line is a header: ",
    "the label is in column 7",
    "column 1 numbers the lines and is not read",
)
INDEXED = [INDEX, "the label is in column 2"]

CASES = {
    "as documented": (table(LABELS, SERIES), []),
    "named": (table(LABELS, SERIES, header=f"label,{NAMES}"), []),
    "names of another kind": (table(LABELS, SERIES, header=f"digit,{NAMES}"), [f"{HEADER}digit, t0, t1, ..."]),
    "counted after a name": (table(LABELS, SERIES, header=f"digit,{COUNT}"), [f"{HEADER}digit, 0, 1, ..."]),
    "counted": (table(LABELS, SERIES, header=f"{COUNT},6"), [f"{HEADER}0, 1, 2, ..."]),
    "counted from 1": (table(LABELS, SERIES, header="1,2,3,4,5,6,7"), [f"{HEADER}1, 2, 3, ..."]),
    "label last": (table(SERIES, LABELS), [LAST]),
    "label last, as savetxt writes it": (table(SERIES, floats(LABELS)), [LAST]),
    "label last, in words": (table(SERIES, [f"c{n}" for n in LABELS]), [LAST]),
    "label last, named": (table(SERIES, LABELS, header=f"{NAMES},label"), [f"{HEADER}t0, t1, t2, ...", LAST]),
    "label last, of another name": (table(SERIES, LABELS, header=f"{NAMES},kind"), [f"{HEADER}t0, t1, t2, ...", LAST]),
    "index": (table(range(30), LABELS, SERIES), INDEXED),
    "pandas": (table(range(30), LABELS, SERIES, header=f",label,{NAMES}"), [f'{HEADER}"", label, t0, ...', *INDEXED]),
    "counted, label last": (table(SERIES, LABELS, header=f"{COUNT},y"), [f"{HEADER}0, 1, 2, ...", LAST]),
    "counted, label last, in words": (table(SERIES, WORDS, header=f"{COUNT},y"), [f"{HEADER}0, 1, 2, ...", LAST]),
    "pandas, counted": (
        table(range(30), SERIES, WORDS, header=f",{COUNT},y"),
        [f'{HEADER}"", 0, 1, ...', INDEX, "the label is in column 8"],
    ),
    "pandas, counted after the label": (
        table(range(30), LABELS, SERIES, header=f",y,{COUNT}"),
        [f'{HEADER}"", y, 0, ...', *INDEXED],
    ),
    "named by numbers": (table(WORDS, SERIES, header=f"kind,{SCALE}"), [f"{HEADER}kind, 0.5, 1.5, ..."]),
    "named by numbers, label last": (
        table(SERIES, LABELS, header=f"{SCALE},kind"),
        [f"{HEADER}0.5, 1.5, 2.5, ...", LAST],
    ),
    "spreadsheet": ("sep=;\n" + table(LABELS, SERIES, header=f"label,{NAMES}", separator=";"), []),
    "spreadsheet with a mark": ("\ufeffsep=;\n" + table(LABELS, SERIES, separator=";"), []),
    "tabs declared": ("sep=\t\n" + table(LABELS, SERIES, separator="\t"), []),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("known", [True, False], ids=["with a network", "without"])
def test_the_layout_of_a_table_of_series(tmp_path: Path, name: str, known: bool) -> None:
    text, findings = CASES[name]
    if not known and name == "index":
        pytest.skip("without the number of values, a column without a name may be a value")
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    request = {"inputs": (takes(1, 6),), "classes": 3} if known else {}
    data, lines = loaded_and_reported("series", tmp_path / "a.csv", test=0.2, **request)
    assert [line.removeprefix("PLACE: ") for line in lines[:-2]] == findings
    assert len(data.classes) == 3
    values = np.concatenate([data.train.images[:, 0], data.test.images[:, 0]])
    assert sorted(map(tuple, values)) == sorted(map(tuple, SERIES.astype(np.float32)))
    labels = np.concatenate([data.train.labels, data.test.labels])
    by_first = {row[0]: int(label) for row, label in zip(SERIES.astype(np.float32).tolist(), LABELS, strict=True)}
    assert [by_first[row[0]] for row in values.tolist()] == labels.tolist()


@pytest.mark.parametrize("name", CASES)
def test_prediction_reads_the_same_values(tmp_path: Path, name: str) -> None:
    text, findings = CASES[name]
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    lines: list[str] = []
    assert np.array_equal(read_unlabelled(tmp_path / "a.csv", 6, lines.append), SERIES.astype(np.float32))
    assert [line.partition(": ")[2] for line in lines] == findings


@pytest.mark.parametrize("header", ["", f"{NAMES}\n", f"{COUNT}\n"])
def test_prediction_reads_values_without_labels(tmp_path: Path, header: str) -> None:
    (tmp_path / "a.csv").write_text(header + table(SERIES), encoding="utf-8")
    assert np.array_equal(read_unlabelled(tmp_path / "a.csv", 6), SERIES.astype(np.float32))


@pytest.mark.parametrize("line", ["1,2,3,4", "1\t2\t3\t4", "0,1,2,3", "7,1,2,3,4"])
def test_a_line_that_stands_alone_is_a_series(tmp_path: Path, line: str) -> None:
    (tmp_path / "a.csv").write_text(line + "\n", encoding="utf-8")
    assert read_unlabelled(tmp_path / "a.csv", 4).shape == (1, 4)


def test_a_line_without_separators_is_told_its_count(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1 2 3 4\n", encoding="utf-8")
    with pytest.raises(CnncError, match="expected 4 values, with or without a label, found 1"):
        read_unlabelled(tmp_path / "a.csv", 4)


def test_a_scale_between_two_names_is_a_header() -> None:
    """Of patients and their diagnoses, in words."""
    text = table([f"p{n}" for n in range(30)], SERIES, WORDS, header=f"patient,{COUNT},diagnosis")
    rows = [line.split(",") for line in text.splitlines()]
    for first in (rows[0], ["patient", *SCALE.split(","), "diagnosis"]):
        found = find_layout([first, *rows[1:]], 6, 3, DeclaredColumns(unread=(1,)))
        assert found == TableLayout(True, 7, left_out=(0,))
    assert not find_layout(rows[1:], 6, 3, DeclaredColumns(unread=(1,))).header


def test_a_ramp_under_a_label_that_occurs_again_is_no_header() -> None:
    rows = [line.split(",") for line in table(WORDS, SERIES).splitlines()]
    assert find_layout([["c1", *COUNT.split(",")], *rows], 6, 3) == TableLayout(False, 0)
    assert find_layout([["kind", *COUNT.split(",")], *rows], 6, 3) == TableLayout(True, 0)


def test_a_missing_number_in_the_first_line_names_no_column(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("0,1.5,2.5,None\n" + table(LABELS, SERIES[:, :3]), encoding="utf-8")
    assert "a.csv:1: expected a number as value 3, found 'None'" in refused("series", tmp_path / "a.csv")


def test_a_single_line_of_numbers_that_count_is_no_header(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("0,1,2,3,4,5\n", encoding="utf-8")
    assert read_unlabelled(tmp_path / "a.csv", 6).tolist() == [[0, 1, 2, 3, 4, 5]]


@pytest.mark.parametrize("values", ["normal", "pixels", "ramps", "zeros at the end"])
@pytest.mark.parametrize("kinds", [2, 5, 40])
@pytest.mark.parametrize("count", [8, 100])
def test_a_table_as_documented_is_never_read_otherwise(values: str, kinds: int, count: int) -> None:
    arrays = {
        "normal": RANDOM.normal(size=(count, 6)),
        "pixels": RANDOM.integers(0, 256, (count, 6)),
        "ramps": np.arange(1, 7) + np.zeros((count, 1), int),
        "zeros at the end": np.concatenate([RANDOM.integers(0, 9, (count, 4)), np.zeros((count, 2), int)], axis=1),
    }
    labels = RANDOM.integers(0, kinds, count)
    rows = [list(map(str, (label, *row))) for label, row in zip(labels, arrays[values].tolist(), strict=True)]
    for length, classes in ((6, len(set(labels.tolist()))), (6, 0), (0, 0)):
        assert find_layout(rows, length, classes) == TableLayout(header=False, label=0)


def test_measurements_are_no_classes(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(table(SERIES, SERIES[:, 0]), encoding="utf-8")
    text = refused("series", tmp_path / "a.csv", inputs=(takes(1, 6),))
    assert "expected labels in the first or last column, found 30 different fractional numbers" in text
    assert "name the column of the label, such as `label=2`" in text


def test_a_column_is_named_as_index_takes_it() -> None:
    first = ["a", "b", "b", "", "two words", "größe"]
    headed = TableLayout(True, 0)
    assert [headed.name(n, first) for n in range(7)] == ["a", "2", "3", "4", '"two words"', '"größe"', "7"]
    assert TableLayout(False, 0).name(1, first) == "2"


def test_what_is_reported_of_a_layout() -> None:
    first = ["a", "b", "c"]
    assert list(TableLayout(True, 0).findings(first)) == ["the first line is a header: a, b, c"]
    assert list(TableLayout(True, 0).findings([*first, "d"])) == ["the first line is a header: a, b, c, ..."]
    assert list(TableLayout(True, 0).findings(["label", "b"])) == []
    assert list(TableLayout(False, 2, 0, 1).findings(first)) == [
        "column 1 numbers the lines and is not read",
        "column 2 holds timestamps and is not read",
        "the label is in column 3",
    ]
    for quiet in (
        TableLayout(False, 2, is_declared=True),
        TableLayout(False, 2, has_label=False),
        TableLayout(False, 0),
    ):
        assert list(quiet.findings(first)) == []
    named = TableLayout(False, 0, left_out=(1, 3), order=(4, 2))
    assert list(named.findings(["y", "", "v", "note", "u"])) == [
        "columns are taken by their names, in the order of training: u, v",
        "not read: 2, note",
    ]


@pytest.mark.parametrize(
    ("header", "label", "expected"),
    [
        ("a,b,c", (), TableLayout(True, 0)),
        ("a,label,c", (), TableLayout(True, 1)),
        ("a,b,c", ("c", 1), TableLayout(True, 2, targets=(2, 0), is_declared=True)),
        ("a,label,c", (-1,), TableLayout(True, 2, targets=(2,), is_declared=True)),
    ],
)
def test_a_header_alone_has_a_layout(header: str, label: tuple[str | int, ...], expected: TableLayout) -> None:
    assert find_layout([header.split(",")], declared=DeclaredColumns(label, header=True)) == expected


SENTENCES = [f"{adjective} film {n}" for n in range(15) for adjective in ("good", "bad")]
JUDGED = ["1", "0"] * 15

TEXTS = {
    "as documented": (table(JUDGED, SENTENCES, separator="\t"), []),
    "named": (table(JUDGED, SENTENCES, header="label,review", separator="\t"), []),
    "names of another kind": (
        table(JUDGED, SENTENCES, header="sentiment,review", separator="\t"),
        [f"{HEADER}sentiment, review"],
    ),
    "words as labels": (
        table(["good", "bad"] * 15, SENTENCES, header="sentiment,text", separator="\t"),
        [f"{HEADER}sentiment, text"],
    ),
    "words as labels, of another name": (
        table(["good", "bad"] * 15, SENTENCES, header="label,opinion", separator="\t"),
        [],
    ),
    "label last": (table(SENTENCES, JUDGED, separator="\t"), ["the label is in column 2"]),
    "label last, named": (
        table(SENTENCES, JUDGED, header="review,label", separator="\t"),
        [f"{HEADER}review, label", "the label is in column 2"],
    ),
    "pandas": (
        table(range(30), JUDGED, SENTENCES, header=",label,review", separator="\t"),
        [f'{HEADER}"", label, review', *INDEXED],
    ),
    "quoted": (table([f'"{n}"' for n in JUDGED], [f'"{s}"' for s in SENTENCES], separator="\t"), []),
}


@pytest.mark.parametrize("name", TEXTS)
def test_the_layout_of_a_table_of_sentences(tmp_path: Path, name: str) -> None:
    text, findings = TEXTS[name]
    (tmp_path / "a.tsv").write_text(text, encoding="utf-8")
    data, lines = loaded_and_reported(
        "text", tmp_path / "a.tsv", inputs=(takes(4, dtype="int64"),), classes=2, test=0.2
    )
    assert [line.removeprefix("PLACE: ") for line in lines[: len(findings)]] == findings
    assert "classes" in lines[len(findings)]
    assert data.classes == (("bad", "good") if name.startswith("words as labels") else ("0", "1"))
    first = [data.vocabulary[row[0] - 2] for row in data.train.images.tolist()]
    assert [word == "good" for word in first] == (data.train.labels == 1).tolist()


def test_a_label_that_looks_like_a_header_and_occurs_again_is_a_label(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text(table(["target", "noise"] * 15, SENTENCES, separator="\t"), encoding="utf-8")
    data, _ = loaded_and_reported("text", tmp_path / "a.tsv", inputs=(takes(4, dtype="int64"),), classes=2, test=0.2)
    assert data.classes == ("noise", "target")
    assert len(data.train) + len(data.test) == 30


def test_quotes_inside_a_sentence_stay(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text('1\t"so" he "said"\n0\t"a ""big"" one"\n' * 5, encoding="utf-8")
    data, _ = loaded_and_reported("text", tmp_path / "a.tsv", inputs=(takes(6, dtype="int64"),), classes=2)
    lengths = sorted({int((row > 0).sum()) for row in data.train.images})
    assert lengths == [5, 6]  # a " big " one: the quotes around it are gone; " so " he " said ": all are left, cut to 6
