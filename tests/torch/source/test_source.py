"""The text of written networks; nothing here needs PyTorch. test_computation.py runs them."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from cnnc.core.versions import versions
from cnnc.diagnostics import CnncError
from cnnc.network import load
from cnnc.torch.source.export import written_network
from cnnc.torch.source.expressions import evaluate, substitute
from cnnc.torch.source.helpers import definitions, helper_source
from cnnc.torch.source.names import attribute_name, class_name, variable_name
from cnnc.torch.source.tree import build_tree
from tests.paths import DOCS, MODELS, PACKAGE, ROOT
from tests.syntax_trees import tree_of
from tests.torch.source.networks import HOSTILE, NUMBERS, OPEN, SHARED, network_of, write

GOLDEN = Path(__file__).parent / "golden"


def test_writing_imports_no_torch() -> None:
    """Only the helpers import it at the top, and they are read as text."""
    importing = {}
    for path in (PACKAGE / "torch" / "source").glob("*.py"):
        names = set()
        for node in tree_of(path).body:
            names |= {alias.name for alias in node.names} if isinstance(node, ast.Import) else set()
            names |= {node.module or ""} if isinstance(node, ast.ImportFrom) else set()
        importing[path.name] = names
    assert [name for name, names in importing.items() if "torch" in names] == ["embedded.py"]
    assert not [names for names in importing.values() if "cnnc.torch.source.embedded" in names]
    assert (PACKAGE / "torch" / "source" / "__init__.py").read_text() == ""


@pytest.mark.parametrize("name", ["lenet5", "resnet18", "text_ranker", "segmentation_digits"])
def test_golden(name: str, request: pytest.FixtureRequest) -> None:
    """`pytest tests/torch/source --refresh-golden` after an intended change; then read them."""
    text = written_network(load(MODELS / f"{name}.cnn"), Path(f"{name}.py")).text
    text = text.replace(f"cnnc {versions()['cnnc']}", "cnnc VERSION")
    path = GOLDEN / f"{name}.py.txt"
    if request.config.getoption("--refresh-golden"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


_IMPORTS = """from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

