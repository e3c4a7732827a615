"""`data audio`: recordings of every depth, rate and length; shares; what is skipped; prediction."""

from __future__ import annotations

import io
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cnnc.api.opened_data import open_kind
from cnnc.core.tensor import TensorType
from cnnc.data import load
from cnnc.data.dataset import Dataset
from cnnc.diagnostics import CnncError

soundfile = pytest.importorskip("soundfile", reason="needs soundfile")

from cnnc.data import audio, audio_file, prediction_inputs  # noqa: E402
from cnnc.data.audio_file import NotRecording, decode_recording  # noqa: E402

RATE = 1000
RAMP: NDArray[np.float64] = np.linspace(-0.9, 0.9, RATE)


def recording(samples: Any = RAMP, rate: int = RATE, subtype: str = "PCM_16", format: str = "WAV") -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, np.asarray(samples), rate, subtype, format=format)
    return stream.getvalue()


def write_folder(folder: Path, counts: dict[str, int], content: Callable[[int], bytes] = lambda n: recording()) -> Path:
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for n in range(count):
            (folder / name / f"{n}.wav").write_bytes(content(n))
    return folder


def read(path: Path, shape: tuple[int, ...] = (1, RATE), rate: int = RATE, **more: Any) -> tuple[Dataset, list[str]]:
    lines: list[str] = []
    data = load("audio", None, lines.append, path=str(path), inputs=(TensorType(shape),), rate=rate, **more)
    return data, lines


@pytest.mark.parametrize(
    ("subtype", "step"),
    [("PCM_U8", 2**-7), ("PCM_16", 2**-15), ("PCM_24", 2**-23), ("PCM_32", 1e-7), ("FLOAT", 1e-7), ("DOUBLE", 1e-7)],
)
def test_every_depth_is_scaled_from_minus_one_to_one(subtype: str, step: float) -> None:
    samples, facts = decode_recording(recording(subtype=subtype), RATE, (1, RATE))
    assert samples.dtype == np.float32
    assert np.abs(samples[0] - RAMP).max() <= step
    assert facts.changes == ()


def test_a_file_of_the_standard_library_is_read_as_it_reads_it(tmp_path: Path) -> None:
    values = np.array([-32768, -1, 0, 1, 32767], "<i2")
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(values.tobytes())
    samples, _ = audio_file.read_recording(tmp_path / "a.wav", RATE, (1, 5))
    np.testing.assert_array_equal(samples[0, 0], np.float32(values / 32768))


def test_lengths_and_channels_become_those_of_the_input() -> None:
    short, facts = decode_recording(recording(RAMP[:600]), RATE, (1, RATE))
    assert facts.changes == ("zeros added up to 1 s",)
    assert not short[0, 600:].any()
    cut, facts = decode_recording(recording(), RATE, (1, 250))
    assert facts.changes == ("cut to the first 0.25 s",)
    np.testing.assert_allclose(cut[0], RAMP[:250], atol=1e-4)
    stereo = recording(np.stack([RAMP, 0 * RAMP], 1))
    mono, facts = decode_recording(stereo, RATE, (1, RATE))
    assert facts.changes == ("2 channels averaged",)
    np.testing.assert_allclose(mono[0], RAMP / 2, atol=1e-4)
    both, facts = decode_recording(stereo, RATE, (2, RATE))
    assert (both.shape, facts.changes) == ((2, RATE), ())
    repeated, _ = decode_recording(recording(), RATE, (2, RATE))
    np.testing.assert_array_equal(repeated[0], repeated[1])
    with pytest.raises(NotRecording, match="stereo; the network takes 3 channels"):
        decode_recording(stereo, RATE, (3, RATE))


def test_another_rate_is_resampled() -> None:
    pytest.importorskip("soxr", reason="needs soxr")
    n = np.arange(44100)
    samples, facts = decode_recording(recording(np.sin(2 * np.pi * 440 / 44100 * n), 44100), 16000, (1, 16000))
    assert facts.changes == ("resampled from 44100 to 16000 Hz",)
    expected = np.sin(2 * np.pi * 440 / 16000 * np.arange(16000))
    assert np.abs(samples[0] - expected)[100:-100].max() < 1e-3
    cut, _ = decode_recording(recording(np.sin(2 * np.pi * 440 / 44100 * n), 44100), 16000, (1, 4000))
    np.testing.assert_allclose(cut, samples[:, :4000], atol=1e-6)


def test_resampling_without_soxr_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "soxr", None)
    with pytest.raises(CnncError) as caught:
        decode_recording(recording(), 2 * RATE, (1, RATE))
    assert [d.code for d in caught.value.diagnostics] == ["E906"]
    assert "cnnc[audio]" in caught.value.diagnostics[0].help


def test_reading_without_soundfile_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_folder(tmp_path / "words", {"a": 2, "b": 2})
    monkeypatch.setitem(__import__("sys").modules, "soundfile", None)
    with pytest.raises(CnncError) as caught:
        read(folder)
    assert [d.code for d in caught.value.diagnostics] == ["E906"]
    assert caught.value.diagnostics[0].help == 'run `pip install "cnnc[audio]"`'


