"""Makes sentences about films and books, half of them kind and half unkind, for a first network that reads text.

A sentence says of a thing that it was or seemed one or two kind words, or unkind ones, with filling words around; "not" turns
the meaning of one in four around.

`python -m cnnc.models.scripts.sentences` writes made/sentences.tsv, one line `label TAB sentence` each, and made/new.txt, two
sentences without labels.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .common import parser, write

THINGS = ("film", "book", "play", "song", "story", "ending", "second part", "music")
WORDS = {"kind": ("good", "funny", "warm", "clever", "moving"), "unkind": ("bad", "dull", "slow", "empty", "tired")}
BEFORE = ("", "", "to me ", "in the end ", "all in all ", "this time ")
AFTER = ("", "", " from start to end", " again", " as they said", " to watch")


def make(count: int, random: np.random.Generator) -> Iterator[tuple[str, str]]:
    """`count` sentences with their labels, which alternate; no two are equal."""
    made: set[str] = set()
    while len(made) < count:
        number = len(made)
        label = ("kind", "unkind")[number % 2]
        turned = random.random() < 0.25
        said = WORDS[label if not turned else ("unkind", "kind")[number % 2]]
        word = ("not " if turned else "") + " and ".join(random.choice(said, random.integers(1, 3), replace=False))
        before, thing, after = (random.choice(words) for words in (BEFORE, THINGS, AFTER))
        sentence = f"{before}the {thing} {random.choice(('was', 'seemed'))} {word}{after}"
        if sentence not in made:
            made.add(sentence)
            yield label, sentence


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--count", type=int, default=800, metavar="N", help="Number of sentences. Default: 800.")
    given = options.parse_args()
    lines = (f"{label}\t{sentence}\n" for label, sentence in make(given.count, np.random.default_rng(given.seed)))
    write(given.out / "sentences.tsv", "".join(lines).encode())
    write(given.out / "new.txt", b"the opera was good\nthe opera was not good\n")


if __name__ == "__main__":
    main()
