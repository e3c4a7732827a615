"""Reads what a trained network is to be run on: images, arrays, series, sentences.

In: files or sentences, and the inputs of the network as `InputSpec`s. Out: `PredictionInputs`, a batch for each input,
and notes for the user. The suffix of a file decides how it is read:

    .npy         an array: one example, or a batch
    .npz         arrays with the names of the inputs, or x
    .csv .tsv    one series per line, with or without a label (for inputs 1xT or T)
    .wav .flac   and other recordings: for inputs C x T, in the sample rate of the training data
    other        one sentence per line for a network of words (sentence TAB sentence for two inputs), else an image

Numbers are not scaled; uint8 stays uint8. Every error is a CnncError E608, or that of the reader.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnc.core.files import decode_utf8, first_line, read_bytes, require_readable
from cnnc.core.listing import listed
from cnnc.core.record import Record
from cnnc.data.catalog import SUFFIXES
from cnnc.diagnostics import CnncError
from cnnc.graph.sizes import LegalSizes

MAX_BYTES = 1 << 28
_NPY_MAGIC = b"\x93NUMPY"
_SERIES = (".csv", ".tsv")
_IMAGES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff")


class InputSpec(Record):
    """What an input of a network takes.

    `shape` is that of one example, with a symbol for an open size; `legal` holds the rule of each symbol, where known.
    `dtype` is float32, uint8, int64, ...; `largest` is the largest integer allowed, the least is then 0 (None: unknown). `takes_words` says
    that the integers are words: i + 2 is word i of `vocabulary`. `columns` are the names of the columns of a table whose values it
    takes, in its order, where training has read them. `data` is what the `data` statement says of the training data: the label of a
    table, for example.
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: str = "float32"
    legal: Mapping[str, LegalSizes] = {}
    largest: int | None = None
    takes_words: bool = False
    vocabulary: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    data: Mapping[str, Any] = {}

    def __str__(self) -> str:
        return "x".join(map(str, self.shape)) or "one number"

    @property
    def takes_integers(self) -> bool:
        """Whether the input takes integers other than pixels."""
        return np.dtype(self.dtype).kind in "iu" and self.dtype != "uint8"

    @property
    def is_image(self) -> bool:
        """Whether the input may be given as an image file: one or three channels and two spatial axes."""
        return len(self.shape) == 3 and self.shape[0] in (1, 3) and not self.takes_integers


class PredictionInputs(NamedTuple):
    """A batch (N, *shape) for each input by name, and a note for the user ("" for none)."""

    feeds: dict[str, NDArray[Any]]
    note: str = ""

    def __len__(self) -> int:
        return len(next(iter(self.feeds.values())))


def read_file(path: Path, specs: Sequence[InputSpec]) -> PredictionInputs:
    """The examples of a file. For several inputs it is a .npz, or has tabs between sentences.

    Raises CnncError E008, E602, E608, E901, E906.
    """
    if path.is_dir():
        help = f"name the files in it: {quote(str(path))}/*"
        raise CnncError.of("E901", f"cannot read {path}: is a directory", help=help)
    suffix = path.suffix.lower()
    if suffix == ".npz":
        from cnnc.data.npz import read_arrays

        require_readable(path)
        arrays = read_arrays(path, [spec.name for spec in specs])
        feeds = {spec.name: as_batch(arrays[spec.name], f"{path}: {spec.name}", spec) for spec in specs}
        counts = {len(values) for values in feeds.values()}
        if len(counts) > 1:
            raise CnncError.of("E608", f"{path} holds arrays of different numbers of examples")
        return PredictionInputs(feeds)
    if len(specs) > 1:
        if all(spec.takes_words for spec in specs) and suffix != ".npy":
            return read_sentences(decode_utf8(read_bytes(path, MAX_BYTES), str(path)).splitlines(), specs, str(path))
        names = " and ".join(spec.name for spec in specs)
        help = (
            f"name a file for each input with --input {specs[0].name}={path}, or save a .npz of arrays with these names"
        )
        raise CnncError.of("E608", f"the network takes {names}; {path} can be only one of them", help=help)
    (spec,) = specs
    if suffix == ".npy":
        return PredictionInputs({spec.name: as_batch(_load_npy(path), str(path), spec)})
    if spec.takes_words:
        if suffix in _IMAGES:
            help = "name a text file with one sentence per line, or give a sentence with `--text`"
            raise CnncError.of("E608", f"{path} is an image; the network takes words", help=help)
        return read_sentences(decode_utf8(read_bytes(path, MAX_BYTES), str(path)).splitlines(), specs, str(path))
    if suffix in _SERIES:
        return _series(path, spec)
    if suffix in SUFFIXES:
        return _recording(path, spec)
    return _read_image_file(path, spec)


