"""ONNX's own node tests through the importer and the NumPy engine: none wrong, none crashing.

The numbers passed, failed and refused are told at the end of the test run (tests/conftest.py). A refusal is
no pass; its reasons are what the language lacks.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

import pytest

from tests.onnx.importer.node_cases import Result, covered, every_case, run

pytestmark = pytest.mark.long

LEAST_PASSED = 170  # with onnx 1.23; fewer cases come with older ones
# What refusals are for; one that fits none of these is a defect, or a line that is missing here.
REASONS = {
    "element types": r"its elements are|bytes are used before|changes the element type",
    "shapes": r"has \d+ axes; the language|no tensor of the shape|a size of it is 0|more axes than|adds an axis|takes nothing",
    "no batch": r"first axis is no batch|the batch\b|from sample|transposes its input",
    "other axes": r"works along|is over the channels|joins along|from place to place|another axis|other axes|not two axes"
    r"|to another, which no layer|are no list|larger than the tensor|its sizes are not",
    "computed parameters": r"is no constant|both computed|divides by what is computed|indices are not those",
    "constants alone": r"it is a constant|works on a constant",
    "no such layer": r"no layer for it|of powers the language|least of several",
    "no such way": r"is in training|only its first output|its (alpha|threshold|mode) |by tanh|columns first|interpolates by"
    r"|takes the nearest element|pads by|expand|clip takes lo below hi|does not fit the number of elements",
}


@pytest.fixture(scope="module")
def results() -> list[Result]:
    return [run(case) for case in covered()]


def test_none_is_wrong_and_none_crashes(results: list[Result], record_property: Callable[[str, object], None]) -> None:
    count = Counter(result.outcome for result in results)
    told = {key: count[key] for key in ("passed", "failed", "refused", "crashed")}
    record_property("onnx node tests", {**told, "not covered": len(every_case()) - len(results)})
    why = Counter(reason_of(r) for r in results if r.outcome == "refused")
    record_property("refused for", dict(why.most_common()))
    assert [r for r in results if r.outcome in ("failed", "crashed")] == []
    assert count["passed"] >= LEAST_PASSED


def test_refusals_have_good_reasons(results: list[Result]) -> None:
    odd = {r.name: r.reasons for r in results if r.outcome == "refused" and reason_of(r) == "?"}
    assert odd == {}


def reason_of(result: Result) -> str:
    """The kind of the first reason; those of the last try, in which parameters are constants, come first."""
    return next((kind for kind, words in REASONS.items() if re.search(words, result.reasons[0])), "?")


def test_whole_families_pass(results: list[Result]) -> None:
    """Not by chance: what the language has as it is passes in all its cases of float32 with a batch."""
    passed = {r.name for r in results if r.outcome == "passed"}
    wanted = (
        "basic_conv_with_padding",
        "conv_with_strides_and_asymmetric_padding",
        "conv_with_autopad_same",
        "convtranspose_output_shape",
        "convtranspose_group_2",
        "averagepool_2d_ceil",
        "averagepool_2d_same_lower",
        "averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_True",
        "maxpool_2d_dilations",
        "maxpool_2d_ceil_output_size_reduce_by_one",
        "lppool_2d_same_upper",
        "globalaveragepool",
        "batchnorm_example",
        "instancenorm_epsilon",
        "group_normalization_example",
        "lrn_default",
        "gemm_default_vector_bias",
        "relu",
        "hardswish",
        "gelu_default_2",
        "selu",
        "depthtospace_crd_mode_example",
        "spacetodepth_example",
        "resize_upsample_scales_nearest",
        "softmax_axis_1",
        "concat_3d_axis_1",
    )
    assert [name for name in wanted if f"test_{name}" not in passed] == []
