"""`cnnc draw`: each error of its options names commands that work when typed as they stand."""

from __future__ import annotations

import random
import re
import shlex
import xml.etree.ElementTree as ElementTree
from functools import cache
from pathlib import Path

import pytest

from tests.cli.conftest import codes, run
from tests.paths import MODELS

FILES = {
    "net.cnn": "net Small\ninput 1x8x8\nconv 2 k=3\nrelu\npool max k=2\nconv 2 k=2\nflatten\nfc 3\nsoftmax\n",
    "line.cnn": "net Line\ninput 1x9\nconv 1 k=3\nrelu\nflatten\nfc 3\n",
    "two.cnn": "net Two\na: input 1x8x8\nb: input 1x8x8\nfrom a\nx: conv 4 k=3\nfrom b\ny: conv 4 k=3\nadd x\n",
    "words.cnn": "net Words\ninput 12 dtype=int64\nembed 4 vocab=100\nconv 3 k=3\nglobal_pool max\nfc 2\n",
    "vector.cnn": "net Vector\ninput 4\nfc 3\n",
    "video.cnn": "net Video\ninput 1x4x8x8\nconv 2 k=3\n",
    "plain.cnn": "net Plain\ninput 1x8x8\nconv 2 k=3\n",
}
SLIDES = """q=3|8 k=3|conv 8 k=3|out=8 k=3|relu|fc 3|k=3; relu|k=3 {|convolution k=3|maxpool|maxpool k=9|pool k=2|pool
filter|filter foo|filter [[1|conv_transpose|conv_transpose 4 k=3|k|k=|k=a|k=0|k=30|k=3x3x3|k=3 s=0|k=3 k=3|k=3 groups=2|3|3x3
k=3 p=9|k=3 d=100000|k=3 pading=1|'k=3'|local k=30|k=9 d=2|kov k=3|k=3 weights=x|k=3 name="é" """.replace("\n", "|")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("draw")
    for name, source in FILES.items():
        (folder / name).write_text(source)
    return folder


def require_help_that_works(folder: Path, words: tuple[str, ...]) -> str:
    """Runs `cnnc draw`, then each command that its error names; returns the error."""
    done = run("draw", *words, cwd=folder)
    assert (done.returncode, codes(done.stderr), done.stdout) == (2, ["E010"], ""), words
    commands = re.findall("`cnnc ([^`]*)`", done.stderr)
    assert commands, done.stderr
    for command in commands:
        assert error_of(folder, command) == "", (words, command)
    return done.stderr


@cache
def error_of(folder: Path, command: str) -> str:
    """What the command prints if it fails; several errors name the same command, and it draws the same each time."""
    done = run(*shlex.split(command), "--force", cwd=folder)
    return "" if done.returncode == 0 else f"exit status {done.returncode}: {done.stderr}"


@pytest.mark.parametrize(
    "line",
    """
    --slide k=3
    --slide ''
    --slide '' 5x5
    --slide k=3 --coverage
    --slide k=3 net.cnn
    --slide k=3 5x5x5
    --slide k=3 3x5x5
    --slide k=3 0x5
    --slide k=3 99999
    --slide k=3 50x50
    --slide 'k=3 p=1' 4000x2
    --slide k=3 five
    --slide k=3 5x5 --style graph
    --slide k=3 5x5 --activations
    --slide k=3 5x5 --set a=1
    --slide k=3 5x5 --depth 1 -o y.html
    --slide k=3 5x5 --at x
    5x5
    1x1
    28x28x1 --coverage
    --style volumes
    net.cnn --coverage --activations
    net.cnn --coverage --style graph
    net.cnn --coverage
    net.cnn --coverage --image x.png
    net.cnn --coverage --depth 2 --at conv1
    net.cnn --coverage --at conv1:1,1
    net.cnn --coverage --at softmax1
    net.cnn --coverage --at conv8
    net.cnn --style field
    net.cnn --style field --depth 3
    net.cnn --style field --at zzz
    net.cnn --style field --at conv9:1,1
    net.cnn --style field --at input1
    net.cnn --style field --at conv1:9,9
    net.cnn --style field --at conv1:2
    net.cnn --style field --at conv1:a
    net.cnn --style field --at fc1:1
    net.cnn --at conv1
    net.cnn --image x.png
    net.cnn --at conv1 --style volumes
    net.cnn --image x.png --style volumes
    net.cnn --style edges
    net.cnn --style edges --at conv1:2
    net.cnn --activations --at conv1
    --activations --set a=1
    plain.cnn --activations
    line.cnn --style edges --image x.png
    line.cnn --style edges --depth 1
    line.cnn --style edges --at nothing
    line.cnn --style edges --at conv1
    line.cnn --style edges --at conv:3
    line.cnn --style edges --at conv1:99
    words.cnn --style field
    words.cnn --style field --at embed1
    words.cnn --style field --at conv1 --image x.png
    words.cnn --coverage --at embed1
    two.cnn --style field
    vector.cnn --style field
    vector.cnn --coverage
    video.cnn --style field
    video.cnn --style edges
    video.cnn --coverage --at conv1
    """.strip().splitlines(),
)
def test_options(folder: Path, line: str) -> None:
    require_help_that_works(folder, tuple(shlex.split(line)))