def damaged(name: str) -> bytes:
    whole = recording()
    if name == "many":
        whole = whole[:22] + b"\xff\xff" + whole[24:]
    return {
        "empty": b"",
        "text": b"hello",
        "header": whole[:30],
        "silent": recording(np.zeros(0)),
        "nan": recording(np.full(9, np.nan), subtype="FLOAT"),
        "many": whole,
    }[name]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("empty", "unknown format"),
        ("text", "unknown format"),
        ("header", "No 'data' chunk"),
        ("silent", "it has no samples"),
        ("nan", "infinite or not numbers"),
        ("many", "channels"),
    ],
)
def test_a_damaged_file_is_skipped_with_its_reason(name: str, reason: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "words", {"a": 3, "b": 3})
    (folder / "a" / "bad.wav").write_bytes(damaged(name))
    data, lines = read(folder)
    assert list(data.facts.skipped) == ["a/bad.wav"]
    assert reason in data.facts.skipped["a/bad.wav"]
    assert len(data.train) + len(data.test) == 6
    assert any("skipped 1 of 7 files: a/bad.wav" in line for line in lines)
    (folder / "a" / "bad.wav").rename(tmp_path / "bad.wav")
    with pytest.raises(CnncError) as caught:
        audio_file.read_recording(tmp_path / "bad.wav", RATE, (1, RATE))
    assert [d.code for d in caught.value.diagnostics] == ["E608"]


def test_a_long_recording_is_read_only_as_far_as_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    content = recording(np.zeros(40 * RATE))
    monkeypatch.setattr(audio_file, "MAX_SAMPLES", 10 * RATE)
    samples, _ = decode_recording(content, RATE, (1, RATE))
    assert samples.shape == (1, RATE)
    with pytest.raises(NotRecording, match="more than 10,000 samples"):
        decode_recording(content, RATE, (1, 30 * RATE))


def test_shares_are_those_of_images(tmp_path: Path) -> None:
    folder = tmp_path / "words"
    for share in ("Train", "validation", "TEST"):
        write_folder(folder / share, {"no": 2, "yes": 3})
    data, _ = read(folder)
    assert data.classes == ("no", "yes")
    assert data.validation is not None
    assert [len(s) for s in (data.train, data.validation, data.test)] == [5, 5, 5]
    drawn, lines = read(write_folder(tmp_path / "plain", {"no": 10, "yes": 20}))
    assert (len(drawn.train), len(drawn.test)) == (27, 3)
    assert lines[0].endswith("2 classes: no 10, yes 20")


def test_recordings_that_do_not_fit_into_memory_are_decoded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_folder(tmp_path / "words", {"a": 6, "b": 6}, lambda n: recording(RAMP * n / 12))
    kept, _ = read(folder)
    monkeypatch.setattr(audio, "largest_in_memory", lambda: 0)
    again, _ = read(folder)
    parts = [slice(0, 4), np.array([7, 1, 1]), slice(8, 9)]
    for workers in ("2", "0"):
        monkeypatch.setenv("CNNC_WORKERS", workers)
        for a, b in zip(kept.train.batches(parts), again.train.batches(parts), strict=True):
            np.testing.assert_array_equal(a[0][0], b[0][0])
    for file in folder.rglob("*.wav"):
        file.write_bytes(b"")
    with pytest.raises(CnncError, match="is not a recording any more: unknown format"):
        again.train.images  # noqa: B018


def test_without_a_network_the_most_frequent_rate_and_length_count(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "words", {"a": 3, "b": 3})
    (folder / "a" / "long.wav").write_bytes(recording(np.zeros(2 * RATE)))
    lines: list[str] = []
    data = load("audio", None, lines.append, path=str(folder))
    assert data.train.inputs[0].shape[1:] == (1, RATE)
    assert lines[0].startswith("recordings are read as 1x1000, 1 s at 1000 Hz")
    assert data.facts.modes == {"1000 Hz mono 16-bit": 7}
    assert data.facts.sizes == {"1 s": 6, "2 s": 1}


@pytest.mark.parametrize(
    ("settings", "shape"),
    [(["rate=500"], (1, 500)), (["seconds=0.5"], (1, 500)), (["rate=2000", "seconds=2"], (1, 4000))],
)
def test_without_a_network_rate_and_seconds_count_where_they_are_given(
    settings: list[str], shape: tuple[int, int], tmp_path: Path
) -> None:
    folder = write_folder(tmp_path / "words", {"a": 3, "b": 3})
    opened = open_kind("audio", str(folder), None, None, [f"train.data.{each}" for each in settings], lambda line: None)
    assert opened.training.inputs[0].shape[1:] == shape


@pytest.mark.parametrize("shape", [(RATE,), (1, 20, 50)])
def test_another_input_is_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    with pytest.raises(CnncError, match="not a waveform"):
        read(write_folder(tmp_path / "words", {"a": 2, "b": 2}), shape)


def test_prediction_reads_a_file_as_training_does(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "words", {"a": 2, "b": 2}, lambda n: recording(RAMP[:700]))
    data, _ = read(folder)
    path = folder / "a" / "0.wav"
    spec = prediction_inputs.InputSpec("x", (1, RATE), data={"rate": RATE})
    found = prediction_inputs.read_file(path, [spec])
    np.testing.assert_array_equal(found.feeds["x"][0], data.train.images[0])
    assert found.note == f"{path}: zeros added up to 1 s"
    open_spec = prediction_inputs.InputSpec("x", (1, "T"))
    found = prediction_inputs.read_file(path, [open_spec])
    assert found.feeds["x"].shape == (1, 1, 700)
    assert "read at its own rate, 1000 Hz" in found.note
    with pytest.raises(CnncError, match="which is not a waveform"):
        prediction_inputs.read_file(path, [prediction_inputs.InputSpec("x", (3, 8, 8))])
