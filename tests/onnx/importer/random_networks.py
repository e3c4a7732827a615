"""Generates random valid networks as source: chains of layers, branches, skips and repeats."""

from __future__ import annotations

from random import Random

from cnnc.network import check

ACTIVATIONS = (
    "relu", "leaky_relu 0.1", "elu", "selu", "prelu", "sigmoid", "tanh", "softplus", "gelu", "silu", "relu6",
    "clip -0.5 0.75", "hard_sigmoid", "hard_swish", "mish", "abs", "scale 0.5", "affine", "bn", "dropout 0.2",
    "instance_norm", "layer_norm", "lrn size=3", "softmax", "normalize mean=0.1 std=0.7",
)  # fmt: skip


class NetworkWriter:
    """Writes one network; a line that makes it invalid is left out."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.lines: list[str] = []
        self.labels: list[str] = []

    def pick(self, *of: object) -> object:
        return self.random.choice(of)

    def layer(self) -> str:
        p = self.pick("p=same", "p=1", "p=valid", "p=[0, 1, 1, 0]", "")
        k, s = self.pick(1, 2, 3), self.pick(1, 1, 2)
        width = self.pick(4, 6, 8)
        return str(
            self.pick(
                f"conv {width} k={k} s={s} {p}",
                f"conv {width} k=3 {p} bias=false",
                "conv c_in k=3 p=same groups=c_in",
                f"conv {width} k=2 d=2 groups=2",
                f"conv_transpose {width} k=2 s=2",
                f"local {width} k={k} s={s} {p}",
                f"pool {self.pick('max', 'avg', 'l2', 'weighted')} k={k} s={s} {p}",
                "pool avg k=3 s=2 ceil=true",
                f"group_norm groups={self.pick(1, 2)}",
                "channel_shuffle 2",
                "upsample 2",
                "upsample 2 mode=bilinear",
                "maxout 2",
                "filter sobel_x",
                "slice 1",
                "select [1, 0, 1]",
                "space_to_depth 2",
                "crop 4x4",
                *(self.pick(*ACTIVATIONS) for _ in range(14)),
            )
        )

    def chain(self, most: int) -> str:
        return "; ".join(self.layer() for _ in range(self.random.randint(1, most)))

    def statement(self) -> str:
        kind = self.random.randrange(12)
        same = f"conv c_in k=3 p=same; {self.pick(*ACTIVATIONS)}"
        if kind < 6:
            return self.chain(3)
        if kind == 6:
            return f"{self.pick('add', 'mul', 'maximum', 'sub')} {{ {same} }} {{ }}"
        if kind == 7:
            return f"concat {{ {same} }} {{ conv {self.pick(2, 4)} k=1 }}"
        if kind == 8:
            return f"repeat {self.pick(2, 3)} {{ {same}; add in }}"
        if kind == 9 and self.labels:
            return f"{self.pick('add', 'concat', 'mul')} {self.pick(*self.labels)}"
        label = f"x{len(self.labels)}"
        self.labels.append(label)
        return f"{label}: {self.layer()}"

    def fits(self, line: str) -> bool:
        network = check("\n".join([*self.lines, line]))
        return network.graph is not None and network.graph.nodes[-1].type.size < 20_000

    def text(self) -> str:
        self.lines = [f"input {self.pick(2, 3, 4)}x{self.pick(8, 9, 12)}x{self.pick(8, 11)}", "conv 4 k=3 p=same"]
        for _ in range(self.random.randint(2, 9)):
            line = self.statement()
            if self.fits(line):
                self.lines.append(line)
            else:
                self.labels = [label for label in self.labels if not line.startswith(f"{label}:")]
        for line in self.random.choice(
            ((), ("fc 6", "relu", "fc 3"), ("global_pool avg", "flatten", "fc 4", "softmax"))
        ):
            self.lines.append(line)
        return "\n".join(self.lines)


def random_network(seed: int) -> str:
    """The source of a random network, the same for the same seed."""
    return NetworkWriter(seed).text()
