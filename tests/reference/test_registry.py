"""The tables of layers: who fills them, and what they say of each layer."""

from __future__ import annotations

import pytest

from cnnc.ops import OPS
from cnnc.ops.activation import Dropout, Relu
from cnnc.ops.conv import Conv
from cnnc.ops.dense import Input
from cnnc.ops.norm import BatchNorm
from cnnc.reference import engine, registry
from cnnc.reference.registry import Traits, traits_of
from tests.test_architecture import cnnc_imports


@pytest.mark.long
def test_layers_and_kernels_do_not_import_what_runs_them() -> None:
    """A layer module knows the registry and the kernels; the engine and the worker processes know the layers."""
    layers = {module.__name__ for module in engine.FAMILIES}
    below = [i for i in cnnc_imports() if i.module in layers or i.module.startswith("cnnc.reference.kernels.")]
    assert {i.module for i in below} >= layers
    above = ("cnnc.reference.engine", "cnnc.reference.parallel")
    assert [str(i) for i in below if i.target.startswith(above)] == []


def test_every_forward_function_has_traits() -> None:
    assert registry.TRAITS.keys() == registry.FORWARD.keys()
    assert registry.TRAITS[Conv] == Traits(fresh_output=True)
    assert registry.TRAITS[Dropout] == Traits(uses_rng=True)
    assert registry.TRAITS[BatchNorm] == Traits(fresh_output=True, needs_batch_sums=True)
    assert registry.TRAITS[Relu] == Traits()


def test_an_input_has_no_traits_and_no_functions() -> None:
    assert OPS["input"] is Input
    assert Input not in registry.FORWARD
    assert traits_of(Input.make(shape=(3, 4, 4))) == Traits()
