"""Networks for tests of drawings: published ones, odd ones, and random ones."""

from __future__ import annotations

import random

from cnnc import check, load
from cnnc.graph.graph import Graph
from tests.paths import MODELS

ODD = {
    "one layer": "net One\ninput 3x8x8\nrelu\n",
    "several inputs and outputs": """net Several
a: input 3x16x16
b: input 3x8x8
from a
c1: conv 8 k=3 p=1
s: conv 8 k=1
from c1
p: pool max k=2
u: conv 8 k=3 p=1
from b
v: conv 8 k=3 p=1
m: concat u p
q: conv 4 k=1
from c1
w: conv 4 k=3 s=2 p=1
z: add q
output s z m
""",
    "dense": "net Dense\nx0: input 8x16x16\nx1: conv 8 k=3 p=1\n"
    + "".join(f"c{i}: concat {' '.join(f'x{j}' for j in range(i - 1))}\nx{i}: conv 8 k=3 p=1\n" for i in range(2, 12)),
    "long names": f"net {'N' * 90}\n{'i' * 200}: input 1x4x4\n{'r' * 200}: relu\n{'s' * 60}: add {'i' * 200}\n",
    "nested blocks with skips": """net Nested
block inner(w) { conv w k=3 p=1; relu; add in }
block outer(w) { concat { inner w; inner w } { conv w k=1 } { }; inner 3*w; conv w k=1; add in }
input 4x8x8
first: outer 4
second: outer 4
add first { from input1; conv 4 k=1 }
""",
    "shared": "net Shared\nblock t { conv 4 k=3; relu; flatten }\na: input 1x8x8\nx: t\nb: input 1x8x8\ny: t share=x\nsub x\nfc 2\n",
}
PUBLISHED = ("lenet5", "textcnn", "resnet50", "googlenet", "unet")


def published(name: str) -> Graph:
    """The graph of a network in models/."""
    return load(MODELS / f"{name}.cnn").require_graph()


def odd(name: str) -> Graph:
    """The graph of a network in ODD."""
    return check(ODD[name]).require_graph()


def random_network(seed: int) -> Graph:
    """Layers that read any earlier ones, some of them in blocks; all outputs have one shape."""
    rng = random.Random(seed)
    names = ["input1"]
    lines = ["block b { conv 4 k=3 p=1; relu; add in }", "block c { concat { b; b } { relu } { }; conv 4 k=1 }"]
    lines.append("input 4x8x8")
    for i in range(rng.randint(3, 30)):
        if rng.random() < 0.3:
            lines.append(f"from {rng.choice(names)}")
        call = rng.choice(("relu", "conv 4 k=3 p=1", "b", "c", "add", "max"))
        if call in ("add", "max"):
            others = rng.sample(names, min(len(names), rng.randint(1, 4)))
            call = f"{'add' if call == 'add' else 'maximum'} {' '.join(others)}"
        lines.append(f"n{i}: {call}")
        names.append(f"n{i}")
    lines.append(f"output {' '.join(names[1:])}")
    return check("net Random\n" + "\n".join(lines)).require_graph()


def thousand_layers() -> Graph:
    """A thousand layers with residual skips, without blocks."""
    lines = [f"conv 8 k=3 p=1\nrelu\nconv 8 k=3 p=1\na{i}: add {f'a{i - 1}' if i else 'input1'}" for i in range(250)]
    return check("net Thousand\ninput 8x8x8\n" + "\n".join(lines)).require_graph()
