"""The option `--input NAME=FILE`, repeated for each input of a network.

In: the words as typed, and the names of the inputs. Out: a file for each input.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cnnc.diagnostics import CnncError, nearest


def named_files(words: Sequence[str], known: Sequence[str]) -> dict[str, Path]:
    """The file of each input. Raises CnncError E010 for a name that is unknown or repeated, and for an input without a file."""
    named: dict[str, Path] = {}
    for word in words:
        name, _, file = word.partition("=")
        if not file:
            raise CnncError.of("E010", f"--input takes NAME=FILE, not `{word}`", help=f"`--input {known[0]}=FILE`")
        if name not in known:
            near = nearest(name, known)
            help = f"did you mean `{near}`?" if near else f"the inputs are {', '.join(known)}"
            raise CnncError.of("E010", f"the network has no input `{name}`", help=help)
        if name in named:
            help = f"leave out `--input {name}={named[name]}` or `--input {word}`"
            raise CnncError.of("E010", f"--input: {name} has two files, {named[name]} and {file}", help=help)
        named[name] = Path(file)
    missing = next((name for name in known if name not in named), None)
    if missing is not None:
        raise CnncError.of("E010", f"--input: no file given for input {missing}", help=f"`--input {missing}=FILE`")
    return named
