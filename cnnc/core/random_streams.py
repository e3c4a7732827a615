"""The named streams of random numbers: `Stream`, whose keys seed NumPy's generators.

In: the seed of a run or command, and what the numbers are for: an epoch, a step, a layer. Out: a key for
`numpy.random.default_rng`. Equal keys give equal numbers, and no two streams share a key. Loads no NumPy.

    order = np.random.default_rng(Stream.SHUFFLE.key(seed, epoch)).permutation(count)

NumPy pads a key with zeros ([seed, 4] seeds the same generator as [seed, 4, 0, 0]), so the number of the stream stands
right after the seed and is never 0 for two of them. Numbers of streams that training uses never change: a run resumes
bit-identically.
"""

from __future__ import annotations

from enum import IntEnum


class Stream(IntEnum):
    """What random numbers are for; the comment tells what the key adds to the seed.

    A stream of names, such as INITIAL_WEIGHTS, has the number 0 and no number in its key: names are never empty and
    begin with a letter or an underscore, so their first byte is above every number here.
    """

    INITIAL_WEIGHTS = 0  # the name of the parameter
    SHUFFLE = 1  # the epoch
    LAYERS = 2  # the epoch, the step, the name of the layer: dropout and the like
    VALIDATION_SPLIT = 3
    AUGMENTATION = 4  # the epoch, the step
    TEST_SPLIT = 16  # the number of the class
    CALIBRATION = 17  # examples for int8 and float16
    DIVERGENCE = 18  # the name of the layer: dropout in the search for a layer that is not finite
    VERIFY_WEIGHTS = 19  # the name of the parameter
    VERIFY_INPUTS = 20
    BENCH_INPUTS = 21
    OPERATOR_ERRORS = 22  # the name of the layer; the seed is the number of the sample
    ASCENT = 23  # noise and shifts of inputs that maximize a channel
    VERIFY_TARGETS = 24  # the step: random targets that an exported training step is compared on
    STEP_SEED = 25  # the epoch, the step: the seed of the random numbers in a step graph
    DEMO_INPUTS = 26  # inputs of a demo page without a data set
    BALANCED_SAMPLING = 27  # the epoch: which examples of each class it takes, and in which order
    NEAR_DUPLICATES = 28  # the order in which images are compared
    NUDGES = 29  # the name of the parameter: last places of weights, in the proof of a training step

    def key(self, seed: int, *parts: int | str) -> list[int]:
        """The key of a generator; names enter as their bytes."""
        words = [word for part in parts for word in (part.encode() if isinstance(part, str) else (part,))]
        return [seed, *([self.value] if self else []), *words]
