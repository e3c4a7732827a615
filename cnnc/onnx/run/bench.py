"""Benchmark of a model on this machine.

Input: a model file, a batch size, sizes for its symbols. Output: `Bench`, measured with random input that the model
accepts. Calls run one after another, as in a program that waits for each result.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnnc.core.arrays import Array
from cnnc.core.process_memory import peak_process_memory
from cnnc.core.random_streams import Stream
from cnnc.data.prediction_inputs import InputSpec
from cnnc.diagnostics import CnncError
from cnnc.onnx.run.needs import require_run_within_limits
from cnnc.onnx.run.predictions import model_inputs
from cnnc.onnx.run.provider import Provider
from cnnc.onnx.run.session import Session, open_model, short_name

_DEFAULT_SIZE = 224  # of a symbol without a given size, or the closest legal size
MAX_FEED_BYTES = 2**34
"""The most bytes of one input."""

_MIN_CALLS = 5  # however long they take


class Bench(NamedTuple):
    """Latencies of a call in seconds (percentiles), and throughput in examples per second.

    `nodes` is the number of nodes of the optimized model that each provider runs; `load` is the loading time in seconds;
    `peak_memory` is the peak memory of the process in bytes.
    """

    model: str
    provider: str
    nodes: Mapping[str, int]
    batch: int
    threads: int
    shapes: Mapping[str, tuple[int, ...]]
    load: float
    calls: int
    p50: float
    p90: float
    p99: float
    throughput: float
    peak_memory: int


def bench(
    path: Path,
    *,
    batch: int | None = None,
    threads: int = 0,
    provider: Provider = "auto",
    seconds: float = 3.0,
    warmup: int = 10,
    sizes: Mapping[str, int] | None = None,
) -> Bench:
    """Measures calls for `seconds` (at least five calls), after `warmup` calls that are not measured.

    `sizes` are those of the model's symbols. Raises CnncError E010 for a batch size or sizes that the model does not take,
    and those of `open_model` and `Session.run`.
    """
    begun = time.perf_counter()
    session = open_model(path, provider, threads=threads)
    load = time.perf_counter() - begun
    batch = _batch(session, batch)
    feeds = random_feeds(session, batch, sizes or {})
    for _ in range(warmup):
        session.run(feeds)
    latencies: list[float] = []
    begun = time.perf_counter()
    while len(latencies) < _MIN_CALLS or time.perf_counter() - begun < seconds:
        start = time.perf_counter()
        session.run(feeds)
        latencies.append(time.perf_counter() - start)
    p50, p90, p99 = (float(p) for p in np.percentile(latencies, (50, 90, 99)))
    peak, runs_on, shapes = peak_process_memory(), session.provider, {name: feeds[name].shape for name in feeds}
    del session  # before the profile loads the model again
    return Bench(
        model=str(path),
        provider=runs_on,
        nodes=nodes_by_provider(path, provider, feeds),
        batch=batch,
        threads=threads,
        shapes=shapes,
        load=load,
        calls=len(latencies),
        p50=p50,
        p90=p90,
        p99=p99,
        throughput=batch * len(latencies) / sum(latencies),
        peak_memory=peak,
    )


def nodes_by_provider(path: Path, provider: Provider, feeds: Mapping[str, Array]) -> dict[str, int]:
    """How many nodes of the optimized model each provider runs, from a profile of one call; most first."""
    with tempfile.TemporaryDirectory(prefix="cnnc-") as folder:
        session = open_model(path, provider, profile=str(Path(folder) / "profile"))
        session.run(feeds)
        events = json.loads(session.end_profile().read_bytes())
    ran = {(e["args"]["node_index"], e["args"]["provider"]) for e in events if _is_node(e)}
    return dict(Counter(short_name(provider) for _, provider in ran).most_common())


def _is_node(event: Mapping[str, Any]) -> bool:
    return event.get("cat") == "Node" and {"provider", "node_index"} <= event.get("args", {}).keys()


def _batch(session: Session, requested: int | None) -> int:
    """The batch size to run. Raises CnncError E010 where the model takes another one only."""
    if session.batch and requested not in (None, session.batch):
        raise CnncError.of("E010", f"{session.name} takes batches of {session.batch} only", help="leave --batch out")
    return session.batch or requested or 1


def random_feeds(session: Session, batch: int, sizes: Mapping[str, int], seed: int = 0) -> dict[str, Array]:
    """Random feeds: 0..255 for bytes, 0..1 for floats, indices within the vocabulary for integers.

    Raises CnncError E010 for a size that the model does not have, that is not legal, or that is needed and missing, E904 for
    inputs that are too large.
    """
    known = model_inputs(session)
    symbols = {size for entry in known for size in entry.shape if isinstance(size, str)}
    unknown = next((name for name in sizes if name not in symbols), None)
    if unknown is not None:
        help = f"its symbols are {', '.join(sorted(symbols))}" if symbols else "all its sizes are fixed"
        raise CnncError.of("E010", f"--size: {session.name} has no size `{unknown}`", help=help)
    random = np.random.default_rng(Stream.BENCH_INPUTS.key(seed))
    shapes: dict[str, tuple[int, ...]] = {}
    for entry in known:
        shape = (batch, *(s if isinstance(s, int) else _size(entry, s, sizes) for s in entry.shape))
        if 8 * math.prod(shape) > MAX_FEED_BYTES:
            needed = "x".join(map(str, shape))
            raise CnncError.of(
                "E904", f"the input {entry.name} of {session.name} would be {needed}", help="try smaller sizes"
            )
        shapes[entry.name] = shape
    if session.outline is not None:
        require_run_within_limits(session.outline, session.name, shapes)
    return {
        entry.name: _draw(random, entry, shapes[entry.name]).astype(session.inputs[entry.name].dtype) for entry in known
    }


def _draw(random: np.random.Generator, entry: InputSpec, shape: tuple[int, ...]) -> Array:
    if entry.dtype == "uint8":
        return random.integers(0, 256, shape)
    if entry.takes_integers:  # without metadata, 0 is the only index that is surely valid
        return random.integers(0, (entry.largest or 0) + 1, shape)
    return random.random(shape, np.float32)


def _size(entry: InputSpec, symbol: str, sizes: Mapping[str, int]) -> int:
    """The size of a symbol: that in `sizes`, else the legal size closest to the default. Raises CnncError E010."""
    rule = entry.legal.get(symbol)
    if symbol not in sizes:
        if rule is None:
            raise CnncError.of("E010", f"the size {symbol} of {entry.name} is not fixed", help=f"`--size {symbol}=224`")
        return rule.closest(_DEFAULT_SIZE) or _DEFAULT_SIZE
    if rule is not None and not rule.allows(sizes[symbol]):
        near = " or ".join(f"`--size {symbol}={n}`" for n in rule.neighbours(sizes[symbol]) if n is not None)
        raise CnncError.of("E010", f"the network is not legal at {symbol}={sizes[symbol]} ({rule})", help=near)
    return sizes[symbol]
