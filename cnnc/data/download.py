"""Downloads a file whose size and SHA-256 are known, and continues where an earlier download of it ended.

In: a `RemoteFile`, the URLs of folders that hold it, and the local folder that it goes into. Out: the file, complete and
with the right checksum, or DownloadError. What has arrived is in `NAME.partial`, which stays when the connection breaks or
the process is stopped; the next download asks for the rest of it (HTTP Range), also from another mirror. Bytes that turn
out to be wrong are deleted. Only https is read, through the proxy that the environment names, and never more than the
size. A mirror that is silent or very slow is given up.

    download(RemoteFile("a.gz", 9, "fc6b..."), ("https://one.example/toy/",), folder, report)    # folder/a.gz
"""

from __future__ import annotations

import hashlib
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import urlsplit

from cnnc.core.file_lock import acquire, release
from cnnc.core.files import rename_synced, write_error
from cnnc.data import Report

TIMEOUT = 10.0
"""Seconds to wait for a mirror to say anything."""

SLOWEST, PERIOD = 1_000, 30.0
"""A mirror that delivers fewer than SLOWEST bytes per second for PERIOD seconds is given up."""

RECONNECTIONS = 20
"""How often a mirror is asked for the rest of a file, as long as each answer brings some of it."""

_CHUNK = 1 << 16
_POLL = 0.5


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file on the mirrors; `size` is in bytes."""

    name: str
    size: int
    sha256: str


class DownloadError(Exception):
    """No mirror delivered the file; the message says why, for each of them."""


class _MirrorError(Exception):
    """A mirror did not deliver the file."""


class _WrongContentError(_MirrorError):
    """What it delivered is another file."""


class _BrokenError(_MirrorError):
    """The connection ended before the file did."""


def download(file: RemoteFile, mirrors: Sequence[str], folder: Path, report: Report) -> Path:
    """Downloads a file into a folder, unless another process does so meanwhile. Raises DownloadError, CnncError E902."""
    path = folder / file.name
    with _turn(path, report):
        if path.is_file():
            return path
        failures = []
        for mirror in mirrors:
            host = urlsplit(mirror).hostname
            try:
                _download_from(mirror + file.name, file, path, report)
                return path
            except _MirrorError as failure:
                failures.append(f"{host}: {failure}")
    raise DownloadError("; ".join(failures))


@contextmanager
def _turn(path: Path, report: Report) -> Iterator[None]:
    """Waits until no other process downloads the file. Raises E902 if the folder cannot be written."""
    lock = path.with_name(f".{path.name}.lock")
    waits = False
    while True:
        try:
            handle, _ = acquire(lock)
            break
        except BlockingIOError:
            if not waits:
                report(f"another process downloads {path.name}: waiting for it")
            waits = True
            time.sleep(_POLL)
        except OSError as error:
            raise write_error(lock, error) from error
    try:
        yield
    finally:
        release(handle, lock)


def _download_from(url: str, file: RemoteFile, path: Path, report: Report) -> None:
    """Completes `NAME.partial` from one URL and renames it. Raises _MirrorError, CnncError E902."""
    partial = path.with_name(f"{path.name}.partial")
    host = urlsplit(url).hostname
    if _size(partial) > file.size:
        _delete(partial)
    continues = _size(partial) > 0
    if continues:
        report(f"downloading {file.name} from {host}: {_size(partial):,} of {file.size:,} bytes are here already")
    else:
        report(f"downloading {file.name} ({file.size:,} bytes) from {host}")
    try:
        _complete(url, file, partial)
        _require_checksum(file, partial)
    except _WrongContentError:
        _delete(partial)
        if not continues:
            raise
        report(f"the first part of {file.name} is not right: downloading all of it")
        _download_from(url, file, path, report)
        return
    try:
        rename_synced(partial, path)
    except OSError as error:
        raise write_error(path, error) from error


def _complete(url: str, file: RemoteFile, partial: Path) -> None:
    """Appends to the partial file until it has its size, over several connections where they break."""
    for _ in range(RECONNECTIONS):
        before = _size(partial)
        if before == file.size:
            return
        try:
            _append(url, file, partial, before)
        except _BrokenError:
            if _size(partial) <= before:
                raise
    if _size(partial) != file.size:
        raise _MirrorError(f"the connection broke {RECONNECTIONS} times")


def _append(url: str, file: RemoteFile, partial: Path, start: int) -> None:
    """Receives the bytes from `start` on; all bytes from a mirror that does not know ranges."""
    with _asked(url, start) as response, _opened(partial) as target:
        if start and not _continues_at(response, start):
            start = 0
            target.truncate(0)
        _require_length(response, start, file.size)
        size = start
        for data in _received(response):
            size += len(data)
            if size > file.size:
                raise _WrongContentError(f"expected {file.size:,} bytes, received more")
            target.write(data)
            target.flush()
    if size < file.size:
        raise _BrokenError(f"expected {file.size:,} bytes, received {size:,}")


@contextmanager
def _asked(url: str, start: int) -> Iterator[http.client.HTTPResponse]:
    try:
        response = open_url(url, start)
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        raise _MirrorError(_reason(error)) from error
    with response:
        yield response


def _continues_at(response: http.client.HTTPResponse, start: int) -> bool:
    """Whether the answer is the rest of the file, as asked, and not all of it."""
    if response.status != http.client.PARTIAL_CONTENT:
        return False
    if not str(response.headers.get("Content-Range", "")).startswith(f"bytes {start}-"):
        raise _MirrorError("it answers with another part of the file")
    return True


def _require_length(response: http.client.HTTPResponse, start: int, size: int) -> None:
    """Refuses an answer that says it is another file, such as the page of a login, before a byte of it is kept."""
    length = response.length
    if length is not None and start + length != size:
        raise _WrongContentError(f"expected {size:,} bytes, found a file of {start + length:,}")


def _received(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The parts of the answer as they arrive. Raises _MirrorError where they do not."""
    began, arrived = time.monotonic(), 0
    while True:
        try:
            data = response.read1(_CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise _BrokenError(_reason(error)) from error
        if not data:
            return
        yield data
        arrived += len(data)
        passed = time.monotonic() - began
        if passed > PERIOD:
            if arrived < SLOWEST * passed:
                raise _MirrorError(f"it delivers fewer than {SLOWEST:,} bytes per second")
            began, arrived = time.monotonic(), 0


def _require_checksum(file: RemoteFile, partial: Path) -> None:
    try:
        with partial.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise write_error(partial, error) from error
    if digest != file.sha256:
        raise _WrongContentError(f"expected SHA-256 {file.sha256}, received {digest}")


# ---- the partial file


def _size(partial: Path) -> int:
    try:
        return partial.stat().st_size
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise write_error(partial, error) from error


@contextmanager
def _opened(partial: Path) -> Iterator[IO[bytes]]:
    """The partial file, opened for appending, and deleted if it stays empty.

    An OSError of the body, which is one of writing, is raised as E902.
    """
    try:
        with partial.open("ab") as file:
            yield file
    except OSError as error:
        raise write_error(partial, error) from error
    finally:
        if not _size(partial):
            _delete(partial)


def _delete(partial: Path) -> None:
    try:
        partial.unlink(missing_ok=True)
    except OSError as error:
        raise write_error(partial, error) from error


# ---- https


class _HttpsRedirections(urllib.request.HTTPRedirectHandler):
    """Follows redirections, at most ten, to https only."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        scheme = urlsplit(newurl).scheme
        if scheme != "https":
            fp.close()
            raise urllib.error.URLError(f"it redirects to {scheme}, and only https is read")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def open_url(url: str, start: int = 0) -> http.client.HTTPResponse:
    """Opens an https URL at a byte, which the server may ignore; other schemes are refused, in redirections too.

    Raises OSError, HTTPException.
    """
    director = urllib.request.OpenerDirector()
    for handler in (  # without handlers, http, ftp, file and data are unknown schemes
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        _HttpsRedirections(),
        urllib.request.HTTPErrorProcessor(),
    ):
        director.add_handler(handler)
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    return cast(http.client.HTTPResponse, director.open(request, timeout=TIMEOUT))


def _reason(error: OSError | http.client.HTTPException) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP status {error.code}"
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror.lower()
    text = str(cause) or type(cause).__name__
    return text[0].lower() + text[1:]
