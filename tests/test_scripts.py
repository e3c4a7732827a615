"""The scripts in models/scripts/ write the data that they describe, and the networks that name the data can read it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cnnc.data import load as load_data
from cnnc.data.image_file import read_whole_image
from cnnc.network import load
from cnnc.reference.template import normalized_correlation
from cnnc.training.loop import open_data
from models.scripts import keywords, motion, pairs, positions, segments, waves
from tests.commands import environment
from tests.paths import MODELS, ROOT

pytestmark = pytest.mark.long


def run_script(folder: Path, script: str, *words: str) -> str:
    """Runs a script, which writes into `made` in the folder. Returns what it prints."""
    command = [sys.executable, "-m", f"cnnc.models.scripts.{script}", "--out", str(folder / "made"), *words]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_digits_lie_where_the_map_says() -> None:
    digits = np.zeros((3, 1, 28, 28), np.uint8)
    for n in range(3):
        digits[n, 0, 8:20, 8:20] = 100 + 50 * n  # the first is darker than half, and so has no place in the map
    images, maps = segments.make(digits, np.array([7, 8, 9]), 40, np.random.default_rng(1), 20, 24)
    assert images.shape == (40, 1, 48, 48)
    assert maps.shape == (40, 48, 48)
    assert set(np.unique(maps)) == {0, 9, 10}
    for digit, value in ((9, 150), (10, 200)):
        assert (images[:, 0][maps == digit] == value).all()
        assert (maps == digit).sum() % 144 == 0
    assert images[:, 0][maps == 0].max() < 128
    digits_each = ((maps > 0).sum((1, 2)) / 144).mean()
    assert digits_each == pytest.approx(4 * 0.75 * 2 / 3, abs=0.4)


def test_a_digit_moves_as_its_class_says() -> None:
    clips, classes = motion.make(load_data("digits").train.images, 60, np.random.default_rng(1))
    assert clips.shape == (60, 1, 8, 16, 16)
    for clip, direction in zip(clips[:, 0].astype(float), classes, strict=True):
        away = [np.abs(np.roll(clip[:-1], step, (1, 2)) - clip[1:]).mean() for step in motion.DIRECTIONS]
        assert int(np.argmin(away)) == direction
    assert set(classes) == set(range(8))


def test_no_kernel_is_better_than_the_best() -> None:
    measured, position = positions.make(200, np.random.default_rng(1))
    assert measured.shape == position.shape == (200, 1, 256)
    assert (measured - position).std() == pytest.approx(0.5, rel=0.02)
    windows = positions.past(measured)
    assert windows[300].tolist() == measured[1, 0, 44:28:-1].tolist()
    assert windows[256].tolist() == [measured[1, 0, 0], *[0.0] * 15]
    kernel = positions.best_kernel(measured, position)
    random = np.random.default_rng(2)
    best = np.square(windows @ kernel - position.reshape(-1)).mean()
    for other in (np.eye(1, 16)[0], np.full(16, 1 / 16), kernel + random.normal(0, 0.01, 16)):
        assert np.square(windows @ other - position.reshape(-1)).mean() > best


def test_waves_have_their_forms() -> None:
    turns = np.array([0, 0.125, 0.25, 0.375, 0.5, 0.75, 1.25])
    s = 0.5**0.5
    assert waves.wave("sine", turns) == pytest.approx([0, s, 1, s, 0, -1, 1], abs=1e-12)
    assert waves.wave("square", turns).tolist() == [1, 1, 1, 1, -1, -1, 1]
    assert waves.wave("triangle", turns).tolist() == [-1, -0.5, 0, 0.5, 1, 0, 0]
    assert waves.wave("sawtooth", turns).tolist() == [-1, -0.75, -0.5, -0.25, 0, 0.5, -0.5]
    series = list(waves.make(8, np.random.default_rng(1)))
    assert [form for form, _ in series] == [*waves.FORMS] * 2
    assert all(values.shape == (128,) for _, values in series)


def test_sounds_are_what_their_names_say() -> None:
    random = np.random.default_rng(1)
    for name in keywords.SOUNDS:
        samples = keywords.sound(name, random)
        assert 0.3 * keywords.RATE <= len(samples) < 0.8 * keywords.RATE
        assert np.abs(samples).max() <= 1
        thirds = np.array_split(samples, 3)
        first, last = (np.abs(np.fft.rfft(part)).argmax() / len(part) for part in (thirds[0], thirds[2]))
        if name in ("rising", "falling"):
            assert (first < 0.7 * last) if name == "rising" else (last < 0.7 * first)
        elif name == "tone":
            assert first == pytest.approx(last, rel=0.02)
    second = keywords.recording(keywords.sound("tone", random), 0.05, random)
    assert second.shape == (keywords.RATE,)
    assert len(keywords.wav(second)) == 44 + 2 * keywords.RATE


def test_a_query_is_of_its_sentence() -> None:
    texts = [[f"w{n}x{i}" for i in range(9)] for n in range(5)]
    lines = [line.rstrip("\n").split("\t") for line in pairs.make(texts, 3, np.random.default_rng(1))]
    assert len(lines) == 30
    for label, query, document in lines:
        assert len(set(query.split())) == 4
        assert (
            set(query.split()) <= set(document.split())
            if label == "1"
            else not set(query.split()) & set(document.split())
        )
        assert document.split() in texts


def test_the_script_of_pairs_keeps_test_sentences_apart(tmp_path: Path) -> None:
    for name, word in (("rt-polarity.pos", "good"), ("rt-polarity.neg", "bad")):
        text = "".join(f"this {word} film no {n} has words , enough caf\xe9 for all\n" for n in range(30))
        (tmp_path / name).write_text(f"too short\n{text}", "latin-1")
    run_script(tmp_path, "pairs", "--data", str(tmp_path))
    parts = [(tmp_path / "made" / "pairs" / f"{name}.tsv").read_text().splitlines() for name in ("train", "test")]
    train, test = ({line.split("\t")[2] for line in lines} for lines in parts)
    assert (len(train), len(test)) == (54, 6)
    assert not train & test
    assert [len(lines) for lines in parts] == [54 * 8, 6 * 2]


def test_deeper_and_wider_networks_have_as_many_parameters(tmp_path: Path) -> None:
    words = ["--examples", "100", "--epochs", "1", "--seeds", "2", "--depths", "1", "2", "--parameters", "1500", "4000"]
    command = [sys.executable, "-m", "cnnc.models.scripts.deeper_vs_wider", *words, "--svg", str(tmp_path / "c.svg")]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")][1:]
    assert [row[0] for row in rows] == ["1", "2", "1", "2"]
    for row, budget in zip(rows, (1500, 1500, 4000, 4000), strict=True):
        assert int(row[2].replace(",", "")) == pytest.approx(budget, rel=0.1)
        error, sign, deviation, unit = row[4].split()
        assert (sign, unit) == ("±", "%")
        assert 0 < float(error) <= 100
        assert float(deviation) >= 0
    drawn = (tmp_path / "c.svg").read_text(encoding="utf-8")
    assert ">1 convolution</text>" in drawn
    assert ">2 convolutions</text>" in drawn


@pytest.mark.parametrize("words", [("--depths", "0"), ("--seeds", "0"), ("--epochs", "-1"), ("--svg", "nowhere/c.svg")])
def test_deeper_and_wider_refuses_wrong_options_before_it_trains(words: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "cnnc.models.scripts.deeper_vs_wider", *words]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert words[0] in done.stderr.splitlines()[-1]


def test_the_page_of_the_lecture_holds_each_digit_once(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    assert run_script(tmp_path, "lecture").startswith("wrote 22 images and 10 tables to ")
    names = {path.name for path in (tmp_path / "made").iterdir()}
    assert {"digit-0.png", "digit-9.csv", "other-9.png", "page.png", "shapes.png"} <= names
    levels = np.loadtxt(tmp_path / "made" / "digit-7.csv", delimiter=",")
    pixels, _ = read_whole_image(tmp_path / "made" / "digit-7.png")
    assert np.array_equal(np.rint(pixels[0] * (16 / 255)), levels)
    page, _ = read_whole_image(tmp_path / "made" / "page.png")
    for digit in range(10):
        patch, _ = read_whole_image(tmp_path / "made" / f"digit-{digit}.png")
        assert (normalized_correlation(page, patch) > 0.9999).sum() == 1


@pytest.mark.parametrize(
    ("script", "words", "name"),
    [
        ("motion", ("--train", "40", "--test", "16"), "motion"),
        ("positions", (), "smoothing"),
        ("segments", ("--train", "40", "--test", "16"), "segmentation"),
        ("segments", ("--train", "40", "--test", "16", "--data-set", "digits"), "segmentation_digits"),
        ("waves", ("--count", "40"), "waves"),
        ("keywords", ("--count", "3"), "keywords"),
        ("pairs", ("--rounds", "1"), "text_ranker"),
    ],
)
def test_the_network_takes_what_the_script_makes(
    script: str, words: tuple[str, ...], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a second run of the script writes the same files."""
    if script == "keywords":
        pytest.importorskip("soundfile", reason="recordings are read with soundfile")
    real = {"segments": ".", "pairs": "text"}
    if script in real and "digits" not in words:
        folder_of_all = os.environ.get("CNNC_DATA")
        if not folder_of_all or not (Path(folder_of_all) / real[script]).exists():
            pytest.skip("the variable CNNC_DATA leads to no data to make these of")
        words = (*words, "--data", str(Path(folder_of_all) / real[script]))
    for folder in ("a", "b"):
        run_script(tmp_path / folder, script, *words)
    files = [sorted(p for p in (tmp_path / folder).rglob("*") if p.is_file()) for folder in ("a", "b")]
    assert [p.name for p in files[0]] == [p.name for p in files[1]]
    for one, other in zip(*files, strict=True):
        if one.suffix == ".npz":
            with np.load(one) as first, np.load(other) as second:
                for array in first:
                    np.testing.assert_array_equal(first[array], second[array])
        else:
            assert one.read_bytes() == other.read_bytes()
    monkeypatch.chdir(tmp_path / "a")
    data = open_data(load(MODELS / f"{name}.cnn"), None, lambda line: None)
    assert len(data.train) > len(data.test) > 0
