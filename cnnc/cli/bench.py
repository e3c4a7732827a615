"""`cnnc bench`: measures how fast a model runs on this machine, and how much memory it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cnnc.cli.console import print_json, print_result, print_status
from cnnc.cli.options import (
    MAX_MEMORY,
    MAX_PARAMETERS,
    PROVIDER,
    ProviderChoice,
    json_option,
    parse_sizes,
    sizes_option,
)
from cnnc.diagnostics import one_line


def bench(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="An ONNX model.")],
    batch: Annotated[int | None, typer.Option("--batch", min=1, help="Examples per call (default: 1).")] = None,
    threads: Annotated[
        int, typer.Option("--threads", min=0, max=1024, help="Threads of onnxruntime; 0 lets it choose.")
    ] = 0,
    provider: PROVIDER = ProviderChoice.auto,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.0, help="Duration of the measurement, in seconds.")
    ] = 3.0,
    warmup: Annotated[int, typer.Option("--warmup", min=0, help="Calls before the measurement starts.")] = 10,
    sizes: Annotated[list[str] | None, sizes_option("Measure at this size", "--size")] = None,
    json: Annotated[bool, json_option("the measurements as a JSON object, times in seconds")] = False,
    max_memory: MAX_MEMORY = None,
    max_params: MAX_PARAMETERS = None,
) -> None:
    """Measure a model on random input: latency, throughput, load time and memory."""
    from cnnc.api.prediction import bench as measure
    from cnnc.core.limits import human_bytes
    from cnnc.onnx.run.inspect import require_model

    require_model(model)
    size_of_symbol = parse_sizes(sizes, "--size")
    print_status(f"measuring for {seconds:g} s")
    result = measure(
        model,
        batch=batch,
        threads=threads,
        provider=provider.value,
        seconds=seconds,
        warmup=warmup,
        sizes=size_of_symbol,
    )
    if json:
        print_json(result._asdict(), indent=None)
        return
    ran = ", ".join(f"{count} on {name}" for name, count in result.nodes.items())
    shapes = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in result.shapes.items())
    with_threads = f", {result.threads} thread{'s' if result.threads != 1 else ''}" if result.threads else ""
    print_result(one_line(f"{result.model} on {result.provider}{with_threads}; {shapes}"))
    print_result(
        f"  latency     p50 {_ms(result.p50)}, p90 {_ms(result.p90)}, p99 {_ms(result.p99)} of {result.calls:,} calls"
    )
    print_result(f"  throughput  {result.throughput:,.0f} examples/s at batch {result.batch}")
    print_result(f"  load        {_ms(result.load)}")
    print_result(f"  memory      {human_bytes(result.peak_memory)}, peak of the process")
    print_result(f"  nodes       {ran} after optimization")


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms"
