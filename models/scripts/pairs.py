"""Pairs of a query and a sentence: data for a network that ranks short texts.

A query is four different words of a film review's sentence, drawn at random, in random order. Class 1: the second
text is that sentence. Class 0: it is another one. Both classes are as frequent, so guessing is right half of the time.
Sentences of fewer than eight words are left out; one in ten sentences makes test pairs alone, and each sentence makes
`--rounds` pairs of each class. The sentences are those of Pang & Lee (2005), one a line in rt-polarity.pos and .neg.

`python -m models.scripts.pairs --data DIR` writes made/pairs/train.tsv and test.tsv.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from cnnc.data.text import split_words
from models.scripts.common import parser, write

QUERY, SHORTEST = 4, 8
FILES = ("rt-polarity.neg", "rt-polarity.pos")


def sentences(folder: Path) -> list[list[str]]:
    """The words of each sentence, marks of punctuation left out."""
    lines = [line for name in FILES for line in (folder / name).read_text("latin-1").splitlines()]
    found = [[word for word in split_words(line) if any(c.isalnum() for c in word)] for line in lines]
    return [sentence for sentence in found if len(set(sentence)) >= SHORTEST]


def make(texts: Sequence[Sequence[str]], rounds: int, random: np.random.Generator) -> Iterator[str]:
    """Lines `class TAB query TAB sentence`: of each sentence in each round one of class 1 and one of class 0."""
    for _ in range(rounds):
        for place, text in enumerate(texts):
            other = (place + int(random.integers(1, len(texts)))) % len(texts)
            for label, document in ((1, text), (0, texts[other])):
                query = random.choice(sorted(set(text)), QUERY, replace=False)
                yield f"{label}\t{' '.join(query)}\t{' '.join(document)}\n"


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--data", type=Path, required=True, metavar="DIR", help=f"folder of {' and '.join(FILES)}")
    options.add_argument("--rounds", type=int, default=4, metavar="N", help="pairs of each class a sentence (4)")
    given = options.parse_args()
    texts = sentences(given.data)
    order = np.random.default_rng([given.seed, 0]).permutation(len(texts))
    held = len(texts) // 10
    for part, (name, chosen) in enumerate((("test", order[:held]), ("train", order[held:]))):
        random = np.random.default_rng([given.seed, 1, part])
        lines = list(make([texts[n] for n in chosen], given.rounds if name == "train" else 1, random))
        print(f"{name}: {len(lines):,} pairs of {len(chosen):,} sentences")
        write(given.out / "pairs" / f"{name}.tsv", "".join(lines).encode())


if __name__ == "__main__":
    main()
