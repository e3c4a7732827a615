"""`cnnc data`: whether the command line names a network file or a kind of data.

In: the words of the command line. Out: the kind, or a CnncError whose help names the command that works.
"""

from __future__ import annotations

from pathlib import Path
from shlex import join

from cnnc.cli.usage import require_source
from cnnc.data import KNOWN, READERS
from cnnc.diagnostics import CnncError, nearest

_KIND_OF_SUFFIX = {".csv": "series", ".npz": "npz", ".tsv": "text", ".tar": "shards", ".zip": "images"}


def kind_of(source: str, path: str | None) -> str | None:
    """The kind of data that the first word names; None where it is a network file. Raises CnncError E601, E603, E010."""
    if source in READERS:
        if path is None and source not in KNOWN:
            help = f"write `cnnc data {source} PATH`, or name a network file"
            raise CnncError.of("E603", f"`cnnc data {source}` does not name a file or folder", help=help)
        return source
    if path is None:
        _require_network(source)
        return None
    if Path(source).exists() or Path(source).suffix:
        return None
    guess = nearest(source, READERS)
    help = f"write `{join(['cnnc', 'data', guess, path])}`" if guess else f"the kinds are: {', '.join(READERS)}"
    raise CnncError.of("E601", f"no kind of data is named `{source}`", help=help)


def _require_network(source: str) -> None:
    """Raises CnncError E010 for data without their kind."""
    path = Path(source)
    is_run = (path / "network.cnn").is_file()
    kind = "images" if path.is_dir() and not is_run else _KIND_OF_SUFFIX.get(path.suffix.lower())
    if kind is not None and path.exists():
        help = f"write `{join(['cnnc', 'data', kind, source])}`"
        raise CnncError.of("E010", f"{source} is not a network file: name the kind of the data first", help=help)
    require_source(path, "data")
