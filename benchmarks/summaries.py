"""Measures torchinfo's summary of the networks that `cnnc check` is measured with: `python -m benchmarks.summaries`.

Out: one JSON object with seconds by network, the shorter of two runs.
"""

from __future__ import annotations

import json
import time
from typing import Any

from benchmarks.nets import peer


def resnet50() -> Any:
    """He et al. (2016), table 1, with the stride in the 3x3 convolution."""
    from torch import nn

    class Bottleneck(nn.Module):  # type: ignore[misc]
        def __init__(self, channels: int, width: int, s: int) -> None:
            super().__init__()
            outputs = 4 * width
            layers = [nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            layers += [nn.Conv2d(width, width, 3, s, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            layers += [nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs)]
            self.main = nn.Sequential(*layers)
            shortcut: list[Any] = []
            if channels != outputs:
                shortcut = [nn.Conv2d(channels, outputs, 1, s, bias=False), nn.BatchNorm2d(outputs)]
            self.shortcut, self.relu = nn.Sequential(*shortcut), nn.ReLU()

        def forward(self, x: Any) -> Any:
            return self.relu(self.main(x) + self.shortcut(x))

    layers = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for width, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for i in range(count):
            layers.append(Bottleneck(channels, width, stride if i == 0 else 1))
            channels = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000))


def long(count: int) -> Any:
    """A network of `count` layers, convolutions and ReLUs in turn."""
    from torch import nn

    return nn.Sequential(*(layer for _ in range(count // 2) for layer in (nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())))


def main() -> None:
    import torchinfo

    lenet5 = peer("lenet5")
    nets = {"lenet5": (lenet5.module, lenet5.shape), "resnet50": (resnet50(), (3, 224, 224))}
    nets |= {f"{count} layers": (long(count), (8, 16, 16)) for count in (1000, 10000)}
    results = {}
    for name, (module, shape) in nets.items():
        times = []
        for _ in range(2):
            begun = time.perf_counter()
            torchinfo.summary(module, (1, *shape), verbose=0)
            times.append(time.perf_counter() - begun)
        results[name] = min(times)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
