"""Scores of classes as probabilities.

In: scores (N, classes, 1, ...), whether they are probabilities already. Out: probabilities (N, classes) in float64.

    class_probabilities(np.array([[0.0, 0.0]]))     # [[0.5, 0.5]]
"""

from __future__ import annotations

import numpy as np

from cnnc.core.arrays import Array

NO_CLASS = "no class: the scores are not finite"
"""What is said about an example whose scores hold NaN or infinity."""


def class_probabilities(scores: Array, are_probabilities: bool | None = None) -> Array:
    """The softmax of the scores, or the scores if they are probabilities; a row with NaN or infinity becomes NaN.

    -infinity is the score of an impossible class. None decides by the numbers: scores that are negative or do not sum to
    1 within 1e-3 are not probabilities.
    """
    flat = scores.reshape(len(scores), -1).astype(np.float64)
    is_usable = (flat < np.inf).all(-1) & (flat > -np.inf).any(-1)
    usable = flat[is_usable]
    if are_probabilities is None:
        are_probabilities = not (usable < 0).any() and np.allclose(usable.sum(-1), 1, atol=1e-3)
    if not are_probabilities:
        usable = np.exp(usable - usable.max(-1, keepdims=True))
        usable /= usable.sum(-1, keepdims=True)
    probabilities = np.full_like(flat, np.nan)
    probabilities[is_usable] = usable
    return probabilities
