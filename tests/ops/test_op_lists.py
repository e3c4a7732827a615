"""Lists of layers that tests and the package keep by hand are complete, and name only layers that exist."""

from __future__ import annotations

import pytest

from cnnc.language import synonyms
from cnnc.language.resolve import LANGUAGE_STATEMENTS
from cnnc.ops import OPS, Op
from cnnc.ops.activation import Activation, LogSoftmax, Prelu, Softmax
from cnnc.ops.merge import Elementwise
from tests.onnx.importer.test_round_trip import MORE, SIMPLER
from tests.op_cases import CASES
from tests.ops.test_layers import LEARNERS
from tests.reference.kinks import MARGINS
from tests.reference.test_layer_formulas import FORMULAS, TORCH
from tests.reference.test_merge_reshape_embed import MERGES

SMOOTH = {
    "add", "affine", "bilinear", "bn", "channel_shuffle", "concat", "conv", "conv_transpose", "crop", "depth_to_space",
    "drop_path", "dropout", "embed", "fc", "filter", "flatten", "gelu", "group_norm", "identity", "input",
    "instance_norm", "layer_norm", "local", "log_softmax", "lrn", "mish", "mul", "normalize", "pad", "reshape", "scale", "select",
    "sigmoid", "silu", "slice", "softmax", "softplus", "space_to_depth", "spectrogram", "sub", "tanh", "upsample",
}  # fmt: skip
"""Layers whose derivative never jumps, by keyword; all others are in `MARGINS`."""


def keywords(texts: object) -> set[str]:
    """The keywords of layers with arguments: `leaky_relu` of `leaky_relu slope=2.5`."""
    assert isinstance(texts, dict)
    return {text.split()[0] for text in texts}


@pytest.mark.parametrize(
    ("name", "listed"),
    [
        ("FORMULAS in tests/reference/test_layer_formulas.py", keywords(FORMULAS)),
        ("TORCH in tests/reference/test_layer_formulas.py", keywords(TORCH)),
        ("MERGES in tests/reference/test_merge_reshape_embed.py", set(MERGES)),
        ("MARGINS in tests/reference/kinks.py", {op.keyword for op in MARGINS}),
        ("LEARNERS in tests/ops/test_layers.py", {row[0] for row in LEARNERS}),
        ("SMOOTH in tests/ops/test_op_lists.py", SMOOTH),
    ],
)
def test_a_list_names_only_layers_that_exist(name: str, listed: set[str]) -> None:
    assert sorted(listed - set(OPS)) == [], f"{name} names layers that do not exist: remove or rename them"


def test_every_layer_has_a_margin_or_is_smooth() -> None:
    kinked = {op.keyword for op in MARGINS}
    assert sorted(set(OPS) - kinked - SMOOTH) == [], (
        "add these to MARGINS in tests/reference/kinks.py if their derivative jumps somewhere, else to SMOOTH here"
    )
    assert sorted(kinked & SMOOTH) == [], "remove these from SMOOTH, for MARGINS says that their derivative jumps"


def slope_jumps(text: str) -> bool:
    """Whether the slopes left and right of a multiple of 1/4 in [-8, 8] differ."""
    formula, step = FORMULAS[text], 1e-6
    for point in (n / 4 for n in range(-32, 33)):
        left, right = formula(point) - formula(point - step), formula(point + step) - formula(point)
        if abs(right - left) / step > 1e-3:
            return True
    return False


def test_activations_have_a_margin_just_if_their_slope_jumps() -> None:
    jumping = {text.split()[0] for text in FORMULAS if slope_jumps(text)}
    assert jumping == {op.keyword for op in MARGINS if issubclass(op, Activation)} - {Prelu.keyword}, (
        "MARGINS in tests/reference/kinks.py needs exactly the activations whose slope jumps"
    )


def test_every_elementwise_activation_has_its_formula() -> None:
    """Except prelu, whose slopes are parameters; softmax and log_softmax read all channels."""
    needed = {k for k, op in OPS.items() if issubclass(op, Activation) and op not in (Softmax, LogSoftmax, Prelu)}
    assert sorted(needed - keywords(FORMULAS)) == [], "add their formulas to FORMULAS in test_layer_formulas.py"


def test_every_elementwise_merge_has_its_formula() -> None:
    assert {k for k, op in OPS.items() if issubclass(op, Elementwise)} == set(MERGES), (
        "MERGES in tests/reference/test_merge_reshape_embed.py needs exactly the elementwise merges"
    )


def test_every_layer_with_init_is_a_learner() -> None:
    def has_init(op: type[Op]) -> bool:
        return any(spec.name == "init" for spec in op.arguments)

    assert {k for k, op in OPS.items() if has_init(op)} == {row[0] for row in LEARNERS}, (
        "LEARNERS in tests/ops/test_layers.py needs exactly the layers with an argument `init`"
    )


@pytest.mark.parametrize("listed", [SIMPLER, MORE], ids=["SIMPLER", "MORE"])
def test_exceptions_of_the_round_trip_are_rows(listed: dict[str, str]) -> None:
    assert sorted(set(listed) - {case.id for case in CASES}) == [], "no row of tests/op_cases.py has this name"


def test_names_of_other_frameworks_lead_to_layers() -> None:
    wrong = {name for name, edit in synonyms._LAYERS.items() if edit.split()[0] not in {*OPS, *LANGUAGE_STATEMENTS}}
    assert sorted(wrong) == [], "synonyms.py offers these names something that is neither a layer nor a statement"
    itself = {"conv"}  # what Conv2D and Conv1d are without their dimensions
    assert sorted(set(synonyms._LAYERS) & set(OPS) - itself) == [], (
        "synonyms.py explains names that are layers themselves"
    )