def read_each(paths: Mapping[str, Path], specs: Sequence[InputSpec]) -> PredictionInputs:
    """The examples of one file for each input, by the names of the inputs. Raises as `read_file`."""
    read = [read_file(paths[spec.name], [spec]) for spec in specs]
    if len({len(examples) for examples in read}) > 1:
        found = ", ".join(f"{len(e)} in {paths[spec.name]}" for e, spec in zip(read, specs, strict=True))
        raise CnncError.of("E608", f"the files hold different numbers of examples: {found}")
    feeds = {name: values for examples in read for name, values in examples.feeds.items()}
    return PredictionInputs(feeds, "\n".join(examples.note for examples in read if examples.note))


def read_arrays(
    arrays: Sequence[NDArray[Any]], named: Mapping[str, NDArray[Any]], specs: Sequence[InputSpec]
) -> PredictionInputs:
    """The examples of arrays, in the order of the inputs or by their names. Raises CnncError E608."""
    names = [spec.name for spec in specs]
    if len(arrays) > len(specs) or named.keys() & set(names[: len(arrays)]):
        found = f"{len(arrays) + len(named)} arrays are given"
        raise CnncError.of("E608", f"{found}; the network takes {_listed(specs)}", help="give one for each input")
    given = dict(zip(names, arrays, strict=False)) | dict(named)
    require_each(given, specs)
    feeds = {spec.name: as_batch(np.asarray(given[spec.name]), f"the array {spec.name}", spec) for spec in specs}
    if len({len(values) for values in feeds.values()}) > 1:
        found = ", ".join(f"{len(values)} in {name}" for name, values in feeds.items())
        raise CnncError.of("E608", f"the arrays hold different numbers of examples: {found}")
    return PredictionInputs(feeds)


def require_each(names: Iterable[str], specs: Sequence[InputSpec]) -> None:
    """Raises CnncError E608 for a name that no input has, and for an input that is not among the names."""
    given, known = dict.fromkeys(names), [spec.name for spec in specs]
    unknown = next((name for name in given if name not in known), None)
    missing = next((name for name in known if name not in given), None)
    if unknown is not None or missing is not None:
        found = f"no input is named {unknown}" if unknown is not None else f"no value is given for input {missing}"
        help = f"give one for each by name: {', '.join(f'{name}=...' for name in known)}"
        raise CnncError.of("E608", f"{found}; the network takes {_listed(specs)}", help=help)


def _listed(specs: Sequence[InputSpec]) -> str:
    return ", ".join(f"{spec.name} {spec}" for spec in specs)


def read_sentences(lines: Iterable[str], specs: Sequence[InputSpec], where: str) -> PredictionInputs:
    """Sentences, one per line (with tabs between those of several inputs), as integers (N, T).

    Blank lines are skipped, and so are a label before the sentences and a header line, as in training data. Sentences
    are truncated or padded as in training. `where` names the source in errors. Raises CnncError E608.
    """
    from cnnc.data import text
    from cnnc.data.splits import HEADERS

    columns: list[list[tuple[str, ...]]] = [[] for _ in specs]
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        cells = line.split("\t")
        if len(cells) == len(specs) + 1:
            if number == 1 and cells[0].strip().lower() in HEADERS:
                continue
            cells = cells[1:]
        if len(cells) != len(specs):
            shape = " TAB ".join(spec.name for spec in specs)
            raise CnncError.of("E608", f"{where}:{number}: expected {shape}, found {len(cells) - 1} tabs")
        for column, cell in zip(columns, cells, strict=True):
            column.append(text.split_words(cell))
            if not column[-1]:
                raise CnncError.of("E608", f"{where}:{number}: expected a sentence, found no word in it")
    if not columns[0]:
        raise CnncError.of("E608", f"{where}: expected sentences, found none")
    notes = [_vocabulary_note(spec, column, where) for spec, column in zip(specs, columns, strict=True)]
    feeds = {spec.name: _encode(spec, column) for spec, column in zip(specs, columns, strict=True)}
    return PredictionInputs(feeds, "\n".join(note for note in notes if note))


def _encode(spec: InputSpec, sentences: Sequence[tuple[str, ...]]) -> NDArray[np.int64]:
    from cnnc.data import text

    if not spec.vocabulary:
        help = "export a run that was trained on text, or give arrays of integers"
        raise CnncError.of("E608", f"the model has no vocabulary for {spec.name}: it was exported untrained", help=help)
    known = {word: text.FIRST_WORD + n for n, word in enumerate(spec.vocabulary)}
    length = spec.shape[0] if isinstance(spec.shape[0], int) else max(map(len, sentences))
    return text.encode(sentences, known, length)


