"""`data text "reviews.tsv"`: labelled sentences.

A file: each line is `label TAB sentence`, or `label TAB sentence TAB sentence` for a network of two inputs, in UTF-8; in a .csv
file, cells are separated by commas or semicolons, and may be in quotes. A first line of names, such as `label TAB sentence`, is
a header; the label may stand last, and a column that numbers the lines
in front; both are reported. Blank lines are skipped, and the quotes of a quoted cell removed.

A folder: each file holds the sentences of one label, one per line. Its name is `NAME.LABEL` (rt-polarity.pos,
rt-polarity.neg), or `LABEL.txt` if all end in .txt. Files that are not UTF-8 are read as Latin-1, and reported. Or a
folder with train.tsv and test.tsv, in the form of a file: then test.tsv is the test share, and val.tsv, valid.tsv,
validation.tsv or dev.tsv the validation share, if there is one.

Words: a sentence is lower-cased and split into words and single punctuation marks: "It's good." gives `it's`, `good`,
`.`; an apostrophe inside a word is part of it. The vocabulary is built from the training examples only, the most
frequent word first, ties in order of occurrence. 0 is padding, 1 an unknown word, 2 the first word. It is limited to
`vocabulary_size`, the `vocab` of the embed layer, where given. Sentences are truncated, or padded at the end, to the
length of their input.

In: a `Request`. Out: a `Dataset` of int64 (N, T) and labels; classes are the labels, sorted. Without a test split, the
same fraction of each class becomes it. Every error is an E602 that names file and line.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnc.core.files import reason
from cnnc.core.listing import listed
from cnnc.data import Request
from cnnc.data.csv_rows import csv_rows, unquoted
from cnnc.data.dataset import Dataset, ReadFacts, Split
from cnnc.data.file_tree import bad_file, locate
from cnnc.data.lines import peek, read_lines, read_raw_lines
from cnnc.data.shares import NAMES, SHARES, TEST, TRAINING, VALIDATION, shares_of
from cnnc.data.splits import class_indices_of, report_classes, require_classes
from cnnc.data.table_layout import SAMPLE, find_sentences
from cnnc.diagnostics import CnncError

PADDING, UNKNOWN, FIRST_WORD = 0, 1, 2

LONGEST = 512
"""The most words of a sentence where no network gives the length."""

PATTERN = r"\w+(?:['’]\w+)*|[^\w\s]"
"""A regular expression that matches a word or a punctuation mark; stored in exported models."""

_TOKEN = re.compile(PATTERN)
_SHOWN = 3
_NOT_DATA = ("readme", "license", "licence")


class LabelledSentences(NamedTuple):
    """A label and its sentences, each as a tuple of words."""

    label: str
    sentences: tuple[tuple[str, ...], ...]


def split_words(sentence: str) -> tuple[str, ...]:
    """A sentence as lower-case words and punctuation marks."""
    return tuple(_TOKEN.findall(sentence.lower()))


def read(request: Request) -> Dataset:
    """Reads the sentences of a file or folder. Raises CnncError E602, E603."""
    path = locate(request, "text", "sentences.tsv")
    lengths = _lengths(request)
    examples, share_numbers = _examples(path, request, len(lengths))
    if not examples:
        raise bad_file(path, "expected sentences, found none")
    classes, labels = class_indices_of([example.label for example in examples])
    require_classes(request, classes, path)
    report_classes(request, path, classes, labels)
    count = len(examples[0].sentences)
    sentences = [[example.sentences[n] for example in examples] for n in range(count)]
    # Split before the vocabulary is built: a word that occurs only in the test split must stay unknown.
    indices = Split((np.arange(len(examples)),), (labels,))
    shares = shares_of(request, path, classes, indices, labels, share_numbers)
    # training examples in file order, the sentences of an example together
    training = shares.train.images.tolist()
    vocabulary = list(request.vocabulary) or build_vocabulary(
        (s[n] for n in training for s in sentences), request.vocabulary_size
    )
    known = {word: FIRST_WORD + n for n, word in enumerate(vocabulary)}
    columns = []
    for number, texts in enumerate(sentences):
        longest = max(len(texts[n]) for n in training)
        length = lengths[number] or max(1, min(LONGEST, longest))
        cut = sum(len(text) > length for text in texts)
        if cut:
            request.report(f"{path}: {cut:,} of {len(texts):,} sentences are truncated to {length} words")
        columns.append(encode(texts, known, length))
    request.report(f"{path}: {len(vocabulary):,} words in the vocabulary")
    encoded = Split(tuple(columns), (labels,))
    train, test = encoded.select(shares.train.images), encoded.select(shares.test.images)
    validation = None if shares.validation is None else encoded.select(shares.validation.images)
    facts = ReadFacts(str(path), _unread(path))
    return Dataset("text", classes, train, test, tuple(vocabulary), facts, validation, shares.test_is_drawn)


def build_vocabulary(sentences: Iterable[Sequence[str]], size: int = 0) -> list[str]:
    """The words, the most frequent first, ties in order of occurrence; with `size`, at most size - 2 of them."""
    counts: Counter[str] = Counter()
    for sentence in sentences:
        counts.update(sentence)
    ranked = sorted(counts, key=counts.__getitem__, reverse=True)  # sorting is stable, also in reverse
    return ranked[: max(0, size - FIRST_WORD)] if size else ranked


def encode(sentences: Sequence[Sequence[str]], known: dict[str, int], length: int) -> NDArray[np.int64]:
    """Sentences as integers (N, length), truncated or padded; `known` maps words to integers."""
    encoded = np.full((len(sentences), length), PADDING, np.int64)
    for row, sentence in zip(encoded, sentences, strict=True):
        numbers = [known.get(word, UNKNOWN) for word in sentence[:length]]
        row[: len(numbers)] = numbers
    return encoded


def _lengths(request: Request) -> list[int]:
    """The length of each input, 0 where it is not known. Raises CnncError E602 for inputs that are not sentences."""
    for entry in request.inputs:
        if len(entry.shape) != 1 or entry.dtype != "int64":
            raise CnncError.of(
                "E602",
                f"the network takes {entry} of {entry.dtype}, which is not a sentence",
                help="declare an input of 20 words as `input 20 dtype=int64`, followed by an `embed` layer",
            )
    if len(request.inputs) > 2:
        raise CnncError.of("E602", f"the network has {len(request.inputs)} inputs; text has one or two sentences")
    return [entry.shape[0] for entry in request.inputs] or [0]


def _examples(path: Path, request: Request, inputs: int) -> tuple[list[LabelledSentences], NDArray[np.int64]]:
    """All examples, and the share of each, as an index into `SHARES`: training where the files give no shares."""
    if not path.is_dir():
        examples = list(_from_file(path, request, inputs))
        return examples, np.zeros(len(examples), np.int64)
    tables = _tables(path)
    if not tables:
        examples = list(_from_folder(path, request, inputs))
        return examples, np.zeros(len(examples), np.int64)
    _report_unread(path, request)
    of_share = {share: list(_from_file(path / name, request, inputs)) for share, name in tables.items()}
    for share, share_examples in of_share.items():
        if not share_examples:
            raise bad_file(path / tables[share], "expected sentences, found none")
    counts = [len(of_share.get(share, ())) for share in SHARES]
    examples = [example for share in SHARES for example in of_share.get(share, ())]
    return examples, np.repeat(np.arange(len(SHARES)), counts)


def _from_file(path: Path, request: Request, inputs: int) -> Iterator[LabelledSentences]:
    begin, lines = peek(_lines(path), SAMPLE)
    sample = [cells for _, cells in begin]
    if not sample:
        return
    layout = find_sentences(sample, inputs)
    for finding in layout.findings(sample[0]):
        request.report(f"{path}: {finding}")
    columns = 1 + inputs + (layout.row_numbers is not None)
    for number, cells in islice(lines, layout.header, None):
        if len(cells) != columns:
            raise _wrong_row(f"{path}:{number}", len(cells), inputs, _is_csv(path))
        label, sentences = layout.split(cells)
        yield _example(f"{path}:{number}", label.strip(), sentences)


def _wrong_row(where: str, cells: int, inputs: int, is_csv: bool) -> CnncError:
    """The E602 of a row that does not have a label and the sentences."""
    if is_csv:
        found = f"expected a label and {inputs} sentence{'s' if inputs > 1 else ''}, found {cells} cell{'s' if cells != 1 else ''}"
        return bad_file(where, found, 'put a sentence that has commas into quotes: `good,"fine, and funny"`')
    shape = "label TAB sentence" + " TAB sentence" * (inputs - 1)
    return bad_file(where, f"expected {shape}, found {cells - 1} tabs")


def _is_csv(path: Path) -> bool:
    return path.suffix.lower() == ".csv"


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The number and the cells of each line that is not blank; a cell that is quoted as in CSV loses its quotes."""
    if _is_csv(path):
        yield from csv_rows(str(path), [f"{line}\n" for _, line in read_lines(path)])
        return
    for number, line in read_lines(path):
        if line.strip():
            yield number, [unquoted(cell) for cell in line.split("\t")]


