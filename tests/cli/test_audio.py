"""Recordings from end to end: cnnc data, train, export with its card, predict, and the program of the card."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import run

pytest.importorskip("soundfile", reason="needs soundfile")
pytestmark = pytest.mark.long

NETWORK = """input 1x2000
spectrogram window=100 hop=50 mels=8 rate=4000
conv 4 k=3 s=2; relu
global_pool avg
fc 2
train { data audio "words" rate=4000; optimizer adam lr=0.02; batch 8; epochs 12 }
"""


def write_wav(path: Path, hertz: float, samples: int = 2000, channels: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tone = 9000 * np.sin(2 * np.pi * hertz / 4000 * np.arange(samples))
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, 4000, 0, "NONE", ""))
        file.writeframes(np.repeat(tone.astype("<i2"), channels).tobytes())


def test_from_recordings_to_the_program_of_the_card(tmp_path: Path) -> None:
    for n in range(12):
        write_wav(tmp_path / "words" / "high" / f"{n}.wav", 1200 + 30 * n)
        write_wav(tmp_path / "words" / "low" / f"{n}.wav", 200 + 15 * n)
    (tmp_path / "words" / "low" / "notes.txt").write_text("no recording")
    (tmp_path / "k.cnn").write_text(NETWORK)
    shown = run("data", "audio", "words", cwd=tmp_path).stdout
    assert re.search(r"file formats +4000 Hz mono 16-bit 24", shown)
    assert re.search(r"skipped +low/notes.txt \(unknown format\)", shown)
    trained = run("train", "k.cnn", "--run", "r", cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert run("export", "r", "-o", "k.onnx", "--card", cwd=tmp_path).returncode == 0

    write_wav(tmp_path / "short.wav", 1300, 1500)
    write_wav(tmp_path / "stereo.wav", 250, 2600, channels=2)
    names = ["short.wav", "stereo.wav"]
    done = run("predict", "k.onnx", *names, "--json", cwd=tmp_path)
    assert "short.wav: zeros added up to 0.5 s" in done.stderr
    assert "stereo.wav: 2 channels averaged, cut to the first 0.5 s" in done.stderr
    answers = json.loads(done.stdout)
    assert [answer["top"][0]["class"] for answer in answers] == ["high", "low"]

    card = (tmp_path / "k.md").read_text(encoding="utf-8")
    assert "0.5 s of sound at 4000 Hz, mono, samples from -1 to 1" in card
    program = card.split("```python\n")[1].split("```")[0]
    printed = subprocess.run(
        [sys.executable, "-c", program, *names], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    for line, answer in zip(printed.splitlines(), answers, strict=True):
        first = answer["top"][0]
        name, best, probability = line.split()[:3]
        assert (name, best) == (f"{answer['file']}:", first["class"])
        assert float(probability) == pytest.approx(first["probability"], abs=2e-6)
