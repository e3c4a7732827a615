"""Runs tests with the lowest or the newest versions of all dependencies, in a new virtual environment.

    python packages/try_versions.py lowest                    # the lower bounds of pyproject.toml; pytest -m quick
    python packages/try_versions.py newest                    # pre-releases too
    python packages/try_versions.py lowest tests/onnx -x      # what follows is for pytest
    python packages/try_versions.py lowest --extra torch ...  # with the extra torch, whose tests then run

The Python is the one that runs this file. Packages come from the index that pip uses.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import venv
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parent.parent
WAYS = {"lowest": ["--resolution", "lowest-direct"], "newest": ["--upgrade", "--prerelease", "allow"]}


def main() -> None:
    """Installs, lists what is installed, and runs pytest, whose status is the status."""
    parser = argparse.ArgumentParser(
        description="Run tests with the lowest or the newest versions of all dependencies."
    )
    parser.add_argument("versions", choices=WAYS)
    parser.add_argument("--extra", action="append", default=[], help="a further extra of cnnc to install")
    arguments, words = parser.parse_known_args()
    with TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder) / ("Scripts" if os.name == "nt" else "bin") / "python")
        subprocess.run([python, "-m", "pip", "install", "--quiet", "uv"], check=True)
        uv = [python, "-m", "uv", "pip"]
        extras = ",".join(["test", *arguments.extra])
        install = [*uv, "install", "--python", python, *WAYS[arguments.versions], "--editable", f"{ROOT}[{extras}]"]
        subprocess.run(install, check=True)
        subprocess.run([*uv, "list", "--python", python], check=True)
        tests = words or ["-m", "quick"]
        sys.exit(subprocess.run([python, "-m", "pytest", *tests], cwd=ROOT, check=False).returncode)


if __name__ == "__main__":
    main()