def _vocabulary_note(spec: InputSpec, sentences: Sequence[tuple[str, ...]], where: str) -> str:
    """A note on unknown words and truncated sentences, "" for none."""
    known = set(spec.vocabulary)
    unknown = dict.fromkeys(word for sentence in sentences for word in sentence if word not in known)
    length = spec.shape[0] if isinstance(spec.shape[0], int) else None
    cut = sum(len(sentence) > length for sentence in sentences) if length is not None else 0
    notes = []
    if unknown:
        notes.append(f"{where}: not in the vocabulary: {listed(unknown, 5)}")
    if cut:
        notes.append(f"{where}: {cut:,} of {len(sentences):,} sentences are truncated to {length} words")
    return "\n".join(notes)


def _series(path: Path, spec: InputSpec) -> PredictionInputs:
    from cnnc.data.series import read_unlabelled
    from cnnc.data.table_layout import DeclaredColumns

    if len(spec.shape) > 2 or (len(spec.shape) == 2 and spec.shape[0] != 1):
        raise CnncError.of(
            "E608", f"the network takes {spec}; a .csv or .tsv file holds series of one channel", help="use a .npy file"
        )
    require_readable(path)
    length = spec.shape[-1] if isinstance(spec.shape[-1], int) else 0
    notes: list[str] = []
    label, index = (tuple(spec.data.get(name) or ()) for name in ("label", "index"))
    names = spec.columns if length else ()  # series of any length: the names of another one do not bind
    declared = DeclaredColumns(label, index, spec.data.get("header"), names)
    series = read_unlabelled(path, length, notes.append, declared, spec.data.get("decimal"))
    return PredictionInputs({spec.name: as_batch(series, str(path), spec, batch=True)}, "\n".join(notes))


def _recording(path: Path, spec: InputSpec) -> PredictionInputs:
    from cnnc.data.audio_file import fitted, read_recording

    channels, length = spec.shape if len(spec.shape) == 2 else ("", "")
    if not isinstance(channels, int) or spec.takes_integers:
        help = "use an image" if spec.is_image else "use a .npy file"
        raise CnncError.of(
            "E608", f"the network takes {spec}, which is not a waveform, and {path} is a recording", help=help
        )
    known = length if isinstance(length, int) else None
    samples, note = read_recording(path, spec.data.get("rate"), (channels, known))
    if isinstance(length, str):
        samples = fitted(samples[0], _nearest_legal_size(spec, length, samples.shape[-1]))[None]
    return PredictionInputs({spec.name: samples}, note)


def _read_image_file(path: Path, spec: InputSpec) -> PredictionInputs:
    from cnnc.data.image_file import PixelRule, image_size, read_image

    if not spec.is_image:
        raise CnncError.of(
            "E608",
            f"the network takes {spec}, which is not an image, and {path} is not an array",
            help="use a recording, such as word.wav, or a .npy file" if spec.data.get("rate") else "use a .npy file",
        )
    height, width = spec.shape[1:]
    if isinstance(height, str) or isinstance(width, str):
        sizes: dict[str, int] = {}
        for symbol, image_axis in zip((height, width), image_size(path), strict=True):
            if isinstance(symbol, str) and symbol not in sizes:
                sizes[symbol] = _nearest_legal_size(spec, symbol, image_axis)
        height, width = (sizes[s] if isinstance(s, str) else s for s in (height, width))
    rule = PixelRule(spec.data.get("background"), spec.data.get("range"))
    pixels, note = read_image(path, (int(spec.shape[0]), int(height), int(width)), rule)
    return PredictionInputs({spec.name: pixels}, note)


def _nearest_legal_size(spec: InputSpec, symbol: str, size: int) -> int:
    """The nearest legal size of a symbol, preferring smaller ones. Raises CnncError E608 where there is none."""
    rule = spec.legal.get(symbol)
    closest = size if rule is None else rule.closest(size)
    if closest is None:
        raise CnncError.of("E608", f"no legal size of {symbol} near {size}: {rule}")
    return closest


