"""Finds what `data images` names beside its images: the table `labels="labels.csv"`, the folder `masks="masks"`.

In: the request, the images' folder or .zip, and the path as written. Out: a path on the disk, or a name inside the images.
The path starts where that of the images does, else inside them, else beside them.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from cnnc.data import Request
from cnnc.data.file_tree import FileTree, locate
from cnnc.diagnostics import CnncError


def find_beside(request: Request, tree: FileTree, key: str, written: str) -> Path | str:
    """The path of a table or folder, or its name inside the images. Raises CnncError E603 where there is none."""
    try:
        return locate(Request(folder=request.folder, path=written), "images", written)
    except CnncError:
        name = str(PurePosixPath(written.replace("\\", "/")))
        if name in tree.files or name in tree.folders:
            return name
        beside = tree.path.parent / written
        if beside.exists():
            return beside
    searched = f"the current folder, {tree.path} and {tree.path.parent}"
    raise CnncError.of(
        "E603", f"{written}, which {key}= names, does not exist", help=f"searched in {searched}; correct {key}="
    )


def name_within(tree: FileTree, path: Path) -> str | None:
    """The name of a path inside a folder of images, "" for the folder itself; None where it lies elsewhere."""
    try:
        name = str(path.resolve().relative_to(tree.path.resolve()))
    except (OSError, ValueError):
        return None
    return "" if name == "." else PurePosixPath(name.replace("\\", "/")).as_posix()
