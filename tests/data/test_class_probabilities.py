"""Scores as probabilities, for models and for networks."""

from __future__ import annotations

import numpy as np

from cnnc.data.class_probabilities import class_probabilities


def test_scores_become_probabilities_once() -> None:
    scores = np.array([[1.0, 3.0, 2.0], [1000.0, 999.0, -np.inf]], np.float32)
    expected = np.exp([[1, 3, 2]]) / np.exp([1, 3, 2]).sum()
    found = class_probabilities(scores.reshape(2, 3, 1, 1))
    np.testing.assert_allclose(found[:1], expected, rtol=1e-12)
    np.testing.assert_allclose(found[1], [1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1)), 0], rtol=1e-12)
    np.testing.assert_array_equal(class_probabilities(found), found)
    np.testing.assert_allclose(class_probabilities(np.log(expected)), expected, rtol=1e-12)


def test_scores_that_sum_to_one_are_scores_if_that_is_known() -> None:
    scores = np.array([[0.25, 0.75]])
    np.testing.assert_array_equal(class_probabilities(scores), scores)
    np.testing.assert_allclose(class_probabilities(scores, False)[0, 0], 1 / (1 + np.exp(0.5)), rtol=1e-12)


def test_a_row_that_is_not_finite_is_nan_and_leaves_the_others() -> None:
    rows = np.array([[np.nan, 1], [np.inf, 1], [-np.inf, -np.inf], [0.5, 0.5]])
    found = class_probabilities(rows)
    assert np.isnan(found[:3]).all()
    assert found[3].tolist() == [0.5, 0.5]
