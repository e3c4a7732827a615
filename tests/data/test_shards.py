"""`data shards`: tar archives of images and labels, as WebDataset defines them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cnnc.data import image_column, load
from cnnc.data.shards import expand
from cnnc.diagnostics import CnncError
from tests.data.conftest import loaded_and_reported, refused
from tests.data.test_images import GREY, Files, encoded_image

Edit = Callable[[tarfile.TarInfo], None]


def nothing(info: tarfile.TarInfo) -> None:
    """Leaves a header as it is."""


def shard_of(path: Path, files: Files, edit: Edit = nothing, form: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w", format=form) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            edit(info)
            archive.addfile(info, io.BytesIO(content))
    return path


def examples(first: int, count: int = 4) -> Files:
    """Grey images of the values first, first + 1, ..., with the labels 0, 1, 0, 1, ..."""
    files: Files = {}
    for n in range(first, first + count):
        files |= {f"a/{n:03d}.png": encoded_image(n), f"a/{n:03d}.cls": b"%d\n" % (n % 2)}
    return files


def pairs(data: object) -> list[tuple[int, int]]:
    """The value and the label of each example, training before test."""
    parts = (data.train, data.test)  # type: ignore[attr-defined]
    return [(int(i[0, 0, 0]), int(n)) for part in parts for i, n in zip(part.images, part.labels, strict=True)]


# ---- what is read


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_images_keep_their_labels_whether_in_memory_or_not(
    tmp_path: Path, form: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(8, 12):
        shard_of(tmp_path / f"train-{n:02d}.tar", examples(10 * n), form=form)
    pattern = tmp_path / "train-{08..11}.tar"
    kept, lines = loaded_and_reported("shards", pattern, inputs=GREY, classes=2)
    assert lines[0] == "PLACE: 16 examples in 4 shards"
    assert kept.classes == ("0", "1")
    assert sorted(pairs(kept)) == sorted((10 * n + k, k % 2) for n in range(8, 12) for k in range(4))
    monkeypatch.setattr(image_column, "largest_in_memory", lambda: 0)
    streamed = load("shards", path=str(pattern), inputs=GREY, classes=2)
    assert pairs(streamed) == pairs(kept)
    assert streamed.train.select(np.array([3, 0])).images.tolist() == kept.train.images[[3, 0]].tolist()


def test_what_patterns_stand_for() -> None:
    assert list(expand("t-{08..11}.tar")) == ["t-08.tar", "t-09.tar", "t-10.tar", "t-11.tar"]
    assert list(expand("{9..10}")) == ["9", "10"]
    assert list(expand("{train,val}-{1..2}.tar")) == ["train-1.tar", "train-2.tar", "val-1.tar", "val-2.tar"]
    assert list(expand("a{b}c")) == ["a{b}c"]


def test_a_folder_with_a_test_split(tmp_path: Path) -> None:
    shard_of(tmp_path / "train-0.tar", examples(0))
    shard_of(tmp_path / "val-0.tar", examples(50, 2))
    data, lines = loaded_and_reported("shards", tmp_path, inputs=GREY)
    assert data.validation is not None
    assert data.validation.images[:, 0, 0, 0].tolist() == [50, 51]
    assert "PLACE: 2 training, 2 validation and 2 test examples (test fraction 0.1 of training, seed 0)" in lines
    assert sorted(value for value, _ in pairs(data)) == [0, 1, 2, 3]
    shard_of(tmp_path / "test-0.tar", examples(70, 2))
    shard_of(tmp_path / "valid-0.tar", examples(90, 2))
    data, lines = loaded_and_reported("shards", tmp_path, inputs=GREY)
    assert lines[0] == "PLACE: the shards named valid are not read: those named val are the validation share"
    assert lines[-1] == "PLACE: 4 training, 2 validation and 2 test examples"
    assert [value for value, _ in pairs(data)] == [0, 1, 2, 3, 70, 71]


def test_the_folder_of_a_pattern_is_found_with_data(tmp_path: Path) -> None:
    for n in range(2):
        shard_of(tmp_path / f"s-{n}.tar", examples(10 * n))
    assert len(load("shards", tmp_path, path="elsewhere/s-{0..1}.tar", inputs=GREY).train) == 6


@pytest.mark.parametrize(
    ("suffix", "contents", "classes"),
    [
        ("txt", [b"owl", b"cat\n", b"owl", b"cat"], ("cat", "owl")),
        ("json", [b'{"label": "owl", "id": 7}', b'"cat"', b'"owl"', b'{"class": "cat"}'], ("cat", "owl")),
        ("json", [b"1", b'{"cls": 0}', b"1", b"0"], ("0", "1")),
    ],
)
def test_labels_are_numbers_or_names(
    tmp_path: Path, suffix: str, contents: list[bytes], classes: tuple[str, ...]
) -> None:
    files = {f"{n}.{suffix}": content for n, content in enumerate(contents)}
    files |= {f"{n}.PNG": encoded_image(n) for n in range(4)}
    data = load("shards", path=str(shard_of(tmp_path / "s.tar", files)), inputs=GREY, classes=2)
    assert data.classes == classes
    assert sorted(pairs(data)) == [(0, 1), (1, 0), (2, 1), (3, 0)]


def test_other_labels_hidden_files_and_damaged_images_are_reported(tmp_path: Path) -> None:
    files = {**examples(0), "a/000.json": b"{}", "a/._000.png": b"x", "a/004.png": b"words", "a/004.cls": b"0"}
    _, lines = loaded_and_reported("shards", shard_of(tmp_path / "s.tar", files), inputs=GREY)
    assert "PLACE: not read: 1 .json" in lines
    assert "PLACE: skipped 1 of 5 files: PLACE: a/004.png (unknown format)" in lines
    assert lines[-1].startswith("PLACE: 2 training and 2 test examples")


# ---- what is refused


def only(name: str, content: bytes = b"0") -> Files:
    return {**examples(0), name: content}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (only("a/007.cls"), "the key a/007 has no image"),
        (only("a/007.png"), "the key a/007 has no label"),
        (only("a/000.jpg"), "the key a/000 has two images, a/000.png and a/000.jpg"),
        (only("a/000.npy"), "the member a/000.npy is neither an image nor a label"),
        (only("a/README"), "the member a/README is neither an image nor a label"),
        (only("a/000.seg.png"), "the key ends at the first dot of the name"),
        (only("../000.png"), "the name of the member '../000.png' leads out of the archive"),
        (only("/etc/0.png"), "the name of the member '/etc/0.png' leads out of the archive"),
        (only("a/\x1b[2J.png"), r"the name a/\x1b[2J.png contains control characters"),
        (
            {**examples(0), "b.png": encoded_image(0), "b.txt": b"cat"},
            "the label of b is a .txt, those before are .cls",
        ),
        ({"b.png": encoded_image(0), "b.cls": b"-1"}, "the label b.cls is not a whole number from 0"),
        ({"b.png": encoded_image(0), "b.cls": b"2"}, "found the label 2; the network's output has 2 classes"),
        ({"b.png": encoded_image(0), "b.txt": b"a\nb"}, "the label b.txt is not the name of a class"),
        ({"b.png": encoded_image(0), "b.json": b"[" * 100_000}, "the label b.json is not JSON"),
        ({"b.png": encoded_image(0), "b.json": b'{"x": 1}'}, "the label b.json is not a whole number from 0, a name"),
        ({"b.png": encoded_image(0), "b.txt": b"\xff"}, "the label b.txt is not UTF-8"),
        ({}, "expected examples, found none"),
        ({"b.png": b"words", "b.cls": b"0"}, "no image can be decoded"),
    ],
)
def test_members_that_are_refused(tmp_path: Path, files: Files, message: str) -> None:
    assert message in refused("shards", shard_of(tmp_path / "s.tar", files), inputs=GREY, classes=2)


def test_two_members_of_the_same_name(tmp_path: Path) -> None:
    path = shard_of(tmp_path / "s.tar", examples(0))
    with tarfile.open(path, "a") as archive:
        archive.addfile(tarfile.TarInfo("./a/000.cls"))
    assert "two members are named a/000.cls" in refused("shards", path, inputs=GREY)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices(tmp_path: Path, kind: bytes) -> None:
    def turn(info: tarfile.TarInfo) -> None:
        if info.name == "a/002.png":
            info.type, info.linkname, info.size = kind, "/etc/passwd", 0

    path = shard_of(tmp_path / "s.tar", examples(0), turn)
    assert "the member a/002.png is a link, a device or a sparse file" in refused("shards", path, inputs=GREY)


def test_truncated_anywhere(tmp_path: Path) -> None:
    whole = shard_of(tmp_path / "whole.tar", examples(0), form=tarfile.USTAR_FORMAT).read_bytes()
    end = 8 * 1024  # eight members of a header and a block
    path = tmp_path / "s.tar"
    for length in (0, 100, 600, 3000, end - 1024, end - 512, end, end + 100):
        path.write_bytes(whole[:length])
        assert f"{path}: is truncated" in refused("shards", path, inputs=GREY), length
    path.write_bytes(whole[: end + 512])  # a lone block of zeros is an end
    assert len(load("shards", path=str(path), inputs=GREY).train) == 2


def test_damaged_in_the_middle_or_followed_by_more(tmp_path: Path) -> None:
    whole = shard_of(tmp_path / "whole.tar", examples(0), form=tarfile.USTAR_FORMAT).read_bytes()
    path = tmp_path / "s.tar"
    path.write_bytes(whole[:2048] + b"\xff" * 512 + whole[2560:])
    assert "is damaged at byte 2,048: expected the header of a member" in refused("shards", path, inputs=GREY)
    path.write_bytes(whole + whole)
    assert "has more content behind its end at byte 8,192 | several archives" in refused("shards", path, inputs=GREY)
    path.write_bytes(b"words" * 1000)
    assert "is truncated or not a .tar archive" in refused("shards", path, inputs=GREY)


@pytest.mark.parametrize(
    ("kind", "problem"), [(tarfile.REGTYPE, "is truncated: the member a.png"), (tarfile.XHDTYPE, "(a header of 10")]
)
def test_a_header_that_states_a_huge_size(tmp_path: Path, kind: bytes, problem: str) -> None:
    info = tarfile.TarInfo("a.png")
    info.size, info.type = 10**15, kind
    path = tmp_path / "s.tar"
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    assert problem in refused("shards", path, inputs=GREY)


@pytest.mark.parametrize(
    ("compress", "program"), [(gzip.compress, "gunzip"), (bz2.compress, "bunzip2"), (lzma.compress, "unxz")]
)
def test_compressed_shards_name_the_program_that_unpacks(
    tmp_path: Path, compress: Callable[[bytes], bytes], program: str
) -> None:
    path = tmp_path / "s 1.tar.gz"
    path.write_bytes(compress(shard_of(tmp_path / "s.tar", examples(0)).read_bytes()))
    assert f"run `{program} '{path}'`" in refused("shards", path, inputs=GREY)


def test_missing_shards(tmp_path: Path) -> None:
    shard_of(tmp_path / "s-0.tar", examples(0))
    text = refused("shards", tmp_path / "s-{0..3}.tar", "E603", inputs=GREY)
    assert f"{tmp_path / 's-1.tar'} does not exist, nor do 2 others; the pattern stands for 4 shards" in text
    assert "s-0.tar does not exist" in refused("shards", tmp_path / "gone" / "s-{0..3}.tar", "E603", inputs=GREY)
    assert "more than 100,000 shards" in refused("shards", tmp_path / "s-{0..999999999}.tar", inputs=GREY)
    (tmp_path / "empty").mkdir()
    assert "expected .tar files, found none" in refused("shards", tmp_path / "empty", inputs=GREY)


def test_a_shard_that_changes_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_column, "largest_in_memory", lambda: 0)
    path = shard_of(tmp_path / "s.tar", examples(0), form=tarfile.USTAR_FORMAT)
    data = load("shards", path=str(path), inputs=GREY)
    path.write_bytes(path.read_bytes()[:512])
    with pytest.raises(CnncError, match=r"s\.tar: .* is not an image any more: expected \d+ bytes, found 0") as caught:
        data.train.inputs[0][:]
    assert caught.value.diagnostics[0].code == "E602"
