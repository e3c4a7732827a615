"""Shared by the tests of the command line: how the command is run, a small network, and trained runs and models.

The fixtures `trained` and `deployed` train once per session; tests copy what they change.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import pytest

from tests.commands import COMMAND, IN_PROCESS, environment, run_in_process

SMALL = """net Small
let width = 6

input 1x8x8
conv width k=3 p=1 bias=false
bn
relu
pool max k=2
dropout 0.25
fc 10
softmax

train {
  data digits
  optimizer adam lr=0.01
  batch 128
  epochs 2
}
"""

Cnnc = Callable[..., "subprocess.CompletedProcess[str]"]


def run(
    *words: str | Path,
    cwd: Path,
    env: Mapping[str, str] = {},
    stdout: int | IO[Any] = subprocess.PIPE,
    stderr: int | IO[Any] = subprocess.PIPE,
    before: Callable[[], None] | None = None,
    new_process: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Runs cnnc in a folder, and asserts that it prints neither a traceback nor a Python warning."""
    plain = stdout == stderr == subprocess.PIPE and before is None and not any(n.startswith("PYTHON") for n in env)
    if plain and IN_PROCESS and not new_process:
        done = run_in_process([str(word) for word in words], cwd, environment(**env))
    else:
        done = subprocess.run(
            [*COMMAND, *map(str, words)],
            cwd=cwd,
            env=environment(**env),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=120,
            preexec_fn=before,
            check=False,
        )
    assert "Traceback" not in f"{done.stdout}{done.stderr}", done.stderr
    assert "Warning" not in f"{done.stderr}", done.stderr
    return done


@pytest.fixture
def cnnc(tmp_path: Path) -> Cnnc:
    """Runs cnnc in the test's folder, which holds small.cnn."""
    (tmp_path / "small.cnn").write_text(SMALL)

    def here(*words: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        return run(*words, **{"cwd": tmp_path, **options})

    return here


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small.cnn, its run `run`, its model small.onnx, and the output of training in result.json."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "small.cnn").write_text(SMALL)
    words = ("train", "small.cnn", "--run", "run", "--export", "small.onnx", "--set", "train.epochs=8", "--json")
    done = run(*words, cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "result.json").write_text(done.stdout)
    return folder


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the networks of nets.py, their data, their runs NAME and their models NAME.onnx."""
    import cnnc
    from tests.cli.nets import NETS, write_nets

    folder = tmp_path_factory.mktemp("deployed")
    write_nets(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CNNC_THREADS", "1")  # as in `environment`: the last bits of a loss depend on it
        for name in NETS:
            cnnc.train(cnnc.load(folder / f"{name}.cnn"), folder / name, data=folder)
            cnnc.export(folder / name, folder / f"{name}.onnx")
    (folder / "library.cnn").unlink()  # runs and models contain what they include
    return folder


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with test digits as PNG, JPEG and arrays, and with damaged and unsuitable files."""
    image = pytest.importorskip("PIL.Image")
    import numpy as np

    from cnnc.data import load

    digits = load("digits").test
    png = image.fromarray(digits.images[0, 0])
    png.save(tmp_path / "a.png")
    png.resize((32, 32)).convert("RGB").save(tmp_path / "b.jpg", quality=95)
    np.save(tmp_path / "batch.npy", digits.images[:5])
    np.save(tmp_path / "one.npy", digits.images[0].astype(np.float32) / 255)
    np.save(tmp_path / "flat.npy", digits.images[0, 0])
    np.save(tmp_path / "wrong.npy", np.zeros((3, 9, 9), np.float32))
    np.save(tmp_path / "words.npy", np.array(["a", "b"]))
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    (tmp_path / "text.png").write_text("not an image")
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    (tmp_path / "cut.npy").write_bytes((tmp_path / "batch.npy").read_bytes()[:-10])
    (tmp_path / "empty.jpg").touch()
    return tmp_path


def codes(text: str) -> list[str]:
    """The codes of the printed errors and warnings, in order."""
    return re.findall(r"^(?:error|warning)\[(.{4})", text, re.MULTILINE)


def json_of(done: subprocess.CompletedProcess[str]) -> Any:
    """The JSON that a successful command printed."""
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def foreign_model(path: Path, **metadata: str) -> Path:
    """Writes a model as another tool might: a symbolic size, an unknown shape, and a second operator domain."""
    import onnx
    from onnx import TensorProto, helper

    node = helper.make_node("Relu", ["x"], ["y"])
    graph = helper.make_graph(
        [node],
        "theirs",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, "height", None])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.example", 2)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    helper.set_model_props(model, metadata)
    onnx.save(model, path)
    return path
