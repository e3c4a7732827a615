"""onnxruntime keeps no device number and sends no usage data when cnnc runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

RUN = "from cnnc.onnx.run.session import can_load; assert can_load(17, 8); import os; print(os.environ['ORT_DISABLE_TELEMETRY'])"


def environment_of(folder: Path, **variables: str) -> dict[str, str]:
    """The environment of a user whose home and cache are this folder, outside continuous integration."""
    kept = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    return {**kept, "HOME": str(folder), "XDG_CACHE_HOME": str(folder), **variables}


def test_onnxruntime_writes_no_device_number(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RUN]
    done = subprocess.run(command, env=environment_of(tmp_path), capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
    assert [path for path in tmp_path.rglob("*") if "Microsoft" in path.parts] == []


def test_the_choice_of_the_user_stays(tmp_path: Path) -> None:
    environment = environment_of(tmp_path, ORT_DISABLE_TELEMETRY="0")
    done = subprocess.run([sys.executable, "-c", RUN], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"
