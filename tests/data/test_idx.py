"""The IDX reader: valid files, and the errors of invalid ones."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cnnc.data import idx
from cnnc.data.catalog import DataFacts
from cnnc.data.idx import IMAGES, LABELS, read_idx, read_split
from cnnc.diagnostics import CnncError, Exit

IdxBytes = Callable[..., bytes]
FACTS = DataFacts(("a", "b", "c"), (1, 2, 2), 4)


def refused(path: Path, dimensions: int | None = None) -> str:
    """Checks that reading the file raises one E602 that names the file, and returns its message."""
    with pytest.raises(CnncError) as caught:
        read_idx(path, dimensions)
    return message(caught.value, path)


def message(error: CnncError, path: Path) -> str:
    assert [d.code for d in error.diagnostics] == ["E602"]
    assert error.status is Exit.DATA
    text = error.diagnostics[0].message
    assert str(path) in text
    return text


@pytest.fixture
def file(tmp_path: Path) -> Callable[[bytes], Path]:
    def write(content: bytes) -> Path:
        path = tmp_path / "some-idx"
        path.write_bytes(content)
        return path

    return write


Write = Callable[[bytes], Path]


@pytest.mark.parametrize("sizes", [(6,), (2, 3), (3, 1, 2), (1, 2, 3, 1)])
@pytest.mark.parametrize("zipped", [False, True])
def test_reads_what_was_written(file: Write, idx_bytes: IdxBytes, sizes: tuple[int, ...], zipped: bool) -> None:
    content = idx_bytes(sizes, bytes([0, 1, 127, 128, 254, 255]))
    array = read_idx(file(gzip.compress(content) if zipped else content))
    assert array.dtype == np.uint8
    assert array.shape == sizes
    assert array.ravel().tolist() == [0, 1, 127, 128, 254, 255]


def test_order_is_row_major(file: Write, idx_bytes: IdxBytes) -> None:
    assert read_idx(file(idx_bytes((2, 3), bytes(range(6))))).tolist() == [[0, 1, 2], [3, 4, 5]]


def test_reads_more_than_one_chunk(file: Write, idx_bytes: IdxBytes) -> None:
    values = np.random.default_rng(0).integers(0, 256, 2 * 2**20 + 17, dtype=np.uint8)
    assert np.array_equal(read_idx(file(gzip.compress(idx_bytes(values.shape, values.tobytes()), 1))), values)


def test_reads_an_empty_array(file: Write, idx_bytes: IdxBytes) -> None:
    assert read_idx(file(idx_bytes((0, 28, 28), b""))).shape == (0, 28, 28)


def test_every_truncation_of_a_plain_file_is_refused(file: Write, idx_bytes: IdxBytes) -> None:
    content = idx_bytes((2, 2, 2), bytes(8))
    for length in range(len(content)):
        assert "found" in refused(file(content[:length]))
    assert "8 values (2x2x2), found 7" in refused(file(content[:-1]))
    assert "header of 16 bytes, found 10" in refused(file(content[:10]))
    assert "found nothing" in refused(file(b""))


def test_every_truncation_of_a_gzip_file_is_refused(file: Write, idx_bytes: IdxBytes) -> None:
    content = gzip.compress(idx_bytes((2, 2, 2), bytes(range(8))))
    for length in range(len(content)):
        refused(file(content[:length]))
    assert "truncated" in refused(file(content[:-1]))
    assert "truncated" in refused(file(content[:20]))


def test_truncated_values_in_an_intact_gzip_file(file: Write, idx_bytes: IdxBytes) -> None:
    text = refused(file(gzip.compress(idx_bytes((5,), bytes(3)))))
    assert "expected 5 values (5), found 3" in text


@pytest.mark.parametrize("zipped", [False, True])
def test_trailing_bytes_are_refused(file: Write, idx_bytes: IdxBytes, zipped: bool) -> None:
    content = idx_bytes((5,), bytes(6))
    text = refused(file(gzip.compress(content) if zipped else content))
    assert "expected 5 values (5), found further bytes" in text


def test_garbage_after_the_gzip_data_is_refused(file: Write, idx_bytes: IdxBytes) -> None:
    assert "damaged" in refused(file(gzip.compress(idx_bytes((5,), bytes(5))) + b"rubbish"))


def test_wrong_checksum_of_gzip_is_refused(file: Write, idx_bytes: IdxBytes) -> None:
    content = bytearray(gzip.compress(idx_bytes((5,), bytes(5))))
    content[-8] ^= 1
    assert "damaged" in refused(file(bytes(content)))


def test_every_changed_byte_of_gzip_data_is_an_error_or_harmless(file: Write, idx_bytes: IdxBytes) -> None:
    original = gzip.compress(idx_bytes((3, 4), bytes(range(12))), mtime=0)
    for position in range(len(original)):
        content = bytearray(original)
        content[position] ^= 0xFF
        path = file(bytes(content))
        try:
            array = read_idx(path)
        except CnncError:
            refused(path)
        else:
            assert array.ravel().tolist() == list(range(12))


def test_neither_gzip_nor_idx(file: Write) -> None:
    assert "found the bytes 3c 68 74 6d" in refused(file(b"<html>not found</html>"))
    assert "which begins with 00 00" in refused(file(gzip.compress(b"some text")))


@pytest.mark.parametrize(
    ("kind", "found"), [(0x09, "int8 (0x09)"), (0x0B, "int16"), (0x0D, "float32"), (0x42, "an unknown type (0x42)")]
)
def test_other_types_are_refused(file: Write, idx_bytes: IdxBytes, kind: int, found: str) -> None:
    text = refused(file(idx_bytes((4,), bytes(16), kind)))
    assert "expected values of type uint8 (0x08)" in text
    assert found in text


def test_labels_where_images_are_expected_and_the_reverse(file: Write, idx_bytes: IdxBytes) -> None:
    labels = file(idx_bytes((4,), bytes(4)))
    assert "expected images (3 dimensions), found labels (1 dimension)" in refused(labels, IMAGES)
    images = file(idx_bytes((4, 1, 1), bytes(4)))
    assert "expected labels (1 dimension), found images (3 dimensions)" in refused(images, LABELS)


@pytest.mark.parametrize("count", [0, 5, 255])
def test_too_many_or_no_dimensions_are_refused(file: Write, count: int) -> None:
    text = refused(file(bytes([0, 0, 8, count]) + bytes(4 * count)))
    assert f"expected 1 to 4 dimensions, found {count}" in text


def test_a_header_beyond_the_limit_is_refused_before_its_values_are_read(file: Write, idx_bytes: IdxBytes) -> None:
    text = refused(file(gzip.compress(idx_bytes((2**32 - 1,) * 4, b""))))
    assert "at most 1,073,741,824 values" in text


@pytest.mark.parametrize("zipped", [False, True])
def test_a_large_header_on_a_small_file_takes_little_memory(file: Write, idx_bytes: IdxBytes, zipped: bool) -> None:
    content = idx_bytes((idx.MAX_VALUES,), bytes(10))
    path = file(gzip.compress(content) if zipped else content)
    tracemalloc.start()
    try:
        text = refused(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "expected 1,073,741,824 values" in text
    assert peak < 8 * 2**20


@pytest.mark.long
def test_a_small_header_on_much_compressed_data_takes_little_memory(file: Write, idx_bytes: IdxBytes) -> None:
    path = file(gzip.compress(idx_bytes((10,), bytes(64 * 2**20))))
    tracemalloc.start()
    try:
        text = refused(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "found further bytes" in text
    assert peak < 8 * 2**20


def test_a_missing_file_is_a_read_error(tmp_path: Path) -> None:
    with pytest.raises(CnncError) as caught:
        read_idx(tmp_path / "absent")
    assert [d.code for d in caught.value.diagnostics] == ["E901"]


Pair = Callable[[bytes, bytes], tuple[Path, Path]]


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    def write(images: bytes, labels: bytes) -> tuple[Path, Path]:
        paths = tmp_path / "images", tmp_path / "labels"
        paths[0].write_bytes(images)
        paths[1].write_bytes(labels)
        return paths

    return write


def test_a_split_has_a_channel_axis_and_int64_labels(pair: Pair, idx_bytes: IdxBytes) -> None:
    split = read_split(*pair(idx_bytes((3, 2, 2), bytes(range(12))), idx_bytes((3,), bytes([2, 0, 1]))), FACTS)
    assert len(split) == 3
    assert split.images.shape == (3, 1, 2, 2)
    assert split.images[1, 0].tolist() == [[4, 5], [6, 7]]
    assert split.labels.dtype == np.int64
    assert split.labels.tolist() == [2, 0, 1]


@pytest.mark.parametrize(
    ("image_sizes", "labels", "blamed", "text"),
    [
        ((3, 2, 2), [0, 1], "labels", "3 images, but"),
        ((3, 2, 2), [0, 1], "images", "holds 2 labels"),
        ((3, 2, 2), [0, 3, 9], "labels", "expected labels 0 to 2, found 3 at position 1"),
        ((3, 1, 4), [0, 1, 2], "images", "expected images of 1x2x2 (channels x height x width), found 1x1x4"),
        ((0, 2, 2), [], "images", "expected at least one image, found none"),
    ],
)
def test_images_and_labels_that_do_not_match(
    pair: Pair, idx_bytes: IdxBytes, image_sizes: tuple[int, ...], labels: list[int], blamed: str, text: str
) -> None:
    values = bytes(int(np.prod(image_sizes)))
    paths = pair(idx_bytes(image_sizes, values), idx_bytes((len(labels),), bytes(labels)))
    with pytest.raises(CnncError) as caught:
        read_split(*paths, FACTS)
    assert text in message(caught.value, paths[0].parent / blamed)


def test_swapped_files(pair: Pair, idx_bytes: IdxBytes) -> None:
    images, labels = pair(idx_bytes((3, 2, 2), bytes(12)), idx_bytes((3,), bytes(3)))
    with pytest.raises(CnncError) as caught:
        read_split(labels, images, FACTS)
    assert "expected images (3 dimensions), found labels (1 dimension)" in message(caught.value, labels)
