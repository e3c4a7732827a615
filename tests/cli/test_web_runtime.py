"""Where the files of onnxruntime-web come from; no test here uses the network. A small package stands for the real one."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from cnnc.cli import web_runtime as module
from cnnc.cli.web_runtime import BUILDS, FILES, WebFile, web_runtime
from cnnc.diagnostics import CnncError, Exit
from cnnc.view.web.runtime import Build

CONTENT = {file.name: f"content of {file.name}".encode() for file in FILES}
WASM = [file.name for file in BUILDS["wasm"]]


def npm_package(contents: dict[str, bytes] = CONTENT) -> bytes:
    """An npm package with these files in its folder `dist`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=0) as archive:
        for name, data in {**contents, "other.js": b"not needed"}.items():
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def small_package(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The package that is pinned in these tests."""
    package = npm_package()
    pinned = {
        build: tuple(WebFile(file.name, hashlib.sha256(CONTENT[file.name]).hexdigest()) for file in wanted)
        for build, wanted in BUILDS.items()
    }
    digest = base64.b64encode(hashlib.sha512(package).digest()).decode()
    monkeypatch.setattr(module, "BUILDS", pinned)
    monkeypatch.setattr(module, "FILES", tuple(file for wanted in pinned.values() for file in wanted))
    monkeypatch.setattr(module, "INTEGRITY", f"sha512-{digest}")
    return package


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache; neither npm nor cnnc-web is installed."""
    folder = tmp_path / "cache" / "onnxruntime-web"
    monkeypatch.setattr(module, "cache_folder", lambda: folder)
    monkeypatch.setattr(module, "PYTHON_PACKAGE", "cnnc_web_of_these_tests")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("CNNC_OFFLINE", raising=False)
    return folder


Npm = Callable[..., Path]


@pytest.fixture
def npm(tmp_path: Path, small_package: bytes) -> Npm:
    """Installs an npm that delivers a package, or fails with an output; returns the file that lists its calls."""

    def install(package: bytes | None = small_package, output: str = "") -> Path:
        calls, delivered = tmp_path / "calls", tmp_path / "delivered"
        if package is not None:
            delivered.write_bytes(package)
        script = tmp_path / "bin" / "npm"
        script.parent.mkdir(exist_ok=True)
        script.write_text(
            f"#!{sys.executable}\n"
            "import pathlib, shutil, sys\n"
            f"open({str(calls)!r}, 'a').write(' '.join(sys.argv[1:3]) + '\\n')\n"
            f"if {package is None}: sys.exit({output!r})\n"
            "folder = next(a.partition('=')[2] for a in sys.argv if a.startswith('--pack-destination='))\n"
            f"shutil.copy({str(delivered)!r}, folder + '/onnxruntime-web.tgz')\n"
        )
        script.chmod(0o755)
        return calls

    return install


def fill(folder: Path, contents: dict[str, bytes] = CONTENT) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    return folder


def contents_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def find(given: Path | None = None, build: Build = "wasm") -> list[str]:
    """Finds the right files, and returns the reported lines."""
    lines: list[str] = []
    runtime = web_runtime(given, build, lines.append)
    assert (runtime.version, runtime.build) == (module.VERSION, build)
    assert [runtime.script, runtime.module, runtime.wasm] == [CONTENT[file.name] for file in BUILDS[build]]
    return lines


def refused(code: str, given: Path | None = None) -> str:
    """Checks that there is one error with this code; returns its message and help."""
    with pytest.raises(CnncError) as caught:
        web_runtime(given, "wasm", lambda line: None)
    assert [d.code for d in caught.value.diagnostics] == [code]
    assert caught.value.status is Exit.RESOURCES
    return f"{caught.value.diagnostics[0].message} | {caught.value.diagnostics[0].help}"


# ---- given with --runtime


@pytest.mark.parametrize(
    "below", [".", "dist", "package/dist", "onnxruntime-web/dist", "node_modules/onnxruntime-web/dist"]
)
@pytest.mark.parametrize("build", BUILDS)
def test_a_given_folder(tmp_path: Path, below: str, build: Build) -> None:
    fill(tmp_path / "given" / below)
    assert find(tmp_path / "given", build) == []


def test_a_given_package(tmp_path: Path, small_package: bytes) -> None:
    (tmp_path / "any.tgz").write_bytes(small_package)
    assert find(tmp_path / "any.tgz") == []


def test_what_is_given_is_the_only_place(tmp_path: Path, cache: Path, npm: Npm) -> None:
    fill(cache)
    calls = npm()
    (tmp_path / "empty").mkdir()
    message = refused("E911", tmp_path / "empty")
    assert f"{tmp_path / 'empty'} does not contain ort.wasm.min.js of onnxruntime-web 1.30.0" in message
    assert not calls.exists()


def test_a_given_folder_of_another_version(tmp_path: Path) -> None:
    fill(tmp_path / "dist", dict.fromkeys(CONTENT, b"older"))
    (tmp_path / "package.json").write_text('{"version": "1.27.0"}')
    message = refused("E911", tmp_path)
    assert f"{tmp_path / 'dist' / WASM[0]} is of version 1.27.0, not the file of onnxruntime-web 1.30.0" in message


@pytest.mark.parametrize("package_json", [None, "[]", "{", '{"version": 1}', '{"version": "1.30.0"}'])
def test_a_given_folder_with_a_damaged_file(tmp_path: Path, package_json: str | None) -> None:
    fill(tmp_path / "dist", {**CONTENT, WASM[2]: CONTENT[WASM[2]][:-1]})
    if package_json is not None:
        (tmp_path / "package.json").write_text(package_json)
    assert f"{tmp_path / 'dist' / WASM[2]} is not the file of onnxruntime-web 1.30.0" in refused("E911", tmp_path)


@pytest.mark.parametrize("data", [b"", b"not an archive", npm_package({})])
def test_a_given_file_that_is_another(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "file.tgz").write_bytes(data)
    message = refused("E911", tmp_path / "file.tgz")
    assert "file.tgz is not the npm package onnxruntime-web 1.30.0, or is damaged" in message


def test_a_given_path_that_does_not_exist(tmp_path: Path) -> None:
    assert f"cannot read {tmp_path / 'absent'}: no such file" in refused("E911", tmp_path / "absent")


def test_the_help_works_when_followed(tmp_path: Path, small_package: bytes) -> None:
    """It names the command that downloads the package and the option that takes the file."""
    help = refused("E911", tmp_path / "absent").partition(" | ")[2]
    assert f"get the package with `{module.PACK}` and add `--runtime {module.PACKAGE_FILE}`" in help
    assert module.PACK == "npm pack onnxruntime-web@1.30.0"
    (tmp_path / module.PACKAGE_FILE).write_bytes(small_package)
    assert find(tmp_path / module.PACKAGE_FILE) == []


# ---- installed, cached


def test_the_installed_distribution_comes_first(
    tmp_path: Path, cache: Path, npm: Npm, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = npm()
    fill(tmp_path / "site" / module.PYTHON_PACKAGE / "files")
    (tmp_path / "site" / module.PYTHON_PACKAGE / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert find() == []
    assert not calls.exists()
    assert not cache.exists()


def test_an_installed_distribution_of_another_version_is_reported(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "site" / module.PYTHON_PACKAGE / "files", dict.fromkeys(CONTENT, b"older"))
    monkeypatch.syspath_prepend(tmp_path / "site")
    fill(cache)
    (line,) = find()
    assert line.startswith("the installed cnnc-web is not used: ")
    assert line.endswith("is not the file of onnxruntime-web 1.30.0")


def test_the_cache(cache: Path, npm: Npm) -> None:
    calls = npm()
    fill(cache, {name: CONTENT[name] for name in WASM})
    assert find() == []
    assert not calls.exists()


# ---- npm


def test_npm_fills_the_cache(cache: Path, npm: Npm) -> None:
    calls = npm()
    assert find() == ["downloading onnxruntime-web 1.30.0 (33 MB) with npm"]
    assert contents_of(cache) == CONTENT
    assert find(build="webgpu") == []
    assert calls.read_text() == "pack onnxruntime-web@1.30.0\n"


@pytest.mark.parametrize("damage", [{WASM[2]: b"cut"}, {WASM[0]: b""}])
def test_damaged_files_in_the_cache_are_replaced(cache: Path, npm: Npm, damage: dict[str, bytes]) -> None:
    npm()
    fill(cache, {**CONTENT, **damage})
    assert len(find()) == 1
    assert contents_of(cache) == CONTENT


def test_missing_files_in_the_cache_are_fetched(cache: Path, npm: Npm) -> None:
    npm()
    fill(cache, {name: CONTENT[name] for name in WASM[:2]})
    assert len(find()) == 1
    assert contents_of(cache) == CONTENT


def test_a_cache_that_cannot_be_written_is_reported(cache: Path, npm: Npm) -> None:
    npm()
    cache.parent.write_text("a file where the folder should be")
    lines = find()
    assert lines[1].startswith(f"onnxruntime-web is not kept for the next time: cannot write {cache}: ")


def test_another_package_from_npm_is_an_error(cache: Path, npm: Npm) -> None:
    npm(npm_package({**CONTENT, WASM[0]: b"alert()"}))
    message = refused("E911")
    assert "npm downloaded something else than onnxruntime-web 1.30.0: its checksum is not sha512-" in message
    assert "check `npm config get registry`" in message
    assert not cache.exists()


@pytest.mark.parametrize(
    ("output", "problem"),
    [
        (
            "npm error code ENOTFOUND\nnpm error syscall getaddrinfo\nnpm error errno ENOTFOUND\n"
            "npm error network request to https://registry.example/x failed, reason: getaddrinfo ENOTFOUND\n"
            "npm error network This is a problem related to network connectivity.",
            "request to https://registry.example/x failed, reason: getaddrinfo ENOTFOUND",
        ),
        ("npm ERR! code E404\nnpm ERR! 404 Not Found - GET https://x/y", "Not Found - GET https://x/y"),
        ("", "its exit status was not 0 and it printed nothing"),
    ],
)
def test_npm_fails(cache: Path, npm: Npm, output: str, problem: str) -> None:
    npm(None, output or "\n")
    message = refused("E910")
    assert message.startswith(f"npm cannot download onnxruntime-web 1.30.0: {problem} | check the network connection")
    assert not cache.exists()


def test_npm_that_does_not_start(tmp_path: Path, npm: Npm) -> None:
    npm()
    (tmp_path / "bin" / "npm").write_text("#!/nonexistent/interpreter\n")
    assert "npm cannot download onnxruntime-web 1.30.0: no such file or directory" in refused("E910")


def test_npm_that_does_not_end(tmp_path: Path, npm: Npm, monkeypatch: pytest.MonkeyPatch) -> None:
    npm()
    (tmp_path / "bin" / "npm").write_text(f"#!{sys.executable}\nimport time\ntime.sleep(60)\n")
    monkeypatch.setattr(module, "NPM_TIMEOUT", 0.2)
    assert "it has not ended after 0.2 s" in refused("E910")


def test_without_any_of_them() -> None:
    message = refused("E910")
    assert message.startswith("onnxruntime-web 1.30.0, which runs the model in the page, is not on this machine")
    for way in (
        "install Node.js",
        f"get the package with `{module.PACK}` on another machine and add `--runtime",
        "install the Python distribution cnnc-web",
    ):
        assert way in message


def test_offline_npm_is_not_asked(tmp_path: Path, cache: Path, npm: Npm, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the package, its size and checksum, and where it goes."""
    calls = npm()
    monkeypatch.setenv("CNNC_OFFLINE", "1")
    message = refused("E910")
    assert "onnxruntime-web 1.30.0, which runs the model in the page, is not on this machine" in message
    assert (
        f"or get the package with `{module.PACK}` on another machine and add `--runtime {module.PACKAGE_FILE}`"
        in message
    )
    assert f"(33 MB, {module.INTEGRITY})" in message
    assert not calls.exists()
    fill(cache)
    assert find() == []


@pytest.mark.long
def test_two_at_the_same_time(cache: Path, npm: Npm) -> None:
    """Each reads complete files, whoever wrote them."""
    from concurrent.futures import ThreadPoolExecutor

    npm()
    with ThreadPoolExecutor(4) as pool:
        for lines in pool.map(lambda _: find(), range(8)):
            assert len(lines) <= 1
    assert contents_of(cache) == CONTENT
    assert [name for name in os.listdir(cache.parent) if name != cache.name] == []
