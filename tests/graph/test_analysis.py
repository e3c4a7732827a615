"""The memory estimate assumes what the NumPy engine does."""

from __future__ import annotations

from cnnc import check
from cnnc.graph.analysis import FRESH_OUTPUT, receptive_fields
from cnnc.reference import engine, registry


def test_relus_overwrite_the_same_outputs_in_the_estimate_and_in_the_engine() -> None:
    """A layer whose forward function has `fresh_output=True` belongs into both."""
    assert engine.FAMILIES  # imported for the tables that they fill
    assert set(FRESH_OUTPUT) == {op for op, traits in registry.TRAITS.items() if traits.fresh_output}, (
        "make graph.analysis.FRESH_OUTPUT equal to fresh_output=True"
    )


def test_a_field_does_not_grow_behind_a_vector() -> None:
    """All positions that are reshaped from a vector depend on the same elements; so does whatever reads them."""
    layers = "conv 2 k=3\nfc 64\nreshape 1x8x8\nconv 2 k=3\nupsample 2\nconv 2 k=3 s=2"
    fields = receptive_fields(check(f"input 1x8x8\n{layers}").require_graph())
    assert [field.size for field in fields["conv1"]] == [3, 3]
    for name in ("fc1", "reshape1", "conv2", "upsample1", "conv3"):
        assert [(field.size, field.first) for field in fields[name]] == [(8, 0), (8, 0)], name
    assert {field.step for field in fields["conv3"]} == {0}


def test_symbolic_sizes_behind_a_vector() -> None:
    """A field with step 0 has no period."""
    network = check("input 3xHxW\nglobal_pool avg\nfc 16\nreshape 1x4x4\nconv 2 k=3\n")
    assert network.symbolic_sizes is not None
    assert network.graph is not None
