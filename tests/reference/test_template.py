"""Template matching against plain loops, and against scikit-image where it is installed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from cnnc.core.arrays import Array
from cnnc.reference.template import best_match, normalized_correlation


def loops(image: NDArray[np.uint8], patch: NDArray[np.uint8]) -> Array:
    """The formula of Lewis 1995 for each position, one pixel at a time; 0 where it divides by 0."""
    channels, height, width = patch.shape
    scores = np.zeros((image.shape[1] - height + 1, image.shape[2] - width + 1))
    for u, v in np.ndindex(*scores.shape):
        covariance = f_variance = t_variance = 0.0
        for c in range(channels):
            f = [float(image[c, u + i, v + j]) for i in range(height) for j in range(width)]
            t = [float(patch[c, i, j]) for i in range(height) for j in range(width)]
            f_mean, t_mean = math.fsum(f) / len(f), math.fsum(t) / len(t)
            covariance += math.fsum((a - f_mean) * (b - t_mean) for a, b in zip(f, t, strict=True))
            f_variance += math.fsum((a - f_mean) ** 2 for a in f)
            t_variance += math.fsum((b - t_mean) ** 2 for b in t)
        if f_variance > 1e-9 and t_variance > 1e-9:
            scores[u, v] = covariance / math.sqrt(f_variance * t_variance)
    return scores


def random_image(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize(
    ("image", "patch"),
    [((1, 9, 11), (1, 3, 4)), ((3, 7, 6), (3, 2, 5)), ((1, 5, 5), (1, 5, 5)), ((3, 6, 4), (3, 1, 2))],
)
def test_scores_are_the_formula(image: tuple[int, ...], patch: tuple[int, ...]) -> None:
    x, t = random_image(*image), random_image(*patch, seed=1)
    np.testing.assert_allclose(normalized_correlation(x, t), loops(x, t), rtol=0, atol=1e-12)


def test_a_patch_of_the_image_is_found_where_it_was_cut() -> None:
    image = random_image(3, 40, 50)
    scores = normalized_correlation(image, image[:, 12:20, 31:44])
    assert best_match(scores) == (12, 31)
    assert scores[12, 31] == pytest.approx(1, abs=1e-12)
    assert np.partition(scores.ravel(), -2)[-2] < 0.9


def test_brightness_and_contrast_do_not_matter_and_a_negative_scores_minus_one() -> None:
    image = random_image(1, 20, 20) // 4 + 10
    patch = image[:, 3:9, 5:12]
    for changed, score in ((patch * 3 + 7, 1), (255 - patch * 2, -1)):
        assert normalized_correlation(image, changed)[3, 5] == pytest.approx(score, abs=1e-12)


def test_a_constant_window_scores_0() -> None:
    image = random_image(1, 12, 12)
    image[:, 2:7, 3:9] = 255
    scores = normalized_correlation(image, random_image(1, 3, 3, seed=2))
    assert (scores[2:5, 3:7] == 0).all()
    assert (scores != 0).sum() > 50
    assert (normalized_correlation(image, np.full((1, 3, 3), 9, np.uint8)) == 0).all()


def test_sums_are_exact_for_a_large_patch_that_hardly_varies() -> None:
    """With running sums in floats, the variance of such a window would be lost."""
    patch = np.full((1, 150, 150), 254, np.uint8)
    patch[0, 70, 80] = 255
    image = np.full((1, 200, 200), 254, np.uint8)
    image[0, 95, 101] = 255
    scores = normalized_correlation(image, patch)
    assert best_match(scores) == (25, 21)
    assert scores[25, 21] == pytest.approx(1, abs=1e-12)
    assert scores[0, 0] == pytest.approx(loops(image[:, :150, :150], patch)[0, 0], abs=1e-12)


def test_the_first_of_equal_matches_counts() -> None:
    image = np.tile(random_image(1, 4, 4), (1, 3, 3))
    assert best_match(normalized_correlation(image, image[:, :4, :4])) == (0, 0)


def test_scores_equal_those_of_scikit_image() -> None:
    feature = pytest.importorskip("skimage.feature")
    image, patch = random_image(1, 30, 40), random_image(1, 7, 5, seed=1)
    expected = feature.match_template(image[0].astype(float), patch[0].astype(float))
    np.testing.assert_allclose(normalized_correlation(image, patch), expected, rtol=0, atol=1e-9)
