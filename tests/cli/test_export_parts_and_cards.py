"""`cnnc export --outputs` and `--card`: parts of networks, and model cards with their program."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from cnnc.data import load
from cnnc.data.image_file import write_png
from cnnc.training import checkpoint as checkpoints
from tests.cli.conftest import codes, json_of, run
from tests.cli.nets import NETS


def test_a_part_of_a_network(deployed: Path, tmp_path: Path) -> None:
    done = run("export", deployed / "coder", "--outputs", "code", "-o", "code.onnx", cwd=tmp_path)
    assert done.returncode == 0
    assert "verified: " in done.stdout
    model = onnx.load(tmp_path / "code.onnx")
    assert [o.name for o in model.graph.output] == ["code"]
    assert "fc2.weight" not in {i.name for i in model.graph.initializer}
    np.save(tmp_path / "d.npy", load("digits").test.images[:2])
    results = json_of(run("predict", "code.onnx", "d.npy", "--json", cwd=tmp_path))
    assert [len(r["outputs"]["code"]["values"]) for r in results] == [5, 5]
    both = run("export", deployed / "several", "--outputs", "sums, kind", "-o", "b.onnx", cwd=tmp_path)
    assert both.returncode == 0
    info = json_of(run("info", "b.onnx", "--json", cwd=tmp_path))
    assert [e["name"] for e in info["inputs"]] == ["b"], "only what they need"
    assert "(of the complete network)" in run("info", "b.onnx", cwd=tmp_path).stdout


def test_class_names_are_kept_for_class_scores_only(deployed: Path, tmp_path: Path) -> None:
    kept = {}
    for outputs in ("softmax1", "fc1", "relu2,fc1", "relu2"):
        run("export", deployed / "waves", "--outputs", outputs, "-o", "x.onnx", cwd=tmp_path)
        kept[outputs] = json_of(run("info", "x.onnx", "--json", cwd=tmp_path))["classes"]
    names = ["fast", "slow"]
    assert kept == {"softmax1": names, "fc1": names, "relu2,fc1": names, "relu2": []}


@pytest.mark.parametrize(("name", "said"), [("cod", "did you mean `code`?"), ("input1", "input1 is an input")])
def test_unknown_outputs(deployed: Path, tmp_path: Path, name: str, said: str) -> None:
    done = run("export", deployed / "coder", "--outputs", name, "-o", "x.onnx", cwd=tmp_path)
    assert (done.returncode, codes(done.stderr)) == (2, ["E010"])
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
@pytest.mark.parametrize("name", NETS)
def test_the_card_and_its_program(deployed: Path, tmp_path: Path, name: str) -> None:
    done = run("export", deployed / name, "-o", f"{name}.onnx", "--card", cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == f"wrote {name}.md"
    text = (tmp_path / f"{name}.md").read_text()
    network = checkpoints.load(checkpoints.find(deployed / name)).network()
    graph = network.require_graph()
    assert text.startswith(f"# {network.name}\n")
    assert f"{graph.total_parameters:,} parameters" in text
    assert f"{graph.total_macs:,} multiply-adds" in text
    assert network.sha256 in text
    for node in graph.nodes:
        assert f"| {node.name} |" in text
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    given = example_files(tmp_path, name)
    ran = subprocess.run(
        [sys.executable, "-c", program, *given], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    classes = json_of(run("info", f"{name}.onnx", "--json", cwd=tmp_path))["classes"]
    lines = ran.stdout.splitlines()
    assert len(lines) == len(graph.outputs)
    for output, line in zip(graph.outputs, lines, strict=True):
        assert line.startswith(f"{' '.join(given)}{f' {output}' if len(graph.outputs) > 1 else ''}: ")
    assert not classes or any(name in lines[0] for name in classes)


def example_files(folder: Path, name: str) -> list[str]:
    """One example for each input of a network."""
    if name in ("words", "pairs"):
        return ["a good film", "a bad film"][: 2 if name == "pairs" else 1]
    shapes: dict[str, list[tuple[int, ...]]] = {"waves": [(1, 24)], "several": [(1, 8, 8), (4,)]}
    arrays = [np.random.default_rng(0).random(shape, np.float32) for shape in shapes.get(name, [(1, 8, 8)])]
    if name == "waves":
        (folder / "x.csv").write_text(",".join(map(str, arrays[0][0])))
        return ["x.csv"]
    if name in ("pictures", "coder"):
        write_png(folder / "x.png", (arrays[0][0] * 255).astype(np.uint8))
        return ["x.png"]
    for n, array in enumerate(arrays):
        np.save(folder / f"{n}.npy", array)
    return [f"{n}.npy" for n in range(len(arrays))]


def test_card_file(deployed: Path, tmp_path: Path) -> None:
    words = ("export", deployed / "waves", "-o", "waves.onnx", "--json", "--card-file")
    done = run(*words, "CARD.md", cwd=tmp_path)
    assert json.loads(done.stdout)["file"] == "waves.onnx"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["CARD.md", "waves.onnx"]
    (tmp_path / "waves.onnx").unlink()
    for place in ("nowhere/CARD.md", "."):
        done = run(*words, place, cwd=tmp_path)
        assert (done.returncode, codes(done.stderr)) == (6, ["E902"])
    assert not (tmp_path / "waves.onnx").exists(), "reported before any work"
