"""Shows where bends, arrowheads and markers lie."""

from __future__ import annotations

from math import hypot

import pytest

from cnnc.view.drawing import Edge, Marker, MarkerForm
from cnnc.view.geometry import arrowhead, bends, marker_points, polyline

CORNER = ((0.0, 0.0), (40.0, 0.0), (40.0, 30.0))


def test_a_bend_cuts_the_corner() -> None:
    (bend,) = bends(Edge(CORNER, corner=10))
    assert bend == ((30, 0), (40, 0), (40, 10))
    assert bends(Edge(CORNER))[0] == ((40, 0), (40, 0), (40, 0))


def test_neighbouring_bends_do_not_meet() -> None:
    """The radius is at most half of the shorter leg."""
    first, second = bends(Edge(((0, 0), (40, 0), (40, 6), (80, 6)), corner=10))
    assert first.end == second.start == (40, 3)


def test_a_polyline_stays_near_the_edge() -> None:
    points = polyline(Edge(CORNER, corner=10))
    assert points[0] == (0, 0)
    assert points[-1] == (40, 30)
    assert all(x <= 40 and y >= 0 for x, y in points)
    assert min(hypot(40 - x, y) for x, y in points) == pytest.approx(2.5 * 2**0.5)


def test_an_arrow_ends_at_its_tip() -> None:
    """The line stops within the head, even if the last leg is shorter than it."""
    tip, left, right = arrowhead(Edge(((0, 0), (50, 0)), arrow=True))
    assert (tip, left, right) == ((50, 0), (42, 4), (42, -4))
    assert polyline(Edge(((0, 0), (50, 0)), arrow=True))[-1] == (46, 0)
    assert polyline(Edge(((0, 0), (47, 0), (50, 0)), arrow=True))[-1] == (48.5, 0)
    assert arrowhead(Edge(((5, 5), (5, 5)), arrow=True))[0] == (5, 5)


@pytest.mark.parametrize(("form", "corners"), [("circle", 0), ("square", 4), ("triangle", 3), ("diamond", 4)])
def test_markers(form: MarkerForm, corners: int) -> None:
    points = marker_points(Marker(10, 10, form, size=10))
    assert len(points) == corners
    assert all(3 <= x <= 17 and 3 <= y <= 17 for x, y in points)
