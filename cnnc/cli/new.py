"""`cnnc new`: writes a small network as a starting point, or a published one; `--list` shows all of them."""

from __future__ import annotations

import re
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnc.cli.console import layout, print_json, print_result
from cnnc.cli.options import json_option
from cnnc.diagnostics import CnncError, nearest

if TYPE_CHECKING:
    from cnnc.cli.templates import Template

LIST_HELP = "List the networks that --template takes: what each is, its source, parameters and data."


def _completions(word: str) -> list[str]:
    from cnnc.cli.templates import template_names

    return [name for name in template_names() if name.startswith(word)]


def new(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Name of the network; the file is NAME.cnn. Default: as in TEMPLATE."),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(
            "--template",
            "-t",
            metavar="TEMPLATE",
            help="The network to write, see --list. Default: lenet.",
            autocompletion=_completions,
        ),
    ] = None,
    list_all: Annotated[bool, typer.Option("--list", help=LIST_HELP)] = False,
    as_json: Annotated[bool, json_option("the list of --list as JSON")] = False,
) -> None:
    """Write a network as a starting point: a small template or a published network."""
    if list_all or as_json:
        _require_only_the_list(name, template, list_all)
        _list(as_json)
        return
    if name is None and template is None:
        help = "`cnnc new NAME` writes a small one, `cnnc new --list` lists all of them"
        raise CnncError.of("E010", "cnnc new needs the name of a network", help=help)
    chosen = _chosen("lenet" if template is None else template)
    path = Path(f"{chosen.name}.cnn") if name is None else _path_of(name)
    keeps_name = name is None and chosen.is_published
    _write(path, chosen.text if keeps_name else chosen.named(path.stem))
    print_result(f"wrote {path}; next: {join(['cnnc', 'check', str(path)])}")
    if chosen.data_command:
        print_result(f"its training data: {chosen.data_command}")


def _require_only_the_list(name: str | None, template: str | None, list_all: bool) -> None:
    """Raises CnncError E010 for options that have no meaning together."""
    if not list_all:
        raise CnncError.of("E010", "--json is for --list", help="write `cnnc new --list --json`")
    if name is not None or template is not None:
        raise CnncError.of("E010", "--list writes no network", help="write `cnnc new --list` alone")


def _chosen(name: str) -> Template:
    """The template of this name. Raises CnncError E010 with the name that was probably meant."""
    from cnnc.cli.templates import template_named, template_names

    try:
        return template_named(name)
    except KeyError:
        plain = {_plain(known): known for known in template_names()}
        word = _plain(name.removesuffix(".cnn"))
        near = word if word in plain else next((p for p in plain if word and p.startswith(word)), nearest(word, plain))
        help = f"did you mean `{plain[near]}`? " if near else ""
        help += "`cnnc new --list` lists all of them"
        raise CnncError.of("E010", f"no template or published network is named `{name}`", help=help) from None


def _path_of(name: str) -> Path:
    """The file of a network of this name, NAME.cnn. Raises CnncError E010 if that would be a file without a name."""
    path = Path(name)
    stem = path.name.removesuffix(".cnn")
    if not stem.strip(". ") or name.endswith("/"):
        example = path / "mine" if path.is_dir() else "mine"
        raise CnncError.of("E010", f"`{name}` is not the name of a file", help=f"for example `cnnc new {example}`")
    return path.with_name(f"{stem}.cnn")


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _write(path: Path, text: str) -> None:
    """Writes a new file; an existing one is never replaced. Raises CnncError E902."""
    if path.exists():
        raise CnncError.of("E902", f"{path} already exists", help="choose another name, or remove the file first")
    from cnnc.core.files import require_writable, write_atomic

    require_writable(path, "name a file in an existing folder")
    write_atomic(path, text.encode())


def _list(as_json: bool) -> None:
    """Prints all templates, as a table or as JSON."""
    from cnnc.cli.templates import template_named, template_names
    from cnnc.report.layout import ColumnLayout, fitted

    rows = [_facts(template_named(name)) for name in template_names()]
    if as_json:
        print_json(rows)
        return
    columns = [
        ColumnLayout("template"),
        ColumnLayout("parameters", right=True),
        ColumnLayout("data", drop=1),
        ColumnLayout("what it is", least=30),
        ColumnLayout("source", least=20, drop=2),
    ]
    cells = [
        (row["name"], f"{row['params']:,}", row["path"] or row["data"] or "", row["about"], _citation(row["source"]))
        for row in rows
    ]
    print_result("\n".join(fitted(columns, cells, layout(), rule=True)))
    print_result("\n`cnnc new -t TEMPLATE` writes one of them, `cnnc new NAME -t TEMPLATE` under another name")


def _facts(template: Template) -> dict[str, Any]:
    """What the list says about a template, with the keys of --json."""
    from cnnc.network import check

    network = check(template.text, f"{template.name}.cnn")
    data = network.recipe.data if network.recipe is not None else None
    return {
        "name": template.name,
        "published": template.is_published,
        "about": template.about,
        "source": template.source or None,
        "params": network.require_graph().total_parameters,
        "data": data.name if data is not None else None,
        "path": data.path if data is not None else None,
        "data_command": template.data_command or None,
    }


def _citation(source: str | None) -> str:
    """Authors and year, the beginning of a source."""
    found = re.match(r".*?\(\D*\d{4}\)", source or "")
    return found[0] if found else ""