@pytest.mark.parametrize("slide", SLIDES.split("|"))
def test_windows(folder: Path, slide: str) -> None:
    require_help_that_works(folder, ("--slide", slide, "5x5"))


@pytest.mark.long
def test_random_windows(folder: Path) -> None:
    rng = random.Random(5)
    words = [
        "conv",
        "pool",
        "maxpool",
        "conv_transpose",
        "local",
        "filter",
        "fc",
        "k=3",
        "k=[2,1]",
        "k=7",
        "s=2",
        "s=0",
        "p=same",
    ]
    words += [
        "p=3",
        "p=causal",
        "d=2",
        "d=-1",
        "4",
        "1",
        "ceil=true",
        "bias=false",
        "box",
        "max",
        "x",
        "=",
        '"',
        "output_pad=1",
    ]
    failed = 0
    for _ in range(60):
        typed = " ".join(rng.choices(words, k=rng.randint(0, 4)))
        size = rng.choice(("5x5", "7", "1x1", "30x30", "2x40", "5x", "a"))
        if run("draw", "--slide", typed, size, "--force", cwd=folder).returncode:
            failed += 1
            require_help_that_works(folder, ("--slide", typed, size))
    assert failed > 20


def test_the_message_is_about_what_was_typed(folder: Path) -> None:
    error = require_help_that_works(folder, ("--slide", "q=3", "5x5"))
    assert '--slide "q=3": conv has no argument `q`' in error
    assert "--slide: the window is empty" in require_help_that_works(folder, ("--slide", "", "5x5"))


def test_listed_layers_are_drawn(folder: Path) -> None:
    for mode in (["--style", "field"], ["--coverage"]):
        error = run("draw", MODELS / "textcnn.cnn", *mode, cwd=folder).stderr
        listed = re.search(r"layers: ([^.\n]*)", error)
        assert listed
        names = [name for name in listed[1].split(", ") if name]
        assert len(names) > 10
        assert "embed1" not in names
        for name in names:
            assert run("draw", MODELS / "textcnn.cnn", *mode, "--at", name, cwd=folder).returncode == 0, name


def test_out_is_not_standard_output(folder: Path) -> None:
    error = run("draw", "net.cnn", "-o", "-", cwd=folder).stderr
    assert "write `-o net.svg`" in error
    assert "-.svg" not in error


def test_an_image_of_one_of_two_inputs(folder: Path) -> None:
    """Is that of the input that is drawn."""
    numpy, image = pytest.importorskip("numpy"), pytest.importorskip("PIL.Image")
    image.fromarray(numpy.arange(64, dtype="uint8").reshape(8, 8)).save(folder / "x.png")
    done = run("draw", "two.cnn", "--style", "field", "--at", "y:1,1", "--image", "x.png", "-o", "y.svg", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Image: x.png." in (folder / "y.svg").read_text()
    numpy.save(folder / "none.npy", numpy.zeros((0, 1, 8, 8), "float32"))
    done = run("draw", "net.cnn", "--style", "field", "--at", "conv1", "--image", "none.npy", cwd=folder)
    assert done.returncode
    numpy.save(folder / "three.npy", numpy.zeros((3, 1, 8, 8), "float32"))
    run("draw", "net.cnn", "--style", "field", "--at", "conv1", "--image", "three.npy", "-o", "z.svg", cwd=folder)
    assert "The first of 3 examples is drawn." in (folder / "z.svg").read_text()


@pytest.mark.parametrize(
    "name", ['<script>alert(1)<:script>&amp;"', "it's \\ \u202eright to left\u202c", "n" * 200, "two\nlines"]
)
def test_a_hostile_name_stays_text(tmp_path: Path, name: str) -> None:
    """A network without a name has that of its file; in every mode and format it is neither markup nor turns the text."""
    path = tmp_path / f"{name}.cnn"
    path.write_text("input 1x9\nconv 1 k=3\nrelu\nflatten\nfc 3\n")
    modes: list[tuple[str, ...]] = [("--style", style) for style in ("graph", "volumes", "edges")]
    modes += [("--style", "field", "--at", "conv1:2"), ("--coverage", "--at", "conv1"), ("--activations",)]
    for mode in modes:
        for kind in ("svg", "html", *(("mmd", "dot") if mode[1:] == ("graph",) else ())):
            done = run("draw", path.name, *mode, "-o", f"x.{kind}", "--force", cwd=tmp_path)
            assert (done.returncode, done.stderr) == (0, ""), (mode, kind)
            text = (tmp_path / f"x.{kind}").read_text()
            assert not re.search("<script>alert|[\u202e\u202c]", text.replace('digraph "<script>', "")), (mode, kind)
            if kind == "svg":
                ElementTree.fromstring(text)
