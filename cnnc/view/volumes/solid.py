"""One volume as shapes: maps one behind the other, a block, a sheet (a sequence), or a bar (a vector).

In: a `Volume` and the `VolumeScale`. Out: a `Solid`, whose upper left corner is (0, 0); `moved` puts its shapes into place.
"""

from __future__ import annotations

from typing import NamedTuple

from cnnc.view.drawing import Box, Polygon, Role
from cnnc.view.volumes.scale import MAP_STEP, MOST_STACK, SLANT, THIN, VolumeScale
from cnnc.view.volumes.volumes import Volume

Point = tuple[float, float]


class Solid(NamedTuple):
    """Shapes with their extent. `face` are the corners of the plane of height and width: upper left, upper right, lower
    right, lower left; () where there is none. `front` is the front rectangle: x, y, width, height."""

    width: float
    height: float
    shapes: tuple[Box | Polygon, ...]
    front: tuple[float, float, float, float]
    face: tuple[Point, ...] = ()

    @property
    def slant(self) -> float:
        """How far the rear is shifted to the right and upwards."""
        return self.front[1]

    def left(self, y: float) -> float:
        """Its left end at this height."""
        return max(0.0, self.slant - y)

    def right(self, y: float) -> float:
        """Its right end at this height."""
        return self.front[2] + min(self.slant, self.slant + self.front[3] - y)


def solid_of(volume: Volume, scale: VolumeScale, role: Role) -> Solid:
    """The shapes of a volume."""
    shape, hint = volume.shape, f"{volume.name} {volume.caption}"
    if len(shape) == 1:
        height = max(scale.features.length(shape[0]), THIN)
        return Solid(THIN, height, (Box(0, 0, THIN, height, role, hint=hint),), (0, 0, THIN, height))
    height, width = scale.side(shape[-2] if len(shape) > 2 else shape[-1]), scale.side(shape[-1])
    if len(shape) == 3 and scale.stacked:
        step = min(MAP_STEP, MOST_STACK / max(shape[0] - 1, 1))
        back = (shape[0] - 1) * step
        maps = tuple(
            Box(k * step, back - k * step, width, height, role, hint=hint) for k in range(shape[0] - 1, -1, -1)
        )
        face = ((0.0, back), (width, back), (width, back + height), (0.0, back + height))
        return Solid(width + back, height + back, maps, (0, back, width, height), face)
    depth = scale.channels.length(shape[0])
    if len(shape) == 2:
        height = max(height, THIN)
        return Solid(depth, height, (Box(0, 0, depth, height, role, hint=hint),), (0, 0, depth, height))
    slant = width * SLANT
    side = ((depth, slant), (depth + slant, 0.0), (depth + slant, height), (depth, slant + height))
    top = ((0.0, slant), (slant, 0.0), (depth + slant, 0.0), (depth, slant))
    shapes = (
        Polygon(top, role, hint=hint),
        Polygon(side, role, hint=hint),
        Box(0, slant, depth, height, role, hint=hint),
    )
    return Solid(depth + slant, height + slant, shapes, (0, slant, depth, height), side)


def moved(shape: Box | Polygon, x: float, y: float) -> Box | Polygon:
    """The shape, shifted."""
    if isinstance(shape, Box):
        return shape._replace(x=shape.x + x, y=shape.y + y)
    return shape._replace(points=tuple((px + x, py + y) for px, py in shape.points))


def window_on(face: tuple[Point, ...], share: tuple[float, float]) -> tuple[Point, ...]:
    """The corners of a window in the middle of a face that takes up this share of its height and width."""
    (ax, ay), (bx, by), _, (dx, dy) = face
    high, wide = (min(part, 1.0) for part in share)

    def at(u: float, v: float) -> Point:
        return ax + u * (bx - ax) + v * (dx - ax), ay + u * (by - ay) + v * (dy - ay)

    left, top = (1 - wide) / 2, (1 - high) / 2
    return at(left, top), at(left + wide, top), at(left + wide, top + high), at(left, top + high)
