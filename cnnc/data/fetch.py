"""Finds the files of a public data set on the disk, or downloads them.

In: `DataFiles` (names, sizes, SHA-256 checksums and mirrors), and the folder given with `--data`, if any. Out: the paths
of the files, in order. A given folder is the only one searched. Otherwise the folder CNNC_DATA is searched, then the
user's cache, into which missing files are downloaded. A download is compared with its checksum before it gets its name
in the cache; a file found on the disk is used as it is. Only the cache is written to. Every failure is one E603 whose
help says what to do.
"""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import IO, cast
from urllib.parse import urlsplit

from cnnc.core.files import make_folder, write_atomic
from cnnc.data import Report
from cnnc.diagnostics import CnncError

VARIABLE = "CNNC_DATA"
"""The environment variable that names the folder of data sets."""

TIMEOUT = 10.0
"""Seconds to wait for an answer of a mirror."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file on the mirrors; `size` is in bytes."""

    name: str
    size: int
    sha256: str

    @property
    def names(self) -> tuple[str, ...]:
        """The names it may have on the disk: with and without `.gz`; `train-images.idx3-ubyte`, as some archivers write
        it for `train-images-idx3-ubyte`; and inside a folder of either name."""
        plain = self.name.removesuffix(".gz")
        dotted = plain.replace("-idx", ".idx")
        files = dict.fromkeys((self.name, plain, f"{dotted}.gz" if plain != self.name else dotted, dotted))
        inside = (f"{folder}/{file}" for folder in dict.fromkeys((plain, dotted)) for file in files)
        return (*files, *inside)


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


class _MirrorError(Exception):
    """A mirror did not deliver the file; the message says why."""


def find_or_fetch(
    data_files: DataFiles, folder: Path | None, report: Report, download: bool = True
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
    return fetch_missing(data_files, report, download)


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


def _find_one(file: RemoteFile, folder: Path) -> Path | None:
    return next((folder / name for name in file.names if _is_file(folder / name)), None)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a folder without permission to enter
        return False


def fetch_missing(data_files: DataFiles, report: Report, download: bool = True) -> tuple[Path, ...]:
    """Downloads the files that the cache lacks; returns the paths of all. Raises CnncError E603, E902."""
    searched = " or ".join(str(folder) for folder in search_folders(data_files.name))
    if not download:
        help = "name the folder that holds it with --data FOLDER or the environment variable CNNC_DATA"
        raise CnncError.of("E603", f"{data_files.name} is not in {searched}", help=help)
    report(f"{data_files.name} is not in {searched}: downloading it")
    cache = cache_folder(data_files.name)
    make_folder(cache)
    paths = []
    for file in data_files.files:
        path = _find_one(file, cache)
        if path is None:
            path = cache / file.name
            write_atomic(path, _fetch(data_files, file, cache, report))
        paths.append(path)
    return tuple(paths)


def _fetch(data_files: DataFiles, file: RemoteFile, cache: Path, report: Report) -> bytes:
    """The content of a file, from the first mirror that delivers it intact. Raises CnncError E603."""
    failures = []
    for mirror in data_files.mirrors:
        host = urlsplit(mirror).hostname
        report(f"downloading {file.name} ({file.size:,} bytes) from {host}")
        try:
            return _fetch_from(mirror + file.name, file)
        except _MirrorError as failure:
            failures.append(f"{host}: {failure}")
    raise CnncError.of(
        "E603", f"cannot download {file.name} ({'; '.join(failures)})", help=_manual_instructions(data_files, cache)
    )


def _fetch_from(url: str, file: RemoteFile) -> bytes:
    """The content of a file from one URL, compared with its size and checksum. Raises _MirrorError."""
    try:
        with open_url(url) as response:
            data = response.read(file.size + 1)
    except (OSError, HTTPException) as error:
        raise _MirrorError(_reason(error)) from error
    if len(data) != file.size:
        received = "more" if len(data) > file.size else f"{len(data):,}"
        raise _MirrorError(f"expected {file.size:,} bytes, received {received}")
    digest = hashlib.sha256(data).hexdigest()
    if digest != file.sha256:
        raise _MirrorError(f"expected SHA-256 {file.sha256}, received {digest}")
    return data


def open_url(url: str) -> IO[bytes]:
    """Opens an https URL; other schemes are refused, in redirections too. Raises OSError, HTTPException."""
    director = urllib.request.OpenerDirector()
    for handler in (  # without handlers, http, ftp, file and data are unknown schemes
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        director.add_handler(handler)
    return cast(IO[bytes], director.open(url, timeout=TIMEOUT))


def _reason(error: OSError | HTTPException) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP status {error.code}"
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror.lower()
    return str(cause) or type(cause).__name__


def _manual_instructions(data_files: DataFiles, cache: Path) -> str:
    names = ", ".join(file.name for file in data_files.files)
    return (
        f"download {names} from {' or '.join(data_files.mirrors)} into {cache}, "
        f"or into another folder and name it with --data FOLDER or the environment variable {VARIABLE}"
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
