"""The limits and defaults of `cnnc demo`."""

EXAMPLES = 20
"""Test examples in a page that runs a model, where the user does not say how many."""

TRAINING_EXAMPLES = 2000
"""Training examples in a page that trains."""

MAX_MODEL_BYTES = 1 << 28
"""The largest model in a page: a browser holds it several times."""

SLOW_MACS = 2 * 10**9
"""The multiply-adds of an example from which on a browser takes seconds for it."""
