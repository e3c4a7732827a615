"""The cache of decoded images: the same pixels, decoded again where a file changed, within its limits."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from cnnc.core.file_lock import acquire, release
from cnnc.data import decoded_cache, image_column, load, shard_index
from cnnc.data.dataset import Dataset
from cnnc.diagnostics import CnncError
from tests.data.test_images import GREY, by_class, encoded_image, folder_of, zip_of
from tests.data.test_shards import examples, shard_of

pytestmark = pytest.mark.skipif(not hasattr(os, "pread"), reason="needs os.pread")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The empty folder of the cache, of at most a gigabyte; no image stays in memory."""
    monkeypatch.setenv("CNNC_CACHE_GB", "1")
    monkeypatch.setattr(decoded_cache, "cache_folder", lambda name: tmp_path / "cache" / name)
    monkeypatch.setattr(image_column, "largest_in_memory", lambda: 0)
    return tmp_path / "cache" / "decoded"


def pixels(data: Dataset) -> bytes:
    """All images, by indexing and in batches, which must agree."""
    parts = [slice(n, n + 3) for n in range(0, len(data.train), 3)]
    batches = np.concatenate([inputs[0] for inputs, _ in data.train.batches(parts)])
    assert batches.tobytes() == data.train.images.tobytes()
    return batches.tobytes() + data.test.images.tobytes()


