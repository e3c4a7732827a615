"""Readers of data: every kind of data set, and the files that a trained network is run on."""

from __future__ import annotations

import gzip
import io
import struct
import wave
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from cnnc.core.tensor import TensorType
from cnnc.data import load
from cnnc.data.dataset import Dataset
from cnnc.data.prediction_inputs import InputSpec, read_file
from cnnc.data.tar_index import read_members
from tests.fuzz.files import Reading, named, one_file, tar_of, target, zipped

GREY, RGB, SERIES, WORDS = TensorType((1, 4, 4)), TensorType((3, 4, 4)), TensorType((1, 4)), TensorType((3,), "int64")


def _all_of(data: Dataset) -> None:
    """Reads every example."""
    for split in (data.train, data.validation, data.test):
        if split is not None and len(split):
            for inputs, targets in split.batches([slice(0, 2), slice(2, None)]):
                assert {len(column) for column in (*inputs, *targets)} in (
                    {min(2, len(split))},
                    {max(0, len(split) - 2)},
                )


def _few_pixels() -> AbstractContextManager[object]:
    """Lowers the limit of pixels: an image just below it takes a second."""
    from PIL import Image

    return patch.object(Image, "MAX_IMAGE_PIXELS", 1 << 16)


def _loads(name: str, file: str | None = None, **request: Any) -> Callable[[Path], None]:
    """Reads a data set, and all of its examples."""

    def read(folder: Path) -> None:
        lines: list[str] = []
        place = {"folder": folder} if file is None else {"path": str(folder / file)}
        with _few_pixels() if name in ("images", "shards") else nullcontext():
            _all_of(load(name, report=lines.append, download=False, **place, **request))
        assert all(isinstance(line, str) for line in lines)

    return read


# --- idx, CIFAR-10 -----------------------------------------------------------------------------------------


def _idx(sizes: tuple[int, ...], values: bytes) -> bytes:
    return bytes([0, 0, 8, len(sizes)]) + struct.pack(f">{len(sizes)}I", *sizes) + values


_MNIST = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def _mnist(packed: Callable[[bytes], bytes]) -> Callable[[Sequence[bytes]], dict[str, bytes]]:
    def files(parts: Sequence[bytes]) -> dict[str, bytes]:
        return {name: packed(parts[n % 2]) for n, name in enumerate(_MNIST)}

    return files


_IDX_PARTS = (_idx((1, 28, 28), bytes(784)), _idx((1,), b"\x03"))

IDX = target(
    "MNIST: IDX files, plain and gzipped",
    {
        "plain": Reading(_mnist(bytes), _loads("mnist"), _IDX_PARTS),
        "gzip": Reading(_mnist(lambda part: gzip.compress(part, 1)), _loads("fashion_mnist"), _IDX_PARTS),
        "damaged gzip": Reading(_mnist(bytes), _loads("mnist"), tuple(map(gzip.compress, _IDX_PARTS))),
    },
)

