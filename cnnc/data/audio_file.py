"""Reads single recordings: WAV, FLAC, Ogg, MP3 and AIFF files, in the sample rate and length of a network's input.

In: the content of a file, a sample rate in Hz, and the shape (C, T) of the network's input. Out: float32 samples (C, T) from
-1 to 1. Only this module uses soundfile, which reads files, and soxr, which changes sample rates, so that prediction reads
recordings exactly as training does. A failure is a CnncError, or `NotRecording` from `decode_recording`.

Of the libraries that read audio, soundfile (libsndfile) reads every depth and container without a further program and needs
nothing but NumPy; Python's wave lacks floats, and librosa and torchaudio load far more. soxr is what librosa resamples with.
"""

from __future__ import annotations

import io
import math
import re
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnc.core.files import first_line, read_bytes
from cnnc.core.native_messages import without_native_messages
from cnnc.data.catalog import MAX_RATE
from cnnc.diagnostics import CnncError

MAX_BYTES = 2**28
"""The most bytes of a file."""

MAX_SAMPLES = 2**26
"""The most samples of a file that are decoded, those of all channels together."""

_FORMATS = ("WAV", "WAVEX", "RF64", "W64", "FLAC", "OGG", "MP3", "AIFF")
_MARGIN = 4096  # samples read beyond those needed, so that resampling a cut recording equals cutting a resampled one
_BITS = {"PCM_U8": "8-bit", "PCM_S8": "8-bit", "PCM_16": "16-bit", "PCM_24": "24-bit", "PCM_32": "32-bit",
         "FLOAT": "32-bit float", "DOUBLE": "64-bit float"}  # fmt: skip

BEYOND = "floats beyond -1 to 1 kept as they are"

Samples = NDArray[np.float32]


class NotRecording(Exception):
    """Bytes that are not a readable recording; the message says why."""


class RecordingFacts(NamedTuple):
    """Of a file: sample rate in Hz, channels, samples per channel, its depth in words, and what was changed, each in words."""

    rate: int
    channels: int
    frames: int
    depth: str
    changes: tuple[str, ...] = ()

    @property
    def seconds(self) -> str:
        """The duration, such as `1.25 s`."""
        return seconds_text(self.frames, self.rate)

    @property
    def format(self) -> str:
        """Rate, channels and depth: `16000 Hz mono 16-bit`."""
        return f"{self.rate} Hz {channels_text(self.channels)} {self.depth}"


def seconds_text(samples: int, rate: int) -> str:
    """A number of samples as a duration: `1.25 s`."""
    return f"{samples / rate:.4g} s"


def channels_text(channels: int) -> str:
    """`mono`, `stereo`, `6 channels`."""
    return {1: "mono", 2: "stereo"}.get(channels, f"{channels} channels")


def require_soundfile() -> None:
    """Raises CnncError E906 where soundfile is not installed."""
    try:
        import soundfile  # noqa: F401
    except (ImportError, OSError) as error:  # OSError: its library libsndfile is missing
        help = 'run `pip install "cnnc[audio]"`'
        raise CnncError.of("E906", "reading recordings needs soundfile", help=help) from error


def read_recording(path: Path, rate: int | None, shape: tuple[int, int | None]) -> tuple[Samples, str]:
    """A file as a batch of one (1, C, T), and a note on what was changed, else "".

    A length of None is that of the file, and so is a rate of None; the note then says which it is.

    Raises CnncError E901 where the file cannot be read, E608 where it is not a recording, E906 without soundfile.
    """
    data = read_bytes(path, MAX_BYTES)
    require_soundfile()
    try:
        samples, facts = decode_recording(data, rate or recording_facts(data).rate, shape)
    except NotRecording as error:
        raise CnncError.of("E608", f"{path} cannot be read as a recording: {error}") from error
    changes = (
        facts.changes if rate else (f"read at its own rate, {facts.rate} Hz: the network names none", *facts.changes)
    )
    return samples[None], f"{path}: {', '.join(changes)}" if changes else ""


_SILENT = (b"RIFF", b"RIFX", b"RF64", b"riff", b"fLaC", b"OggS", b"FORM")
"""How the formats begin whose readers print nothing; other content is tried as MP3."""


def _without_messages(data: bytes) -> AbstractContextManager[None]:
    return nullcontext() if data.startswith(_SILENT) else without_native_messages()


class _Content(io.BytesIO):
    """The content of a file for soundfile, whose library may seek to before its start in a damaged one: the position then stays.

    An exception would not reach the caller, but be printed with a traceback.
    """

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self.tell(), io.SEEK_END: len(self.getbuffer())}[whence]
        return super().seek(start + offset) if start + offset >= 0 else self.tell()


