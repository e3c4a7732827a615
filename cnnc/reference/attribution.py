"""What one number of a network depends on: gradients by its inputs, occlusion, integrated gradients, and ascent.

In: a graph with weights, and one example. Out: for each float input an array of its shape, channels first. Integers that
are embedded cannot be changed a little: the output of each embedding takes the place of its input.

    explained = differentiable(graph, weights, feeds)
    target = ExplainedElement("fc3", (7,))                       # element 7 of fc3, channels last
    saliency = gradients(explained, explained.feeds, target).inputs["input1"]

The network computes in float64.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from cnnc.core.arrays import Array, Weights
from cnnc.core.random_streams import Stream
from cnnc.graph.graph import Graph
from cnnc.ops.base import Op
from cnnc.ops.sequence import Embed
from cnnc.reference.as_in_inference import as_in_inference, with_input
from cnnc.reference.backward_rules import ACTIVE_RULES
from cnnc.reference.engine import backward, forward
from cnnc.reference.feeds import to_working_dtype
from cnnc.reference.layout import to_channels_first
from cnnc.reference.registry import BACKWARD, Backward

BATCH_ELEMENTS = 16_000_000
"""The most elements of all activations of one batch of runs."""


class Differentiable(NamedTuple):
    """A network as it computes in inference, its feeds of one example in float64, and the feeds that mean nothing.

    The baseline is 0; of an embedding it is the vector of the integer 0, which pads sentences.
    """

    graph: Graph
    weights: Weights
    feeds: dict[str, Array]
    baseline: dict[str, Array]


class ExplainedElement(NamedTuple):
    """One element of the output of a layer: (*position, channel)."""

    layer: str
    place: tuple[int, ...]


class Differentiated(NamedTuple):
    """The target's value for each example of a batch, and its gradients by input, (N, *shape)."""

    values: Array
    inputs: dict[str, Array]


def differentiable(graph: Graph, weights: Mapping[str, Array], feeds: Mapping[str, Array]) -> Differentiable:
    """The network at the sizes of its feeds, which are a batch of one."""
    fixed, fixed_weights = as_in_inference(graph, weights)
    fixed_weights = {name: np.asarray(array, np.float64) for name, array in fixed_weights.items()}
    double = np.dtype(np.float64)
    embeds = [node.name for node in graph.nodes if isinstance(node.op, Embed)]
    zeros = {name: np.zeros_like(batch) for name, batch in feeds.items()}
    given, nothing = (
        {n.name: to_working_dtype(n, each[n.name], double) for n in graph.inputs} for each in (feeds, zeros)
    )
    if embeds:
        vectors, padding = (forward(fixed, fixed_weights, each, outputs=embeds).values for each in (given, nothing))
        for name in embeds:
            given[name], nothing[name] = to_channels_first(vectors[name]), to_channels_first(padding[name])
            fixed = with_input(fixed, name, given[name].shape[1:])
    return Differentiable(fixed, fixed_weights, given, nothing)


def gradients(
    network: Differentiable,
    feeds: Mapping[str, Array],
    target: ExplainedElement | Sequence[ExplainedElement],
    rules: Mapping[type[Op], Backward] = BACKWARD,
    *,
    seeded_by_value: bool = False,
) -> Differentiated:
    """The gradients of the target, or of a target of the same layer for each example of the batch.

    `rules` replace the derivatives of layers; what is propagated begins with 1, or with the value of the target.
    """
    count = len(next(iter(feeds.values())))
    targets = [target] * count if isinstance(target, ExplainedElement) else target
    layer = targets[0].layer
    trace = forward(network.graph, network.weights, feeds, outputs=(layer,), training=True)
    output = trace.values[layer]
    at = tuple(np.array(axis) for axis in zip(*((i, *each.place) for i, each in enumerate(targets)), strict=True))
    values = output[at].copy()
    seed = np.zeros_like(output)
    seed[at] = values if seeded_by_value else 1
    _, inputs = backward(network.graph, network.weights, trace, {layer: seed}, needs_input_gradients=True, rules=rules)
    return Differentiated(values, inputs)


