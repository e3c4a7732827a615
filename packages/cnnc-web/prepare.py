"""Puts the files of onnxruntime-web and its licences into this folder, before the distribution is built.

    python packages/cnnc-web/prepare.py             # downloads the npm package with the npm client
    python packages/cnnc-web/prepare.py FILE.tgz    # takes a downloaded one
    python -m build packages/cnnc-web

Version and checksum of the npm package are those in cnnc/cli/web_runtime.py, which also reads it. The npm package has no
licence file: the MIT text comes from cnnc, the notices of third parties from the installed Python package onnxruntime,
which is made from the same sources.
"""

from __future__ import annotations

import shutil
import sys
from importlib.resources import files
from pathlib import Path

from cnnc.cli.web_runtime import INTEGRITY, LARGEST, PACKAGE, VERSION, npm_files, package_files
from cnnc.core.files import make_folder, read_bytes, write_atomic
from cnnc.diagnostics import CnncError

HERE = Path(__file__).parent


def prepare(package: Path | None, to: Path = HERE) -> None:
    """Writes the files below the folder `to`. Raises CnncError."""
    npm = shutil.which("npm")
    if package is not None:
        contents = package_files(read_bytes(package, LARGEST))
    elif npm is not None:
        contents = npm_files(npm, print)
    else:
        sys.exit("npm is not installed: install Node.js, or name the file of the npm package")
    if contents is None:
        sys.exit(f"{package} is not {PACKAGE} {VERSION}: its checksum is not {INTEGRITY}")
    make_folder(to / "cnnc_web" / "files")
    for name, data in contents.items():
        write_atomic(to / "cnnc_web" / "files" / name, data)
    license = files("cnnc.view.web").joinpath("onnxruntime_license.txt").read_bytes()
    write_atomic(to / "LICENSE", license)
    notices = files("onnxruntime").joinpath("ThirdPartyNotices.txt").read_bytes()
    write_atomic(to / "ThirdPartyNotices.txt", notices)


if __name__ == "__main__":
    try:
        prepare(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
    except CnncError as error:
        sys.exit(str(error))
