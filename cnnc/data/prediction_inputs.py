"""What a user gives a trained network to look at: pictures, arrays, series, sentences.

In: files or sentences, and the inputs of the network as `Entry`s. Out: `Examples`, a batch for each input by its name,
and what was done to them. What a file holds is told by its name:

    .npy         an array: one example, or a batch of them
    .npz         arrays named as the inputs, or x
    .csv .tsv    series, one a line, with or without a label (for inputs 1xT or T)
    of words     any other file: a sentence a line; for several inputs sentence TAB sentence
    else         a picture

Numbers stay what they are, uint8 as well. Every defect is a CnncError E608, or that of the reader.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnc.core.files import decode_utf8, read_bytes, require_readable
from cnnc.core.record import Record
from cnnc.diagnostics import CnncError
from cnnc.graph.sizes import LegalSizes

MAX_BYTES = 1 << 28
_SERIES = (".csv", ".tsv")


class Entry(Record):
    """An input as its user feeds it.

    `shape` is that of one example, a symbol where a size is open, `legal` the rule of each symbol, where it is known;
    `dtype` is float32, uint8, int64, ...; `largest` is the largest integer that it knows (None: unknown); `takes_words`
    says that the integers are words, those of `vocabulary` from 2 on.
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: str = "float32"
    legal: Mapping[str, LegalSizes] = {}
    largest: int | None = None
    takes_words: bool = False
    vocabulary: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "x".join(map(str, self.shape)) or "one number"


class Examples(NamedTuple):
    """A batch (N, *shape) for each input, and a word for the user ("" for none)."""

    feeds: dict[str, NDArray[Any]]
    note: str = ""

    def __len__(self) -> int:
        return len(next(iter(self.feeds.values())))


def read_file(path: Path, entries: Sequence[Entry]) -> Examples:
    """The examples of a file. For several inputs this is a .npz, or sentences beside each other. Raises CnncError."""
    suffix = path.suffix.lower()
    if suffix == ".npz":
        from cnnc.data.npz import read_arrays

        require_readable(path)
        arrays = read_arrays(path, [entry.name for entry in entries])
        feeds = {entry.name: _fit(arrays[entry.name], f"{path}: {entry.name}", entry) for entry in entries}
        counts = {len(values) for values in feeds.values()}
        if len(counts) > 1:
            raise CnncError.of("E608", f"{path} holds arrays of different numbers of examples")
        return Examples(feeds)
    if len(entries) > 1:
        if all(entry.takes_words for entry in entries) and suffix != ".npy":
            return read_sentences(decode_utf8(read_bytes(path, MAX_BYTES), str(path)).splitlines(), entries, str(path))
        names = " and ".join(entry.name for entry in entries)
        help = f"name a file for each, `--input {entries[0].name}={path}`, or save a .npz of arrays with these names"
        raise CnncError.of("E608", f"the network takes {names}; {path} is one of them", help=help)
    (entry,) = entries
    if suffix == ".npy":
        return Examples({entry.name: _fit(_array(path), str(path), entry)})
    if entry.takes_words:
        return read_sentences(decode_utf8(read_bytes(path, MAX_BYTES), str(path)).splitlines(), entries, str(path))
    if suffix in _SERIES:
        return _series(path, entry)
    return _picture(path, entry)


def read_each(paths: Mapping[str, Path], entries: Sequence[Entry]) -> Examples:
    """The examples of a file for each input, by its name. Raises CnncError."""
    read = [read_file(paths[entry.name], [entry]) for entry in entries]
    if len({len(examples) for examples in read}) > 1:
        found = ", ".join(f"{len(e)} in {paths[entry.name]}" for e, entry in zip(read, entries, strict=True))
        raise CnncError.of("E608", f"the files hold different numbers of examples: {found}")
    feeds = {name: values for examples in read for name, values in examples.feeds.items()}
    return Examples(feeds, "\n".join(examples.note for examples in read if examples.note))