@pytest.mark.parametrize("kind", ["folder", "zip", "shard"])
def test_images_are_decoded_once(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    files = {**by_class(), "cat/a.png": b"words"}
    place = {
        "folder": lambda: folder_of(tmp_path / "photos", files),
        "zip": lambda: zip_of(tmp_path / "photos.zip", files),
        "shard": lambda: shard_of(tmp_path / "s.tar", {**examples(0, 10), "a/999.png": b"words", "a/999.cls": b"0"}),
    }[kind]()
    name = "shards" if kind == "shard" else "images"
    lines: list[list[str]] = [[], []]
    first = pixels(load(name, path=str(place), inputs=GREY, report=lines[0].append))
    assert [path.suffix for path in sorted(folder.iterdir())] == [".json", ".u8"]
    monkeypatch.delattr(image_column, "decode_all")
    again = load(name, path=str(place), inputs=GREY, report=lines[1].append)
    assert pixels(again) == first
    assert lines[0] == lines[1]
    assert any("skipped 1 of 11 files" in line for line in lines[0])


def test_a_changed_file_is_decoded_again(tmp_path: Path) -> None:
    place = folder_of(tmp_path / "photos", {**by_class(), "cat/0.bmp": encoded_image(50, kind="BMP")})
    first = pixels(load("images", path=str(place), inputs=GREY))
    image = place / "cat" / "0.bmp"
    before = image.stat()
    image.write_bytes(encoded_image(99, kind="BMP"))
    os.utime(image, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert image.stat().st_size == before.st_size, "neither its size nor its time of change tells"
    second = pixels(load("images", path=str(place), inputs=GREY))
    assert sorted(second) == sorted(first.replace(bytes([50] * 24), bytes([99] * 24)))


def test_pixels_without_room_are_decoded_when_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    place = folder_of(tmp_path / "photos", by_class())
    monkeypatch.setattr(decoded_cache, "_limit", lambda: 10 * 24 - 1)
    first = pixels(load("images", path=str(place), inputs=GREY))
    assert [path.suffix for path in folder.iterdir()] == [".json"]
    monkeypatch.delattr(image_column, "decode_all")
    assert pixels(load("images", path=str(place), inputs=GREY)) == first


def test_entries_used_least_recently_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(decoded_cache, "_limit", lambda: 2 * 10 * 24)
    places = [folder_of(tmp_path / name, by_class()) for name in ("a", "b", "c")]
    for number, place in enumerate(places[:2]):
        load("images", path=str(place), inputs=GREY)
        for path in folder.glob("*.json"):
            os.utime(path, (number, number))
    before = set(folder.glob("*.u8"))
    load("images", path=str(places[0]), inputs=GREY)  # used now
    load("images", path=str(places[2]), inputs=GREY)
    after = set(folder.glob("*.u8"))
    assert len(after) == 2
    assert len(before - after) == 1
    monkeypatch.delattr(image_column, "decode_all")
    load("images", path=str(places[0]), inputs=GREY)
    with pytest.raises(NameError):
        load("images", path=str(places[1]), inputs=GREY)


def test_the_index_of_many_examples_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(shard_index, "KEPT_FROM", 8)
    path = shard_of(tmp_path / "s.tar", {**examples(0, 8), "a/000.json": b"{}"})
    lines: list[list[str]] = [[], [], []]
    first = pixels(load("shards", path=str(path), inputs=GREY, report=lines[0].append))
    with monkeypatch.context() as patch:
        patch.delattr(shard_index, "_read_index")
        assert pixels(load("shards", path=str(path), inputs=GREY, report=lines[1].append)) == first
    (kept,) = folder.glob("*.npz")
    kept.write_bytes(kept.read_bytes()[:200])
    assert pixels(load("shards", path=str(path), inputs=GREY, report=lines[2].append)) == first
    assert lines[0] == lines[1] == lines[2]
    shard_of(path, examples(20, 8))
    assert pixels(load("shards", path=str(path), inputs=GREY)) != first


@pytest.mark.parametrize("damage", ["truncated", "not JSON", "other JSON", "gone"])
def test_a_damaged_entry_is_made_again(tmp_path: Path, damage: str, folder: Path) -> None:
    place = folder_of(tmp_path / "photos", by_class())
    first = pixels(load("images", path=str(place), inputs=GREY))
    facts, data = sorted(folder.iterdir())
    whole = data.read_bytes()
    match damage:
        case "truncated":
            data.write_bytes(whole[:100])
        case "gone":
            data.unlink()
        case _:
            facts.write_bytes(b"{" if damage == "not JSON" else b"[1]")
    assert pixels(load("images", path=str(place), inputs=GREY)) == first
    assert data.read_bytes() == whole


def test_pixels_that_a_killed_process_began_are_removed_and_those_of_another_are_not(
    tmp_path: Path, folder: Path
) -> None:
    place = folder_of(tmp_path / "photos", by_class())
    folder.mkdir(parents=True)
    (folder / "killed.part123").write_bytes(b"half")
    begun, is_locked = acquire(folder / "begun.part45")
    load("images", path=str(place), inputs=GREY)
    assert sorted(path.suffix for path in folder.iterdir()) == [".json", *([".part45"] * is_locked), ".u8"]
    release(begun, folder / "begun.part45")


def test_pixels_are_on_the_disk_before_they_have_their_name(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their size alone says that they are complete, which after a power cut would be that of a file of zeros."""
    synced: list[str] = []
    real = os.fsync

    def sync(file: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{file}")).suffix)
        real(file)

    monkeypatch.setattr(os, "fsync", sync)
    load("images", path=str(folder_of(tmp_path / "photos", by_class())), inputs=GREY)
    assert synced[0].startswith(".part") or not Path("/proc/self/fd").exists()


def test_without_a_cache_that_can_be_written(tmp_path: Path, folder: Path) -> None:
    place = folder_of(tmp_path / "photos", by_class())
    folder.parent.write_bytes(b"a file where the folder would be")
    assert len(pixels(load("images", path=str(place), inputs=GREY))) == 240


def test_a_limit_that_is_not_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CNNC_CACHE_GB", "many")
    with pytest.raises(CnncError, match="CNNC_CACHE_GB is `many`") as caught:
        load("images", path=str(folder_of(tmp_path / "photos", by_class())), inputs=GREY)
    assert caught.value.diagnostics[0].code == "E010"
