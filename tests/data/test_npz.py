"""`data npz`: arrays of the user."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.lib import format as npy
from numpy.typing import NDArray

from cnnc.data import load, npz
from cnnc.data.npz import ConvertedColumn
from cnnc.diagnostics import CnncError
from tests.data.conftest import loaded_and_reported, refused, takes

SMALL = (takes(2, 3),)
LABELS = np.arange(10) % 2


def x_of(count: int = 10, dtype: Any = np.float32) -> NDArray[Any]:
    return np.arange(count * 6).reshape(count, 2, 3).astype(dtype)


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    def write(**arrays: Any) -> Path:
        np.savez(tmp_path / "data.npz", **arrays)
        return tmp_path / "data.npz"

    return write


Save = Callable[..., Path]


def header(shape: object, descr: str = "<f4", fortran: bool = False) -> bytes:
    file = io.BytesIO()
    npy.write_array_header_1_0(file, {"descr": descr, "fortran_order": fortran, "shape": shape})
    return file.getvalue()


def raw(tmp_path: Path, compress: int = zipfile.ZIP_STORED, **members: bytes) -> Path:
    with zipfile.ZipFile(tmp_path / "data.npz", "w", compress) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return tmp_path / "data.npz"


# ---- what is read


def test_x_and_y_are_split(save: Save) -> None:
    data, lines = loaded_and_reported("npz", save(x=x_of(), y=LABELS), inputs=SMALL, classes=2, test=0.2)
    assert data.name == "npz"
    assert data.classes == ("0", "1")
    assert data.train.images.shape == (8, 2, 3)
    assert data.train.images.dtype == np.float32
    assert data.train.labels.dtype == np.int64
    assert np.bincount(data.test.labels).tolist() == [1, 1]
    for split in (data.train, data.test):
        assert np.array_equal(split.images[:, 0, 0] // 6 % 2, split.labels)
    assert lines == [
        "PLACE: 2 classes: 0 5, 1 5",
        "PLACE: 8 training and 2 test examples (test fraction 0.2, seed 0)",
    ]


def test_validation_arrays_and_the_names_of_keras(save: Save) -> None:
    given = {"x_train": x_of(), "y_train": LABELS, "x_val": x_of(2) + 50, "y_val": np.zeros(2, int)}
    data, lines = loaded_and_reported("npz", save(**given, x_test=x_of(3) + 100, y_test=np.array([1, 1, 0])))
    assert data.validation is not None
    assert (len(data.train), len(data.validation), len(data.test)) == (10, 2, 3)
    assert data.validation.images.min() >= 50
    assert "PLACE: 10 training, 2 validation and 3 test examples" in lines
    assert "PLACE: the validation share has no example of 1" in lines
    data, lines = loaded_and_reported("npz", save(**given))
    assert data.validation is not None
    assert len(data.train) + len(data.test) == 10
    assert lines[-1] == "PLACE: 2 validation examples"


def test_a_given_test_split(save: Save) -> None:
    place = save(x=x_of(), y=LABELS, x_test=x_of(3) + 100, y_test=np.array([1, 1, 0]), more=np.zeros(2))
    data, lines = loaded_and_reported("npz", place, inputs=SMALL)
    assert data.test.labels.tolist() == [1, 1, 0]
    assert data.test.images[0, 0].tolist() == [100, 101, 102]
    assert lines == [
        "PLACE: not read: more",
        "PLACE: 2 classes: 0 6, 1 7",
        "PLACE: 10 training and 3 test examples",
    ]


def test_arrays_by_the_names_of_inputs_and_outputs(save: Save) -> None:
    place = save(left=x_of(), right=x_of() + 1, same=LABELS, far=np.ones((10, 4), np.float64))
    data = load(
        "npz",
        path=str(place),
        inputs=SMALL * 2,
        input_names=("left", "right"),
        output_names=("same", "far"),
    )
    assert [c.shape for c in data.train.inputs] == [(8, 2, 3)] * 2
    assert np.array_equal(data.train.inputs[0][:] + 1, data.train.inputs[1][:])
    assert [c.dtype for c in data.train.targets] == [np.int64, np.float32]
    assert data.train.targets[1].shape == (8, 4)


def test_compressed_arrays_are_the_same(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=x_of(), y=LABELS)
    np.savez_compressed(tmp_path / "b.npz", x=x_of(), y=LABELS)
    a, b = (load("npz", path=str(tmp_path / name), inputs=SMALL) for name in ("a.npz", "b.npz"))
    assert np.array_equal(a.train.images, b.train.images)
    assert np.array_equal(a.test.labels, b.test.labels)


@pytest.mark.parametrize(
    ("given", "takes_", "made"),
    [
        (np.float64, "float32", np.float32),
        (np.float16, "float32", np.float32),
        (">f4", "float32", np.float32),
        (np.uint8, "float32", np.uint8),
        (np.int32, "float32", np.float32),
        (np.int16, "int64", np.int64),
        (np.uint8, "int64", np.int64),
        (np.uint8, "uint8", np.uint8),
    ],
)
def test_types_of_inputs(save: Save, given: Any, takes_: Any, made: Any) -> None:
    data = load("npz", path=str(save(x=x_of(dtype=given), y=LABELS)), inputs=(takes(2, 3, dtype=takes_),))
    assert data.train.inputs[0].dtype == made
    images = np.concatenate([data.train.images, data.test.images])
    assert images.dtype == made
    assert sorted(images.ravel().tolist()) == list(range(60))


@pytest.mark.parametrize(
    ("y", "shape", "dtype"),
    [
        (LABELS.astype(np.uint8), (), np.int64),
        (LABELS.astype(bool), (), np.int64),
        (LABELS.reshape(10, 1), (), np.int64),
        (np.ones((10, 4, 5), np.uint8), (4, 5), np.int64),
        (np.ones(10), (1,), np.float32),
        (np.ones((10, 3, 4, 5)), (3, 4, 5), np.float32),
    ],
)
def test_types_of_targets(save: Save, y: NDArray[Any], shape: tuple[int, ...], dtype: Any) -> None:
    data, _ = loaded_and_reported("npz", save(x=x_of(), y=y), inputs=SMALL)
    target = data.train.targets[0]
    assert target.shape[1:] == shape
    assert target.dtype == dtype == target[:2].dtype
    assert data.classes == (("0", "1") if dtype == np.int64 else ())


def test_label_maps_keep_their_type_and_a_label_may_be_ignored(save: Save) -> None:
    y = np.zeros((10, 2, 2), np.uint8)
    y[:, 0, 0], y[:, 1, 1] = 2, 255
    data = load("npz", path=str(save(x=x_of(), y=y)), inputs=SMALL, classes=3, ignore=255)
    assert data.classes == ("0", "1", "2")
    assert data.train.targets[0][0].tolist() == [[2, 0], [0, 255]]
    text = refused("npz", save(x=x_of(), y=y), inputs=SMALL, classes=3)
    assert "found the label 255; the network's output has 3 classes" in text


def test_grey_images_may_omit_the_channel_axis(save: Save) -> None:
    data = load("npz", path=str(save(x=np.zeros((4, 5, 6), np.uint8), y=LABELS[:4])), inputs=(takes(1, 5, 6),))
    assert data.train.images.shape == (2, 1, 5, 6)


def test_fortran_order(save: Save) -> None:
    place = save(x=np.asfortranarray(x_of()), y=LABELS, x_test=x_of(), y_test=LABELS)
    data = load("npz", path=str(place), inputs=SMALL)
    assert np.array_equal(data.train.images, x_of())


def test_without_targets_or_a_network(save: Save) -> None:
    data, lines = loaded_and_reported("npz", save(x=x_of(), x_test=x_of(2)))
    assert data.train.targets == ()
    assert lines[0] == "PLACE: no targets (no array y)"
    assert "expected arrays named y for the targets, found x, x_test" in refused(
        "npz", save(x=x_of(), x_test=x_of(2)), classes=2
    )


# ---- large arrays


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_a_large_array_stays_on_the_disk(save: Save, monkeypatch: pytest.MonkeyPatch, order: Any, dtype: Any) -> None:
    monkeypatch.setattr(npz, "MAPPED_FROM", 1)
    x = np.asarray(x_of(dtype=dtype), order=order)
    data = load("npz", path=str(save(x=x, y=LABELS, x_test=x, y_test=LABELS)), inputs=SMALL)
    column = data.train.inputs[0]
    assert isinstance(column, ConvertedColumn)
    assert column.dtype == (np.uint8 if dtype == np.uint8 else np.float32)
    assert np.array_equal(column[:], x_of())
    assert np.array_equal(column[np.array([4, 0])], x_of()[[4, 0]])
    assert column[np.array([4, 0])].dtype == column.dtype
    assert np.array_equal(column[3], x_of()[3])
    assert np.array_equal(data.train.select(np.array([1, 2])).images, x_of()[1:3])
    assert data.train.labels.tolist() == LABELS.tolist()


def test_a_large_compressed_array_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npz, "LARGEST", 100)
    np.savez_compressed(tmp_path / "a.npz", x=x_of(), y=LABELS)
    text = refused("npz", tmp_path / "a.npz", inputs=SMALL)
    assert "x: has 240 bytes; at most 100 are read into memory | save it with np.savez" in text


# ---- errors


def test_missing_arrays(save: Save) -> None:
    place = save(images=x_of(), labels=LABELS)
    text = refused("npz", place, inputs=SMALL, input_names=("input1",))
    assert "expected arrays named input1 (or x) for the inputs, found images, labels" in text
    assert "named a and b for" in refused("npz", save(x=x_of()), inputs=SMALL * 2, input_names=("a", "b"))
    text = refused("npz", save(x=x_of(), z=LABELS), inputs=SMALL, classes=2, output_names=("fc3",))
    assert "expected arrays named fc3 (or y) for the targets, found x, z" in text
    assert "expected y_test as well, as x_test is there" in refused("npz", save(x=x_of(), y=LABELS, x_test=x_of()))


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ((10, 3, 2), "x: holds examples of 3x2; the network takes 2x3 | put the channels first: np.moveaxis(x, -1, 1)"),
        ((10, 6), "x: holds examples of 6; the network takes 2x3 | "),
        ((10,), "x: holds examples of one number; the network takes 2x3"),
        ((), "x: expected an array of examples, found a single number"),
        ((9, 2, 3), "y: holds 10 examples, but x holds 9"),
    ],
)
def test_shapes_that_do_not_fit(save: Save, shape: tuple[int, ...], text: str) -> None:
    assert text in refused("npz", save(x=np.zeros(shape, np.float32), y=LABELS), inputs=SMALL)


def test_no_examples(save: Save) -> None:
    assert "x: expected at least one example" in refused("npz", save(x=x_of(0), y=LABELS[:0]), inputs=SMALL)


@pytest.mark.parametrize(
    ("x", "wanted", "text"),
    [
        (x_of(), "uint8", "the network takes uint8, found float32"),
        (x_of(), "int64", "the network takes int64, found float32"),
        (x_of(dtype=np.int64), "uint8", "the network takes uint8"),
        (x_of().astype(str), "float32", "expected numbers, found <U"),
        (x_of().astype(complex), "float32", "expected numbers, found complex128"),
        (x_of(dtype=np.int64) - 7, "int64", "expected whole numbers from 0 on, found -7 in example 0"),
        (x_of(dtype=np.float64) * 1e38, "float32", "expected finite numbers, found inf in example 0"),
    ],
)
def test_types_that_do_not_fit(save: Save, x: NDArray[Any], wanted: Any, text: str) -> None:
    assert text in refused("npz", save(x=x, y=LABELS), inputs=(takes(2, 3, dtype=wanted),))


def test_labels_that_are_words(save: Save) -> None:
    text = refused("npz", save(x=x_of(), y=np.where(LABELS == 1, "cat", "dog")), inputs=SMALL)
    assert "y: expected numbers, found <U3 | number the labels: classes, y = np.unique(y, return_inverse=True)" in text


@pytest.mark.parametrize("mapped", [False, True])
def test_values_that_are_not_finite(save: Save, monkeypatch: pytest.MonkeyPatch, mapped: bool) -> None:
    if mapped:
        monkeypatch.setattr(npz, "MAPPED_FROM", 1)
    x = x_of()
    x[7, 1, 2] = np.nan
    assert "data.npz: x: expected finite numbers, found nan in example 7" in refused(
        "npz", save(x=x, y=LABELS), inputs=SMALL
    )


def test_labels_out_of_range(save: Save) -> None:
    text = refused("npz", save(x=x_of(), y=np.arange(10)), inputs=SMALL, classes=4)
    assert "found the label 9; the network's output has 4 classes" in text
    assert "y: expected labels from 0 on, found -1 in example 0" in refused("npz", save(x=x_of(), y=LABELS - 1))
    assert "float32 targets are values" in refused("npz", save(x=x_of(), y=LABELS * 10**9))


def test_fewer_labels_than_classes_are_allowed(save: Save) -> None:
    assert load("npz", path=str(save(x=x_of(), y=LABELS)), inputs=SMALL, classes=4).classes == tuple("0123")


# ---- attacks


def test_objects_are_never_unpickled(save: Save) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            raise AssertionError("pickled")

    objects = np.array([None] * 10, object)
    for arrays in ({"x": objects, "y": LABELS}, {"x": x_of(), "y": objects}):
        assert "holds Python objects, which are never unpickled" in refused("npz", save(**arrays), inputs=SMALL)


@pytest.mark.parametrize("shape", [(10**12, 2, 3), (2**63, 2**63, 2, 3), (10, 2, 3)])
@pytest.mark.parametrize("compress", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_large_header_takes_little_memory(tmp_path: Path, shape: tuple[int, ...], compress: int) -> None:
    place = raw(tmp_path, compress, x=header(shape) + bytes(16), y=header((10,), "<i8") + bytes(80))
    tracemalloc.start()
    try:
        text = refused("npz", place, inputs=SMALL)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "x: its header says " in text
    assert text.endswith("found 16 | ")
    assert peak < 4 * 2**20


def test_the_size_in_the_archive_is_not_trusted(tmp_path: Path) -> None:
    """Header and central directory declare the same size, which is larger than the data."""
    content = header((10**8, 2, 3)) + bytes(16)
    place = raw(tmp_path, zipfile.ZIP_DEFLATED, x=content, y=header((10**8,), "|u1") + bytes(8))
    data = place.read_bytes()
    real = len(content).to_bytes(4, "little")
    place.write_bytes(data.replace(real, (len(content) - 16 + 24 * 10**8).to_bytes(4, "little")))
    tracemalloc.start()
    try:
        refused("npz", place, inputs=SMALL)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * 2**20


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"words",
        b"\x93NUMPY\x03\x00" + header((1,))[8:],
        b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535,
        header((-1, 2, 3)) + bytes(24),
        header((1, 2, 3), "<f4").replace(b"(1, 2, 3)", b"'a, 2, 3'") + bytes(24),
    ],
)
def test_invalid_headers(tmp_path: Path, content: bytes) -> None:
    text = refused("npz", raw(tmp_path, x=content, y=header((1,), "<i8") + bytes(8)), inputs=SMALL)
    assert f"{tmp_path / 'data.npz'}: x: " in text


@pytest.mark.long
def test_every_changed_byte_is_an_error_or_harmless(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", x=x_of(), y=LABELS)
    original = (tmp_path / "a.npz").read_bytes()
    place = tmp_path / "b.npz"
    for position in range(0, len(original), 3):
        content = bytearray(original)
        content[position] ^= 0x5F
        place.write_bytes(content)
        try:
            load("npz", path=str(place), inputs=SMALL, classes=2)
        except CnncError:
            refused("npz", place, inputs=SMALL, classes=2)


@pytest.mark.parametrize("mapped", [False, True])
def test_every_truncation_is_an_error(save: Save, monkeypatch: pytest.MonkeyPatch, mapped: bool) -> None:
    if mapped:
        monkeypatch.setattr(npz, "MAPPED_FROM", 1)
    place = save(x=x_of(), y=LABELS)
    whole = place.read_bytes()
    for length in range(0, len(whole) - 1, 41):
        place.write_bytes(whole[:length])
        assert str(place) in refused("npz", place, inputs=SMALL)


def test_files_that_are_not_npz(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"words")
    assert "expected a .npz file" in refused("npz", tmp_path / "a.npz")
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("readme.txt", "words")
    assert "expected arrays (.npy), found none" in refused("npz", tmp_path / "b.npz")
    assert "does not exist" in refused("npz", tmp_path / "c.npz", "E603")
    assert str(tmp_path) in refused("npz", tmp_path)
