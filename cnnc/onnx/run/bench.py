"""How fast a model runs here.

In: a model's file, a batch, sizes for its symbols. Out: `Bench`, measured over random input that the model accepts. One
call at a time, as a program that waits for its answer makes them.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnnc.core.arrays import Array
from cnnc.core.process_memory import peak_process_memory
from cnnc.data.prediction_inputs import InputSpec
from cnnc.diagnostics import CnncError
from cnnc.onnx.run.predictions import entries
from cnnc.onnx.run.session import Provider, Session, open_model, short_name

_USUAL = 224  # the size of a symbol that nobody gave, or the legal one next to it
_FEWEST = 5  # calls, however long they take


class Bench(NamedTuple):
    """Latencies of a call in seconds, and examples a second.

    `nodes` says how many each provider runs after optimization; `peak_memory` is the most that the process held, in
    bytes.
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
    """Measures calls for so many seconds (five calls at least), after `warmup` calls that do not count.

    Raises CnncError E010 for a batch or sizes that the model does not take, E604, E901, E905.
    """
    begun = time.perf_counter()
    session = open_model(path, provider, threads=threads)
    load = time.perf_counter() - begun
    batch = _batch(session, batch)
    feeds = random_feeds(session, batch, sizes or {})
    for _ in range(warmup):
        session.run(feeds)
    taken: list[float] = []
    begun = time.perf_counter()
    while len(taken) < _FEWEST or time.perf_counter() - begun < seconds:
        start = time.perf_counter()
        session.run(feeds)
        taken.append(time.perf_counter() - start)
    p50, p90, p99 = (float(p) for p in np.percentile(taken, (50, 90, 99)))
    peak = peak_process_memory()
    return Bench(
        model=str(path),
        provider=session.provider,
        nodes=assigned(path, provider, feeds),
        batch=batch,
        threads=threads,
        shapes={name: values.shape for name, values in feeds.items()},
        load=load,
        calls=len(taken),
        p50=p50,
        p90=p90,
        p99=p99,
        throughput=batch * len(taken) / sum(taken),
        peak_memory=peak,
    )


def assigned(path: Path, provider: Provider, feeds: Mapping[str, Array]) -> dict[str, int]:
    """How many nodes of the optimized model each provider runs, as a profile of one call tells; most first."""
    with tempfile.TemporaryDirectory(prefix="cnnc-") as folder:
        session = Session(path, str(path), provider, profile=str(Path(folder) / "profile"))
        session.run(feeds)
        events = json.loads(session.end_profile().read_bytes())
    ran = {(e["args"]["node_index"], e["args"]["provider"]) for e in events if _is_node(e)}
    return dict(Counter(short_name(provider) for _, provider in ran).most_common())


def _is_node(event: Mapping[str, Any]) -> bool:
    return event.get("cat") == "Node" and {"provider", "node_index"} <= event.get("args", {}).keys()


def _batch(session: Session, wanted: int | None) -> int:
    if session.batch and wanted not in (None, session.batch):
        raise CnncError.of("E010", f"{session.name} takes batches of {session.batch} only", help="leave --batch out")
    return session.batch or wanted or 1


def random_feeds(session: Session, batch: int, sizes: Mapping[str, int], seed: int = 0) -> dict[str, Array]:
    """Random input: 0..255 for bytes, 0..1 for floats, integers that the model knows. Raises CnncError E010."""
    known = entries(session)
    symbols = {size for entry in known for size in entry.shape if isinstance(size, str)}
    unknown = next((name for name in sizes if name not in symbols), None)
    if unknown is not None:
        help = f"its symbols are {', '.join(sorted(symbols))}" if symbols else "all its sizes are fixed"
        raise CnncError.of("E010", f"--size: {session.name} has no size `{unknown}`", help=help)
    random = np.random.default_rng(seed)
    feeds = {}
    for entry in known:
        shape = (batch, *(s if isinstance(s, int) else _size(entry, s, sizes) for s in entry.shape))
        feeds[entry.name] = _draw(random, entry, shape).astype(session.inputs[entry.name].dtype)
    return feeds


def _draw(random: np.random.Generator, entry: InputSpec, shape: tuple[int, ...]) -> Array:
    if entry.dtype == "uint8":
        return random.integers(0, 256, shape)
    if entry.dtype == "int64":  # of a stranger's integers 0 is the one that is surely known
        return random.integers(0, (entry.largest or 0) + 1, shape)
    return random.random(shape, np.float32)


def _size(entry: InputSpec, symbol: str, sizes: Mapping[str, int]) -> int:
    rule = entry.legal.get(symbol)
    if symbol not in sizes:
        if rule is None:
            raise CnncError.of("E010", f"the size {symbol} of {entry.name} is open", help=f"`--size {symbol}=224`")
        return rule.closest(_USUAL) or _USUAL
    if rule is not None and not rule.holds(sizes[symbol]):
        near = " and ".join(f"{symbol}={n}" for n in rule.near(sizes[symbol]) if n is not None)
        raise CnncError.of("E010", f"the network is not legal at {symbol}={sizes[symbol]} ({rule})", help=f"{near} fit")
    return sizes[symbol]