def recording_facts(data: bytes) -> RecordingFacts:
    """What the header of a file says. Raises NotRecording."""
    import soundfile

    try:
        with _without_messages(data), soundfile.SoundFile(_Content(data)) as file:
            return _facts(file)
    except NotRecording:
        raise
    except Exception as error:  # soundfile raises LibsndfileError, TypeError, ...
        raise NotRecording(_reason(error)) from error


def decode_recording(data: bytes, rate: int, shape: tuple[int, int | None]) -> tuple[Samples, RecordingFacts]:
    """The samples of a file (C, T), and what was changed. Thread-safe. Raises NotRecording, and CnncError E906 without soxr.

    Whole numbers are divided by the largest of their depth, so that samples lie from -1 to 1. For one channel those of the file are
    averaged; a file of one channel is repeated for several. A recording at another rate is resampled (soxr, quality HQ).
    Then it is cut after T samples, or zeros follow it.
    """
    import soundfile

    channels, length = shape
    try:
        with _without_messages(data), soundfile.SoundFile(_Content(data)) as file:
            facts = _facts(file)
            needed = facts.frames
            if length is not None:
                needed = min(needed, math.ceil(length * facts.rate / rate) + _MARGIN)
            if needed * facts.channels > MAX_SAMPLES:
                raise NotRecording(f"more than {MAX_SAMPLES:,} samples")
            samples: Samples = file.read(needed, dtype="float32", always_2d=True).T
    except (NotRecording, MemoryError):
        raise
    except Exception as error:
        raise NotRecording(_reason(error)) from error
    if not samples.size:
        raise NotRecording("it has no samples")
    if not np.isfinite(samples).all():
        raise NotRecording("some of its samples are infinite or not numbers")
    changes = [BEYOND] if "float" in facts.depth and np.abs(samples).max() > 1 else []
    samples, change = _with_channels(samples, channels)
    changes += change
    if facts.rate != rate:
        samples = resampled(samples, facts.rate, rate)
        changes.append(f"resampled from {facts.rate} to {rate} Hz")
    if length is not None:
        total = round(facts.frames * rate / facts.rate)
        if total < length:
            changes.append(f"zeros added up to {seconds_text(length, rate)}")
        elif total > length:
            changes.append(f"cut to the first {seconds_text(length, rate)}")
        samples = fitted(samples, length)
    return np.ascontiguousarray(samples), facts._replace(changes=tuple(changes))


def _facts(file: Any) -> RecordingFacts:
    """The facts of an opened soundfile.SoundFile. Raises NotRecording."""
    if file.format not in _FORMATS:
        raise NotRecording(f"the format {file.format} is not read")
    if not 1 <= file.samplerate <= MAX_RATE:
        raise NotRecording(f"a sample rate of {file.samplerate} Hz")
    depth = _BITS.get(file.subtype, file.subtype.replace("_", " ").lower())
    return RecordingFacts(file.samplerate, file.channels, file.frames, depth)


def _with_channels(samples: Samples, channels: int) -> tuple[Samples, list[str]]:
    """Samples (C', T') as (C, T'), and what was changed. Raises NotRecording."""
    count = len(samples)
    if count == channels:
        return samples, []
    if channels == 1:
        return samples.mean(0, keepdims=True, dtype=np.float32), [f"{count} channels averaged"]
    if count == 1:
        return np.repeat(samples, channels, 0), [f"one channel repeated for {channels}"]
    raise NotRecording(f"{channels_text(count)}; the network takes {channels_text(channels)}")


def resampled(samples: Samples, rate: int, new_rate: int) -> Samples:
    """Samples (C, T) at another sample rate. Raises CnncError E906 without soxr."""
    try:
        import soxr
    except ImportError as error:
        message = f"a recording at {rate} Hz is resampled to {new_rate} Hz, which needs soxr"
        help = 'run `pip install "cnnc[audio]"`, or convert the recordings'
        raise CnncError.of("E906", message, help=help) from error
    result: Samples = soxr.resample(samples.T, rate, new_rate, quality="HQ").T.astype(np.float32, copy=False)
    return result


def fitted(samples: Samples, length: int) -> Samples:
    """Samples (C, T') cut or followed by zeros, (C, length)."""
    result = np.zeros((len(samples), length), np.float32)
    kept = samples[:, :length]
    result[:, : kept.shape[1]] = kept
    return result


def _reason(error: Exception) -> str:
    text = first_line(error)
    text = re.sub(r"^Error opening <.*?>: ", "", text)  # the file is in memory, and has no name there
    return "unknown format" if "Format not recognised" in text else text[:200]
