"""The networks of the benchmarks: as .cnn files in nets/, and the same in PyTorch.

In: a name. Out: the batch size of the .cnn file's recipe, or a `torch.nn.Module` with the shape of its input. PyTorch is
imported only when a module is requested.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

NETS = Path(__file__).parent / "nets"
NAMES = tuple(sorted(path.stem for path in NETS.glob("*.cnn")))


def batch_of(name: str) -> int:
    """The batch size that a network and its peer are trained with."""
    from cnnc.network import load
    from cnnc.recipe.recipe import require_recipe

    return require_recipe(load(NETS / f"{name}.cnn").recipe, name).batch


class Peer(NamedTuple):
    """A network in PyTorch, the shape of one example, and the number of classes."""

    module: Any
    shape: tuple[int, ...]
    classes: int


def peer(name: str) -> Peer:
    """The network of this name in PyTorch."""
    import torch
    from torch import nn
    from torch.nn.functional import relu

    def stage(*layers: Any, k: int = 2) -> list[Any]:
        return [*layers, nn.ReLU(), nn.MaxPool2d(k)]

    def conv(c: int, o: int, k: int = 3, s: int = 1, groups: int = 1, bias: bool = True) -> Any:
        return nn.Conv2d(c, o, k, s, k // 2, groups=groups, bias=bias)

    class Residual(nn.Module):  # type: ignore[misc]
        def __init__(self, c: int, o: int) -> None:
            super().__init__()
            s = 1 if c == o else 2
            self.first = nn.Sequential(conv(c, o, 3, s, bias=False), nn.BatchNorm2d(o), nn.ReLU())
            self.second = nn.Sequential(conv(o, o, bias=False), nn.BatchNorm2d(o))
            project = nn.Sequential(conv(c, o, 1, s, bias=False), nn.BatchNorm2d(o))
            self.past = nn.Identity() if c == o else project

        def forward(self, x: Any) -> Any:
            return relu(self.second(self.first(x)) + self.past(x))

    class Text(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(5000, 128)
            self.convs = nn.ModuleList([nn.Conv1d(128, 100, k) for k in (3, 4, 5)])
            self.fc = nn.Linear(300, 2)

        def forward(self, x: Any) -> Any:
            words = self.embed(x).transpose(1, 2)
            return self.fc(torch.cat([relu(c(words)).amax(2) for c in self.convs], 1))

    def separable(c: int, o: int, s: int = 1) -> list[Any]:
        depthwise = [conv(c, c, 3, s, groups=c, bias=False), nn.BatchNorm2d(c), nn.ReLU()]
        return [*depthwise, conv(c, o, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU()]

    flat, pooled = nn.Flatten(), nn.AdaptiveAvgPool2d(1)
    image = (3, 32, 32)
    match name:
        case "lenet5":
            rest = [flat, nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)]
            layers = [*stage(conv(1, 6, 5)), *stage(nn.Conv2d(6, 16, 5)), *rest]
            return Peer(nn.Sequential(*layers), (1, 28, 28), 10)
        case "convnetjs":
            layers = [*stage(conv(3, 16, 5)), *stage(conv(16, 20, 5)), *stage(conv(20, 20, 5)), flat]
            return Peer(nn.Sequential(*layers, nn.Linear(320, 10)), image, 10)
        case "vgg":
            layers = []
            for c, o in ((3, 32), (32, 64), (64, 128)):
                layers += [conv(c, o), nn.ReLU(), *stage(conv(o, o))]
            return Peer(nn.Sequential(*layers, flat, nn.Linear(2048, 10)), image, 10)
        case "resnet20":
            layers = [conv(3, 16, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
            for c, o in ((16, 16), (16, 32), (32, 64)):
                layers += [Residual(c, o), Residual(o, o), Residual(o, o)]
            return Peer(nn.Sequential(*layers, pooled, flat, nn.Linear(64, 10)), image, 10)
        case "separable":
            layers = [conv(3, 32), nn.ReLU(), *separable(32, 64), *separable(64, 128, 2)]
            layers += [*separable(128, 128), *separable(128, 256, 2)]
            return Peer(nn.Sequential(*layers, pooled, flat, nn.Linear(256, 10)), image, 10)
        case "text":
            return Peer(Text(), (56,), 2)
        case "dilated":
            layers = [nn.Conv1d(1, 32, 3, padding=1), nn.ReLU()]
            for d in (2, 4, 8, 16, 32):
                layers += [nn.Conv1d(32, 32, 3, padding=d, dilation=d), nn.ReLU()]
            return Peer(nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), flat, nn.Linear(32, 4)), (1, 256), 4)
        case "volume":
            layers = []
            for c, o in ((1, 8), (8, 16), (16, 32)):
                layers += [nn.Conv3d(c, o, 3, padding=1), nn.ReLU(), nn.MaxPool3d(2)]
            return Peer(nn.Sequential(*layers, flat, nn.Linear(256, 8)), (1, 16, 16, 16), 8)
    raise ValueError(name)
