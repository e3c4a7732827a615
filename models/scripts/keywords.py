"""Makes recordings of one second for a network that spots keywords: six sounds, or six words that espeak-ng speaks.

A sound lasts 0.3 to 0.8 s, begins anywhere, and has an amplitude of 0.05 to 0.5, over noise of 0.05: a tone of 400 to 2,000 Hz, one
that rises or falls by an octave and a half, one that warbles six times a second by a fifth, ten to twenty clicks, or noise. With
--speech the words are down, go, no, stop, up and yes in five voices, at speeds and pitches that differ, over noise of 0.005; it needs espeak-ng
(Debian: `apt install espeak-ng`), and soxr (`pip install "cnnc[audio]"`), as espeak-ng speaks at 22,050 Hz.

`python -m cnnc.models.scripts.keywords` writes made/keywords/CLASS/NUMBER.wav: 16,000 Hz, 16 bits, one channel.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import wave

import numpy as np
from numpy.typing import NDArray

from cnnc.core.files import make_folder, write_atomic

from .common import parser

RATE = 16_000
SOUNDS = ("clicks", "falling", "noise", "rising", "tone", "warbling")
WORDS = ("down", "go", "no", "stop", "up", "yes")
VOICES = ("en-gb", "en-us", "en-gb-scotland", "en-gb-x-rp", "en-029")

Samples = NDArray[np.float64]


def sound(name: str, random: np.random.Generator) -> Samples:
    """One sound without background, 0.3 to 0.8 s long, from -1 to 1."""
    count = int(random.uniform(0.3, 0.8) * RATE)
    time = np.arange(count) / RATE
    low = 400 * 2 ** random.uniform(0, 0.8)
    if name == "noise":
        samples = random.normal(0, 0.4, count)
    elif name == "clicks":
        samples = np.zeros(count)
        for begin in random.integers(0, count - 200, random.integers(10, 21)):
            samples[begin : begin + 200] += random.normal(0, 1, 200) * np.exp(-np.arange(200) / 25)
    else:
        part = time / time[-1]
        octaves = {
            "tone": np.full(count, random.uniform(0, 1.5)),
            "rising": 1.5 * part,
            "falling": 1.5 * (1 - part),
            "warbling": 0.75 + 0.29 * np.sin(2 * np.pi * 6 * time),
        }[name]
        samples = np.sin(2 * np.pi * np.cumsum(low * 2**octaves) / RATE)
    fade = np.minimum(1, np.minimum(np.arange(count), np.arange(count)[::-1]) / 400)
    return np.clip(samples, -1, 1) * fade


def spoken(word: str, random: np.random.Generator) -> Samples:
    """A word that espeak-ng speaks, without the silence around it."""
    import soxr

    voice, speed, pitch = random.choice(VOICES), random.integers(120, 220), random.integers(20, 80)
    command = ["espeak-ng", "--stdout", "-v", str(voice), "-s", str(speed), "-p", str(pitch), word]
    content = subprocess.run(command, capture_output=True, check=True).stdout
    with wave.open(io.BytesIO(content)) as file:
        rate, data = file.getframerate(), file.readframes(file.getnframes())
    samples: Samples = soxr.resample(np.frombuffer(data, "<i2") / 32768, rate, RATE)
    loud = np.flatnonzero(np.abs(samples) > 0.01)
    return samples[loud[0] : loud[-1] + 1][: int(0.9 * RATE)]


def recording(samples: Samples, noise: float, random: np.random.Generator) -> Samples:
    """One second with these samples somewhere in it, softer or louder, over noise of this standard deviation."""
    whole = random.normal(0, noise, RATE)
    begin = random.integers(0, RATE - len(samples) + 1)
    loudness = 0.05 * 10 ** random.uniform(0, 1) / np.abs(samples).max()
    whole[begin : begin + len(samples)] += loudness * samples
    return np.clip(whole, -1, 1)


def wav(samples: Samples) -> bytes:
    """A WAV file of 16 bits."""
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(np.round(samples * 32767).astype("<i2").tobytes())
    return stream.getvalue()


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--count", type=int, default=200, metavar="N", help="Recordings of each class. Default: 200.")
    options.add_argument("--speech", action="store_true", help="Six words that espeak-ng speaks, instead of sounds.")
    given = options.parse_args()
    if given.speech and shutil.which("espeak-ng") is None:
        sys.exit("--speech needs espeak-ng, which is not installed (Debian: apt install espeak-ng)")
    random = np.random.default_rng(given.seed)
    for name in WORDS if given.speech else SOUNDS:
        folder = given.out / ("words" if given.speech else "keywords") / name
        make_folder(folder)
        for number in range(given.count):
            samples = spoken(name, random) if given.speech else sound(name, random)
            write_atomic(folder / f"{number:03}.wav", wav(recording(samples, 0.005 if given.speech else 0.05, random)))
        print(f"wrote {given.count:,} recordings to {folder}")


if __name__ == "__main__":
    main()
