"""What layers on words have learned: the nearest words of an embedding, and the n-grams that excite a filter most.

In: arrays of word numbers and activations, and the vocabulary. Out: tables. 0 is padding, 1 an unknown word, and i + 2 word
i of the vocabulary.

    top_ngrams(sentences, activations, window, 5)     # for each filter [("not funny at", 3.1), ...]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnc.view.document import Table
from cnnc.view.number_text import number_text

WORDS, NEAREST = 24, 5
_FIRST = 2


class NGram(NamedTuple):
    """Words that a filter reads at once, and its activation there."""

    words: str
    activation: float


def word_text(number: int, vocabulary: Sequence[str]) -> str:
    """The word of a number."""
    index = number - _FIRST
    if 0 <= index < len(vocabulary):
        return vocabulary[index]
    return {0: "<pad>", 1: "<unknown>"}.get(number, f"<{number}>")


def nearest_words(name: str, vectors: NDArray[Any], vocabulary: Sequence[str]) -> Table:
    """The nearest words by cosine of the most frequent words that consist of letters."""
    count = min(len(vectors) - _FIRST, len(vocabulary))
    known = vectors[_FIRST : _FIRST + count]
    norms = np.linalg.norm(known, axis=1)
    usable = np.isfinite(norms) & (norms > 0)
    unit = np.where(usable[:, None], known, 0) / np.where(usable, norms, 1)[:, None]
    chosen = [i for i in range(count) if usable[i] and len(vocabulary[i]) > 3 and vocabulary[i].isalpha()][:WORDS]
    rows = []
    for i in chosen:
        cosines = unit @ unit[i]
        cosines[i] = -np.inf
        near = np.argsort(-cosines, kind="stable")[: min(NEAREST, count - 1)]
        rows.append((vocabulary[i], ", ".join(f"{vocabulary[j]} {cosines[j]:.2f}" for j in near)))
    title = f"{name}: nearest words by cosine, of the most frequent words with four letters or more"
    return Table(("word", "nearest"), tuple(rows), (), title)


def top_ngrams(
    sentences: NDArray[np.int64],
    activations: NDArray[Any],
    taps: Sequence[int],
    starts: Sequence[int],
    vocabulary: Sequence[str],
    most: int,
) -> list[list[NGram]]:
    """For each filter the windows with its largest activations, each n-gram once, largest first.

    `sentences` are (N, T), `activations` (N, positions, filters); position p reads the words at starts[p] + each of `taps`.
    Windows of padding only are left out.
    """
    length = sentences.shape[1]
    indices = np.add.outer(np.asarray(starts), np.asarray(taps))
    inside = (indices >= 0) & (indices < length)
    windows = np.where(inside, sentences[:, np.clip(indices, 0, length - 1)], 0)
    has_words = windows.any(-1)
    result = []
    for f in range(activations.shape[-1]):
        values = np.where(has_words & np.isfinite(activations[..., f]), activations[..., f], -np.inf)
        found: dict[str, float] = {}
        order = np.argsort(-values, axis=None, kind="stable")
        for flat in order:
            n, p = divmod(int(flat), values.shape[1])
            if len(found) == most or values[n, p] == -np.inf:
                break
            text = " ".join(word_text(int(w), vocabulary) for w in windows[n, p])
            found.setdefault(text, float(values[n, p]))
        result.append([NGram(text, value) for text, value in found.items()])
    return result


def ngram_table(name: str, filters: Sequence[Sequence[NGram]], count: int) -> Table:
    """The n-grams of the first filters of a layer."""
    rows = [
        (str(number), "; ".join(f"{gram.words} ({number_text(gram.activation)})" for gram in grams))
        for number, grams in enumerate(filters)
    ]
    shown = f" (the first {len(filters)} of {count})" if len(filters) < count else ""
    title = f"{name}: n-grams with the largest activation of each filter{shown}"
    return Table(("filter", "n-grams, with the activation before the layers that follow"), tuple(rows), (True,), title)
