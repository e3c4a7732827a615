"""ONNX's own node tests through the importer and the NumPy engine: none may fail or crash.

The counts of passed, failed and refused cases are printed at the end of the test run (tests/conftest.py). A refusal does
not count as passed; its reason must be one of those below.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

import pytest

from tests.onnx.importer.onnx_node_tests import CaseResult, all_cases, covered_cases, run_case

pytestmark = pytest.mark.long

LEAST_PASSED = 170  # with onnx 1.23; older versions have fewer cases
# Kinds of reasons for a refusal. A reason that matches none is a bug, or a kind that is missing here.
REASONS = {
    "element types": r"its elements are|uint8 values are used before|changes the element type",
    "shapes": r"has \d+ axes; an input|no tensor of the shape|one of its sizes is 0|more axes than|adds an axis|output is empty",
    "no batch": r"first axis is not the batch|the batch\b|between examples|transposes its input",
    "other axes": r"works along|joins along|reduces the axes|normalizes the last|varies within|another axis|spatial axes alone"
    r"|not have two axes|to another, which no layer|are not a list|not broadcast to|not have one size|row per integer",
    "computed parameters": r"is not a constant|by a computed tensor|indices are not those",
    "constants alone": r"it is a constant|its input is a constant",
    "no such layer": r"no layer for it|no power other|no minimum of several",
    "no such way": r"in training mode|only its first output|its (alpha|threshold|mode) |tanh approx|column-major|interpolates by"
    r"|not a repetition of each|pads by|is channels last|takes whole factors|not between 0 and|a repetition of|interpolates by|expand|clip needs lo < hi|as many elements",
}


@pytest.fixture(scope="module")
def results() -> list[CaseResult]:
    return [run_case(case) for case in covered_cases()]


def test_no_case_fails_or_crashes(results: list[CaseResult], record_property: Callable[[str, object], None]) -> None:
    count = Counter(result.outcome for result in results)
    counts = {key: count[key] for key in ("passed", "failed", "refused", "crashed")}
    record_property("onnx node tests", {**counts, "not covered": len(all_cases()) - len(results)})
    why = Counter(reason_of(r) for r in results if r.outcome == "refused")
    record_property("refused for", dict(why.most_common()))
    wrong = [r for r in results if r.outcome in ("failed", "crashed")]
    assert wrong == [], "\n".join(f"{r.name} {r.outcome}: {r.error}" for r in wrong)
    assert count["passed"] >= LEAST_PASSED


def test_every_refusal_has_a_known_reason(results: list[CaseResult]) -> None:
    unknown = {r.name: r.reasons for r in results if r.outcome == "refused" and reason_of(r) == "?"}
    assert unknown == {}, "\n".join(f"{name}: {reasons[:1]}" for name, reasons in unknown.items())


def reason_of(result: CaseResult) -> str:
    """The kind of the first reason: of the last try, in which parameters are constants."""
    return next((kind for kind, words in REASONS.items() if re.search(words, result.reasons[0])), "?")


def test_cases_of_every_family_pass(results: list[CaseResult]) -> None:
    """Cases of operators that the language has as layers pass; this names some of each family."""
    passed = {r.name for r in results if r.outcome == "passed"}
    expected = (
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
    missing = [name for name in expected if f"test_{name}" not in passed]
    assert missing == []