_RECORD = b"\x04" + bytes(3072)
_BATCHES = (*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin")


def _cifar_folder(parts: Sequence[bytes]) -> dict[str, bytes]:
    return dict.fromkeys(_BATCHES, parts[0]) | {"batches.meta.txt": parts[1]}


def _cifar_archive(parts: Sequence[bytes]) -> dict[str, bytes]:
    members = ((f"cifar-10-batches-bin/{name}", data) for name, data in _cifar_folder(parts).items())
    return {"cifar-10-binary.tar.gz": tar_of(members, "w:gz")}


def _cifar_tar(parts: Sequence[bytes]) -> dict[str, bytes]:
    return {"cifar-10-binary.tar.gz": gzip.compress(parts[0], 1)}


_META = b"airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n"

CIFAR = target(
    "CIFAR-10: the binary version in a folder and in its archive",
    {
        "folder": Reading(_cifar_folder, _loads("cifar10"), (_RECORD, _META)),
        "archive": Reading(_cifar_archive, _loads("cifar10"), (_RECORD, _META)),
        "damaged archive": Reading(
            _cifar_tar, _loads("cifar10"), (tar_of([(f"a/{name}", _RECORD) for name in _BATCHES]),)
        ),
        "damaged gzip": Reading(
            one_file("cifar-10-binary.tar.gz"),
            _loads("cifar10"),
            (_cifar_archive((_RECORD, _META))["cifar-10-binary.tar.gz"],),
        ),
    },
)

# --- arrays ------------------------------------------------------------------------------------------------


def _npy(values: Any) -> bytes:
    content = io.BytesIO()
    np.save(content, values)
    return content.getvalue()


def _npz(**arrays: Any) -> bytes:
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return content.getvalue()


_X, _Y = np.ones((4, 1, 4, 4), np.float32), np.arange(4) % 2
_CLASSES: dict[str, Any] = {"inputs": (GREY,), "classes": 2, "input_names": ("x",), "output_names": ("y",)}
_VALUES: dict[str, Any] = {**_CLASSES, "classes": 0, "target_values": 2, "output": TensorType((2,))}

NPZ = target(
    "data npz: .npz files and the arrays in them",
    {
        "arrays": Reading(
            zipped("d.npz", ("x.npy", "y.npy")), _loads("npz", "d.npz", **_CLASSES), (_npy(_X), _npy(_Y))
        ),
        "bytes": Reading(
            zipped("d.npz", ("x.npy", "y.npy")),
            _loads("npz", "d.npz", **_CLASSES),
            (_npy(_X.astype(np.uint8)), _npy(_Y.astype(np.uint8))),
        ),
        "values": Reading(
            zipped("d.npz", ("x.npy", "y.npy")),
            _loads("npz", "d.npz", **_VALUES),
            (_npy(_X.astype(np.float16)), _npy(np.ones((4, 2)))),
        ),
        "shares": Reading(
            zipped("d.npz", ("x.npy", "y.npy", "x_val.npy", "y_val.npy", "x_test.npy", "y_test.npy")),
            _loads("npz", "d.npz", **_CLASSES),
            (_npy(_X), _npy(_Y), _npy(_X), _npy(_Y), _npy(_X), _npy(_Y)),
        ),
        "words": Reading(
            zipped("d.npz", ("x.npy", "y.npy")),
            _loads("npz", "d.npz", **{**_CLASSES, "inputs": (WORDS,)}),
            (_npy(np.ones((4, 3), np.int32)), _npy(_Y)),
        ),
        "damaged": Reading(one_file("d.npz"), _loads("npz", "d.npz", **_CLASSES), (_npz(x=_X, y=_Y),)),
    },
)

# --- tables ------------------------------------------------------------------------------------------------

_ROWS = b"label,a,b,c,d\ncat,1,2,3,4\ndog,5,6.5,7,-8e1\ncat,0,0,0,0\ndog,1,1,1,1\n"
_GERMAN = b'sep=;\n"x;y";1,5;2;3;4\ndog;5;6,25;7;8\ndog;5;6;7;8\n"x;y";5;6;7;8\n'
_TABS = b"1\t2\t3\t4\t0.5\t1\n5\t6\t7\t8\t1.5\t0\n1\t2\t3\t4\t0.5\t1\n"
_SERIES: dict[str, Any] = {"inputs": (SERIES,), "classes": 2}

TABLES = target(
    "data series: .csv and .tsv tables",
    {
        "csv": Reading(one_file("d.csv"), _loads("series", "d.csv", **_SERIES), (_ROWS,)),
        "decimal comma": Reading(one_file("d.csv"), _loads("series", "d.csv", **_SERIES), (_GERMAN,)),
        "comma given": Reading(
            one_file("d.csv"), _loads("series", "d.csv", **_SERIES, decimal="comma", header=False), (_GERMAN,)
        ),
        "values": Reading(
            one_file("d.tsv"),
            _loads("series", "d.tsv", inputs=(SERIES,), target_values=2, label=(5, -1)),
            (_TABS,),
        ),
        "named columns": Reading(
            one_file("d.csv"),
            _loads("series", "d.csv", inputs=(TensorType((1, 3)),), classes=2, label=("label",), index=("a",)),
            (_ROWS,),
        ),
        "trained on names": Reading(
            one_file("d.csv"), _loads("series", "d.csv", **_SERIES, columns=("c", "a", "d", "b")), (_ROWS,)
        ),
        "without network": Reading(one_file("d.csv"), _loads("series", "d.csv"), (_ROWS,)),
        "shares": Reading(named("d/train.csv", "d/test.csv"), _loads("series", "d", **_SERIES), (_ROWS, _ROWS)),
    },
)

_SENTENCES = b"good\tA fine film, truly.\nbad\tno\ngood\tyes it is\nbad\tnot \xc3\xa9 at all\n"
_PAIRS = b"good\ta b\tc\nbad\td\te\ngood\tf\tg\nbad\th\ti\n"
_QUOTED = b'label,text\ngood,"A fine ""film"", truly."\nbad,no\ngood,yes\nbad,no no\n'
_TEXT: dict[str, Any] = {"inputs": (WORDS,), "classes": 2}

TEXT = target(
    "data text: sentences in .tsv and .csv files",
    {
        "tsv": Reading(one_file("d.tsv"), _loads("text", "d.tsv", **_TEXT), (_SENTENCES,)),
        "csv": Reading(one_file("d.csv"), _loads("text", "d.csv", **_TEXT), (_QUOTED,)),
        "pairs": Reading(one_file("d.tsv"), _loads("text", "d.tsv", inputs=(WORDS, WORDS), classes=2), (_PAIRS,)),
        "vocabulary": Reading(one_file("d.tsv"), _loads("text", "d.tsv", **_TEXT, vocabulary_size=4), (_SENTENCES,)),
        "shares": Reading(
            named("d/train.good", "d/train.bad", "d/test.good", "d/test.bad"),
            _loads("text", "d", **_TEXT),
            (b"a b\nc\n", b"d\n\xc3\xa9\n"),
        ),
    },
)

# --- images ------------------------------------------------------------------------------------------------


def _image(format: str, mode: str = "RGB", **options: Any) -> bytes:
    from PIL import Image

    content = io.BytesIO()
    Image.new(mode, (4, 3), 7 if mode in ("L", "P", "1", "I;16") else None).save(content, format, **options)
    return content.getvalue()


def _images() -> dict[str, Reading]:
    pair = ("d/cat/a.png", "d/dog/b.png", "d/cat/c.png", "d/dog/e.png")
    grey: dict[str, Any] = {"inputs": (GREY,), "classes": 2}
    rgb: dict[str, Any] = {"inputs": (RGB,), "classes": 2}
    formats = {
        "png": _image("PNG"),
        "png palette": _image("PNG", "P"),
        "png 16": _image("PNG", "I;16"),
        "png alpha": _image("PNG", "RGBA"),
        "gif": _image("GIF", "P"),
        "bmp": _image("BMP"),
        "ppm": _image("PPM"),
        "tiff": _image("TIFF"),
        "tiff float": _image("TIFF", "F"),
        "tiff lzw": _image("TIFF", compression="tiff_lzw"),
        "tiff fax": _image("TIFF", "1", compression="group4"),
        "tiff jpeg": _image("TIFF", compression="jpeg"),
        "jpeg": _image("JPEG"),
        "webp": _image("WEBP", lossless=True),
    }
    png = formats["png"]
    readings = {
        name: Reading(named(*pair), _loads("images", "d", **(grey if n % 2 else rgb)), (data, png))
        for n, (name, data) in enumerate(formats.items())
    }
    readings["zip"] = Reading(
        zipped("d.zip", [name[2:] for name in pair]), _loads("images", "d.zip", **rgb), (png, png)
    )
    readings["range"] = Reading(
        named(*pair),
        _loads("images", "d", **grey, value_range=(0.0, 4095.0), background="white"),
        (formats["png 16"], png),
    )
    return readings


IMAGES = target("data images: folders and .zip files of classes", _images())


def _labelled() -> dict[str, Reading]:
    png = _image("PNG")
    table = b"file,label,share\na.png,cat,train\nb.png,dog,test\na.png,dog,train\n"
    files = named("d/labels.csv", "d/a.png", "d/b.png")
    named_input: dict[str, Any] = {"inputs": (RGB,), "input_names": ("image",), "labels": "labels.csv"}
    two = {"inputs": (RGB, TensorType((2,))), "input_names": ("image", "more"), "labels": "labels.csv", "classes": 2}
    numbers = b"a.png,0.5,1\nb.png,2,3\na.png,4,5\n"
    return {
        "classes": Reading(files, _loads("images", "d", **named_input, classes=2), (table, png, png)),
        "values": Reading(
            files, _loads("images", "d", **named_input, target_values=2, output=TensorType((2,))), (numbers, png, png)
        ),
        "two inputs": Reading(
            files,
            _loads("images", "d", **two),
            (b"file,more1,more2,label\na.png,1,2,cat\nb.png,3,4,dog\na.png,1,2,cat\nb.png,3,4,dog\n", png, png),
        ),
        "zip": Reading(
            zipped("d.zip", ("labels.csv", "a.png", "b.png")),
            _loads("images", "d.zip", **named_input, classes=2),
            (table, png, png),
        ),
    }


LABELLED = target("data images labels=: images with a table", _labelled())


def _masked() -> dict[str, Reading]:
    png, grey, palette = _image("PNG"), _image("PNG", "L"), _image("PNG", "P")
    files = named("d/a.png", "d/b.png", "m/a.png", "m/b.png")
    masks: dict[str, Any] = {"inputs": (RGB,), "masks": "m"}

    def read(**more: Any) -> Callable[[Path], None]:
        def inside(folder: Path) -> None:
            _loads("images", "d", **{**masks, "masks": str(folder / "m")}, **more)(folder)

        return inside

    maps = TensorType((2, 4, 4))
    colours = ("#000000", "#070707")
    return {
        "grey": Reading(files, read(output=TensorType((9, 4, 4)), classes=9), (png, png, grey, grey)),
        "palette": Reading(files, read(output=maps, classes=2), (png, png, palette, palette)),
        "colours": Reading(files, read(output=maps, classes=2, colours=colours), (png, png, grey, png)),
        "ignore": Reading(files, read(output=maps, classes=2, ignore=7), (png, png, grey, grey)),
        "values": Reading(files, read(output=TensorType((1, 4, 4))), (png, png, grey, grey)),
    }


MASKED = target("data images masks=: images with masks", _masked())


def _shards() -> dict[str, Reading]:
    png = _image("PNG")
    members = [(f"{n}.{end}", data) for n in range(4) for end, data in (("png", png), ("cls", b"01"[n % 2 :][:1]))]
    reads = _loads("shards", "d.tar", inputs=(RGB,), classes=2)

    def packed(parts: Sequence[bytes]) -> dict[str, bytes]:
        first, second = (part.decode("utf-8", "replace").replace("\0", "")[:80] or "x" for part in parts[:2])
        return {"d.tar": tar_of([(first, parts[2]), (second, parts[3]), *members])}

    def members_of(folder: Path) -> None:
        list(read_members(folder / "d.tar"))
        reads(folder)

    return {
        "tar": Reading(one_file("d.tar"), members_of, (tar_of(members)[: 17 * 512],)),
        "members": Reading(packed, reads, (b"a.png", b"a.cls", png, b"0")),
        "other": Reading(packed, reads, (b"deep/a.txt", b"deep/a.webp", b"text", png)),
    }


SHARDS = target("data shards: tar archives", _shards())

# --- recordings ----------------------------------------------------------------------------------------------


def _wav(width: int = 2, channels: int = 1, rate: int = 8000) -> bytes:
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(bytes(range(64)) * width)
    return content.getvalue()


def _sound(format: str, subtype: str | None = None) -> bytes:
    import soundfile

    content = io.BytesIO()
    soundfile.write(content, np.linspace(-1, 1, 64, dtype=np.float32), 8000, format=format, subtype=subtype)
    return content.getvalue()


def _audio() -> dict[str, Reading]:
    pair = ("d/yes/a.wav", "d/no/b.wav", "d/yes/c.wav", "d/no/e.wav")
    given = _loads("audio", "d", inputs=(TensorType((1, 32)),), classes=2, rate=8000)
    wav = _wav()
    readings = {
        "wav": Reading(named(*pair), given, (wav, wav)),
        "wav 24": Reading(named(*pair), given, (_wav(3, 2), wav)),
        "wav float": Reading(named(*pair), given, (_sound("WAV", "FLOAT"), wav)),
        "resampled": Reading(
            named(*pair), _loads("audio", "d", inputs=(TensorType((2, 16)),), classes=2, rate=4000), (wav, wav)
        ),
        "without network": Reading(named(*pair), _loads("audio", "d"), (wav, wav)),
    }
    for name in ("FLAC", "OGG", "AIFF", "AU", "MP3"):
        readings[name.lower()] = Reading(named(*pair), given, (_sound(name), wav))
    return readings


AUDIO = target("data audio: recordings", _audio())

# --- what a network is run on ----------------------------------------------------------------------------------


def _reads(file: str, *specs: InputSpec) -> Callable[[Path], None]:
    def read(folder: Path) -> None:
        with _few_pixels():
            inputs = read_file(folder / file, specs)
        assert set(inputs.feeds) == {spec.name for spec in specs}

    return read


def _prediction_files() -> dict[str, Reading]:
    image, series = InputSpec("x", (1, 4, 4)), InputSpec("x", (1, 4))
    words = InputSpec("x", (3,), "int64", takes_words=True, vocabulary=("good", "bad"))
    other = InputSpec("z", (2,))
    readings = {
        "npy": Reading(one_file("d.npy"), _reads("d.npy", image), (_npy(_X),)),
        "npy bytes": Reading(
            one_file("d.npy"), _reads("d.npy", InputSpec("x", ("C", "H", "W"), "uint8")), (_npy(_X.astype(np.uint8)),)
        ),
        "npz": Reading(
            zipped("d.npz", ("x.npy", "z.npy")),
            _reads("d.npz", image, other),
            (_npy(_X), _npy(np.ones((4, 2), np.float32))),
        ),
        "csv": Reading(one_file("d.csv"), _reads("d.csv", series), (_ROWS,)),
        "csv by name": Reading(
            one_file("d.csv"), _reads("d.csv", series.replace(columns=("d", "b", "a", "c"))), (_ROWS,)
        ),
        "tsv": Reading(one_file("d.tsv"), _reads("d.tsv", InputSpec("x", (1, "T"))), (_TABS,)),
        "sentences": Reading(one_file("d.txt"), _reads("d.txt", words), (_SENTENCES,)),
        "pairs": Reading(one_file("d.tsv"), _reads("d.tsv", words, words.replace(name="z")), (b"a b\tc\nd\te f\n",)),
        "png": Reading(named("d.png"), _reads("d.png", image), (_image("PNG", "L"),)),
        "wav": Reading(one_file("d.wav"), _reads("d.wav", InputSpec("x", (1, 32), data={"rate": 8000})), (_wav(),)),
    }
    return readings


INPUTS = target("files that predict reads", _prediction_files())
