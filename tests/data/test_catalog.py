"""The arguments of `data` stand in several tables: each has all of them, and an untrusted value is dropped."""

from __future__ import annotations

from typing import Any

import pytest

from cnnc.data import Request
from cnnc.data.catalog import _VALID, DESCRIBES, OPTIONS, READ_FROM_FILES, checked_options
from cnnc.recipe.statements import Data

GIVEN: dict[str, Any] = {
    "label": ("a", -1),
    "index": (2,),
    "header": False,
    "decimal": "comma",
    "rate": 8000,
    "seconds": 0.5,
    "background": "grey",
    "range": (0.0, 4095.0),
    "labels": "labels.csv",
    "masks": "masks",
    "colours": ("#000000",),
    "classes": ("cat",),
}


def test_every_argument_is_in_every_table() -> None:
    assert set(OPTIONS) == set(_VALID) == set(GIVEN)
    assert set(OPTIONS) <= {spec.name for spec in Data.arguments}
    assert set(DESCRIBES) <= set(OPTIONS)
    assert {kind for kinds in OPTIONS.values() for kind in kinds} <= set(READ_FROM_FILES)


def test_readers_get_every_argument() -> None:
    options = Data(name="images", path="photos", val=0.1, test=0.1, sampling=None, **GIVEN).reader_options
    assert sorted(map(str, options.values())) == sorted(map(str, GIVEN.values()))
    request = Request(**options)
    assert {name: getattr(request, name) for name in options} == options


@pytest.mark.parametrize("name", OPTIONS)
def test_a_value_of_another_type_is_dropped(name: str) -> None:
    as_json = list(value) if isinstance(value := GIVEN[name], tuple) else value
    assert checked_options({name: as_json}) == {name: value}
    others: list[Any] = [{}, [], [[]], -2.5, float("nan"), 10**400, [float("inf"), 1], 1 if name == "header" else True]
    for wrong in others:
        if not (wrong == [] and name in ("colours", "classes")):
            assert checked_options({name: wrong}) == {}
