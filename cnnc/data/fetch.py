"""Finds the files of a public data set on the disk, or downloads them.

In: `DataFiles` (names, sizes, SHA-256 checksums and mirrors), and the folder given with `--data`, if any. Out: the paths
of the files, in order. A given folder is the only one searched. Otherwise the folder CNNC_DATA is searched, then the
user's cache, into which `download` puts missing files; a file found on the disk is used as it is. With CNNC_OFFLINE or
`--offline` nothing is downloaded. Only the cache is written to. Every failure is one E603 whose help says what to do.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from cnnc.core import offline
from cnnc.core.files import make_folder
from cnnc.data import Report
from cnnc.data.download import DownloadError, RemoteFile, download
from cnnc.diagnostics import CnncError

VARIABLE = "CNNC_DATA"
"""The environment variable that names the folder of data sets."""


@dataclass(frozen=True, slots=True)
class DataFiles:
    """The files of a data set; `mirrors` are URLs of folders, ending in a slash, that hold all of them.

    `name` and `aliases` are the names that a subfolder with the files may have.
    """

    name: str
    files: tuple[RemoteFile, ...]
    mirrors: tuple[str, ...]
    aliases: tuple[str, ...] = ()

    def folders(self, root: Path) -> tuple[Path, ...]:
        """The folders that may hold them: `root`, and its subfolders with their names."""
        return (root, *(root / name for name in (self.name, *self.aliases)))


def find_or_fetch(
    data_files: DataFiles, folder: Path | None, report: Report, download_missing: bool = True
) -> tuple[Path, ...]:
    """The paths of the files, in order; missing files are downloaded into the cache. Raises CnncError E603, E902."""
    if folder is not None:
        paths = find(data_files, folder)
        if paths is None:
            raise _missing_files_error(data_files, folder)
        return paths
    for searched in search_folders(data_files.name):
        paths = find(data_files, searched)
        if paths is not None:
            return paths
    return fetch_missing(data_files, report, download_missing)


def find(data_files: DataFiles, folder: Path) -> tuple[Path, ...] | None:
    """The paths of all files, in a folder or in one of its subfolders; None where no folder has them all."""
    for candidate in data_files.folders(folder):
        paths = [path for path in (_find_one(file, candidate) for file in data_files.files) if path is not None]
        if len(paths) == len(data_files.files):
            return tuple(paths)
    return None


def cache_folder(name: str) -> Path:
    """The cache folder of a data set, which downloads go to."""
    from platformdirs import user_cache_path

    return user_cache_path("cnnc", appauthor=False) / name


def search_folders(name: str) -> list[Path]:
    """The folders that are searched without `--data`. Raises CnncError E603 if CNNC_DATA names no folder."""
    named = named_folder()
    cache = cache_folder(name)
    return [named, cache] if named is not None else [cache]


def named_folder() -> Path | None:
    """The folder that CNNC_DATA names; None if it is not set. Raises CnncError E603 if it names no folder."""
    named = os.environ.get(VARIABLE)
    if not named:
        return None
    if not Path(named).is_dir():
        problem = "is not a folder" if Path(named).exists() else "does not exist"
        help = f"set {VARIABLE} to the folder that holds the data sets, or unset it"
        raise CnncError.of("E603", f"{VARIABLE} names {named}, which {problem}", help=help)
    return Path(named)


def names(file: RemoteFile) -> tuple[str, ...]:
    """The names that a file may have on the disk: with and without `.gz`; `train-images.idx3-ubyte`, as some archivers
    write it for `train-images-idx3-ubyte`; and inside a folder of either name."""
    plain = file.name.removesuffix(".gz")
    dotted = plain.replace("-idx", ".idx")
    files = dict.fromkeys((file.name, plain, f"{dotted}.gz" if plain != file.name else dotted, dotted))
    inside = (f"{folder}/{name}" for folder in dict.fromkeys((plain, dotted)) for name in files)
    return (*files, *inside)


def _find_one(file: RemoteFile, folder: Path) -> Path | None:
    return next((folder / name for name in names(file) if _is_file(folder / name)), None)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a folder without permission to enter
        return False


def fetch_missing(data_files: DataFiles, report: Report, download_missing: bool = True) -> tuple[Path, ...]:
    """Downloads the files that the cache lacks; returns the paths of all. Raises CnncError E603, E902."""
    searched = " or ".join(str(folder) for folder in search_folders(data_files.name))
    if not download_missing:
        help = "name the folder that holds it with --data FOLDER or the environment variable CNNC_DATA"
        raise CnncError.of("E603", f"{data_files.name} is not in {searched}", help=help)
    cache = cache_folder(data_files.name)
    if offline.is_offline():
        problem = f"{data_files.name} is not in {searched}, and nothing is downloaded offline"
        raise CnncError.of("E603", problem, help=_manual_instructions(data_files, cache))
    report(f"{data_files.name} is not in {searched}: downloading it")
    make_folder(cache)
    return tuple(_find_one(file, cache) or _fetch(data_files, file, cache, report) for file in data_files.files)


def _fetch(data_files: DataFiles, file: RemoteFile, cache: Path, report: Report) -> Path:
    """Downloads a file into the cache. Raises CnncError E603, E902."""
    try:
        return download(file, data_files.mirrors, cache, report)
    except DownloadError as failure:
        help = _manual_instructions(data_files, cache)
        raise CnncError.of("E603", f"cannot download {file.name} ({failure})", help=help) from failure


def _manual_instructions(data_files: DataFiles, cache: Path) -> str:
    """How to get the files that the cache lacks on another machine."""
    missing = [file for file in data_files.files if _find_one(file, cache) is None]
    listed = "; ".join(f"{file.name} ({file.size:,} bytes, SHA-256 {file.sha256})" for file in missing)
    return (
        f"download {listed} from {' or '.join(data_files.mirrors)} into {cache}, "
        f"or into another folder with all files of {data_files.name} and name it with --data FOLDER "
        f"or the environment variable {VARIABLE}"
    )


def _missing_files_error(data_files: DataFiles, folder: Path) -> CnncError:
    """The E603 of a folder given with `--data` that does not hold the files."""
    candidates = data_files.folders(folder)
    if not folder.is_dir():
        problem = f"{folder} is not a folder" if folder.exists() else f"there is no folder {folder}"
    else:
        missing = [
            file.name for file in data_files.files if not any(_find_one(file, candidate) for candidate in candidates)
        ]
        searched = " nor ".join(map(str, candidates))
        problem = f"neither {searched} holds all files of {data_files.name}"
        problem += f": {', '.join(missing)} missing" if missing else ": they must be in one folder"
    names = ", ".join(file.name for file in data_files.files)
    instruction = f"put {names} (compressed or not) into {candidates[0]} or {candidates[1]}"
    return CnncError.of(
        "E603", problem, help=f"{instruction}, or leave out --data to search elsewhere and download them"
    )