def read_sentences(lines: Iterable[str], entries: Sequence[Entry], where: str) -> Examples:
    """Sentences, one a line (for several inputs with tabs between them), as the numbers of their words.

    Blank lines are passed over, and so are a label before the sentences and a header, as training data have them; a
    sentence is cut or padded as in training. Raises CnncError E608.
    """
    from cnnc.data import text
    from cnnc.data.splits import HEADERS

    columns: list[list[tuple[str, ...]]] = [[] for _ in entries]
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        cells = line.split("\t")
        if len(cells) == len(entries) + 1:
            if number == 1 and cells[0].strip().lower() in HEADERS:
                continue
            cells = cells[1:]
        if len(cells) != len(entries):
            shape = " TAB ".join(entry.name for entry in entries)
            raise CnncError.of("E608", f"{where}:{number}: expected {shape}, found {len(cells) - 1} tabs")
        for column, cell in zip(columns, cells, strict=True):
            column.append(text.words(cell))
            if not column[-1]:
                raise CnncError.of("E608", f"{where}:{number}: expected a sentence, found no word in it")
    if not columns[0]:
        raise CnncError.of("E608", f"{where}: expected sentences, found none")
    notes = [_said(entry, column, where) for entry, column in zip(entries, columns, strict=True)]
    feeds = {entry.name: _encode(entry, column) for entry, column in zip(entries, columns, strict=True)}
    return Examples(feeds, "\n".join(note for note in notes if note))


def _encode(entry: Entry, sentences: Sequence[tuple[str, ...]]) -> NDArray[np.int64]:
    from cnnc.data import text

    if not entry.vocabulary:
        help = "export the run that was trained on text, or give it arrays of integers"
        raise CnncError.of("E608", f"the model has no vocabulary for {entry.name}: it was not trained", help=help)
    known = {word: text.FIRST_WORD + n for n, word in enumerate(entry.vocabulary)}
    length = entry.shape[0] if isinstance(entry.shape[0], int) else max(map(len, sentences))
    return text.encode(sentences, known, length)


def _said(entry: Entry, sentences: Sequence[tuple[str, ...]], where: str) -> str:
    """What of the sentences the network does not see."""
    known = set(entry.vocabulary)
    unknown = dict.fromkeys(word for sentence in sentences for word in sentence if word not in known)
    length = entry.shape[0] if isinstance(entry.shape[0], int) else None
    cut = sum(len(sentence) > length for sentence in sentences) if length is not None else 0
    said = []
    if unknown:
        shown = ", ".join(list(unknown)[:5]) + (f", and {len(unknown) - 5} more" if len(unknown) > 5 else "")
        said.append(f"{where}: not in the vocabulary: {shown}")
    if cut:
        said.append(f"{where}: {cut:,} of {len(sentences):,} sentences have more than {length} words, and are cut")
    return "\n".join(said)


def _series(path: Path, entry: Entry) -> Examples:
    from cnnc.data.series import read_unlabelled

    if len(entry.shape) > 2 or (len(entry.shape) == 2 and entry.shape[0] != 1):
        raise CnncError.of("E608", f"the network takes {entry}; {path} holds series of one channel", help="use a .npy")
    require_readable(path)
    length = entry.shape[-1] if isinstance(entry.shape[-1], int) else 0
    return Examples({entry.name: _fit(read_unlabelled(path, length), str(path), entry, batch=True)})


def _picture(path: Path, entry: Entry) -> Examples:
    from cnnc.data.image_file import read_picture, size_of

    if len(entry.shape) != 3 or entry.shape[0] not in (1, 3) or entry.dtype == "int64":
        raise CnncError.of("E608", f"the network takes {entry}, which is no picture", help="give it a .npy file")
    height, width = entry.shape[1:]
    if isinstance(height, str) or isinstance(width, str):
        sizes: dict[str, int] = {}
        own = size_of(path)
        for size, found in zip((height, width), own, strict=True):
            if isinstance(size, str) and size not in sizes:
                sizes[size] = _nearest(entry, size, found)
        height, width = (sizes[s] if isinstance(s, str) else s for s in (height, width))
    pixels, note = read_picture(path, (int(entry.shape[0]), int(height), int(width)))
    return Examples({entry.name: pixels}, note)


