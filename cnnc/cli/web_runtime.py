"""The files of onnxruntime-web, which a page needs to run a model in a browser.

In: the argument of `--runtime`, if any. Out: a `WebRuntime`, whose files have the checksums below. They come from the
first of these that has them: the folder or package file given with `--runtime`, which is then the only one; the
installed distribution cnnc-web; the user's cache; the npm client, whose package is compared with its published checksum
and whose files then go into the cache. A cache that cannot be written is only reported.

    runtime = web_runtime(None, "wasm", report)    # WebRuntime("1.30.0", "wasm", script=b"...", ...)
"""

from __future__ import annotations

import base64
import hashlib
import io
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, NamedTuple

from cnnc.core.files import make_folder, read_bytes, reason, write_atomic
from cnnc.diagnostics import CnncError

if TYPE_CHECKING:
    from cnnc.data import Report
    from cnnc.view.web.runtime import Build, WebRuntime

PACKAGE = "onnxruntime-web"
VERSION = "1.30.0"
INTEGRITY = "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
"""The checksum of the npm package, as `npm view` prints it."""

URL = f"https://registry.npmjs.org/{PACKAGE}/-/{PACKAGE}-{VERSION}.tgz"

DISTRIBUTION = "cnnc-web"
"""The Python distribution that contains the files; its package is `cnnc_web`."""

NPM_TIMEOUT = 600.0
"""Seconds that npm may take."""


class WebFile(NamedTuple):
    """A file of the npm package, in its folder `dist`."""

    name: str
    size: int
    sha256: str


BUILDS: Mapping[Build, tuple[WebFile, WebFile, WebFile]] = {
    "wasm": (
        WebFile("ort.wasm.min.js", 50196, "faece07e84faa9001f5104bbe4e5c70861d06cb2376a0dea1fa0ad33a67adc81"),
        WebFile(
            "ort-wasm-simd-threaded.mjs", 24381, "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b"
        ),
        WebFile(
            "ort-wasm-simd-threaded.wasm", 14239897, "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2"
        ),
    ),
    "webgpu": (
        WebFile("ort.webgpu.min.js", 66417, "7d65dad7eb4564ad98db9924a259af2e2c68ebfbdbf254fa5d728f1c5736e07a"),
        WebFile(
            "ort-wasm-simd-threaded.asyncify.mjs",
            53057,
            "3d1c85995364bb643302fc6fd877a0c3ba5ae72401815e0f24828a53d9191e28",
        ),
        WebFile(
            "ort-wasm-simd-threaded.asyncify.wasm",
            26781914,
            "39f9f0894d478800487ed9f7dbe92618498db320cf55c8e3d89adff8dce658da",
        ),
    ),
}
"""The files of each build: the script, the module, the WebAssembly."""

FILES = tuple(file for build in BUILDS.values() for file in build)

Contents = dict[str, bytes]
"""Files by name."""


def web_runtime(given: Path | None, build: Build, report: Report) -> WebRuntime:
    """The files of a build. Raises CnncError E910 where there are none, E911 where those given are not the right ones."""
    from cnnc.view.web.runtime import WebRuntime

    wanted = BUILDS[build]
    contents = _given(given, wanted) if given is not None else _installed(wanted) or _cached(wanted) or _fetch(report)
    return WebRuntime(VERSION, build, *(contents[file.name] for file in wanted))


def cache_folder() -> Path:
    """The folder in the user's cache that holds the files."""
    from cnnc.data import fetch

    return fetch.cache_folder(f"{PACKAGE}-{VERSION}")


# ---- where the files are


def _given(given: Path, wanted: tuple[WebFile, ...]) -> Contents:
    """The files in what `--runtime` names: a folder, or the npm package as a file. Raises CnncError E911."""
    if given.is_file():
        return package_files(read_bytes(given, 1 << 28), str(given))
    if not given.is_dir():
        raise _unusable(f"there is no folder {given}")
    folders = [
        given / below for below in ("", "dist", "package/dist", f"{PACKAGE}/dist", f"node_modules/{PACKAGE}/dist")
    ]
    folder = next((each for each in folders if any((each / file.name).exists() for file in FILES)), given)
    return {file.name: _checked(folder, file) for file in wanted}


def _installed(wanted: tuple[WebFile, ...]) -> Contents | None:
    """The files of the installed distribution cnnc-web; None where there is none. Raises CnncError E911."""
    from importlib.util import find_spec

    if find_spec("cnnc_web") is None:
        return None
    folder = Path(str(files("cnnc_web"))) / "files"
    try:
        return {file.name: _checked(folder, file) for file in wanted}
    except CnncError as error:
        problem = error.diagnostics[0].message
        help = f"uninstall it (`pip uninstall {DISTRIBUTION}`), or install the version that fits this cnnc"
        raise CnncError.of("E911", f"the installed {DISTRIBUTION} does not fit: {problem}", help=help) from error


