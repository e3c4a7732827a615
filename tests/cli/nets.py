"""Tiny networks of every kind and generated data for them; each trains in a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np

LIBRARY = "# a library\nblock unit(w) { conv w k=3 p=1 bias=false; bn; relu }\n"

NETS = {
    "pictures": """net Pictures
include "library.cnn"
input 1x8x8
normalize mean=0.5 std=0.25
first: unit 6
unit 6
pool max k=2
fc 10
softmax
train { data digits; optimizer adam lr=0.01; batch 128; epochs 2 }
""",
    "words": """net Words
input 8 dtype=int64
embed 8 vocab=40
conv 8 k=3 p=1; relu; global_pool max
fc 2; softmax
train { data text "reviews.tsv"; optimizer adam lr=0.02; batch 16; epochs 4 }
""",
    "pairs": """net Pairs
left: input 6 dtype=int64
l: embed 8 vocab=40
conv 8 k=1; relu; lv: global_pool avg
right: input 6 dtype=int64
embed 8 vocab=40 share=l
conv 8 k=1; relu; rv: global_pool avg
bilinear lv rv out=4
relu
fc 2; softmax
train { data text "pairs.tsv"; optimizer adam lr=0.02; batch 16; epochs 2 }
""",
    "waves": """net Waves
input 1x24
conv 8 k=5; relu; pool max k=2; conv 8 k=3; relu; global_pool avg
fc 2; softmax
train { data series "waves.csv"; optimizer adam lr=0.02; batch 16; epochs 4 }
""",
    "maps": """net Maps
input 1x8x8
conv 8 k=3 p=1; relu; conv 8 k=3 p=1; relu
conv 3 k=1
softmax
train { data npz "maps.npz"; metric iou; metric accuracy; optimizer adam lr=0.02; batch 16; epochs 4 }
""",
    "coder": """net Coder
input 1x8x8
conv 4 k=3 s=2 p=1; relu
code: fc 5
fc 64
reshape 1x8x8
picture: sigmoid
train { data digits; loss mse target=input; metric psnr; metric mse; optimizer adam lr=0.01; batch 128; epochs 2 }
""",
    "several": """net Several
a: input 1x8x8
b: input 4
from a
conv 8 k=3 p=1; relu; conv 1 k=1
pixels: sigmoid
from b
fc 16; relu
h: identity
sums: fc 3
from h
fc 2
kind: softmax
output pixels sums kind
train {
  data npz "several.npz"
  loss bce on=pixels
  loss huber on=sums weight=0.5
  loss cross_entropy on=kind weight=0.1
  metric psnr
  clip 1
  optimizer adam lr=0.01
  batch 16
  epochs 3
}
""",
}

GOOD, BAD = (
    ["a", "fine", "warm", "funny", "film", "that", "shines"],
    ["a", "dull", "cold", "slow", "film", "that", "drags"],
)


def write_nets(folder: Path) -> None:
    """Writes all networks as NAME.cnn, and the data that their train sections name."""
    (folder / "library.cnn").write_text(LIBRARY)
    for name, text in NETS.items():
        (folder / f"{name}.cnn").write_text(text)
    random = np.random.default_rng(0)
    _write_sentences(folder, random)
    t = np.arange(24)
    with (folder / "waves.csv").open("w") as file:
        for i in range(60):
            wave = np.sin(t * (0.3 if i % 2 else 0.9) + 6 * random.random()) + 0.1 * random.standard_normal(24)
            file.write(f"{'slow' if i % 2 else 'fast'},{','.join(f'{v:.4f}' for v in wave)}\n")
    write_maps(folder / "maps.npz", random)
    write_several(folder / "several.npz", random)


def _write_sentences(folder: Path, random: np.random.Generator) -> None:
    def some(words: list[str], count: int) -> str:
        return " ".join(random.permutation(words)[:count])

    with (folder / "reviews.tsv").open("w") as file:
        for i in range(60):
            file.write(f"{'pos' if i % 2 else 'neg'}\t{some(GOOD if i % 2 else BAD, 5)}.\n")
    with (folder / "pairs.tsv").open("w") as file:
        for i in range(60):
            first, second = (GOOD if i % 2 else BAD), (GOOD if i % 3 else BAD)
            file.write(f"{'same' if first is second else 'other'}\t{some(first, 4)}\t{some(second, 4)}\n")


def write_maps(path: Path, random: np.random.Generator, count: int = 60) -> None:
    """Writes images of one square on noise, in one of two brightnesses, and the class of each pixel."""
    x = (0.3 * random.random((count, 1, 8, 8))).astype(np.float32)
    y = np.zeros((count, 8, 8), np.int64)
    for i in range(count):
        (top, left), kind = random.integers(0, 5, 2), 1 + i % 2
        x[i, 0, top : top + 3, left : left + 3] += 0.3 * kind
        y[i, top : top + 3, left : left + 3] = kind
    np.savez(path, x=x, y=y)


def write_several(path: Path, random: np.random.Generator, count: int = 60) -> None:
    """Writes two inputs and three targets: which pixels are bright, sums of numbers, and whether a sum is large."""
    a, b = random.random((count, 1, 8, 8), np.float32), random.random((count, 4), np.float32)
    sums = np.stack([b.sum(1), b[:, 0] - b[:, 1], b.max(1)], 1)
    np.savez(path, a=a, b=b, pixels=(a > 0.5).astype(np.float32), sums=sums, kind=(b.sum(1) > 2).astype(np.int64))
