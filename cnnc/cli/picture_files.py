"""Files of pictures: a drawing or a page as SVG, PNG or HTML, by the suffix of the file.

In: an `Output` that `require_outputs` has allowed, and a `Drawing` or `Page`. Out: the file.
"""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from cnnc.cli.outputs import belongs_to_run
from cnnc.diagnostics import CnncError

if TYPE_CHECKING:
    from cnnc.view.drawing import Drawing
    from cnnc.view.page import Page


def picture_kind(out: Path, kinds: tuple[str, ...], usual: Path, what: str) -> str:
    """The kind of a picture by its suffix: `svg` for x.svg.

    Raises CnncError E906 for .png without Pillow, and E902 for a suffix that is none of `kinds`; its help names a file
    that can be written, if need be with the `usual` name. `what` names the picture in the message: `a sheet`.
    """
    kind = out.suffix.lower().removeprefix(".")
    if kind == "png":
        from cnnc.data.image_file import require_pillow

        require_pillow()
    if kind in kinds:
        return kind
    suffixes = [f".{each}" for each in kinds]
    example = f"-o {quote(str(_example(out, usual, suffixes)))}"
    is_device = out.exists() and not out.is_dir() and not out.is_file()
    help = "name a file with one of these suffixes" if is_device else f"write `{example}`, or {_either(suffixes[1:])}"
    raise CnncError.of("E902", f"cannot write {out}: {what} is a {_either(suffixes)} file", help=help)


def _example(out: Path, usual: Path, suffixes: list[str]) -> Path:
    """A file that was probably meant: in a folder, with another suffix, or with the usual name."""
    if out.is_dir():
        return usual if belongs_to_run(out / usual) else out / usual
    is_no_name = out.name.startswith("-") or out.name in suffixes  # an option or a bare suffix
    return out.with_name(usual.name) if is_no_name else out.with_suffix(suffixes[0])


def _either(words: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def write_picture(out: Path, picture: Drawing | Page) -> None:
    """Writes a picture as .svg, .png or .html. Raises CnncError E902."""
    from cnnc.core.files import write_atomic
    from cnnc.view.files import picture_bytes

    write_atomic(out, picture_bytes(picture, out.suffix.lower().removeprefix(".")))
