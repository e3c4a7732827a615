"""`cnnc bench`: how fast a model runs here, and how much memory that takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cnnc.cli.check import sizes_at
from cnnc.cli.console import say, tell
from cnnc.cli.predict import PROVIDER, ProviderChoice


def bench(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="An ONNX model.")],
    batch: Annotated[int | None, typer.Option("--batch", min=1, help="Examples a call (1).")] = None,
    threads: Annotated[int, typer.Option("--threads", min=0, help="Threads of onnxruntime (0: as it likes).")] = 0,
    provider: PROVIDER = ProviderChoice.auto,
    seconds: Annotated[float, typer.Option("--seconds", min=0.0, help="How long to measure.")] = 3.0,
    warmup: Annotated[int, typer.Option("--warmup", min=0, help="Calls before that.")] = 10,
    sizes: Annotated[
        list[str] | None, typer.Option("--size", metavar="H=224,W=224", help="Sizes for the model's symbols.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object; times in seconds.")] = False,
) -> None:
    """Measure latency, throughput, load time and memory of a model on random input."""
    from cnnc.onnx.run.bench import bench as measure
    from cnnc.report.table import human_bytes

    wanted = sizes_at(sizes or [], "--size")
    tell(f"measuring for {seconds:g} s")
    found = measure(
        model,
        batch=batch,
        threads=threads,
        provider=provider.value,
        seconds=seconds,
        warmup=warmup,
        sizes=wanted,
    )
    if json:
        from json import dumps

        say(dumps(found._asdict()))
        return
    ran = ", ".join(f"{count} on {name}" for name, count in found.nodes.items())
    shapes = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in found.shapes.items())
    with_threads = f", {found.threads} thread{'s' if found.threads != 1 else ''}" if found.threads else ""
    say(f"{found.model} on {found.provider}{with_threads}; {shapes}")
    say(f"  latency     p50 {_ms(found.p50)}, p90 {_ms(found.p90)}, p99 {_ms(found.p99)} of {found.calls:,} calls")
    say(f"  throughput  {found.throughput:,.0f} examples/s at batch {found.batch}")
    say(f"  load        {_ms(found.load)}")
    say(f"  memory      {human_bytes(found.peak_memory)} at most, the whole process")
    say(f"  nodes       {ran} after optimization")


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms"