def batch_size(graph: Graph) -> int:
    """How many examples run at once, so that their activations fit into memory."""
    return max(1, min(256, BATCH_ELEMENTS // max(1, graph.total_elements)))


# Integrated gradients


class Integrated(NamedTuple):
    """Integrated gradients by input, (*shape); their sum, and the difference of the outputs that it should be."""

    inputs: dict[str, Array]
    total: float
    difference: float


def integrated_gradients(network: Differentiable, target: ExplainedElement, steps: int) -> Integrated:
    """Sundararajan, Taly & Yan 2017, equation 1, with the midpoints of `steps` equal parts of the straight path."""
    feeds, baseline = network.feeds, network.baseline
    sums: dict[str, Array] = {}
    most = batch_size(network.graph)
    for first in range(0, steps, most):
        parts = (np.arange(first, min(first + most, steps)) + 0.5) / steps
        between = {name: _between(baseline[name], feeds[name], parts) for name in feeds}
        for name, gradient in gradients(network, between, target).inputs.items():
            sums[name] = sums.get(name, 0) + gradient.sum(0)
    maps = {name: total / steps * (feeds[name] - baseline[name])[0] for name, total in sums.items()}
    ends = {name: np.concatenate([baseline[name], feeds[name]]) for name in feeds}
    low, high = target_values(network, ends, target)
    return Integrated(maps, float(sum(array.sum() for array in maps.values())), float(high - low))


def _between(low: Array, high: Array, parts: Array) -> Array:
    if low.dtype.kind in "iu":  # integers that are not embedded stay as they are
        return np.repeat(high, len(parts), 0)
    between: Array = low + parts.reshape(-1, *([1] * (low.ndim - 1))) * (high - low)
    return between


def target_values(network: Differentiable, feeds: Mapping[str, Array], target: ExplainedElement) -> Array:
    """The target for each example of a batch."""
    output = forward(network.graph, network.weights, feeds, outputs=(target.layer,)).values[target.layer]
    values: Array = output.reshape(len(output), -1)[:, np.ravel_multi_index(target.place, output.shape[1:])]
    return values


# Occlusion


class Occlusion(NamedTuple):
    """How much the target falls when patches are replaced by the baseline: for each patch, and the mean at each element.

    `corners` are the first elements of the patches, `drops` what each costs, `map` (*spatial) the mean of the drops of
    the patches that cover an element.
    """

    corners: tuple[tuple[int, ...], ...]
    size: tuple[int, ...]
    drops: Array
    map: Array


def occlusion(
    network: Differentiable, target: ExplainedElement, name: str, size: tuple[int, ...], stride: tuple[int, ...]
) -> Occlusion:
    """Zeiler & Fergus 2013, section 4.2, on one input: all channels of a patch are replaced."""
    x, low = network.feeds[name], network.baseline[name]
    spatial = x.shape[2:]
    starts = [_starts(m, k, s) for m, k, s in zip(spatial, size, stride, strict=True)]
    corners = tuple(tuple(starts[a][i] for a, i in enumerate(at)) for at in np.ndindex(*map(len, starts)))
    whole = float(target_values(network, network.feeds, target)[0])
    drops = []
    most = batch_size(network.graph)
    for first in range(0, len(corners), most):
        some = corners[first : first + most]
        feeds = {other: np.repeat(array, len(some), 0) for other, array in network.feeds.items()}
        for number, corner in enumerate(some):
            patch = _patch(corner, size)
            feeds[name][number][:, *patch] = low[0][:, *patch]
        drops.append(whole - target_values(network, feeds, target))
    drop = np.concatenate(drops)
    total, covers = np.zeros(spatial), np.zeros(spatial)
    for corner, each in zip(corners, drop, strict=True):
        total[_patch(corner, size)] += each
        covers[_patch(corner, size)] += 1
    return Occlusion(corners, size, drop, total / covers)


def _starts(length: int, size: int, stride: int) -> list[int]:
    """Every `stride` elements, and the last patch at the end."""
    return sorted({*range(0, max(length - size, 0) + 1, stride), max(length - size, 0)})


def _patch(corner: tuple[int, ...], size: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(c, c + k) for c, k in zip(corner, size, strict=True))


# Gradient ascent


class Ascent(NamedTuple):
    """How an input is found: `steps` of `rate`, each followed by decay, blur and the bounds; `jitter` shifts by pixels,
    but not in the last quarter.

    A step is along the gradient; its length falls from `rate` to 0 in equal parts. Where the gradient is 0 because no unit
    is active, rectifiers pass it on (as Olah et al. 2017, "Feature Visualization", do in their first steps). The input is
    drawn towards its start by `decay`; in the first half it is blurred by (1, 2, 1)/4 along each axis every `blur_every`
    steps (0: never). `radius` bounds its distance from the
    start; `low` and `high` bound each element.
    """

    steps: int = 256
    rate: float = 0.5
    decay: float = 0.002
    blur_every: int = 8
    jitter: int = 1
    noise: float = 0.1
    radius: float | None = None
    low: float = -np.inf
    high: float = np.inf
    seed: int = 0


def ascend(
    network: Differentiable, targets: Sequence[ExplainedElement], name: str, start: float, how: Ascent
) -> Differentiated:
    """Inputs (N, *shape) in `inputs`, one for each target, and what each target reaches. Other inputs keep their feeds."""
    shape = network.feeds[name].shape[1:]
    random = np.random.default_rng(Stream.ASCENT.key(how.seed))
    x = start + how.noise * np.repeat(random.standard_normal((1, *shape)), len(targets), 0)
    axes = tuple(range(2, len(shape) + 1))
    feeds = {other: np.repeat(array, len(targets), 0) for other, array in network.feeds.items()}
    for step in range(how.steps):
        jitter = how.jitter if step < how.steps * 3 // 4 else 0
        shifts = tuple(int(n) for n in random.integers(-jitter, jitter + 1, len(axes)))
        shifted = np.roll(x, shifts, axes)
        slope = np.roll(_slope(network, {**feeds, name: shifted}, targets, name), [-n for n in shifts], axes)
        x = x + how.rate * (1 - step / how.steps) * slope / (_lengths(slope) + 1e-12)
        x = start + (1 - how.decay) * (x - start)
        if how.blur_every and step % how.blur_every == how.blur_every - 1 and step < how.steps // 2:
            x = _blurred(x, axes)
        if how.radius is not None:
            x = start + (x - start) * np.minimum(1, how.radius / (_lengths(x - start) + 1e-12))
        x = np.clip(x, how.low, how.high)
    return Differentiated(gradients(network, {**feeds, name: x}, targets).values, {name: x})


def _slope(
    network: Differentiable, feeds: Mapping[str, Array], targets: Sequence[ExplainedElement], name: str
) -> Array:
    """The gradient of each target; where it is 0, what it would be if all rectifiers were active."""
    slope = gradients(network, feeds, targets).inputs[name]
    is_zero = _lengths(slope) == 0
    if not is_zero.any():
        return slope
    return np.where(is_zero, gradients(network, feeds, targets, ACTIVE_RULES).inputs[name], slope)


def _lengths(x: Array) -> Array:
    lengths: Array = np.sqrt((x * x).sum(tuple(range(1, x.ndim)), keepdims=True))
    return lengths


def _blurred(x: Array, axes: tuple[int, ...]) -> Array:
    for axis in axes:
        before, after = (np.take(x, np.clip(np.arange(x.shape[axis]) + d, 0, x.shape[axis] - 1), axis) for d in (-1, 1))
        x = (before + 2 * x + after) / 4
    return x


# Activations of many examples


class Strongest(NamedTuple):
    """The largest activations of each channel: values, examples, and positions as flat indices, each (count, C).

    Each example counts once, with its largest activation; the strongest come first.
    """

    values: Array
    examples: Array
    places: Array


def strongest(
    network: tuple[Graph, Mapping[str, Array]], batches: Iterable[dict[str, Array]], layers: Sequence[str], count: int
) -> dict[str, Strongest]:
    """For each channel of these layers the `count` examples with the largest activation."""
    graph, weights = network
    values: dict[str, list[Array]] = {layer: [] for layer in layers}
    places: dict[str, list[Array]] = {layer: [] for layer in layers}
    for feeds in batches:
        outputs = forward(graph, weights, feeds, outputs=layers).values
        for layer in layers:
            output = outputs[layer]
            flat = output.reshape(len(output), -1, output.shape[-1])
            place = flat.argmax(1)
            places[layer].append(place)
            values[layer].append(np.take_along_axis(flat, place[:, None], 1)[:, 0])
    found = {}
    for layer in layers:
        value, place = np.concatenate(values[layer]), np.concatenate(places[layer])
        best = np.argsort(-value, 0, kind="stable")[:count]
        found[layer] = Strongest(np.take_along_axis(value, best, 0), best, np.take_along_axis(place, best, 0))
    return found
