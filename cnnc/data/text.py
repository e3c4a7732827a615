"""`data text "reviews.tsv"`: sentences and their labels.

A file: a line is `label TAB sentence`, or `label TAB sentence TAB sentence` for a network of two inputs; UTF-8. A
first line `label TAB ...` (or class, target) is a header. Blank lines are passed over.

A folder: each file holds sentences of one label, one a line. Its name is `NAME.LABEL` (rt-polarity.pos,
rt-polarity.neg), or `LABEL.txt` where all end in .txt. UTF-8, else Latin-1, which is told. Or a folder of train.tsv and
test.tsv, in the form of a file: then test.tsv is the test set, and no share is drawn.

Words: a sentence is put into lower case and split into words and single marks of punctuation: "It's good." is
`it's`, `good`, `.`; an apostrophe within a word is part of it. The vocabulary is that of the training examples alone,
the most frequent word first, of equals the one met first. 0 pads, 1 is an unknown word, the first word is 2. It is cut
to `vocabulary_size`, the `vocab` of the embed layer, where that is given. Sentences are cut, or padded at their end,
to the length of their input.

In: a `Request`. Out: a `Dataset` of int64 (N, T) and labels; classes are the labels, sorted. The test share is drawn
from the seed, from each class alike, where the data has no test set. Every defect is an E602 that names file and line.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnc.data import Request
from cnnc.data.dataset import Dataset, Split
from cnnc.data.lines import lines, raw_lines
from cnnc.data.sources import bad, locate
from cnnc.data.splits import HEADERS, check_classes, classes_of, share_out, tell_classes
from cnnc.diagnostics import CnncError

PADDING, UNKNOWN, FIRST_WORD = 0, 1, 2

LONGEST = 512
"""The most words of a sentence that are kept where no network says how many."""

PATTERN = r"\w+(?:['’]\w+)*|[^\w\s]"
"""What is a word, or a mark of punctuation."""

_TOKEN = re.compile(PATTERN)
_ABOUT = ("readme", "license", "licence")


class Example(NamedTuple):
    """A label and its sentences, each as words."""

    label: str
    sentences: tuple[tuple[str, ...], ...]


def words(sentence: str) -> tuple[str, ...]:
    """A sentence as lower-case words and marks of punctuation."""
    return tuple(_TOKEN.findall(sentence.lower()))


def read(request: Request) -> Dataset:
    """The sentences of a file or folder. Raises E602, E603."""
    place = locate(request, "text", "sentences.tsv")
    lengths = _lengths(request)
    examples, tests = _examples(place, request, len(lengths))
    if not examples:
        raise bad(place, "expected sentences, found none")
    classes, labels = classes_of([example.label for example in examples])
    check_classes(request, classes, place)
    tell_classes(request, place, classes, labels)
    count = len(examples[0].sentences)
    sentences = [[example.sentences[n] for example in examples] for n in range(count)]
    # The share is drawn before the vocabulary is made: a word of the test alone must stay unknown.
    places = Split((np.arange(len(examples)),), (labels,))
    train, test = _own_test(request, place, places, tests) if tests else share_out(request, place, places, labels)
    # vocabulary over the training share, in the order of the file, the sentences of an example together
    training = train.images.tolist()
    vocabulary = list(request.vocabulary) or make_vocabulary(
        (s[n] for n in training for s in sentences), request.vocabulary_size
    )
    known = {word: FIRST_WORD + n for n, word in enumerate(vocabulary)}
    columns = []
    for number, texts in enumerate(sentences):
        longest = max(len(texts[n]) for n in training)
        length = lengths[number] or max(1, min(LONGEST, longest))
        cut = sum(len(text) > length for text in texts)
        if cut:
            request.report(f"{place}: {cut:,} of {len(texts):,} sentences have more than {length} words, and are cut")
        columns.append(encode(texts, known, length))
    request.report(f"{place}: {len(vocabulary):,} words in the vocabulary")
    whole = Split(tuple(columns), (labels,))
    return Dataset("text", classes, whole.part(train.images), whole.part(test.images), tuple(vocabulary))


def make_vocabulary(sentences: Iterable[Sequence[str]], size: int = 0) -> list[str]:
    """The words, the most frequent first, of equals the one met first; with `size`, at most size - 2 of them."""
    counts: Counter[str] = Counter()
    for sentence in sentences:
        counts.update(sentence)
    ranked = sorted(counts, key=counts.__getitem__, reverse=True)  # sorting is stable, in reverse as well
    return ranked[: max(0, size - FIRST_WORD)] if size else ranked


def encode(sentences: Sequence[Sequence[str]], known: dict[str, int], length: int) -> NDArray[np.int64]:
    """Sentences as numbers (N, length)."""
    made = np.full((len(sentences), length), PADDING, np.int64)
    for row, sentence in zip(made, sentences, strict=True):
        numbers = [known.get(word, UNKNOWN) for word in sentence[:length]]
        row[: len(numbers)] = numbers
    return made


def _lengths(request: Request) -> list[int]:
    """The length of each input; 0 where it is not known. Raises E602 for a network that takes no sentences."""
    for entry in request.inputs:
        if len(entry.shape) != 1 or entry.dtype != "int64":
            raise CnncError.of(
                "E602",
                f"the network takes {entry} of {entry.dtype}, which is no sentence",
                help="a sentence of up to 20 words is `input 20 dtype=int64`, and an `embed` layer reads it",
            )
    if len(request.inputs) > 2:
        raise CnncError.of("E602", f"the network has {len(request.inputs)} inputs; text has one or two sentences")
    return [entry.shape[0] for entry in request.inputs] or [0]


def _examples(place: Path, request: Request, inputs: int) -> tuple[list[Example], int]:
    """All examples, and how many at their end are the test set (0: it is still to be drawn)."""
    if not place.is_dir():
        return list(_from_file(place, inputs)), 0
    train, test = place / "train.tsv", place / "test.tsv"
    if not train.is_file() or not test.is_file():
        return list(_from_folder(place, request, inputs)), 0
    held = list(_from_file(test, inputs))
    examples = list(_from_file(train, inputs))
    for path, found in ((train, examples), (test, held)):
        if not found:
            raise bad(path, "expected sentences, found none")
    return [*examples, *held], len(held)


def _own_test(request: Request, place: Path, whole: Split, tests: int) -> tuple[Split, Split]:
    count = len(whole) - tests
    request.report(f"{place}: {count:,} to train, {tests:,} to test")
    return whole.part(np.arange(count)), whole.part(np.arange(count, len(whole)))


def _from_file(path: Path, inputs: int) -> Iterator[Example]:
    columns = 1 + inputs
    for number, line in lines(path):
        if not line.strip():
            continue
        cells = line.split("\t")
        if number == 1 and len(cells) == columns and cells[0].strip().lower() in HEADERS:
            continue
        if len(cells) != columns:
            shape = "label TAB sentence" + " TAB sentence" * (inputs - 1)
            raise bad(f"{path}:{number}", f"expected {shape}, found {len(cells) - 1} tabs")
        yield _example(f"{path}:{number}", cells[0].strip(), cells[1:])


def _example(where: str, label: str, sentences: Sequence[str]) -> Example:
    if not label:
        raise bad(where, "expected a label, found none")
    made = tuple(words(sentence) for sentence in sentences)
    if not all(made):
        raise bad(where, "expected a sentence, found no word in it")
    return Example(label, made)


def _from_folder(folder: Path, request: Request, inputs: int) -> Iterator[Example]:
    if inputs != 1:
        raise bad(
            folder,
            f"the network has {inputs} inputs, a folder of text has one sentence a line",
            "use a .tsv, or a folder of train.tsv and test.tsv",
        )
    for label, path in _labelled(folder, request):
        lines_ = list(raw_lines(path))
        try:
            decoded = [(number, line.decode()) for number, line in lines_]
        except UnicodeDecodeError:
            request.report(f"{path} is not UTF-8: read as Latin-1")
            decoded = [(number, line.decode("latin-1")) for number, line in lines_]
        for number, sentence in decoded:
            if sentence.strip():
                yield _example(f"{path}:{number}", label, [sentence])


def _labelled(folder: Path, request: Request) -> list[tuple[str, Path]]:
    """The files of a folder with their labels, in the order of their names. Raises E602."""
    try:
        files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    except OSError as error:
        raise bad(folder, f"cannot be read ({(error.strerror or 'no reason given').lower()})") from error
    about = [path for path in files if path.name.lower().startswith(_ABOUT)]
    files = [path for path in files if path not in about]
    by_suffix = [path for path in files if path.suffix not in ("", ".txt")]
    chosen = by_suffix or [path for path in files if path.suffix == ".txt"]
    labels = {path: path.suffix[1:] if by_suffix else path.stem for path in chosen}
    if len(set(labels.values())) < 2:
        raise bad(folder, "expected files NAME.LABEL or LABEL.txt of two labels or more, with a sentence a line")
    unread = [path.name for path in (*about, *files) if path not in labels]
    if unread:
        more = f", and {len(unread) - 3} more" if len(unread) > 3 else ""
        request.report(f"{folder}: not read: {', '.join(unread[:3])}{more}")
    return [(label, path) for path, label in labels.items()]
