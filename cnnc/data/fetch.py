"""Finds the files of a data set on the disk, or fetches them.

In: the names, sizes, SHA-256 sums and mirrors of a data set's files, and a folder if the user gave one. Out: the
paths of the files, in order. A folder that the user gave is the only place searched. Without one these are, in order:
the folder of the variable CNNC_DATA, then the user's cache; in the end the files are fetched into the cache. A fetched
file is compared with its sum before it takes its name there; a file that was found is taken as it is. Only the cache
is ever written to. Every failure is one E603 that says how to go on.
"""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import IO, cast
from urllib.parse import urlsplit

from cnnc.core.files import make_folder, write_atomic
from cnnc.diagnostics import CnncError

VARIABLE = "CNNC_DATA"
"""The environment variable that names the folder of the user's data sets."""

TIMEOUT = 10.0
"""The seconds that a mirror may be silent."""

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class File:
    """A file as the mirrors hold it."""

    name: str
    size: int
    sha256: str

    @property
    def names(self) -> tuple[str, ...]:
        """The names it may have on the disk: its own, and that without `.gz`."""
        plain = self.name.removesuffix(".gz")
        return (self.name,) if plain == self.name else (self.name, plain)


@dataclass(frozen=True, slots=True)
class Files:
    """The files of a data set, and the addresses, ending in a slash, where each of them is found.

    `aliases` are further names that a folder of theirs may have.
    """

    name: str
    files: tuple[File, ...]
    mirrors: tuple[str, ...]
    aliases: tuple[str, ...] = ()

    def folders(self, place: Path) -> tuple[Path, ...]:
        """Where they may lie, given a place: in it, or in a subfolder of their name."""
        return (place, *(place / name for name in (self.name, *self.aliases)))


class _MirrorError(Exception):
    """A mirror did not give the file; the text says why."""


def obtain(wanted: Files, folder: Path | None, report: Report) -> tuple[Path, ...]:
    """The paths of the wanted files, in order: found, or fetched into the user's cache. Raises E603."""
    if folder is not None:
        found = find(wanted, folder)
        if found is None:
            raise _not_in(wanted, folder)
        return found
    for place in places(wanted.name):
        found = find(wanted, place)
        if found is not None:
            return found
    return fetch_all(wanted, report)


def find(wanted: Files, folder: Path) -> tuple[Path, ...] | None:
    """The paths of all wanted files in a folder or in its subfolder of the data set's name, or None."""
    for place in wanted.folders(folder):
        found = [path for path in (_find_one(file, place) for file in wanted.files) if path is not None]
        if len(found) == len(wanted.files):
            return tuple(found)
    return None


def cache_folder(name: str) -> Path:
    """Where the files of a data set are kept once fetched."""
    from platformdirs import user_cache_path

    return user_cache_path("cnnc", appauthor=False) / name


def places(name: str) -> list[Path]:
    """The folders that are searched where the user gave none."""
    named = os.environ.get(VARIABLE)
    cache = cache_folder(name)
    return [Path(named), cache] if named else [cache]


def _find_one(file: File, folder: Path) -> Path | None:
    return next((folder / name for name in file.names if _is_file(folder / name)), None)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a folder that may not be entered
        return False


def fetch_all(wanted: Files, report: Report) -> tuple[Path, ...]:
    """Fetches what the user's cache lacks; the paths of all files there. Raises E603, E902."""
    searched = " or ".join(str(place) for place in places(wanted.name))
    report(f"{wanted.name} is not in {searched}: fetching it")
    cache = cache_folder(wanted.name)
    make_folder(cache)
    paths = []
    for file in wanted.files:
        path = _find_one(file, cache)
        if path is None:
            path = cache / file.name
            write_atomic(path, _fetch(wanted, file, cache, report))
        paths.append(path)
    return tuple(paths)


def _fetch(wanted: Files, file: File, cache: Path, report: Report) -> bytes:
    """The content of a file from the first mirror that has it right."""
    failures = []
    for mirror in wanted.mirrors:
        host = urlsplit(mirror).hostname
        report(f"fetching {file.name} ({file.size:,} bytes) from {host}")
        try:
            return _fetch_from(mirror + file.name, file)
        except _MirrorError as failure:
            failures.append(f"{host}: {failure}")
    raise CnncError.of("E603", f"cannot fetch {file.name} ({'; '.join(failures)})", help=_by_hand(wanted, cache))


def _fetch_from(url: str, file: File) -> bytes:
    """The content of a file from one address, compared with its size and sum."""
    try:
        with open_url(url) as response:
            data = response.read(file.size + 1)
    except (OSError, HTTPException) as error:
        raise _MirrorError(_reason(error)) from error
    if len(data) != file.size:
        found = "more" if len(data) > file.size else f"{len(data):,}"
        raise _MirrorError(f"expected {file.size:,} bytes, found {found}")
    digest = hashlib.sha256(data).hexdigest()
    if digest != file.sha256:
        raise _MirrorError(f"expected the SHA-256 {file.sha256}, found {digest}")
    return data


def open_url(url: str) -> IO[bytes]:
    """Opens an address of https and of nothing else, redirections included. Raises OSError, HTTPException."""
    director = urllib.request.OpenerDirector()
    for handler in (  # no handler for http, ftp, file or data: those are unknown to this opener
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
        return f"status {error.code}"
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror.lower()
    return str(cause) or type(cause).__name__


def _by_hand(wanted: Files, cache: Path) -> str:
    names = ", ".join(file.name for file in wanted.files)
    return (
        f"fetch {names} from {' or '.join(wanted.mirrors)} and put them into {cache}, "
        f"or into a folder of your own and name it with --data FOLDER or with the variable {VARIABLE}"
    )


def _not_in(wanted: Files, folder: Path) -> CnncError:
    """A folder that the user gave does not hold the files."""
    places = wanted.folders(folder)
    if not folder.is_dir():
        problem = f"{folder} is not a folder" if folder.exists() else f"there is no folder {folder}"
    else:
        lacking = [file.name for file in wanted.files if not any(_find_one(file, place) for place in places)]
        searched = " nor ".join(str(place) for place in places)
        problem = f"neither {searched} holds all files of {wanted.name}"
        problem += f": there is no {', '.join(lacking)}" if lacking else ": they must be in one folder"
    names = ", ".join(file.name for file in wanted.files)
    expected = f"put {names} (or the same unzipped) into {places[0]} or {places[1]}"
    return CnncError.of("E603", problem, help=f"{expected}, or leave out --data to search elsewhere and fetch them")
