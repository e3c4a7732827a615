"""PyTorch networks for tests of the importer: a ResNet, a MobileNetV2, a U-Net, and others."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F


class BasicBlock(nn.Module):  # type: ignore[misc]
    def __init__(self, channels: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.down: Any = None
        if stride != 1 or channels != out:
            self.down = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Any) -> Any:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + (x if self.down is None else self.down(x)))


class ResNet(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(BasicBlock(16, 16), BasicBlock(16, 16))
        self.layer2 = nn.Sequential(BasicBlock(16, 32, 2), BasicBlock(32, 32))
        self.layer3 = nn.Sequential(BasicBlock(32, 64, 2), BasicBlock(64, 64))
        self.avg = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(64, 10)

    def forward(self, x: Any) -> Any:
        x = self.pool(F.relu(self.bn1(self.conv1(x))))
        x = self.avg(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(x, 1))


class InvertedResidual(nn.Module):  # type: ignore[misc]
    def __init__(self, channels: int, out: int, stride: int, expand: int) -> None:
        super().__init__()
        expanded = channels * expand
        self.same = stride == 1 and channels == out
        self.conv = nn.Sequential(
            nn.Conv2d(channels, expanded, 1, bias=False),
            nn.BatchNorm2d(expanded),
            nn.ReLU6(),
            nn.Conv2d(expanded, expanded, 3, stride, 1, groups=expanded, bias=False),
            nn.BatchNorm2d(expanded),
            nn.ReLU6(),
            nn.Conv2d(expanded, out, 1, bias=False),
            nn.BatchNorm2d(out),
        )

    def forward(self, x: Any) -> Any:
        return x + self.conv(x) if self.same else self.conv(x)


class MobileNet(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        blocks = [(8, 8, 1, 2), (8, 12, 2, 4), (12, 12, 1, 4), (12, 12, 1, 4), (12, 16, 2, 4), (16, 16, 1, 4)]
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6(), *(InvertedResidual(*b) for b in blocks)
        )
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(16, 5))

    def forward(self, x: Any) -> Any:
        return self.classifier(self.features(x).mean([2, 3]))


class UNet(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()

        def double(channels: int, out: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(channels, out, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(out, out, 3, padding=1),
                nn.ReLU(),
            )

        self.e1, self.e2, self.e3 = double(1, 8), double(8, 16), double(16, 32)
        self.up2, self.d2 = nn.ConvTranspose2d(32, 16, 2, 2), double(32, 16)
        self.d1, self.head = double(24, 8), nn.Conv2d(8, 3, 1)

    def forward(self, x: Any) -> Any:
        a = self.e1(x)
        b = self.e2(F.max_pool2d(a, 2))
        c = self.e3(F.max_pool2d(b, 2))
        d = self.d2(torch.cat([b, self.up2(c)], 1))
        d = F.interpolate(d, scale_factor=2, mode="bilinear", align_corners=False)
        return self.head(self.d1(torch.cat([a, d], 1)))


class Shuffle(nn.Module):  # type: ignore[misc]
    """Channel shuffle, a squeeze-and-excitation gate, many activations and normalizations."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(6, 12, 1, groups=3)
        self.b = nn.Conv2d(12, 12, 3, padding=1, groups=3)
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(12, 4, 1), nn.SiLU(), nn.Conv2d(4, 12, 1))
        self.group, self.instance = nn.GroupNorm(3, 12), nn.InstanceNorm2d(12, affine=True)
        self.prelu = nn.PReLU(12)
        self.up = nn.PixelShuffle(2)
        self.line = nn.Linear(3 * 16 * 16, 20)
        self.norm = nn.LayerNorm(20)

    def forward(self, x: Any) -> Any:
        x = self.a(x)
        n, c, h, w = x.shape
        x = x.view(n, 3, c // 3, h, w).transpose(1, 2).reshape(n, c, h, w)
        x = self.group(F.gelu(self.b(x)))
        x = F.hardswish(self.instance(x)) * torch.sigmoid(self.squeeze(x))
        x = F.mish(self.prelu(F.leaky_relu(x, 0.2)))
        x = self.up(F.elu(F.softplus(x)))
        return F.log_softmax(self.norm(self.line(x.reshape(n, -1))), 1)


class Sequence(nn.Module):  # type: ignore[misc]
    """TextCNN: an embedding, three convolutions, and the maximum over time of each."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 12)
        self.convs = nn.ModuleList([nn.Conv1d(12, 8, k) for k in (3, 4, 5)])
        self.fc = nn.Linear(24, 2)

    def forward(self, x: Any) -> Any:
        x = self.embed(x).transpose(1, 2)
        x = torch.cat([F.relu(conv(x)).max(2)[0] for conv in self.convs], 1)
        return self.fc(F.dropout(x, 0.5, self.training))


NETS: dict[str, tuple[type[nn.Module], tuple[int, ...]]] = {
    "resnet": (ResNet, (3, 64, 64)),
    "mobilenet": (MobileNet, (3, 32, 32)),
    "unet": (UNet, (1, 32, 48)),
    "shuffle": (Shuffle, (6, 8, 8)),
    "sequence": (Sequence, (16,)),
}


def network_and_input(name: str) -> tuple[nn.Module, Any]:
    """A network in inference mode with random weights and statistics, and an input of two examples."""
    torch.manual_seed(0)
    cls, shape = NETS[name]
    net = cls().eval()
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 2)
            nn.init.normal_(part.bias)
            nn.init.normal_(part.running_mean)
            nn.init.uniform_(part.running_var, 0.5, 2)
    x = torch.randint(0, 50, (2, *shape)) if name == "sequence" else torch.rand(2, *shape)
    return net, x
