"""The `augment` statement: its steps and their arguments. training/augment.py applies them."""

from __future__ import annotations

from typing import Any, ClassVar

from cnnc.core.arguments import Choice, Real, Whole, arg
from cnnc.recipe.declaration import TrainStatement, register


@register
class Augment(TrainStatement):
    """Changes each image at random before a training step.

    Steps are applied in the order of the arguments. The changes depend only on the seed, so a repeated run draws the same ones.
    Pixels of bytes are rounded and clipped to 0..255; the range of other numbers is not known, so they are not clipped.
    """

    keyword = "augment"
    example = "augment flip shift=2"
    moving: ClassVar[tuple[str, ...]] = ("flip", "crop", "shift", "rotate")
    """Steps that move pixels, and so would move them away from a target that is an image."""

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
    noise: float = arg(
        Real(0, 1), default=0, unit="fraction of the full range", help="standard deviation of the Gaussian noise to add"
    )
    cutout: int = arg(
        Whole(0, 1024),
        default=0,
        unit="pixels",
        help="side of a square of zeros at a random position (DeVries & Taylor 2017)",
    )

    @classmethod
    def in_place(cls) -> tuple[str, ...]:
        """The steps that leave every pixel where it is."""
        return tuple(spec.name for spec in cls.arguments if spec.name not in cls.moving)

    @property
    def steps(self) -> tuple[tuple[str, Any], ...]:
        """The steps that are on, in the order in which they are applied: name and value."""
        values = ((spec.name, getattr(self, spec.name)) for spec in self.arguments)
        return tuple((name, value) for name, value in values if value)
