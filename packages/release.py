"""Makes what a release consists of, from the last commit: `python packages/release.py -o dist [--tag v0.1.0]`.

In: the commit, and the tools of .github/release-tools.txt. Out, in an empty folder:

    cnnc-VERSION-py3-none-any.whl, cnnc-VERSION.tar.gz    built twice, in different folders; both builds are the same bytes
    cnnc-VERSION-requirements.txt                         the newest dependencies at this time, with their SHA-256
    cnnc-VERSION.cdx.json                                 what was installed from them: a CycloneDX SBOM
    SHA256SUMS                                            checksums of all of them, for `sha256sum -c`

It stops where the version is not that of the tag, where the two builds differ, or where the sdist contains a file that the
commit does not.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tarfile
import tomllib
import venv
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parent.parent
GENERATED = ("PKG-INFO",)
"""The files of the sdist that no commit contains."""


def run(*words: str | Path, folder: Path = ROOT, **variables: str) -> str:
    """The output of a command, which must succeed."""
    done = subprocess.run(
        [*map(str, words)], cwd=folder, env={**os.environ, **variables}, check=False, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        sys.exit(f"{words[0]} failed with status {done.returncode}")
    return done.stdout


def build(to: Path, **variables: str) -> None:
    """Builds wheel and sdist of the last commit, from a copy in a temporary folder."""
    with TemporaryDirectory() as name:
        archive, copy = Path(name) / "commit.tar", Path(name) / "cnnc"
        run("git", "archive", "-o", archive, "HEAD")
        with tarfile.open(archive) as tar:
            tar.extractall(copy, filter="data")
        command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", to]
        print(run(*command, folder=copy, **variables), end="", file=sys.stderr)


def build_twice(to: Path) -> None:
    """Builds twice, where what should not matter differs: the folder, the time zone, the order of sets."""
    epoch = run("git", "log", "-1", "--format=%ct").strip()
    with TemporaryDirectory() as name:
        again = Path(name)
        build(to, SOURCE_DATE_EPOCH=epoch, TZ="UTC", PYTHONHASHSEED="1")
        build(again, SOURCE_DATE_EPOCH=epoch, TZ="Asia/Tokyo", PYTHONHASHSEED="2")
        first, second = checksums(to.iterdir()), checksums(again.iterdir())
    if first != second:
        sys.exit(f"two builds differ:\n{first}\n{second}")


def foreign_members(sdist: Path, tracked: Iterable[str]) -> list[str]:
    """The files of an sdist that are not in the commit."""
    with tarfile.open(sdist) as tar:
        names = {member.name.split("/", 1)[1] for member in tar if not member.isdir()}
        special = [member.name for member in tar if not (member.isreg() or member.isdir())]
    return sorted(names - set(tracked) - set(GENERATED)) + special


def list_dependencies(to: Path, stem: str, wheel: Path) -> None:
    """Resolves the dependencies, installs them by their hashes, and writes the SBOM of what is installed."""
    locked = to / f"{stem}-requirements.txt"
    uv = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--no-annotate"]
    run(*uv, "--no-header", "--no-emit-index-url", "-o", locked, "pyproject.toml")
    with TemporaryDirectory() as name:
        venv.create(name, with_pip=True)
        python = Path(name) / ("Scripts" if os.name == "nt" else "bin") / "python"
        pip = [python, "-m", "pip", "install", "--quiet"]
        run(*pip, "--require-hashes", "--only-binary", ":all:", "-r", locked)
        run(*pip, "--no-deps", wheel)
        run(*pip[:3], "uninstall", "--quiet", "--yes", "pip")  # no dependency of cnnc
        command = [sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible", "--pyproject"]
        run(*command, "pyproject.toml", "--mc-type", "library", "-o", to / f"{stem}.cdx.json", python)


def checksums(files: Iterable[Path]) -> str:
    """Lines for `sha256sum -c`."""
    return "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in sorted(files))


def main() -> None:
    """Makes the files of a release."""
    parser = argparse.ArgumentParser(description="Make the files of a release from the last commit.")
    parser.add_argument("-o", "--out", type=Path, required=True, help="an empty folder")
    parser.add_argument("--tag", help="the tag of the release, which must be v and the version")
    arguments = parser.parse_args()
    out: Path = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        sys.exit(f"{out} is not empty")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    if arguments.tag not in (None, f"v{version}"):
        sys.exit(f"the tag is {arguments.tag}, and the version in pyproject.toml is {version}")
    build_twice(out)
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    foreign = foreign_members(sdist, run("git", "ls-tree", "-r", "--name-only", "HEAD").splitlines())
    if foreign:
        sys.exit(f"the sdist contains files that are not in the commit: {', '.join(foreign)}")
    list_dependencies(out, f"cnnc-{version}", wheel)
    files = sorted(out.iterdir())
    (out / "SHA256SUMS").write_text(checksums(files), encoding="utf-8")
    print((out / "SHA256SUMS").read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    main()