def _load_npy(path: Path) -> NDArray[Any]:
    content = read_bytes(path, MAX_BYTES)
    if not content.startswith(_NPY_MAGIC):  # else NumPy takes it for a pickle, and says how to trust it
        raise CnncError.of("E608", f"{path} is not a .npy array")
    try:
        array: NDArray[Any] = np.load(io.BytesIO(content), allow_pickle=False)
    except Exception as error:  # numpy raises several kinds for damaged files
        raise CnncError.of("E608", f"{path} is not a .npy array: {first_line(error)}") from error
    if not isinstance(array, np.ndarray):  # a .npz with another suffix
        raise CnncError.of("E608", f"{path} is not a .npy array")
    return array


def as_batch(array: NDArray[Any], where: str, spec: InputSpec, batch: bool = False) -> NDArray[Any]:
    """The array as a batch of the input. A single example may omit the batch axis, a grey image its channel axis.

    Raises CnncError E608.
    """
    rank = len(spec.shape)
    grey = rank > 0 and spec.shape[0] == 1
    if not batch and _matches(array.shape, spec.shape):
        array = array[None]
    elif grey and not batch and _matches(array.shape, spec.shape[1:]):
        array = array[None, None]
    elif grey and array.ndim == rank and _matches(array.shape[1:], spec.shape[1:]):
        array = array[:, None]
    if array.ndim != rank + 1 or not _matches(array.shape[1:], spec.shape):
        found = "x".join(map(str, array.shape)) or "one number"
        last_first = array.shape[-1:] + array.shape[-rank:-1]
        help = (
            "put the channels first: np.moveaxis(array, -1, -3)"
            if rank == 3 and _matches(last_first, spec.shape)
            else ""
        )
        message = f"{where} holds {found}; the network takes {spec}, or a batch of these"
        raise CnncError.of("E608", message, help=help)
    if not len(array):
        raise CnncError.of("E608", f"{where} has no examples")
    _require_legal(array, where, spec)
    return _as_numbers(array, where, spec)


def _matches(shape: tuple[int, ...], pattern: tuple[int | str, ...]) -> bool:
    """Whether a shape has the sizes of a pattern, in which symbols stand for any size."""
    return len(shape) == len(pattern) and all(isinstance(p, str) or n == p for n, p in zip(shape, pattern, strict=True))


def _require_legal(array: NDArray[Any], where: str, spec: InputSpec) -> None:
    """Raises CnncError E608 for a size that the network does not accept."""
    for size, symbol in zip(array.shape[1:], spec.shape, strict=True):
        rule = spec.legal.get(symbol) if isinstance(symbol, str) else None
        if rule is not None and not rule.allows(size):
            near = " and ".join(str(n) for n in rule.neighbours(size) if n is not None)
            raise CnncError.of(
                "E608", f"{where}: {symbol}={size} is not a legal size ({rule})", help=f"legal sizes nearby: {near}"
            )


def _as_numbers(array: NDArray[Any], where: str, spec: InputSpec) -> NDArray[Any]:
    """Checks the element type, and converts to that of the input; uint8 stays uint8. Raises CnncError E608."""
    if array.dtype.kind not in "fiub":
        raise CnncError.of("E608", f"{where} holds {array.dtype}, not numbers")
    if spec.dtype == "uint8" and array.dtype != np.uint8:
        raise CnncError.of("E608", f"{where} holds {array.dtype}; the network takes uint8")
    if spec.takes_integers:
        return _as_integers(array, where, spec)
    if array.dtype == np.uint8 or spec.dtype == "bool":
        return array
    return _as_floats(array, where, np.dtype(spec.dtype))


def _as_integers(array: NDArray[Any], where: str, spec: InputSpec) -> NDArray[Any]:
    """Raises CnncError E608 for floats, and for integers outside of the range or type of the input."""
    if array.dtype.kind == "f":
        raise CnncError.of("E608", f"{where} holds {array.dtype}; the network takes integers")
    limits = np.iinfo(spec.dtype)
    least, largest = (int(limits.min), int(limits.max)) if spec.largest is None else (0, spec.largest)
    smallest_held, largest_held = int(array.min()), int(array.max())
    if smallest_held < least or largest_held > largest:
        wrong = largest_held if smallest_held >= least else smallest_held
        raise CnncError.of("E608", f"{where} holds {wrong}; the network takes integers from {least} to {largest}")
    return array.astype(spec.dtype)


def _as_floats(array: NDArray[Any], where: str, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Raises CnncError E608 for a finite number that the type cannot hold: it would become infinite."""
    with np.errstate(over="ignore"):
        values = array.astype(dtype)
    overflowed = np.isinf(values) & np.isfinite(array)
    if overflowed.any():
        number, end = array[overflowed][0], float(np.finfo(dtype).max)
        raise CnncError.of("E608", f"{where} holds {number:g}; the network takes {dtype}, which ends at {end:.5g}")
    return values
