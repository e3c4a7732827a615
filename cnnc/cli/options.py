"""Options that several commands share: their declarations and, for sizes, their parsing.

A command writes `at: Annotated[list[str] | None, sizes_option("Check at this size")] = None` and passes what it
gets to `parse_sizes`.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from cnnc.core.limits import limited, memory_size, parameter_count
from cnnc.diagnostics import CnncError


class ProviderChoice(StrEnum):
    """The values of --provider."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    tensorrt = "tensorrt"
    coreml = "coreml"
    dml = "dml"
    openvino = "openvino"


def _existing_folder(folder: Path | None) -> Path | None:
    """The folder of --data. Raises CnncError E603 if there is none."""
    if folder is not None:
        from cnnc.data import require_existing

        require_existing(folder)
    return folder


def _forbid_downloads(offline: bool) -> bool:
    """Makes --offline hold for everything that the command does, also in other processes."""
    if offline:
        from cnnc.core.offline import go_offline

        go_offline()
    return offline


SETTINGS = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Override a top-level `let` (width=64) or a statement of the train section (train.epochs=2). Repeatable.",
    ),
]
DATA = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Folder that holds the data sets (default: $CNNC_DATA).",
        callback=_existing_folder,
    ),
]
OFFLINE = Annotated[
    bool,
    typer.Option(
        "--offline",
        help="Download nothing; say what is missing and how to get it (default: $CNNC_OFFLINE).",
        callback=_forbid_downloads,
    ),
]
_PROVIDER: Any = typer.Option(
    "--provider", help="onnxruntime execution provider; auto takes the best one that is installed."
)
PROVIDER = Annotated[ProviderChoice, _PROVIDER]
PROVIDER_OF_ENGINE = Annotated[ProviderChoice | None, _PROVIDER]
RUNTIME = Annotated[
    Path | None,
    typer.Option(
        "--runtime",
        metavar="PATH",
        help="Folder or npm package file with onnxruntime-web (default: cnnc-web, the cache, or npm).",
    ),
]
WEBGPU = Annotated[
    bool,
    typer.Option("--webgpu", help="Compute on the GPU in browsers that have WebGPU; the page grows by 4 MB."),
]


def _limit_memory(context: typer.Context, size: str | None) -> str | None:
    """Sets the limit of --max-memory until the command ends. Raises CnncError E010."""
    if size is not None:
        context.with_resource(limited(memory=memory_size(size, "--max-memory")))
    return size


def _limit_parameters(context: typer.Context, count: str | None) -> str | None:
    """Sets the limit of --max-params until the command ends. Raises CnncError E010."""
    if count is not None:
        context.with_resource(limited(parameters=parameter_count(count, "--max-params")))
    return count


MAX_MEMORY = Annotated[
    str | None,
    typer.Option(
        "--max-memory",
        metavar="SIZE",
        help="Refuse what would need more memory, such as 500M or 2GiB (default: $CNNC_MAX_MEMORY, or no limit).",
        callback=_limit_memory,
    ),
]
"""Applied by its callback, as is `MAX_PARAMETERS`: a command declares the two and does not read them."""
MAX_PARAMETERS = Annotated[
    str | None,
    typer.Option(
        "--max-params",
        metavar="N",
        help="Refuse networks and models with more parameters, such as 250k or 10M (default: $CNNC_MAX_PARAMS, or no limit).",
        callback=_limit_parameters,
    ),
]


def json_option(content: str) -> Any:
    """The option --json of a command that prints `content` on stdout, for example "the score as a JSON object"."""
    return typer.Option("--json", help=f"Print {content}.")


def sizes_option(purpose: str, name: str = "--at") -> Any:
    """The option that gives a size to each symbol of an input such as 3xHxW; `purpose` is what the command does with it."""
    return typer.Option(name, metavar="H=224,W=224", help=f"{purpose}: a value for each symbol of the input's shape.")


def parse_sizes(values: list[str] | None, option: str = "--at") -> dict[str, int]:
    """The size of each symbol: ["H=224,W=200"] gives {"H": 224, "W": 200}. Raises CnncError E010."""
    sizes = {}
    for part in ",".join(values or []).split(","):
        symbol, _, size = part.partition("=")
        if not part.strip():
            continue
        if not symbol.strip() or not size.strip().isascii() or not size.strip().isdigit() or not 0 < int(size) < 2**31:
            raise CnncError.of("E010", f"{option} takes SYMBOL=SIZE, not `{part}`", help=f"`{option} H=224,W=224`")
        sizes[symbol.strip()] = int(size)
    return sizes
