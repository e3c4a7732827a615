"""Inputs of predictions: every kind of file, and files with errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnc.data.prediction_inputs import InputSpec, as_batch, read_each, read_file, read_sentences
from cnnc.diagnostics import CnncError
from cnnc.graph.sizes import LegalSizes

GREY = InputSpec("x", (1, 4, 4))
WORDS = InputSpec("s", (5,), "int64", takes_words=True, vocabulary=("a", "film", "good"))
OPEN = InputSpec("x", (3, "H", "W"), legal={"H": LegalSizes("H", 4, 4, (0,)), "W": LegalSizes("W", 1, 1, (0,))})


def refused(spec: InputSpec | list[InputSpec], path: Path) -> tuple[str, str]:
    with pytest.raises(CnncError) as caught:
        read_file(path, spec if isinstance(spec, list) else [spec])
    (diagnostic,) = caught.value.diagnostics
    return diagnostic.code, diagnostic.message.replace(str(path), "PATH")


def saved(path: Path, array: Any) -> Path:
    np.save(path, array)
    return path


@pytest.mark.parametrize(
    ("shape", "count"), [((1, 4, 4), 1), ((4, 4), 1), ((3, 4, 4), 3), ((3, 1, 4, 4), 3), ((1, 1, 4, 4), 1)]
)
def test_one_example_or_a_batch(tmp_path: Path, shape: tuple[int, ...], count: int) -> None:
    array = np.random.default_rng(0).random(shape)
    inputs = read_file(saved(tmp_path / "a.npy", array), [GREY]).feeds["x"]
    assert inputs.dtype == np.float32
    assert np.array_equal(inputs, array.reshape(count, 1, 4, 4).astype(np.float32))


def test_uint8_stays_uint8(tmp_path: Path) -> None:
    inputs = read_file(saved(tmp_path / "a.npy", np.full((4, 4), 7, np.uint8)), [GREY])
    assert inputs.feeds["x"].dtype == np.uint8
    assert len(inputs) == 1


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((5, 5)), "PATH holds 5x5; the network takes 1x4x4, or a batch of these"),
        (np.zeros((0, 1, 4, 4)), "PATH has no examples"),
        (np.zeros((4, 4), complex), "PATH holds complex128, not numbers"),
        (np.zeros((4, 4), "U1"), "PATH holds <U1, not numbers"),
        (np.float32(3), "PATH holds one number; the network takes 1x4x4, or a batch of these"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path: Path, array: Any, message: str) -> None:
    assert refused(GREY, saved(tmp_path / "a.npy", array)) == ("E608", message)


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(CnncError, match=r"E901.*is a directory") as caught:
        read_file(tmp_path, [GREY])
    assert caught.value.diagnostics[0].help == f"name the files in it: {tmp_path}/*"


@pytest.mark.parametrize("shape", [(4, 6, 3), (2, 4, 6, 3)])
def test_channels_last(shape: tuple[int, ...]) -> None:
    array, spec = np.zeros(shape, np.float32), InputSpec("x", (3, 4, 6))
    with pytest.raises(CnncError, match="E608") as caught:
        as_batch(array, "the array", spec)
    assert caught.value.diagnostics[0].help == "put the channels first: np.moveaxis(array, -1, -3)"
    assert as_batch(np.moveaxis(array, -1, -3), "the array", spec).shape[1:] == (3, 4, 6)


def test_integers_must_be_in_range(tmp_path: Path) -> None:
    spec = InputSpec("s", (3,), "int64", largest=9)
    inputs = read_file(saved(tmp_path / "a.npy", np.array([[0, 9, 1]], np.int16)), [spec])
    assert inputs.feeds["s"].dtype == np.int64
    for array, said in (([0, 10, 1], "10"), ([0, -1, 1], "-1"), ([0.0, 1.0, 2.0], "float64")):
        code, message = refused(spec, saved(tmp_path / "a.npy", np.array(array)))
        assert code == "E608"
        assert said in message
    code, message = refused(InputSpec("x", (1, 4, 4), "uint8"), saved(tmp_path / "a.npy", np.zeros((4, 4))))
    assert message == "PATH holds float64; the network takes uint8"


def test_open_sizes(tmp_path: Path) -> None:
    inputs = read_file(saved(tmp_path / "a.npy", np.zeros((2, 3, 8, 5))), [OPEN])
    assert inputs.feeds["x"].shape == (2, 3, 8, 5)
    code, message = refused(OPEN, saved(tmp_path / "a.npy", np.zeros((2, 3, 7, 5))))
    assert code == "E608"
    assert "H=7" in message


def test_an_image_is_resized_to_a_legal_size(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    image.fromarray(np.zeros((10, 7, 3), np.uint8)).save(tmp_path / "a.png")
    inputs = read_file(tmp_path / "a.png", [OPEN])
    assert inputs.feeds["x"].shape == (1, 3, 8, 7)
    assert inputs.note.endswith("a.png: resized from 7x10 to 7x8")
    assert read_file(tmp_path / "a.png", [OPEN.replace(shape=(3, 10, 7))]).note == ""
    never = OPEN.replace(legal={"H": LegalSizes("H", 5000, 5000, (0,)), "W": LegalSizes("W", 1, 1, (0,))})
    assert read_file(tmp_path / "a.png", [never]).feeds["x"].shape == (1, 3, 5000, 7)


def test_sentences_are_encoded_as_in_training() -> None:
    inputs = read_sentences(["A good, film", "", "film film film film film good"], [WORDS], "here")
    assert inputs.feeds["s"].tolist() == [[2, 4, 1, 3, 0], [3, 3, 3, 3, 3]]
    assert inputs.note == "here: not in the vocabulary: ,\nhere: 1 of 2 sentences are truncated to 5 words"


def test_labels_and_a_header_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("label\tsentence\npos\tgood film\n\nneg\ta film\n")
    assert read_file(tmp_path / "a.tsv", [WORDS]).feeds["s"][:, :2].tolist() == [[4, 3], [2, 3]]
    (tmp_path / "b.tsv").write_text("good\tfilm\n1\tgood\tfilm\n")
    pair = [WORDS, WORDS.replace(name="t")]
    inputs = read_file(tmp_path / "b.tsv", pair)
    assert (inputs.feeds["s"][:, 0].tolist(), inputs.feeds["t"][:, 0].tolist()) == ([4, 4], [3, 3])


@pytest.mark.parametrize("text", ["", "\n\n", " ... \n".replace(".", " "), "\x00\n", "a\tb\tc\td\n"])
def test_files_without_sentences(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.txt").write_text(text)
    if text == "\x00\n":  # a punctuation mark
        assert len(read_file(tmp_path / "a.txt", [WORDS])) == 1
    else:
        assert refused(WORDS, tmp_path / "a.txt")[0] == "E608"


def test_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"caf\xe9\n")
    assert refused(WORDS, tmp_path / "a.txt")[0] == "E008"


def test_series(tmp_path: Path) -> None:
    spec = InputSpec("x", (1, 3))
    (tmp_path / "a.csv").write_text("label;v;v;v\nup;1;2;3\n4;5;6\n")
    assert read_file(tmp_path / "a.csv", [spec]).feeds["x"].tolist() == [[[1, 2, 3]], [[4, 5, 6]]]
    (tmp_path / "b.csv").write_text("1,2,3\n")
    assert read_file(tmp_path / "b.csv", [InputSpec("x", (3,))]).feeds["x"].tolist() == [[1, 2, 3]]
    assert read_file(tmp_path / "b.csv", [InputSpec("x", (1, "T"))]).feeds["x"].tolist() == [[[1, 2, 3]]]
    assert refused(InputSpec("x", (1, 5)), tmp_path / "b.csv")[0] == "E602"
    assert refused(InputSpec("x", (2, 3)), tmp_path / "b.csv")[0] == "E608"
    (tmp_path / "c.csv").write_text("1,2,x\n")
    assert refused(spec, tmp_path / "c.csv")[0] == "E602"
    (tmp_path / "d.csv").write_text("")
    assert refused(spec, tmp_path / "d.csv")[0] == "E602"


def test_arrays_by_name(tmp_path: Path) -> None:
    pair = [InputSpec("a", (2,)), InputSpec("b", (3,))]
    np.savez(tmp_path / "p.npz", a=np.zeros((4, 2)), b=np.ones((4, 3)), y=np.zeros(4))
    inputs = read_file(tmp_path / "p.npz", pair)
    assert {name: values.shape for name, values in inputs.feeds.items()} == {"a": (4, 2), "b": (4, 3)}
    np.savez(tmp_path / "q.npz", a=np.zeros((4, 2)), b=np.ones((3, 3)))
    assert refused(pair, tmp_path / "q.npz")[0] == "E608"
    assert refused([pair[0], InputSpec("c", (1,))], tmp_path / "p.npz")[0] == "E602"
    np.savez(tmp_path / "one.npz", whatever=np.zeros((4, 2)))
    assert len(read_file(tmp_path / "one.npz", pair[:1])) == 4
    assert refused(pair[:1], tmp_path / "nowhere.npz")[0] == "E901"
    (tmp_path / "bad.npz").write_bytes(b"PK no archive")
    assert refused(pair[:1], tmp_path / "bad.npz")[0] == "E602"


def test_one_file_per_input(tmp_path: Path) -> None:
    pair = [InputSpec("a", (2,)), InputSpec("b", (3,))]
    paths = {"a": saved(tmp_path / "a.npy", np.zeros((4, 2))), "b": saved(tmp_path / "b.npy", np.ones((4, 3)))}
    assert len(read_each(paths, pair)) == 4
    paths["b"] = saved(tmp_path / "b.npy", np.ones((5, 3)))
    with pytest.raises(CnncError, match=r"different numbers of examples: 4 in .*, 5 in"):
        read_each(paths, pair)
    assert refused(pair, paths["a"])[0] == "E608"


def test_files_that_are_not_arrays(tmp_path: Path) -> None:
    for data in (b"", b"no array", b"\x93NUMPY\x01\x00"):
        (tmp_path / "a.npy").write_bytes(data)
        assert refused(GREY, tmp_path / "a.npy")[0] == "E608"
    np.savez(tmp_path / "a.npz", x=np.zeros(3))
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    assert refused(GREY, tmp_path / "a.npy")[0] == "E608"
    assert refused(InputSpec("x", (2, 4, 4)), tmp_path / "a.png")[0] == "E608"
    assert refused(GREY, tmp_path / "nowhere.npy")[0] == "E901"


def test_numbers_beyond_float32_do_not_become_infinite(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([0.0, 1e300]))
    with pytest.raises(CnncError, match=r"holds 1e\+300; the network takes float32"):
        read_file(tmp_path / "a.npy", [InputSpec("x", (2,))])
    np.save(tmp_path / "b.npy", np.array([np.inf, np.nan]))
    assert np.isinf(read_file(tmp_path / "b.npy", [InputSpec("x", (2,))]).feeds["x"][0, 0])


def test_the_type_of_the_input_is_kept(tmp_path: Path) -> None:
    """A model of another program may take any type; a number is not changed on the way, or is refused."""
    for dtype, numbers in (
        ("float64", [2.0**24 + 1, 1e300]),
        ("int32", [-1, 2**31 - 1]),
        ("int8", [-128, 127]),
        ("int64", [-(2**63), 2**63 - 1]),
    ):
        array = saved(tmp_path / "a.npy", np.array(numbers))
        feed = read_file(array, [InputSpec("x", (2,), dtype)]).feeds["x"]
        assert (feed.dtype, feed.tolist()) == (np.dtype(dtype), [numbers])
    for dtype, number in (("float16", 1e5), ("int32", 2**31), ("int8", -129)):
        code, message = refused(InputSpec("x", (1,), dtype), saved(tmp_path / "a.npy", np.array([number])))
        assert code == "E608"
        assert f"holds {number:g}" in message or f"holds {number}" in message
