"""The files of onnxruntime-web, which a page needs to run a model in a browser.

In: the argument of `--runtime`, if any. Out: a `WebRuntime`, whose files have the checksums below. They come from the
first of these that has them: the folder or package file given with `--runtime`, which is then the only one; the
installed distribution cnnc-web; the user's cache; the npm client, whose package is compared with its published checksum
and whose files then go into the cache; offline, npm is not asked. A cache that cannot be written is only reported.

    runtime = web_runtime(None, "wasm", report)    # WebRuntime("1.30.0", "wasm", script=b"...", ...)
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import shutil
import stat
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cnnc.core.files import make_folder, read_bytes, reason, write_atomic
from cnnc.core.offline import is_offline
from cnnc.diagnostics import CnncError

if TYPE_CHECKING:
    from cnnc.data import Report
    from cnnc.view.web.runtime import Build, WebRuntime

PACKAGE = "onnxruntime-web"
VERSION = "1.30.0"
INTEGRITY = "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
"""The checksum of the npm package, as `npm view` prints it."""

PACKAGE_FILE = f"{PACKAGE}-{VERSION}.tgz"
PACK = f"npm pack {PACKAGE}@{VERSION}"
"""The command that downloads the npm package as the file PACKAGE_FILE."""

DISTRIBUTION, PYTHON_PACKAGE = "cnnc-web", "cnnc_web"
"""The Python distribution that contains the files, and its package."""

LARGEST = 1 << 28
"""The most bytes of a file that is read."""

NPM_TIMEOUT = 600.0
"""Seconds that npm may take."""


class WebFile(NamedTuple):
    """A file of the npm package, in its folder `dist`."""

    name: str
    sha256: str


BUILDS: Mapping[Build, tuple[WebFile, WebFile, WebFile]] = {
    "wasm": (
        WebFile("ort.wasm.min.js", "faece07e84faa9001f5104bbe4e5c70861d06cb2376a0dea1fa0ad33a67adc81"),
        WebFile("ort-wasm-simd-threaded.mjs", "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b"),
        WebFile("ort-wasm-simd-threaded.wasm", "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2"),
    ),
    "webgpu": (
        WebFile("ort.webgpu.min.js", "7d65dad7eb4564ad98db9924a259af2e2c68ebfbdbf254fa5d728f1c5736e07a"),
        WebFile(
            "ort-wasm-simd-threaded.asyncify.mjs", "3d1c85995364bb643302fc6fd877a0c3ba5ae72401815e0f24828a53d9191e28"
        ),
        WebFile(
            "ort-wasm-simd-threaded.asyncify.wasm", "39f9f0894d478800487ed9f7dbe92618498db320cf55c8e3d89adff8dce658da"
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
    if given is not None:
        contents = _given(given, wanted)
    else:
        contents = _installed(wanted, report) or _cached(wanted) or _fetch(report)
    return WebRuntime(VERSION, build, *(contents[file.name] for file in wanted))


def local_source() -> str:
    """Where the files of the build for the CPU lie on this machine; "" if they would have to be downloaded."""
    wanted = BUILDS["wasm"]
    if _installed(wanted, lambda line: None) is not None:
        return f"the installed {DISTRIBUTION}"
    return "the cache" if _cached(wanted) is not None else ""


def cache_folder() -> Path:
    """The folder in the user's cache that holds the files."""
    from cnnc.data import fetch

    return fetch.cache_folder(f"{PACKAGE}-{VERSION}")


# ---- where the files are


def _given(given: Path, wanted: tuple[WebFile, ...]) -> Contents:
    """The files in what `--runtime` names: a folder, or the npm package as a file. Raises CnncError E901, E903, E911."""
    try:
        mode = given.stat().st_mode
    except OSError as error:
        raise _unusable(f"cannot read {given}: {reason(error)}") from error
    if not stat.S_ISDIR(mode):
        contents = package_files(read_bytes(given, LARGEST))
        if contents is None:
            raise _unusable(f"{given} is not the npm package {PACKAGE} {VERSION}, or is damaged")
        return contents
    folders = [
        given / below for below in ("", "dist", "package/dist", f"{PACKAGE}/dist", f"node_modules/{PACKAGE}/dist")
    ]
    folder = next((each for each in folders if any((each / file.name).exists() for file in FILES)), given)
    return _checked(folder, wanted)


