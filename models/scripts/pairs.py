"""Generates pairs of a query and a sentence for a network that ranks short texts.

A query is four different words of a sentence from a movie review, drawn at random, in random order. In class 1 the
document is that sentence, in class 0 another one. Both classes are equally frequent, so guessing is right half of the
time. Sentences with fewer than eight different words are left out. One tenth of the sentences yields test pairs only;
each training sentence yields `--rounds` pairs of each class. The sentences are those of Pang & Lee (2005), one per line
in rt-polarity.pos and rt-polarity.neg.

`python -m cnnc.models.scripts.pairs --data DIR` writes made/pairs/train.tsv and test.tsv.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from cnnc.data.text import split_words

from .common import parser, write

QUERY, SHORTEST = 4, 8
FILES = ("rt-polarity.neg", "rt-polarity.pos")


def sentences(folder: Path) -> list[list[str]]:
    """The words of each sentence, without punctuation."""
    lines = [line for name in FILES for line in (folder / name).read_text("latin-1").splitlines()]
    split = [[word for word in split_words(line) if any(c.isalnum() for c in word)] for line in lines]
    return [sentence for sentence in split if len(set(sentence)) >= SHORTEST]


def make(texts: Sequence[Sequence[str]], rounds: int, random: np.random.Generator) -> Iterator[str]:
    """Lines `class TAB query TAB sentence`; in each round, each sentence gives one line of class 1 and one of class 0."""
    for _ in range(rounds):
        for index, text in enumerate(texts):
            other = (index + int(random.integers(1, len(texts)))) % len(texts)
            for label, document in ((1, text), (0, texts[other])):
                query = random.choice(sorted(set(text)), QUERY, replace=False)
                yield f"{label}\t{' '.join(query)}\t{' '.join(document)}\n"


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--data", type=Path, required=True, metavar="DIR", help=f"Folder of {' and '.join(FILES)}.")
    options.add_argument(
        "--rounds", type=int, default=4, metavar="N", help="Pairs of each class per training sentence. Default: 4."
    )
    given = options.parse_args()
    texts = sentences(given.data)
    order = np.random.default_rng([given.seed, 0]).permutation(len(texts))
    held = len(texts) // 10
    for stream, (name, chosen) in enumerate((("test", order[:held]), ("train", order[held:]))):
        random = np.random.default_rng([given.seed, 1, stream])
        lines = list(make([texts[n] for n in chosen], given.rounds if name == "train" else 1, random))
        print(f"{name}: {len(lines):,} pairs of {len(chosen):,} sentences")
        write(given.out / "pairs" / f"{name}.tsv", "".join(lines).encode())


if __name__ == "__main__":
    main()
