"""The program in a model card answers as `cnnc predict` does: on images of every mode, sentences, series and arrays."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnc.core.arrays import Array
from tests.cli.conftest import Cnnc, json_of, run

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")

NETWORK = """net Photos
input {}
normalize mean=0.4 std=0.3
conv 6 k=3 p=1; relu; global_pool avg
fc 4
train {{ data images "photos"{}; epochs 1 }}
"""
RANDOM = np.random.default_rng(0)


def smooth(height: int, width: int, channels: int, scale: float = 255) -> Array:
    """An image that resizing changes, with large areas and edges: (H, W, channels) from 0 to `scale`."""
    coarse = RANDOM.random((4, 5, channels))
    fine = coarse.repeat(-(-height // 4), 0).repeat(-(-width // 5), 1)[:height, :width]
    return (fine * 0.8 + RANDOM.random((height, width, channels)) * 0.2) * scale


def rgb(height: int, width: int) -> Any:
    return Image.fromarray(smooth(height, width, 3).astype(np.uint8))


def grey(height: int, width: int, dtype: Any = np.uint8, scale: float = 255) -> Any:
    return Image.fromarray(smooth(height, width, 1, scale)[..., 0].astype(dtype))


def see_through(height: int, width: int) -> Any:
    return Image.fromarray(smooth(height, width, 4).astype(np.uint8))


def turned(orientation: int) -> dict[str, Any]:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return {"exif": exif}


def palette(transparency: int | None = None) -> tuple[Any, dict[str, Any]]:
    image = rgb(21, 30).quantize(16)
    return image, {} if transparency is None else {"transparency": transparency}


def white_drawing() -> Any:
    """White lines on nothing: on white, nothing would be seen."""
    pixels = np.zeros((20, 20, 4), np.uint8)
    pixels[..., :3] = 255
    pixels[8:12, :, 3] = 255
    return Image.fromarray(pixels)


def write_images(folder: Path) -> list[str]:
    """Images of every mode, in sizes of their own."""
    images: dict[str, tuple[Any, dict[str, Any]]] = {
        "rgb.png": (rgb(24, 31), {}),
        "exact.png": (rgb(16, 20), {}),
        "small.png": (rgb(5, 7), {}),
        "large.jpg": (rgb(301, 403), {"quality": 90}),
        "grey.png": (grey(40, 17), {}),
        "grey.jpg": (grey(64, 64), {}),
        "rgba.png": (see_through(33, 29), {}),
        "la.png": (see_through(20, 30).convert("LA"), {}),
        "white.png": (white_drawing(), {}),
        "palette.png": palette(),
        "see-through-palette.png": palette(3),
        "gif.gif": (rgb(18, 18).quantize(8), {}),
        "bits.png": (grey(30, 30).convert("1"), {}),
        "16-bit.png": (grey(25, 35, np.uint16, 65535), {}),
        "12-bit.tif": (grey(25, 35, np.uint16, 4095), {}),
        "fractions.tif": (grey(22, 26, np.float32, 1), {}),
        "floats.tif": (grey(22, 26, np.float32, 260), {}),
        "cmyk.jpg": (rgb(26, 22).convert("CMYK"), {}),
        "turned.jpg": (rgb(90, 140), turned(6)),
        "mirrored.png": (rgb(12, 34), turned(5)),
        "big-and-turned.jpg": (rgb(200, 333), turned(8)),
        "webp.webp": (rgb(31, 24), {"lossless": True}),
        "int.tif": (grey(14, 15, np.int32, 70000), {}),
    }
    for name, (image, options) in images.items():
        image.save(folder / name, **options)
    return list(images)


def program_of(folder: Path, card: str) -> Path:
    (text,) = re.findall(r"```python\n(.*?)```", (folder / card).read_text(encoding="utf-8"), re.DOTALL)
    assert "cnnc" not in text.replace('"cnnc.vocabulary"', ""), "it needs numpy, Pillow and onnxruntime alone"
    (folder / "program.py").write_text(text, encoding="utf-8")
    return folder / "program.py"


def answers(program: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, program.name, *words], cwd=program.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def classes_in(text: str) -> list[dict[str, float]]:
    """The classes of each line `FILE: name 0.123456 name 0.1`."""
    lines = [line.rpartition(": ")[2].split(" ") for line in text.splitlines()]
    return [dict(zip(words[::2], map(float, words[1::2]), strict=True)) for words in lines]


def require_equal(found: list[dict[str, float]], results: list[Any]) -> None:
    assert len(found) == len(results) > 0
    for ours, result in zip(found, results, strict=True):
        theirs = {entry["class"]: entry["probability"] for entry in result["top"]}
        assert list(ours) == list(theirs), result["file"]
        assert max(abs(ours[name] - theirs[name]) for name in theirs) <= 1e-6, result["file"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ("3x16x20", ""),
        ("1x16x20", ""),
        ("3x16x20", ' background="#336699" range=[10, 4095]'),
        ("3xHxW", ""),
        ("3x16x20 dtype=uint8", ""),
    ],
)
def test_the_program_answers_as_predict_does(tmp_path: Path, cnnc: Cnnc, shape: str, options: str) -> None:
    names = write_images(tmp_path)
    (tmp_path / "net.cnn").write_text(NETWORK.format(shape, options))
    done = run("export", "net.cnn", "--card", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    results = json_of(run("predict", "net.onnx", *names, "--json", cwd=tmp_path))
    program = program_of(tmp_path, "net.md")
    require_equal(classes_in(answers(program, *names)), results)


@pytest.mark.long
def test_the_program_reads_the_same_pixels(tmp_path: Path) -> None:
    """Not only the same answers: the inputs are equal, byte for byte."""
    from cnnc.data.image_file import read_image

    names = write_images(tmp_path)
    (tmp_path / "net.cnn").write_text(NETWORK.format("3x16x20 dtype=uint8", ""))
    run("export", "net.cnn", "--card", cwd=tmp_path)
    text = program_of(tmp_path, "net.md").read_text().partition("if len(sys.argv)")[0]
    namespace: dict[str, Any] = {}
    exec(text[: text.index("session =")] + text[text.index("def over") :], namespace)  # without the model
    for name in names:
        expected, _ = read_image(tmp_path / name, (3, 16, 20))
        np.testing.assert_array_equal(namespace["image"](tmp_path / name, 16, 20), expected, name)


def test_without_a_file_it_says_what_it_takes(tmp_path: Path) -> None:
    (tmp_path / "net.cnn").write_text(NETWORK.format("3x16x20", ""))
    run("export", "net.cnn", "--card", cwd=tmp_path)
    done = subprocess.run(
        [sys.executable, str(program_of(tmp_path, "net.md"))], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert (done.returncode, done.stderr.strip()) == (1, "usage: python PROGRAM.py IMAGE ...")


def test_the_metadata_say_what_happens_to_a_file(tmp_path: Path) -> None:
    (tmp_path / "net.cnn").write_text(NETWORK.format("3x16x20", " background=black range=[0, 4095]"))
    run("export", "net.cnn", "--card", cwd=tmp_path)
    (entry,) = json_of(run("info", "net.onnx", "--json", cwd=tmp_path))["inputs"]
    assert (entry["file"]["background"], entry["file"]["range"], entry["file"]["colour"]) == ("black", [0, 4095], "RGB")
    card = (tmp_path / "net.md").read_text()
    for step in (
        "0 becomes 0 and 4095 becomes 255",
        "over black",
        "RGB",
        "16 x 20",
        "divide the bytes by 255",
        "normalize",
    ):
        assert step in card.partition("## From a file to the input")[2].partition("## Outputs")[0]


@pytest.mark.long
def test_sentences_and_series(deployed: Path, tmp_path: Path) -> None:
    for name in ("words", "waves", "pairs"):
        assert run("export", deployed / name, "-o", f"{name}.onnx", "--card", cwd=tmp_path).returncode == 0
    sentences = ["a good film", "what a bad, bad film!", "neither"]
    words = [word for sentence in sentences for word in ("--text", sentence)]
    results = json_of(run("predict", "words.onnx", *words, "--json", cwd=tmp_path))
    require_equal(classes_in(answers(program_of(tmp_path, "words.md"), *sentences)), results)
    series = RANDOM.normal(size=(3, 24)).round(3)
    rows = [",".join(map(str, row)) for row in series]
    (tmp_path / "plain.csv").write_text("\n".join(rows))
    (tmp_path / "labelled.csv").write_text("\n".join(f"slow;{row.replace(',', ';')}" for row in rows))
    (tmp_path / "commas.csv").write_text("\n".join(row.replace(",", ";").replace(".", ",") for row in rows))
    scale = "label," + ",".join(map(str, range(24)))
    (tmp_path / "scale.csv").write_text("\n".join(["sep=,", scale, *(f"slow,{row}" for row in rows)]))
    for name in ("plain.csv", "labelled.csv", "commas.csv", "scale.csv"):
        results = json_of(run("predict", "waves.onnx", name, "--json", cwd=tmp_path))
        require_equal(classes_in(answers(program_of(tmp_path, "waves.md"), name)), results)
    (tmp_path / "pairs.txt").write_text("good good\tbad\nbad film\tgood film\n")
    results = json_of(run("predict", "pairs.onnx", "pairs.txt", "--json", cwd=tmp_path))
    found = answers(program_of(tmp_path, "pairs.md"), "good good", "bad", "bad film", "good film")
    require_equal(classes_in(found), results)


@pytest.mark.long
def test_arrays_maps_and_values(deployed: Path, tmp_path: Path) -> None:
    for name in ("maps", "coder"):
        assert run("export", deployed / name, "-o", f"{name}.onnx", "--card", cwd=tmp_path).returncode == 0
    np.save(tmp_path / "x.npy", RANDOM.random((2, 1, 8, 8), np.float32))
    found = answers(program_of(tmp_path, "maps.md"), "x.npy")
    results = json_of(run("predict", "maps.onnx", "x.npy", "--json", cwd=tmp_path))
    for ours, result in zip(classes_in(found), results, strict=True):
        theirs = {entry["class"]: entry["share"] for entry in result["outputs"]["softmax1"]["labels"]}
        assert ours == pytest.approx(theirs, abs=1e-6)
    Image.fromarray(smooth(9, 9, 3).astype(np.uint8)).save(tmp_path / "x.png")
    assert "(1, 8, 8)" in answers(program_of(tmp_path, "coder.md"), "x.png")
    assert json.loads(run("predict", "coder.onnx", "x.png", "--json", cwd=tmp_path).stdout)


def test_numbers_are_printed_as_numbers(tmp_path: Path) -> None:
    (tmp_path / "net.cnn").write_text('input 2\nfc 3\ntrain { data series "a.csv"; loss mse; epochs 1 }')
    assert run("export", "net.cnn", "--card", cwd=tmp_path).returncode == 0
    (tmp_path / "new.csv").write_text("0,5;1,5\n2;-3\n")
    results = json_of(run("predict", "net.onnx", "new.csv", "--json", cwd=tmp_path))
    lines = answers(program_of(tmp_path, "net.md"), "new.csv").splitlines()
    for line, result in zip(lines, results, strict=True):
        file, *numbers = line.split(" ")
        assert file == "new.csv:"
        assert [float(number) for number in numbers] == pytest.approx(result["outputs"]["fc1"]["values"], rel=1e-5)
