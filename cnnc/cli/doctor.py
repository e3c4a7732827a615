"""`cnnc doctor`: what cnnc finds on this machine, what is missing, and how to get it."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_args

import typer

from cnnc.cli.console import layout, print_json, print_result
from cnnc.cli.options import json_option
from cnnc.diagnostics import CnncError, Exit


class Found(NamedTuple):
    """What `cnnc doctor` found; `problems` are what keeps cnnc from working as it should, each with its remedy."""

    facts: dict[str, str]
    packages: list[dict[str, Any]]
    problems: list[str]


def doctor(json: Annotated[bool, json_option("what was found as a JSON object")] = False) -> None:
    """Show versions, providers, threads and folders on this machine, what is missing, and how to get it."""
    found = examine()
    if json:
        print_json(found._asdict())
    else:
        print_result(_text(found))
    if found.problems:
        raise typer.Exit(Exit.RESOURCES)


def examine() -> Found:
    """Looks at packages, threads, providers, folders and the browser's runtime; a problem never stops the others."""
    from cnnc.core.environment import EXTRAS, package_states

    states = package_states()
    packages = [{**state._asdict(), "fits": state.fits, "for": EXTRAS.get(state.extra, "")} for state in states]
    problems = [f'{state.problem}: pip install "{state.name}{state.needs}"' for state in states if state.problem]
    facts = {}
    for name, look in _LOOKS.items():
        try:
            facts[name] = look()
        except CnncError as error:
            (diagnostic,) = error.diagnostics
            problems.append(f"{diagnostic.message}: {diagnostic.help}" if diagnostic.help else diagnostic.message)
        except ImportError as error:
            problems.append(f"{name} cannot be looked at: {error}")
    return Found(facts, packages, problems)


def _version() -> str:
    from importlib.metadata import version

    return f"{version('cnnc')} in {Path(__file__).parents[1]}"


def _python() -> str:
    return f"{platform.python_version()} on {platform.system()} {platform.machine()}"


def _threads() -> str:
    from cnnc.reference.parallel.threads import thread_count

    reason = "CNNC_THREADS" if os.environ.get("CNNC_THREADS") else "the cores that this process may use"
    return f"{thread_count()}, {reason}"


def _blas() -> str:
    from cnnc.reference.parallel.threads import blas_libraries

    return ", ".join(blas_libraries()) or "none that threadpoolctl knows: matrix products may be slow"


def _simd() -> str:
    from cnnc.reference.machine import machine

    return f"{machine()['simd']}: the instructions that NumPy uses"


def _providers() -> str:
    from cnnc.onnx.run.provider import Provider
    from cnnc.onnx.run.session import providers

    return f"execution providers: {', '.join(name for name in providers() if name in get_args(Provider))}"


def _data() -> str:
    from cnnc.data.fetch import named_folder

    folder = named_folder()
    return (
        "CNNC_DATA is not set: data sets are searched in the cache" if folder is None else f"{folder}, from CNNC_DATA"
    )


def _cache() -> str:
    from cnnc.data.fetch import cache_folder

    folder = cache_folder("")
    existing = next(each for each in (folder, *folder.parents) if each.exists())
    if not (existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)):
        help = "make it writable, or let XDG_CACHE_HOME name another folder"
        raise CnncError.of("E902", f"the cache {folder} cannot be written", help=help)
    return f"{folder}, {_megabytes(folder)}" if folder.exists() else f"{folder}, empty"


def _megabytes(folder: Path) -> str:
    size = sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())
    return f"{size / 1e6:,.0f} MB"


def _runtime() -> str:
    from cnnc.cli.web_runtime import DISTRIBUTION, PACKAGE, VERSION, local_source

    source = local_source()
    wanted = f"{PACKAGE} {VERSION}"
    return f"{wanted} from {source}" if source else f"no {wanted}: pip install {DISTRIBUTION}, for cnnc demo"


_LOOKS: dict[str, Callable[[], str]] = {
    "cnnc": _version,
    "Python": _python,
    "threads": _threads,
    "BLAS": _blas,
    "SIMD": _simd,
    "onnxruntime": _providers,
    "data": _data,
    "cache": _cache,
    "browser": _runtime,
}


def _text(found: Found) -> str:
    from cnnc.report.layout import ColumnLayout, fitted

    columns = [ColumnLayout("package"), ColumnLayout("version"), ColumnLayout("needs"), ColumnLayout("for", drop=1)]
    rows = [
        [each["name"], each["version"] or "-", each["needs"], each["for"] + _remedy(each)] for each in found.packages
    ]
    width = max(map(len, found.facts))
    facts = [f"{name:<{width}}  {fact}" for name, fact in found.facts.items()]
    problems = [f"problem: {problem}" for problem in found.problems] or ["no problem was found"]
    return "\n".join([*facts, "", *fitted(columns, rows, layout()), "", *problems])


def _remedy(package: dict[str, Any]) -> str:
    return "" if package["version"] or not package["extra"] else f': pip install "cnnc[{package["extra"]}]"'
