"""The `augment` statement: its steps and their arguments. training/augment.py applies them."""

from __future__ import annotations

from typing import Any, ClassVar

from cnnc.core.arguments import Choice, Real, Whole, arg
from cnnc.recipe.declaration import TrainStatement, register


@register
class Augment(TrainStatement):
    """Changes each image or series at random before a training step.

    Steps are applied in the order of the arguments. The changes depend only on the seed, so a repeated run draws the same ones.
    Pixels of bytes are rounded and clipped to 0..255; the range of other numbers is not known, so they are not clipped.
    Steps that move pixels move label maps and other targets that are maps as well.
    """

    keyword = "augment"
    example = "augment flip shift=2"
    moving: ClassVar[tuple[str, ...]] = ("flip", "crop", "shift", "rotate", "zoom", "perspective", "time_shift")
    """Steps that move elements; targets that are maps move with them."""
    mixing: ClassVar[tuple[str, ...]] = ("mixup", "cutmix")
    """Steps that mix examples, and their targets; they come last."""
    of_series: ClassVar[tuple[str, ...]] = ("jitter", "scaling", "time_shift", "time_mask", "mixup")
    """Steps that change series (C, T)."""

    flip: str | None = arg(
        Choice(("flip",)), default=None, positional=True, help="mirror left to right with probability 1/2"
    )
    crop: int = arg(
        Whole(0, 1024),
        default=0,
        unit="pixels",
        help="pad each side by N pixels, then crop to the old size at a random offset",
    )
    shift: int = arg(Whole(0, 1024), default=0, unit="pixels", help="shift by up to N pixels along each axis")
    rotate: float = arg(
        Real(0, 180), default=0, unit="degrees", help="rotate about the centre by up to N degrees either way"
    )
    zoom: float = arg(
        Real(0, 1, open_above=True),
        default=0,
        help="enlarge about the centre by a factor drawn uniformly from 1 - N to 1 + N",
    )
    perspective: float = arg(
        Real(0, 1, open_above=True),
        default=0,
        unit="fraction of half the width and height",
        help="move each corner of the image inwards by up to N, as torchvision's RandomPerspective does",
    )
    brightness: float = arg(
        Real(0, 1),
        default=0,
        help="multiply each image by a factor drawn uniformly from 1 - N to 1 + N, as PyTorch's ColorJitter does",
    )
    contrast: float = arg(
        Real(0, 1),
        default=0,
        help="multiply the differences from an image's mean grey by such a factor, as ColorJitter does",
    )
    blur: float = arg(
        Real(0, 16),
        default=0,
        unit="pixels",
        help="blur by a Gaussian whose standard deviation is drawn uniformly from 0 to N",
    )
    noise: float = arg(
        Real(0, 1), default=0, unit="fraction of the full range", help="standard deviation of the Gaussian noise to add"
    )
    cutout: int = arg(
        Whole(0, 1024),
        default=0,
        unit="pixels",
        help="side of a square of zeros at a random position (DeVries & Taylor 2017)",
    )
    jitter: float = arg(
        Real(0, 10),
        default=0,
        unit="standard deviation of the channel",
        help="of a series: standard deviation of the Gaussian noise to add (Um et al. 2017)",
    )
    scaling: float = arg(
        Real(0, 1),
        default=0,
        help="of a series: multiply it by a factor drawn uniformly from 1 - N to 1 + N (Um et al. 2017)",
    )
    time_shift: int = arg(
        Whole(0, 1 << 24), default=0, unit="samples", help="of a series: shift by up to N samples either way"
    )
    time_mask: int = arg(
        Whole(0, 1 << 24),
        default=0,
        unit="samples",
        help="of a series: set a span of 0 to N samples to zero, in all channels (Park et al. 2019)",
    )
    mixup: float = arg(
        Real(0, 100),
        default=0,
        unit="alpha of the beta distribution",
        help="blend each example and its target with another of the batch, in a proportion drawn from Beta(N, N) "
        "(Zhang et al. 2018)",
    )
    cutmix: float = arg(
        Real(0, 100),
        default=0,
        unit="alpha of the beta distribution",
        help="replace a rectangle of each image by that of another of the batch; the proportion of the rest is drawn from "
        "Beta(N, N), and the targets are mixed in the same proportion (Yun et al. 2019)",
    )

    @classmethod
    def fitting(cls, series: bool) -> tuple[str, ...]:
        """The steps that change series, or those that change images."""
        only_series = set(cls.of_series) - {"mixup"}
        names = tuple(spec.name for spec in cls.arguments)
        return tuple(name for name in names if (name in cls.of_series if series else name not in only_series))

    @property
    def steps(self) -> tuple[tuple[str, Any], ...]:
        """The steps that are on, in the order in which they are applied: name and value."""
        values = ((spec.name, getattr(self, spec.name)) for spec in self.arguments)
        return tuple((name, value) for name, value in values if value)

    @property
    def mixes(self) -> bool:
        """Whether a step mixes examples, so that targets that are labels become probabilities."""
        return any(name in self.mixing for name, _ in self.steps)