def _example(where: str, label: str, sentences: Sequence[str]) -> LabelledSentences:
    if not label:
        raise bad_file(where, "expected a label, found none")
    words = tuple(split_words(sentence) for sentence in sentences)
    if not all(words):
        raise bad_file(where, "expected a sentence, found no word in it")
    return LabelledSentences(label, words)


def _from_folder(folder: Path, request: Request, inputs: int) -> Iterator[LabelledSentences]:
    if inputs != 1:
        raise bad_file(
            folder,
            f"the network has {inputs} inputs; files NAME.LABEL have one sentence per line",
            "use a .tsv file, or a folder with train.tsv and test.tsv",
        )
    for label, path in _labelled(folder, request):
        raw_lines = list(read_raw_lines(path))
        try:
            decoded = [(number, line.decode()) for number, line in raw_lines]
        except UnicodeDecodeError:
            request.report(f"{path} is not UTF-8: read as Latin-1")
            decoded = [(number, line.decode("latin-1")) for number, line in raw_lines]
        for number, sentence in decoded:
            if sentence.strip():
                yield _example(f"{path}:{number}", label, [sentence])


def _labelled(folder: Path, request: Request) -> list[tuple[str, Path]]:
    """The files of a folder with their labels, in order of their names. Raises CnncError E602."""
    labels = _labels(_files(folder))
    if len(set(labels.values())) < 2:
        raise bad_file(
            folder, "expected files NAME.LABEL or LABEL.txt for at least two labels, with one sentence per line"
        )
    _report_unread(folder, request)
    return [(label, path) for path, label in labels.items()]