def _installed(wanted: tuple[WebFile, ...], report: Report) -> Contents | None:
    """The files of the installed distribution cnnc-web; None where there is none, or one of another version."""
    from importlib.util import find_spec

    spec = find_spec(PYTHON_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    try:
        return _checked(Path(spec.submodule_search_locations[0]) / "files", wanted)
    except CnncError as error:
        report(f"the installed {DISTRIBUTION} is not used: {error.diagnostics[0].message}")
        return None


def _cached(wanted: tuple[WebFile, ...]) -> Contents | None:
    """The files in the cache; None unless all are there and undamaged."""
    try:
        return _checked(cache_folder(), wanted)
    except CnncError:
        return None


def _checked(folder: Path, wanted: tuple[WebFile, ...]) -> Contents:
    """The files in a folder. Raises CnncError E911 where one is missing or another, E901 where it cannot be read."""
    contents = {}
    for file in wanted:
        path = folder / file.name
        if not path.exists():
            raise _unusable(f"{folder} does not contain {file.name} of {PACKAGE} {VERSION}")
        contents[file.name] = read_bytes(path, LARGEST)
        if hashlib.sha256(contents[file.name]).hexdigest() != file.sha256:
            raise _unusable(f"{path} is {_other_version(folder)}not the file of {PACKAGE} {VERSION}")
    return contents


def _other_version(folder: Path) -> str:
    """The version that a folder `dist` of the npm package has, for a message; "" if it is the right one, or unknown."""
    import json

    with suppress(CnncError, ValueError, AttributeError):
        version = json.loads(read_bytes(folder.parent / "package.json", LARGEST)).get("version")
        if isinstance(version, str) and version != VERSION:
            return f"of version {version[:40]}, "
    return ""


def _unusable(problem: str) -> CnncError:
    help = f"omit --runtime, or get the package with `{PACK}` and add `--runtime {PACKAGE_FILE}`"
    return CnncError.of("E911", problem, help=help)


# ---- the npm package


def package_files(package: bytes) -> Contents | None:
    """The files of all builds in the content of the npm package; None if it has another checksum."""
    if not has_integrity(package, INTEGRITY):
        return None
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        return {file.name: _member(archive, file.name) for file in FILES}


def has_integrity(data: bytes, integrity: str) -> bool:
    """Whether data have the checksum that npm publishes for them: `sha512-` and base64."""
    algorithm, _, digest = integrity.partition("-")
    return hashlib.new(algorithm, data).digest() == base64.b64decode(digest)


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(f"package/dist/{name}")
    assert member is not None  # the checksum of the package is right
    return member.read()


def _fetch(report: Report) -> Contents:
    """The files of the package that npm downloads, which the cache keeps. Raises CnncError E910, E911."""
    if is_offline():
        problem = f"{PACKAGE} {VERSION}, which runs the model in the page, is not on this machine, and nothing is downloaded offline"
        raise CnncError.of("E910", problem, help=f"{BY_HAND} (33 MB, {INTEGRITY})")
    npm = shutil.which("npm")
    if npm is None:
        problem = f"{PACKAGE} {VERSION}, which runs the model in the page, is not on this machine"
        raise CnncError.of("E910", problem, help=f"install Node.js, whose npm client downloads it; {OTHER_WAYS}")
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
    contents = package_files(npm_package(npm, PACKAGE, VERSION))
    if contents is None:
        problem = f"npm downloaded something else than {PACKAGE} {VERSION}: its checksum is not {INTEGRITY}"
        raise CnncError.of("E911", problem, help=f"check `npm config get registry`; {OTHER_WAYS}")
    return contents


def npm_package(npm: str, name: str, version: str) -> bytes:
    """A package that npm downloads. Raises CnncError E910 if it cannot."""
    with tempfile.TemporaryDirectory(prefix="cnnc-", ignore_cleanup_errors=True) as folder:
        options = ["--ignore-scripts", "--no-update-notifier", "--loglevel=error", "--fetch-retries=1"]
        command = [npm, "pack", f"{name}@{version}", f"--pack-destination={folder}", *options]
        try:
            done = subprocess.run(
                command, cwd=folder, capture_output=True, stdin=subprocess.DEVNULL, timeout=NPM_TIMEOUT, check=False
            )
        except subprocess.TimeoutExpired:
            problem = f"it has not ended after {NPM_TIMEOUT:g} s"
        except OSError as error:
            problem = reason(error)
        else:
            packages = list(Path(folder).glob("*.tgz"))
            if not done.returncode and len(packages) == 1:
                return read_bytes(packages[0], LARGEST)
            problem = _npm_problem(done.stderr.decode(errors="replace"))
    help = f"check the network connection and the settings of npm; {OTHER_WAYS}"
    raise CnncError.of("E910", f"npm cannot download {name} {version}: {problem}", help=help)


def _npm_problem(output: str) -> str:
    """What npm says about a failure, in one line."""
    for line in output.splitlines():
        text = re.sub(r"^npm (ERR!|error) ?(network |404 )?", "", line).strip()
        if text and not re.match(r"(code|errno|syscall|path) ", text):
            return text[:200]
    return "its exit status was not 0 and it printed nothing"


BY_HAND = (
    f"install the Python distribution {DISTRIBUTION}, "
    f"or get the package with `{PACK}` on another machine and add `--runtime {PACKAGE_FILE}`"
)
OTHER_WAYS = f"or get the package with `{PACK}` on another machine and add `--runtime {PACKAGE_FILE}`; or install the Python distribution {DISTRIBUTION}"