"""


def test_ruff_finds_nothing(tmp_path: Path) -> None:
    """With its default rules, and with those of this project; and it would format nothing otherwise."""
    pytest.importorskip("ruff")
    for number, text in enumerate([HOSTILE, SHARED, OPEN, NUMBERS]):
        (tmp_path / f"n{number}.py").write_text(write(text).text, encoding="utf-8")
    for path in GOLDEN.glob("*.txt"):
        (tmp_path / path.stem).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "helpers.py").write_text(f"{_IMPORTS}{helper_source(definitions())}\n", encoding="utf-8")
    for options in (["check", "--isolated"], ["check", "--config", str(ROOT / "pyproject.toml")]):
        command = [sys.executable, "-m", "ruff", *options, "--no-cache", str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "--no-cache", "--diff", str(tmp_path)]
    assert subprocess.run(command, capture_output=True, text=True, check=False).stdout == ""


def test_calls_of_a_block_share_a_class() -> None:
    text = """
    block unit(w, k=3) { conv w k=k p=same; relu }
    block stage(w) { unit w; unit w//2 k=1; unit 2*w }
    input 3x8x8
    stage 4
    stage 8
    unit 5 k=1
    """
    written = write(text).text
    assert written.count("class ") == 3
    assert "def __init__(self, in_channels: int, w: int, k: int = 3) -> None:" in written
    assert "nn.Conv2d(in_channels, w, k, padding=k // 2)" in written
    assert "Unit(w, w // 2, k=1)" in written
    assert "Unit(w // 2, 2 * w)" in written
    assert "self.stage2 = Stage(8, 8)" in written
    assert "self.unit1 = Unit(16, 5, k=1)" in written


def test_a_block_gets_two_classes_where_its_calls_differ_in_more_than_numbers() -> None:
    text = "block b(kind) { conv 4 k=3 p=1; pool kind k=2 }\ninput 3x8x8\nb max\nb avg"
    written = write(text).text
    assert "class B(nn.Sequential)" in written
    assert "class B2(nn.Sequential)" in written


def test_a_number_that_no_argument_explains_becomes_one() -> None:
    text = "block head { relu; fc 12; reshape 3x2x2 }\ninput 2x8x8\nhead\nhead"
    written = write(text).text
    assert "def __init__(self, in_features: int) -> None:" in written
    assert "self.head1 = Head(128)" in written
    assert "self.head2 = Head(12)" in written


def test_numbers_of_functions_are_arguments_too() -> None:
    written = write(NUMBERS).text
    assert written.count("\nclass ") == 1 + 3
    assert "def __init__(self, a: int, b: int, factor: float = 2) -> None:" in written
    assert "self.select1_indices = (a, b, a)" in written
    assert "x = self.scale1_factor * x" in written
    assert "self.pick2 = Pick(1, 0, factor=0.5)" in written
    assert "CenterCrop(5 - n)" in written


def test_settings_change_the_source() -> None:
    text = "let w = 4\ninput 1x8x8\nconv w k=3"
    assert "nn.Conv2d(1, 4, 3)" in write(text).text
    changed = write(text, settings=("w=7",)).text
    assert "nn.Conv2d(1, 7, 3)" in changed
    assert "Settings: w=7." in changed


def test_a_call_with_an_input_of_the_network_is_dissolved() -> None:
    network = network_of("block part(n) { input n; fc 4 }\nblock both { part 5; add in }\nx: input 4\nboth")
    if network.graph is None:
        pytest.skip("blocks hold no inputs")
    assert set(build_tree(network.graph).scopes) == {""}


def test_parameters_that_are_shared_are_one_module() -> None:
    written = write(SHARED)
    text = written.text
    assert "self.right" not in text
    assert text.count("self.left(") == 1 + 1
    assert "F.conv2d(x, self.c.weight, self.c.bias, stride=2, padding=1)" not in text  # `c` is stored as it is applied
    assert "self.c.weight.flip(2, 3)" in text
    assert "self.inner1.a(" in text
    assert written.turned == {"c.weight": (2, 3)}
    assert len(set(written.keys.values())) == len(written.keys) == len(network_of(SHARED).require_graph().weights)


def test_names_in_the_way_are_changed() -> None:
    written = write(HOSTILE, "not a module.py")
    tree = ast.parse(written.text)
    assert [type(node).__name__ for node in tree.body[:1]] == ["Expr"]
    assert "import os" not in {ast.unparse(node) for node in ast.walk(tree)}
    classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    assert len(classes) == len(set(classes))
    assert {"ScaleShift", "Class", "TensorNet", "FNet"} <= set(classes)
    assert written.inputs == {"def": "x"}
    assert "its name is not a Python identifier" in written.text
    assert written.keys["eval.weight"] == "eval_.weight"
    assert written.keys["None.forward.weight"] == "None_.forward_.weight"
    assert written.keys["x.1.torch.weight"] == "x_1.torch.weight"
    assert written.keys["__init__.mean"] == "init.running_mean"


@pytest.mark.parametrize("name", ['a"""+evil()+"""', "a\nevil()\n", "a\\", 'a"', 'a""""', "a\r#", "\u2028evil()"])
def test_names_of_files_stay_text(tmp_path: Path, name: str) -> None:
    """The text is executed to be compared: the names of the source and of the file stand in its docstring only."""
    (tmp_path / f"{name}.cnn").write_text("input 1x4x4; fc 2")
    written = ast.parse(written_network(load(tmp_path / f"{name}.cnn"), tmp_path / f"{name}.py").text)
    plain = ast.parse(write("input 1x4x4; fc 2").text)
    assert isinstance(written.body[0], ast.Expr)
    assert isinstance(written.body[0].value, ast.Constant)
    assert "evil" not in " ".join(ast.unparse(node) for node in written.body[1:])
    assert len(written.body) == len(plain.body)


@pytest.mark.parametrize(
    ("name", "attribute"),
    [
        ("class", "class_"),
        ("s.0", "s_0"),
        ("_modules", "modules_"),
        ("__", "layer"),
        ("größe", "gr__e"),
        ("conv1", "conv1"),
    ],
)
def test_attribute_names(name: str, attribute: str) -> None:
    assert attribute_name(name, ()) == attribute


def test_names_do_not_collide() -> None:
    assert attribute_name("s.0", {"s_0"}) == "s_0_2"
    assert variable_name("l", ()) == "l_"
    assert variable_name("self", ()) == "self_"
    assert class_name("res-net 50", ()) == "ResNet50"
    assert class_name("50", ()) == "Net50"
    assert class_name("tensor", ()) == "TensorNet"
    assert class_name("up", {"Up"}) == "Up2"


def test_helpers_bring_what_they_use() -> None:
    source = helper_source(["LocallyConnected"])
    assert "def local(" in source
    assert "def pad(" in source
    assert "type: ignore" not in source
    assert helper_source([]) == ""
    names = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
    assert not {"functions", "cnnc"} & names
    assert set(definitions()) >= {"SamePadding", "mean_pool", "unpool"}


def test_expressions() -> None:
    assert evaluate("w // 2 + max(k, 3)", {"w": 8, "k": 5}) == 9
    assert evaluate("w // 0", {"w": 8}) is None
    assert evaluate("unknown", {}) is None
    assert substitute("2 * w", {"w": "a + b"}) == "2 * (a + b)"


def test_a_layer_that_depends_on_an_open_size_is_refused() -> None:
    with pytest.raises(CnncError) as caught:
        write("input 2xHxW\npool avg k=2 p=same")
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "E806"
    assert "--at H=" in diagnostic.help
    assert "SamePadding" not in write("input 1xHxW\nconv 2 k=3 p=1\nglobal_pool avg").text


def test_open_sizes_are_shown_as_formulas() -> None:
    text = write(OPEN).text
    assert "x: uint8 (N, 3, H, W), 0 to 255" in text
    assert "sizes: H ≥ " in text
    assert "self.pad = SamePadding(3, s)" in text
    assert "for nn.NLLLoss" in text


def test_the_page_shows_what_is_written() -> None:
    page = (DOCS / "pytorch.md").read_text(encoding="utf-8")
    source = page.split("```cnn\n")[1].split("```")[0]
    shown = page.split("```py\nclass ")[1].split("```")[0]
    written = write(source, "small.py").text
    assert written.endswith(f"class {shown}")
