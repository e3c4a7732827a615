"""The memory estimate assumes what the NumPy engine does."""

from __future__ import annotations

from cnnc.graph.analysis import FRESH_OUTPUT
from cnnc.reference import engine, registry


def test_relus_overwrite_the_same_outputs_in_the_estimate_and_in_the_engine() -> None:
    """A layer whose forward function has `fresh_output=True` belongs into both."""
    assert engine.FAMILIES  # imported for the tables that they fill
    assert set(FRESH_OUTPUT) == {op for op, traits in registry.TRAITS.items() if traits.fresh_output}, (
        "make graph.analysis.FRESH_OUTPUT equal to fresh_output=True"
    )