def _cached(wanted: tuple[WebFile, ...]) -> Contents | None:
    """The files in the cache; None unless all are there and undamaged."""
    folder = cache_folder()
    try:
        return {file.name: _checked(folder, file) for file in wanted}
    except CnncError:
        return None


def _checked(folder: Path, file: WebFile) -> bytes:
    """A file of a folder. Raises CnncError E911 if it is missing or another one."""
    path = folder / file.name
    if not path.exists():
        raise _unusable(f"{folder} does not contain {file.name}")
    data = read_bytes(path, 1 << 28)
    if _sha256(data) != file.sha256:
        raise _unusable(f"{path} is not that of {PACKAGE} {VERSION}{_other_version(folder)}, or is damaged")
    return data


def _other_version(folder: Path) -> str:
    """The version that a folder of the npm package says it has, for a message."""
    import json

    with suppress(CnncError, ValueError, AttributeError):
        found = json.loads(read_bytes(folder.parent / "package.json", 1 << 20)).get("version")
        if isinstance(found, str) and found != VERSION:
            return f" but of {found[:40]}"
    return ""


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _unusable(problem: str) -> CnncError:
    help = f"pass the folder of {PACKAGE} {VERSION}, or the file {URL.rpartition('/')[2]} from {URL}, or omit --runtime"
    return CnncError.of("E911", problem, help=help)


# ---- the npm package


def package_files(package: bytes, name: str) -> Contents:
    """The files in the content of an npm package. Raises CnncError E911 if it is another one."""
    algorithm, _, digest = INTEGRITY.partition("-")
    if hashlib.new(algorithm, package).digest() != base64.b64decode(digest):
        raise _unusable(f"{name} is not the package {PACKAGE} {VERSION}, or is damaged")
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        return {file.name: _member(archive, file.name) for file in FILES}


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(f"package/dist/{name}")
    assert member is not None  # the checksum of the package is right
    return member.read()


def _fetch(report: Report) -> Contents:
    """The files of the package that npm downloads, which the cache keeps. Raises CnncError E910, E911."""
    npm = shutil.which("npm")
    if npm is None:
        raise CnncError.of("E910", f"{PACKAGE} {VERSION}, which runs the model in the page, is not there", help=_help())
    contents = npm_files(npm, report)
    folder = cache_folder()
    try:
        make_folder(folder)
        for name, data in contents.items():
            write_atomic(folder / name, data)
    except CnncError as error:
        report(f"{PACKAGE} is not kept for the next time: {error.diagnostics[0].message}")
    return contents


def npm_files(npm: str, report: Report) -> Contents:
    """The files of the package that npm downloads. Raises CnncError E910 if it cannot, E911 if the package is another."""
    report(f"downloading {PACKAGE} {VERSION} (33 MB) with npm")
    with tempfile.TemporaryDirectory(prefix="cnnc-") as folder:
        options = ["--ignore-scripts", "--no-audit", "--no-update-notifier", "--loglevel=error", "--fetch-retries=1"]
        command = [npm, "pack", f"{PACKAGE}@{VERSION}", f"--pack-destination={folder}", *options]
        try:
            done = subprocess.run(
                command, cwd=folder, capture_output=True, stdin=subprocess.DEVNULL, timeout=NPM_TIMEOUT, check=False
            )
        except subprocess.TimeoutExpired:
            raise _npm_failed("it did not end in time") from None
        except OSError as error:
            raise _npm_failed(reason(error)) from error
        packages = list(Path(folder).glob("*.tgz"))
        if done.returncode or len(packages) != 1:
            raise _npm_failed(_npm_problem(done.stderr.decode(errors="replace")))
        return package_files(read_bytes(packages[0]), "what npm downloaded")


def _npm_problem(output: str) -> str:
    """What npm says about a failure, in one line."""
    lines = [line.removeprefix("npm ").removeprefix("ERR! ").removeprefix("error ") for line in output.splitlines()]
    lines = [line.strip() for line in lines if line.strip() and not line.startswith(("code ", "errno ", "syscall "))]
    return lines[0][:200] if lines else "it printed no reason"


def _npm_failed(problem: str) -> CnncError:
    return CnncError.of("E910", f"npm cannot download {PACKAGE} {VERSION}: {problem}", help=_help("fix that"))


def _help(first: str = "install Node.js, which contains npm") -> str:
    name = URL.rpartition("/")[2]
    return f"{first}; or `pip install {DISTRIBUTION}`; or download {URL} and add `--runtime {quote(name)}`"
