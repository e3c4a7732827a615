"""cnnc as a library: a dozen names, values instead of words, and one kind of exception."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import cnnc
from cnnc.api.runs import usual_folder

TEXT = """net Small
input 1x8x8
conv 6 k=3 p=1 bias=false
bn
relu
pool max k=2
fc 10
softmax
train { data digits; optimizer adam lr=0.01; batch 128; epochs 2 }
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "small.cnn"
    path.write_text(TEXT)
    return path


def run_python(code: str, *words: str) -> str:
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_names() -> None:
    assert dir(cnnc) == sorted(cnnc.__all__)
    for name in cnnc.__all__:
        assert getattr(cnnc, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'chekc'"):
        _ = cnnc.chekc


def test_load(file: Path) -> None:
    net = cnnc.load(file)
    assert isinstance(net, cnnc.Network)
    assert net.ok
    assert net.name == "Small"
    assert net.diagnostics == ()
    assert isinstance(net.graph, cnnc.Graph)
    assert repr(net) == "<Network Small: 7 layers, 1,036 parameters, input1 1x8x8 -> softmax1 10>"
    assert (net.inputs, net.outputs, net.parameters) == ({"input1": (1, 8, 8)}, {"softmax1": (10,)}, 1036)
    assert net["conv1"].macs == 3456
    assert net.weights["conv1.weight"] == (6, 1, 3, 3)
    assert net.legal_sizes == {}
    with pytest.raises(cnnc.CnncError, match="did you mean `conv1`"):
        net["conv2"]
    assert cnnc.load(str(file)).sha256 == net.sha256
    assert cnnc.load(file, ["train.epochs=7"]).recipe.epochs == 7  # type: ignore[union-attr]


def test_load_of_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(cnnc.CnncError) as caught:
        cnnc.load(tmp_path / "nowhere.cnn")
    assert [d.code for d in caught.value.diagnostics] == ["E901"]
    assert "nowhere.cnn" in str(caught.value)
    with pytest.raises(cnnc.CnncError, match=r"found several lines\n.*cnnc\.check\(text\) reads the source"):
        cnnc.load(TEXT)


def test_check_gives_diagnostics_as_data() -> None:
    net = cnnc.check("input 1x8x8\nconv 4 k=9\npool mx k=2\n", name="net.cnn")
    assert not net.ok
    assert net.graph is None
    first, second = net.diagnostics
    assert isinstance(first, cnnc.Diagnostic)
    assert (first.code, first.severity) == ("E302", "error")
    assert first.message == "the 9x9 kernel does not fit into the 8x8 input"
    assert isinstance(first.span, cnnc.Span)
    assert (first.span.line, first.span.column, first.span.text) == (2, 8, "k=9")
    assert first.help == "k=8 is the largest kernel that fits, or pad with p=1"
    assert second.code == "E203"
    assert first.as_dict()["line"] == 2
    assert "error[E302]" in str(net)


def test_a_text_with_errors_has_no_figures() -> None:
    net = cnnc.check("input 1x8x8\nconv 4 k=9\n")
    for what in (net.summary, net.require_graph, lambda: net.layers):
        with pytest.raises(cnnc.CnncError) as caught:
            what()
        assert [d.code for d in caught.value.diagnostics] == ["E302"]


def test_layers_and_summary(file: Path) -> None:
    net = cnnc.load(file)
    assert [layer.name for layer in net.layers] == ["input1", "conv1", "bn1", "relu1", "pool1", "fc1", "softmax1"]
    conv = net.layers[1]
    assert (conv.op, conv.arguments, conv.shape, conv.parameters) == ("conv", "6 k=3 p=1 bias=false", (6, 8, 8), 54)
    assert conv.macs == 6 * 9 * 64
    assert conv.line == 3
    summary = net.summary(batch=32)
    assert summary.parameters == 1036
    assert summary.buffers == 12
    assert summary.macs == sum(layer.macs or 0 for layer in net.layers)
    assert summary.batch == 32
    assert str(net).startswith("name ")


def test_a_notebook_shows_the_table(file: Path) -> None:
    html = cnnc.load(file)._repr_html_()
    assert html.startswith("<table>")
    assert "1,036 parameters" in html
    assert html.count('<img alt="Small" ') == 1
    assert "script" not in html
    assert cnnc.check("(")._repr_html_().startswith("<pre>")
    hostile = cnnc.check("input 1x8x8\nrelu \x00error\x01<script>alert(1)</script>\n")._repr_html_()
    assert "<script" not in hostile
    assert hostile.count("<span") == hostile.count("</span>") > 3


def test_sizes_by_at() -> None:
    text = "input 3xHxW; conv 8 k=3 p=1; global_pool avg; fc 2"
    assert cnnc.check(text).summary().macs is None
    assert cnnc.check(text, at={"H": 4, "W": 5}).summary().macs == 20 * 8 * 27 + 16


def test_values_are_immutable(file: Path) -> None:
    net = cnnc.load(file)
    graph = net.require_graph()
    for thing, name in ((net, "name"), (graph, "nodes"), (graph.nodes[0], "name"), (graph.nodes[1].op, "out")):
        with pytest.raises(AttributeError):
            setattr(thing, name, None)


def test_train_and_export(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = cnnc.train(cnnc.load(file))
    assert result.run.folder == Path("runs/small")
    assert result.test is not None
    assert result.test.total == 360
    again = cnnc.train(cnnc.load(file))
    assert again.run.folder == Path("runs/small-2"), "no run overwrites another"
    assert again.test == result.test, "the same bits"
    with pytest.raises(cnnc.CnncError, match="runs/small already contains"):
        cnnc.train(cnnc.load(file), run=result.run.folder)
    exported = cnnc.export(result.run.folder, "small.onnx")
    assert exported.path.read_bytes()
    assert exported.size == Path("small.onnx").stat().st_size


@pytest.mark.parametrize(
    "first",
    [
        "import cnnc.onnx.export, cnnc.data.npz, cnnc.training, cnnc.api.inspect.data, cnnc.api.draw.options, cnnc.api.unfold",
        "from cnnc.data import load; from cnnc import data, export; import cnnc.cli.inspect, cnnc.cli.data, cnnc.cli.export",
        "from cnnc import *; import cnnc.data as package; assert package is cnnc.data; package.KNOWN",
    ],
)
def test_names_stay_whatever_is_imported_first(first: str) -> None:
    """Loading a subpackage sets it as an attribute of the package, where the functions are looked for."""
    out = run_python(
        f"import cnnc\n{first}\n"
        "import cnnc.data, cnnc.api, types\n"
        "assert callable(cnnc.data) and cnnc.data.KNOWN, 'the package and the function'\n"
        "try: cnnc.data('nowhere.cnn')\nexcept cnnc.CnncError as e: print(e.diagnostics[0].code)\n"
        "print([n for n in cnnc.__all__ if n != 'data' and isinstance(getattr(cnnc, n), types.ModuleType)])"
    )
    assert out.splitlines() == ["E901", "[]"]


def test_data_is_shown_as_the_function_that_it_is() -> None:
    import inspect

    from cnnc.api.survey import data

    assert inspect.signature(cnnc.data) == inspect.signature(data)
    assert cnnc.data.__doc__ == data.__doc__


def test_no_submodule_has_the_name_of_a_function() -> None:
    from tests.paths import PACKAGE

    modules = {path.stem for path in PACKAGE.glob("*.py")} | {path.name for path in PACKAGE.iterdir() if path.is_dir()}
    assert modules & set(cnnc.__all__) == {"data"}, "cnnc.data alone is both"


def test_version() -> None:
    from importlib.metadata import version

    assert cnnc.__version__ == version("cnnc")


def test_the_run_folder_of_a_network_without_a_file() -> None:
    assert usual_folder(cnnc.check("net Mine\ninput 4")) == Path("runs/Mine")
    assert usual_folder(cnnc.check("net Mine\ninput 4", "nets/small.cnn")) == Path("runs/small")


def test_train_without_a_train_section() -> None:
    with pytest.raises(cnnc.CnncError) as caught:
        cnnc.train(cnnc.check("input 1x8x8; fc 10"))
    assert [d.code for d in caught.value.diagnostics] == ["E509"]


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import cnnc", ["numpy", "onnx", "onnxruntime", "lark", "typer", "rich"]),
        ("import cnnc; cnnc.check('input 1x8x8; conv 4 k=3').summary()", ["numpy", "onnx", "onnxruntime", "typer"]),
        ("import cnnc; cnnc.check('input 1xHxW; conv 4 k=3')", ["numpy", "onnx", "onnxruntime", "typer"]),
        ("import cnnc; str(cnnc.check('input 1x8x8; conv 4 k=99'))", ["numpy", "onnx", "onnxruntime", "typer"]),
    ],
)
def test_what_is_not_loaded(code: str, absent: list[str]) -> None:
    out = run_python(f"{code}\nimport sys; print([m for m in {absent!r} if m in sys.modules])")
    assert out == "[]"


@pytest.mark.long
def test_names_a_type_checker_sees_are_those_that_are_there() -> None:
    out: Any = run_python("from cnnc import *; print(sorted(n for n in dir() if not n.startswith('_')))")
    assert out == str(sorted(cnnc.__all__))
