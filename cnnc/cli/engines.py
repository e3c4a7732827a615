"""The options of `cnnc train` that choose what computes the steps, and the engine that they name.

In: the values of --engine, --provider, --device, --precision and --compile, for a resumed run also its checkpoint. Out: an
`Engine`. Raises CnncError E010 for options that do not fit together, E905 and E906 where something is not installed.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from cnnc.cli.console import print_status
from cnnc.cli.options import ProviderChoice
from cnnc.diagnostics import CnncError
from cnnc.training.ranks import ALONE, Ranks

if TYPE_CHECKING:
    from cnnc.training.checkpoint import Checkpoint
    from cnnc.training.run import Engine


class EngineChoice(StrEnum):
    """The values of --engine."""

    numpy = "numpy"
    onnxruntime = "onnxruntime"
    torch = "torch"


class Precision(StrEnum):
    """The values of --precision."""

    float32 = "float32"
    bf16 = "bf16"
    fp16 = "fp16"


ENGINE = Annotated[
    EngineChoice | None,
    typer.Option(
        "--engine",
        help="What computes the steps: numpy (default), onnxruntime with the step as an ONNX graph, or torch (PyTorch).",
    ),
]
DEVICE = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help="Device of the engine torch: auto (default; the first of cuda, mps and cpu), cpu, cuda, cuda:1 or mps.",
    ),
]
PRECISION = Annotated[
    Precision | None,
    typer.Option(
        "--precision",
        help="Precision of convolutions and matrix products with the engine torch; weights stay float32 (default: float32).",
    ),
]
COMPILE = Annotated[
    bool | None,
    typer.Option(
        "--compile/--no-compile",
        help="With the engine torch, compile the network before the first step, which takes up to a minute.",
        show_default=False,
    ),
]


PROCESSES = Annotated[
    int | None,
    typer.Option(
        "--processes",
        metavar="N",
        min=1,
        max=1024,
        help="With the engine torch, train in N processes of this machine, one per GPU; starts torchrun (default: 1).",
    ),
]
ACCUMULATE = Annotated[
    int | None,
    typer.Option(
        "--accumulate",
        metavar="N",
        min=1,
        help="With the engine torch, compute each batch in N parts, for batches larger than memory (default: 1).",
    ),
]


SHARD = Annotated[
    bool | None,
    typer.Option(
        "--shard",
        help="With several processes, spread weights, gradients and slots over them, for networks larger than one device.",
        show_default=False,
    ),
]


class EngineOptions(NamedTuple):
    """What the command line says about the engine; None for what it does not say."""

    engine: EngineChoice | None = None
    provider: ProviderChoice | None = None
    device: str | None = None
    precision: Precision | None = None
    compile: bool | None = None
    processes: int | None = None
    accumulate: int | None = None
    shard: bool | None = None

    @property
    def of_torch(self) -> dict[str, str]:
        """The options that belong to the engine torch, as they are written."""
        written = {
            "--device": f"--device {self.device}" if self.device is not None else "",
            "--precision": f"--precision {self.precision.value}" if self.precision is not None else "",
            "--compile": "" if self.compile is None else "--compile" if self.compile else "--no-compile",
            "--processes": f"--processes {self.processes}" if self.processes is not None else "",
            "--shard": "--shard" if self.shard else "",
            "--accumulate": f"--accumulate {self.accumulate}" if self.accumulate is not None else "",
        }
        return {name: text for name, text in written.items() if text}

    def require_engine(self, engine: EngineChoice | None) -> None:
        """Raises CnncError E010 for an option that does not belong to this engine."""
        if self.provider is not None and engine is not EngineChoice.onnxruntime:
            help = f"write --engine onnxruntime --provider {self.provider.value}"
            raise CnncError.of("E010", "--provider applies to --engine onnxruntime", help=help)
        if engine is not EngineChoice.torch:
            for name, written in self.of_torch.items():
                raise CnncError.of("E010", f"{name} applies to --engine torch", help=f"write --engine torch {written}")


def engine_of(options: EngineOptions, ranks: Ranks = ALONE) -> Engine:
    """The engine of these options, for one of the processes that train together."""
    options.require_engine(options.engine)
    if ranks is not ALONE and options.engine is not EngineChoice.torch:
        message = "torchrun starts processes that train together, which is for --engine torch"
        raise CnncError.of("E010", message, help="add --engine torch, or start cnnc without torchrun")
    from cnnc.api.engines import engine_named, require_torch

    device = ranks.device or options.device or "auto"
    precision = (options.precision or Precision.float32).value
    if options.engine is EngineChoice.torch and (options.shard or ranks is not ALONE or (options.accumulate or 1) > 1):
        require_torch()
        if options.shard:
            if ranks.size == 1:
                message = "--shard spreads weights over several processes, and this is one"
                raise CnncError.of("E010", message, help="add --processes N, or start it with torchrun")
            from cnnc.torch.distributed.shards import ShardedEngine

            return ShardedEngine(device, precision, bool(options.compile), print_status, ranks, options.accumulate or 1)
        from cnnc.torch.distributed.engine import SplitEngine

        return SplitEngine(device, precision, bool(options.compile), print_status, ranks, options.accumulate or 1)
    return engine_named(
        (options.engine or EngineChoice.numpy).value,
        provider=options.provider.value if options.provider is not None else "auto",
        device=device,
        precision=(options.precision or Precision.float32).value,
        compile=bool(options.compile),
        report=print_status,
    )


def engine_of_resume(saved: Checkpoint, options: EngineOptions, ranks: Ranks = ALONE) -> Engine:
    """The engine of these options, each by default that of the checkpoint. Prints a note where it is another one.

    In processes that train together, the engine is torch by default.
    """
    names = list(EngineChoice)
    choice = options.engine or (EngineChoice(saved.engine) if saved.engine in names else EngineChoice.numpy)
    if ranks is not ALONE:
        choice = options.engine or EngineChoice.torch
    options.require_engine(choice)
    options = options._replace(engine=choice)
    if choice.value == saved.engine:
        options = _completed(options, saved)
    engine = engine_of(options, ranks)
    before = _described(saved.engine, saved.provider, saved.engine_options)
    wanted = options.provider.value if options.provider is not None else engine.provider or saved.provider
    now = _described(engine.name, wanted if engine.name != "numpy" else "", engine.options)
    if now != before:
        print_status(f"note: the run was started with the engine {before}, so results differ from an uninterrupted run")
    return engine


def _completed(options: EngineOptions, saved: Checkpoint) -> EngineOptions:
    """The options with those of the checkpoint where the command line says nothing; a device that is not here is left out."""
    if options.engine is EngineChoice.onnxruntime:
        provider = ProviderChoice(saved.provider) if saved.provider in list(ProviderChoice) else None
        return options._replace(provider=options.provider or provider)
    if options.engine is not EngineChoice.torch:
        return options
    from cnnc.api.engines import require_torch

    require_torch()
    from cnnc.torch.devices import available_devices

    precision = saved.engine_options.get("precision")
    device = saved.provider if saved.provider in available_devices() else None
    return options._replace(
        device=options.device or device,
        precision=options.precision or (Precision(precision) if precision in list(Precision) else None),
        compile=saved.engine_options.get("compile") == "true" if options.compile is None else options.compile,
    )


def _described(engine: str, provider: str, options: dict[str, str]) -> str:
    """An engine in words: `torch on cuda:0 in bf16, compiled`."""
    text = f"{engine} on {provider}" if provider else engine
    text += f" in {options['precision']}" if options.get("precision", "float32") != "float32" else ""
    return text + (", compiled" if options.get("compile") == "true" else "")
