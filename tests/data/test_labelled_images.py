"""`data images "photos" labels="labels.csv"`: images by a table, with labels or targets, and several images per example."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnc.core.tensor import TensorType
from cnnc.data import image_column, load
from cnnc.data.dataset import Dataset
from cnnc.diagnostics import CnncError
from tests.data.test_images import encoded_image, folder_of

TWO: dict[str, Any] = {"classes": 2, "output": TensorType((2,))}
GREY = TensorType((1, 4, 6))


def place(tmp_path: Path, table: str, names: list[str], name: str = "labels.csv") -> Path:
    """A folder of images, of which image n is filled with n, and a table beside it."""
    folder = folder_of(tmp_path / "photos", {file: encoded_image(n) for n, file in enumerate(names)})
    (tmp_path / name).write_text(table, encoding="utf-8")
    return folder


def read(folder: Path, labels: str = "labels.csv", **more: Any) -> tuple[Dataset, list[str]]:
    lines: list[str] = []
    more = {"inputs": (GREY,), "input_names": ("photo",), "test": 0.25, **more}
    more.setdefault("target_values", 0 if more.get("classes") else more["output"].size)
    return load("images", None, lines.append, path=str(folder), labels=labels, **more), lines


def refused(folder: Path, **more: Any) -> str:
    with pytest.raises(CnncError) as caught:
        read(folder, **more)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code in ("E602", "E603")
    return f"{diagnostic.message}\n{diagnostic.help}"


def labels_by_image(data: Dataset) -> dict[int, str]:
    """The class of each image, by the value of its pixels."""
    return {
        int(image[0, 0, 0]): data.classes[label]
        for share in (data.train, data.test)
        for image, label in zip(share.images, share.labels, strict=True)
    }


FOUR = ["a/0.png", "a/1.png", "2, b.png", "3.png"]
CLASSES = {0: "cat", 1: "cat", 2: "dog", 3: "dog"}


@pytest.mark.parametrize(
    "table",
    [
        'file,label\na/0.png,cat\na/1.png,cat\n"2, b.png",dog\n3.png,dog\n',
        'a/0.png,cat\na/1.png,cat\n"2, b.png",dog\n3.png,dog\n',
        "﻿label\tfile\ncat\ta\\0.png\ncat\t./a/1.png\ndog\t2, b.png\ndog\tphotos/3.png\n",
        'sep=;\r\nid;class\r\n0;cat\r\n1;cat\r\n"2, b";dog\r\n3;dog\r\n',
        ',file,label\n0,0.PNG,cat\n1,1.PNG,cat\n2,"2, b.png",dog\n3,3.png,dog\n',
        'file,label,\na/0.png,cat,\n\n a/1.png , cat ,\n"2, b.png",dog,\n3.png,dog,\n',
    ],
    ids=["header", "bare", "tabs", "ids", "pandas", "empty column"],
)
def test_tables_as_people_write_them(tmp_path: Path, table: str) -> None:
    data, _ = read(place(tmp_path, table, FOUR), **TWO)
    assert data.classes == ("cat", "dog")
    assert labels_by_image(data) == CLASSES


def test_a_label_that_a_spreadsheet_wrapped_is_on_one_line(tmp_path: Path) -> None:
    table = 'file,label\na/0.png,"grey\r\ncat"\na/1.png,"grey\tcat"\n"2, b.png",dog\n3.png,dog\n'
    data, _ = read(place(tmp_path, table, FOUR), **TWO)
    assert data.classes == ("dog", "grey cat")


def test_table_inside_a_zip(tmp_path: Path) -> None:
    files = {f"set/{name}": encoded_image(n) for n, name in enumerate(FOUR)}
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        archive.writestr("set/labels.csv", 'a/0.png,cat\na/1.png,cat\n"2, b.png",dog\n3.png,dog\n')
    data, lines = read(tmp_path / "photos.zip", "set/labels.csv", **TWO)
    assert labels_by_image(data) == CLASSES
    assert not any("not read" in line for line in lines)


def test_missing_files_and_lines_without_label_are_skipped_and_named(tmp_path: Path) -> None:
    table = 'file,label\na/0.png,cat\na/1.png,cat\ngone.png,dog\n,dog\n3.png,\n"2, b.png",dog\n3.png,dog\nbad.png,dog\n'
    folder = place(tmp_path, table, FOUR)
    (folder / "bad.png").write_bytes(b"no image")
    (folder / "extra.png").write_bytes(encoded_image(9))
    data, lines = read(folder, **TWO)
    assert labels_by_image(data) == CLASSES
    assert dict(data.facts.skipped) == {
        "line 4": "there is no file gone.png",
        "line 5": "no file is named",
        "line 6": "no label is given",
        "line 9": "bad.png cannot be read: unknown format",
    }
    assert list(data.facts.unread) == ["extra.png"]
    (skipped,) = [line for line in lines if "skipped" in line]
    assert "skipped 4 of 8 lines: line 4: there is no file gone.png; line 5" in skipped
    assert any("1 file of" in line and "extra.png" in line for line in lines)


def test_targets_of_several_columns(tmp_path: Path) -> None:
    table = "file,name,x,y\na/0.png,one,0.5,-1\na/1.png,two,1e-1,2\n3.png,three,3,4\n"
    folder = place(tmp_path, table, FOUR)
    data, _ = read(folder, output=TensorType((2,)), label=("x", "y"))
    assert data.classes == ()
    assert data.train.targets[0].dtype == np.float32
    values = {
        int(i[0, 0, 0]): t.tolist() for s in (data.train, data.test) for i, t in zip(s.images, s.labels, strict=True)
    }
    assert values == {0: [0.5, -1], 1: [np.float32(0.1), 2], 3: [3, 4]}
    assert read(folder, output=TensorType((2,)))[0].train.labels.tolist() == data.train.labels.tolist()
    by_number, _ = read(folder, output=TensorType((1,)), label=(-1,))
    assert sorted(by_number.train.labels.reshape(-1).tolist())[-1] == 4


def test_one_column_of_0_and_1_for_each_class(tmp_path: Path) -> None:
    table = 'id,dog,cat\n0,0,1\n1,0,1\n"2, b",1,0\n3,1,0\n'
    data, lines = read(place(tmp_path, table, FOUR), **TWO)
    assert data.classes == ("dog", "cat")
    assert labels_by_image(data) == CLASSES
    assert any("a column of 0 and 1 for each class: dog, cat" in line for line in lines)


def test_pairs_of_images_share_the_decoded_files(tmp_path: Path) -> None:
    table = "left,right,age,same\n0,1,0.5,1\n3,0,2,0\n1,1,3,1\n0,3,4,0\n"
    more = {"inputs": (GREY, TensorType((1,)), GREY), "input_names": ("right", "age", "left"), **TWO}
    data, lines = read(place(tmp_path, table, FOUR), **more)
    rows = []
    for share in (data.train, data.test):
        columns = [
            share.inputs[0][:][:, 0, 0, 0],
            share.inputs[1][:][:, 0],
            share.inputs[2][:][:, 0, 0, 0],
            share.labels,
        ]
        rows += list(zip(*(column.tolist() for column in columns), strict=True))
    assert sorted(rows) == [(0, 2.0, 3, 0), (1, 0.5, 0, 1), (1, 3.0, 1, 1), (3, 4.0, 0, 0)]
    assert any("have an image that training examples have too" in line for line in lines)


def test_batches_of_pairs_that_stay_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_column, "largest_in_memory", lambda: 0)
    monkeypatch.setenv("CNNC_CACHE_GB", "0")
    table = "left,right,same\n0,1,1\n3,0,0\n1,1,1\n0,3,0\n"
    data, _ = read(place(tmp_path, table, FOUR), inputs=(GREY, GREY), input_names=("left", "right"), **TWO)
    parts = [np.array([1, 0])]
    ((inputs, (labels,)),) = list(data.train.batches(parts))
    for column, batch in zip(data.train.inputs, inputs, strict=True):
        np.testing.assert_array_equal(batch, column[:][parts[0]])
    assert len(labels) == 2


def test_shares_by_a_column_and_by_folders(tmp_path: Path) -> None:
    table = 'file,label,split\n0,cat,train\n1,cat,Test\n"2, b",dog,train\n3,dog,TEST\n'
    data, _ = read(place(tmp_path, table, FOUR), **TWO)
    assert sorted(data.train.images[:, 0, 0, 0].tolist()) == [0, 2]
    assert sorted(data.test.images[:, 0, 0, 0].tolist()) == [1, 3]
    names = ["train/0.png", "test/1.png", "train/2.png", "test/3.png"]
    table = "".join(f"{name},{'cat' if n < 2 else 'dog'}\n" for n, name in enumerate(names))
    (tmp_path / "folders").mkdir()
    data, _ = read(place(tmp_path / "folders", table, names), **TWO)
    assert sorted(data.test.images[:, 0, 0, 0].tolist()) == [1, 3]


@pytest.mark.parametrize(
    ("table", "more", "expected"),
    [
        ("", TWO, "expected lines of file names and labels, found none"),
        ("a/0.png,cat\na/1.png\n", TWO, "labels.csv:2: expected 2 cells, as in the first line, found 1"),
        ('a/0.png,"cat\n', TWO, "is not a line of cells"),
        ("a/0.png,\0\n", TWO, "labels.csv:1: expected text, found a zero byte"),
        ("x.png,cat\ny.png,dog\n", TWO, "no column names files in the images, for example x.png, cat"),
        ("a/0.png\na/1.png\n", TWO, "expected a column of labels or targets beside the file names"),
        ("f,breed,colour\n0,a,b\n1,a,c\n3,b,b\n", TWO, 'label="breed"'),
        ("0,cat\n1,cow\n3,dog\n", TWO, "found 3 classes (cat, cow, dog); the network's output has 2"),
        ("f,x\n0,1\n1,two\n", {"output": TensorType((1,))}, "labels.csv:3: expected a number as x, found 'two'"),
        ("f,x,y,z\n0,1,2,3\n1,3,4,5\n", {"output": TensorType((2,))}, 'label=["x", "y"]'),
        ("f,l\n0,a\n1,b\n", {**TWO, "label": ("m",)}, "there is no column m\nthe columns are f, l"),
        ("f,l,split\n0,a,train\n1,b,holdout\n", TWO, "labels.csv:3: expected a share as split, found 'holdout'"),
        ("f,l\n0,a\n1,b\n", {**TWO, "inputs": (GREY, GREY), "input_names": ("l1", "r1")}, "takes 2 images (l1, r1)"),
        (
            "f,l\n0,a\n1,b\n",
            {**TWO, "inputs": (TensorType((2, 4, 6)),)},
            "the input photo is 2x4x6, which is not an image",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, table: str, more: dict[str, Any], expected: str) -> None:
    assert expected in refused(place(tmp_path, table, FOUR), **more)


def test_table_that_is_not_utf_8(tmp_path: Path) -> None:
    folder = place(tmp_path, "", FOUR)
    (tmp_path / "labels.csv").write_bytes("file,label\r\n0.png,café\r\n".encode("latin1"))
    told = refused(folder, **TWO)
    assert "labels.csv:2: expected UTF-8, found the byte 0xe9 at column 10" in told
    assert "iconv -f latin1 -t utf-8 labels.csv" in told


def test_missing_table(tmp_path: Path) -> None:
    folder = place(tmp_path, "", FOUR)
    assert "nothing.csv, which labels= names, does not exist" in refused(folder, labels="nothing.csv", **TWO)
    assert "found a folder" in refused(folder, labels="photos/a", **TWO)


def test_columns_are_named_as_those_of_series(tmp_path: Path) -> None:
    folder = place(
        tmp_path, "File,Kind,Kinds\na/0.png,a,b\na/1.png,b,a\n2,a,b\n3,b,a\n", ["a/0.png", "a/1.png", "2.png", "3.png"]
    )
    data, _ = read(folder, **TWO, label=("kind",))
    assert labels_by_image(data) == {0: "a", 1: "b", 2: "a", 3: "b"}
    assert refused(folder, **TWO, label=("kinds2",)).endswith("there is no column kinds2\nwrite `Kinds`")