def _nearest(entry: Entry, symbol: str, size: int) -> int:
    """The size itself where it is legal, else the legal one next below, or above. Raises CnncError E608 where there is none."""
    rule = entry.legal.get(symbol)
    found = size if rule is None else rule.closest(size)
    if found is None:
        raise CnncError.of("E608", f"no size near {size} fits {symbol}: {rule}")
    return found


def _array(path: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(io.BytesIO(read_bytes(path, MAX_BYTES)), allow_pickle=False)
    except CnncError:
        raise
    except Exception as error:  # numpy raises several kinds for a stranger's bytes
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise CnncError.of("E608", f"{path} is no .npy array: {reason}") from error
    if not isinstance(array, np.ndarray):  # a .npz by another name
        raise CnncError.of("E608", f"{path} is no .npy array")
    return array


def _fit(array: NDArray[Any], where: str, entry: Entry, batch: bool = False) -> NDArray[Any]:
    """The array as a batch of the input. An example, or its channel, may stand without the axis of the batch, or of one
    channel."""
    rank = len(entry.shape)
    grey = rank > 0 and entry.shape[0] == 1
    if not batch and _matches(array.shape, entry.shape):
        array = array[None]
    elif grey and not batch and _matches(array.shape, entry.shape[1:]):
        array = array[None, None]
    elif grey and array.ndim == rank and _matches(array.shape[1:], entry.shape[1:]):
        array = array[:, None]
    if array.ndim != rank + 1 or not _matches(array.shape[1:], entry.shape):
        found = "x".join(map(str, array.shape))
        raise CnncError.of(
            "E608", f"{where} holds {found or 'one number'}; the network takes {entry}, or a batch of them"
        )
    if not len(array):
        raise CnncError.of("E608", f"{where} holds no example")
    _require_legal(array, where, entry)
    return _as_numbers(array, where, entry)


def _matches(found: tuple[int, ...], wanted: tuple[int | str, ...]) -> bool:
    return len(found) == len(wanted) and all(isinstance(w, str) or f == w for f, w in zip(found, wanted, strict=True))


def _require_legal(array: NDArray[Any], where: str, entry: Entry) -> None:
    for size, symbol in zip(array.shape[1:], entry.shape, strict=True):
        rule = entry.legal.get(symbol) if isinstance(symbol, str) else None
        if rule is not None and not rule.allows(size):
            near = " and ".join(str(n) for n in rule.neighbours(size) if n is not None)
            raise CnncError.of(
                "E608", f"{where}: the network is not legal at {symbol}={size} ({rule})", help=f"{near} fit"
            )


def _as_numbers(array: NDArray[Any], where: str, entry: Entry) -> NDArray[Any]:
    """Checks the element type; what is neither uint8 nor wanted as integers becomes float32."""
    if array.dtype.kind not in "fiub":
        raise CnncError.of("E608", f"{where} holds {array.dtype}, not numbers")
    if entry.dtype == "uint8" and array.dtype != np.uint8:
        raise CnncError.of("E608", f"{where} holds {array.dtype}; the network takes uint8")
    if entry.dtype == "int64":
        if array.dtype.kind == "f":
            raise CnncError.of("E608", f"{where} holds {array.dtype}; the network takes integers")
        values = array.astype(np.int64)
        if values.min() < 0 or (entry.largest is not None and values.max() > entry.largest):
            upper = f" to {entry.largest}" if entry.largest is not None else " on"
            wrong = values.max() if values.min() >= 0 else values.min()
            raise CnncError.of("E608", f"{where} holds {wrong}; the network knows integers from 0{upper}")
        return values
    return array if array.dtype == np.uint8 else array.astype(np.float32)