def _files(folder: Path) -> list[Path]:
    """The files in a folder that are not hidden, in order of their names. Raises CnncError E602."""
    try:
        return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    except OSError as error:
        raise bad_file(folder, f"cannot be read ({reason(error)})") from error


def _labels(files: Sequence[Path]) -> dict[Path, str]:
    """The files NAME.LABEL, or LABEL.txt if all end in .txt, with their labels."""
    data = [path for path in files if not path.name.lower().startswith(_NOT_DATA)]
    by_suffix = [path for path in data if path.suffix not in ("", ".txt")]
    chosen = by_suffix or [path for path in data if path.suffix == ".txt"]
    return {path: path.suffix[1:] if by_suffix else path.stem for path in chosen}


def _tables(path: Path) -> dict[str, str]:
    """The names of the files of each share in a folder; {} unless there are train.tsv and test.tsv, or .csv."""
    names = {TRAINING: ("train",), VALIDATION: (*NAMES[VALIDATION], "dev"), TEST: ("test",)}
    tables = {}
    for share, stems in names.items():
        names_of_files = (f"{stem}{suffix}" for suffix in (".tsv", ".csv") for stem in stems)
        found = next((name for name in names_of_files if (path / name).is_file()), None)
        if found is not None:
            tables[share] = found
    return tables if TRAINING in tables and TEST in tables else {}


def _unread(path: Path) -> list[str]:
    """The names of the files in a folder that are not read."""
    if not path.is_dir():
        return []
    files = _files(path)
    read = _tables(path).values() or [file.name for file in _labels(files)]
    return [file.name for file in files if file.name not in read]


def _report_unread(folder: Path, request: Request) -> None:
    unread = _unread(folder)
    if unread:
        request.report(f"{folder}: not read: {listed(unread, _SHOWN)}")
