"""`cnnc unfold RUN LAYER`: the sum behind an output of a trained layer, equal to what the network computes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnc.reference.engine import forward
from cnnc.reference.layout import to_channels_first
from cnnc.training import checkpoint as checkpoints
from tests.cli.conftest import SMALL, Cnnc, codes, json_of, run


def value(text: str) -> float:
    """The number at the end of the first line, `conv1(3,4,5) = ... = 0.5`."""
    first = text.split("\nengine")[0].replace("\n", " ")
    return float(first.rsplit("=", 1)[1])


def engine(text: str) -> float:
    found = re.search(r"^engine: (\S+),", text, re.MULTILINE)
    assert found, text
    return float(found[1])


def all_outputs(trained: Path, feed: Any) -> dict[str, Any]:
    saved = checkpoints.load(checkpoints.find(trained / "run"))
    graph = saved.network().require_graph()
    trace = forward(graph, saved.weights, {graph.inputs[0].name: feed}, outputs=[n.name for n in graph.nodes])
    return {name: to_channels_first(values)[0] for name, values in trace.values.items()}


def test_every_layer_of_a_run_shows_the_number_that_the_network_computes(trained: Path, images: Path) -> None:
    from cnnc.data import load

    outputs = all_outputs(trained, load("digits").test.images[:1])
    for layer in ("conv1", "bn1", "relu1", "pool1", "dropout1", "fc1", "softmax1"):
        done = run("unfold", trained / "run", layer, images / "a.png", cwd=trained)
        assert done.returncode == 0, done.stderr
        largest = outputs[layer].max()
        assert engine(done.stdout) == pytest.approx(largest, rel=1e-6)
        assert value(done.stdout) == pytest.approx(largest, rel=1e-3)
        index = ",".join(str(i) for i in np.unravel_index(outputs[layer].argmax(), outputs[layer].shape))
        assert done.stdout.startswith(f"{layer}({index}) = ")


def test_a_file_an_array_and_the_test_set_give_the_same_example(trained: Path, images: Path) -> None:
    texts = [
        run("unfold", "run", "conv1", "--at", "2,3,4", *words, cwd=trained).stdout.replace(name, "EXAMPLE")
        for words, name in (
            ((images / "a.png",), f"{images / 'a.png'}"),
            ((images / "flat.npy",), f"{images / 'flat.npy'}"),
            ((images / "batch.npy", "--example", "0"), f"{images / 'batch.npy'}[0]"),
            (("--example", "0"), "example 0 of the test set of digits"),
            ((), "example 0 of the test set of digits"),
        )
    ]
    assert len(set(texts)) == 1, texts
    assert "input: EXAMPLE" in texts[0]


def test_json_has_every_term(trained: Path) -> None:
    result = json_of(run("unfold", "run", "conv1", "--at", "5,0,0", "--json", cwd=trained))
    assert result["output_shape"] == [6, 8, 8]
    assert result["index"] == [5, 0, 0]
    assert result["bias"] is None
    assert len(result["terms"]) == 9
    assert [t["element"] for t in result["terms"]] == [None] * 4 + [[0, 0, 0], [0, 0, 1], None, [0, 1, 0], [0, 1, 1]]
    assert result["terms"][5]["weight"] == [5, 0, 1, 2]
    assert result["value"] == pytest.approx(sum(t["product"] for t in result["terms"]), abs=1e-12)
    assert result["difference"] <= result["rounding"]


def test_the_page_of_a_pool_says_what_a_pool_does(trained: Path) -> None:
    run("unfold", "run", "pool1", "--html", "pool.html", cwd=trained)
    assert "<p>Each output is the largest element of its window.</p>" in (trained / "pool.html").read_text()


def test_the_page_of_a_formula_is_about_all_its_steps(trained: Path) -> None:
    run("unfold", "run", "softmax1", "--html", "softmax.html", cwd=trained)
    page = (trained / "softmax.html").read_text()
    assert "<h1>softmax1</h1>\n<p>Each output is a formula of the layer&#x27;s input.</p>" in page.replace(
        "&#39;", "&#x27;"
    )


def test_im2col_shows_the_sum_of_one_output(trained: Path) -> None:
    """Not those of all channels at its position."""
    printed = run("unfold", "run", "conv1", "--im2col", "--at", "2,3,4", cwd=trained).stdout
    assert "S(2,3,4) = " in printed
    assert "S(3,3,4) = " not in printed


@pytest.mark.parametrize("words", [(), ("--label", "3"), ("--weight-at", "1,0,2,2", "--input-at", "0,4,4")])
def test_gradients_are_those_of_the_engine(trained: Path, words: tuple[str, ...]) -> None:
    result = json_of(run("unfold", "run", "conv1", "--backward", "--json", *words, cwd=trained))
    assert [gradient["of"] for gradient in result["gradients"]] == ["weight", "input"]
    for gradient in result["gradients"]:
        total = sum(term["product"] for term in gradient["terms"])
        assert gradient["value"] == pytest.approx(total, rel=1e-12, abs=1e-15)
        assert gradient["engine"] == pytest.approx(total, rel=1e-4, abs=1e-7)
    if words[:1] == ("--weight-at",):
        assert [gradient["index"] for gradient in result["gradients"]] == [[1, 0, 2, 2], [0, 4, 4]]
    assert ("with label 3" in result["scalar"]) == (words[:1] == ("--label",))


def test_without_a_target_the_largest_score_is_differentiated(trained: Path, images: Path) -> None:
    text = run("unfold", "run", "fc1", images / "a.png", "--backward", cwd=trained).stdout
    assert re.search(r"L = fc1\(\d\), the largest score = ", text)
    assert re.search(r"^dL/dfc1.weight\(\d,\d+\) = ", text)


def test_untrained_networks_are_called_so_and_given_numbers_are_not(cnnc: Cnnc) -> None:
    done = cnnc("unfold", "small.cnn", "conv1")
    assert "small is untrained: initial weights (seed 0)" in done.stderr.replace("Small", "small")
    assert "weights: untrained: initial weights (seed 0)" in done.stdout


def test_what_is_left_out_is_said(cnnc: Cnnc, tmp_path: Path) -> None:
    (tmp_path / "wide.cnn").write_text("input 10x20x20; conv 2 k=15; global_pool avg; fc 3")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(10, 20, 20)).astype(np.float32))
    text = cnnc("unfold", "wide.cnn", "conv1", "x.npy").stdout
    assert "of 10 channels, the 3 with the largest contributions are shown" in text
    assert "of a window, up to 12 rows and columns around the largest product are shown" in text
    assert "7 other channels, 1,575 products: " in text
    assert len(json_of(cnnc("unfold", "wide.cnn", "conv1", "x.npy", "--json"))["terms"]) == 2250


@pytest.mark.parametrize("option", ["--toeplitz", "--im2col"])
def test_a_matrix_is_shown_whole_or_in_part(cnnc: Cnnc, tmp_path: Path, option: str) -> None:
    (tmp_path / "net.cnn").write_text("input 1x4x4; conv 1 k=2; conv 3 k=3 p=7")
    np.save(tmp_path / "x.npy", np.arange(16, dtype=np.float32).reshape(1, 4, 4))
    whole, part = (cnnc("unfold", "net.cnn", layer, "x.npy", option).stdout for layer in ("conv1", "conv2"))
    assert "W 9x16" in whole or "columns 4x9" in whole
    assert ("6 outputs of channel" in part) == (option == "--toeplitz")
    assert "comes from the part that is shown" in part or "columns 9x225" in part


def test_sequences_and_sentences(deployed: Path) -> None:
    for words in (("waves", "conv2", "waves.csv", "--example", "3"), ("words", "conv1", "--text", "a fine film")):
        done = run("unfold", *words, cwd=deployed)
        assert done.returncode == 0, done.stderr
        assert value(done.stdout) == pytest.approx(engine(done.stdout), rel=1e-3)


@pytest.mark.parametrize(
    ("words", "message", "help"),
    [
        (["run"], "no layer given", "`cnnc unfold run conv1`; layers: conv1, bn1, relu1"),
        (["run", "con1"], "no layer is named `con1`", "did you mean `conv1`?"),
        (["run", "input1"], "input1 is an input", "layers: conv1"),
        (
            ["run", "softmax1", "--backward"],
            "unfold does not show the backward pass of softmax1",
            "layers: conv1, pool1",
        ),
        (["run", "conv1", "--at", "6,0,0"], "--at 6,0,0 is outside of conv1, which is 6x8x8", "channel 0 to 5, row 0"),
        (["run", "conv1", "--at", "1,2"], "--at 1,2 is outside of conv1, which is 6x8x8", "column 0 to 7"),
        (["run", "conv1", "--at", "x"], "--at x is not an index of conv1, which is 6x8x8", "write `3,4,4`"),
        (["run", "conv1", "--example", "360"], "the test set of digits has 360 examples", "number from 0 to 359"),
        (["run", "conv1", "--text", "word"], "--text needs a network whose inputs are words", ""),
        (["run", "conv1", "--kernel", "1"], "--kernel applies to a matrix", "leave --kernel out"),
        (["run", "conv1", "--label", "3"], "--weight-at, --input-at and --label choose a gradient", "add --backward"),
        (["run", "conv1", "--backward", "--label", "10"], "--label 10: softmax1 has 10 classes", "from 0 to 9"),
        (
            ["run", "conv1", "--backward", "--weight-at", "0,1,0,0"],
            "is outside of the weight of conv1",
            "0 to 5, 0 to 0, 0 to 2, 0 to 2",
        ),
        (["run", "conv1", "--backward", "--input-at", "0,8,0"], "is outside of input1, which is 1x8x8", "row 0 to 7"),
        (["run", "pool1", "--backward", "--weight-at", "0"], "pool1 (pool) has no weights", "leave --weight-at out"),
        (["run", "pool1", "--toeplitz"], "--toeplitz: pool1 (pool max k=2) is not a product", "leave --toeplitz out"),
        (["run", "fc1", "--im2col"], "--im2col shows a convolution; fc1 is fc 10", "leave --im2col out"),
        (["run", "relu1", "--im2col"], "relu1 (relu) is not a sum of products", "leave --im2col out"),
        (["run", "conv1", "--set", "width=3"], "--set applies to a network FILE", ""),
        (["1 2", "--kernel", "1", "--label", "3"], "--label applies to a layer of a network", "leave --label out"),
        (["1", "2", "--kernel", "1"], "`1` is a matrix, and `2` follows it", "put it in quotes"),
        (["nosuch", "conv1"], "nosuch does not exist", "cnnc train FILE"),
        (["small.onnx", "conv1"], "small.onnx is a model", "`cnnc import small.onnx` turns it into"),
    ],
)
def test_bad_command_lines_end_in_one_error(trained: Path, words: list[str], message: str, help: str) -> None:
    done = run("unfold", *words, cwd=trained)
    assert done.returncode != 0
    assert len(codes(done.stderr)) == 1, done.stderr
    assert message in done.stderr
    assert help in done.stderr


def test_a_network_without_an_example_names_both_ways(cnnc: Cnnc, tmp_path: Path) -> None:
    (tmp_path / "mine.cnn").write_text(SMALL.replace("data digits", "data mnist").replace("1x8x8", "1x28x28"))
    done = cnnc("unfold", "mine.cnn", "conv1")
    assert codes(done.stderr) == ["E010"]
    assert "`cnnc unfold mine.cnn conv1 FILE`" in done.stderr
    assert "`--example 0`" in done.stderr


def test_an_image_of_another_size_is_resized_as_in_predict(trained: Path, images: Path) -> None:
    done = run("unfold", "run", "conv1", images / "b.jpg", cwd=trained)
    assert done.returncode == 0
    assert "resized from 32x32 to 8x8" in done.stderr
    assert codes(run("unfold", "run", "conv1", images / "wrong.npy", cwd=trained).stderr) == ["E608"]


def test_the_help_for_a_model_works(trained: Path, tmp_path: Path) -> None:
    """A model is imported, and its checkpoint unfolded: the layer's number is that of the run."""
    (tmp_path / "small.onnx").write_bytes((trained / "small.onnx").read_bytes())
    done = run("unfold", "small.onnx", "fc1", cwd=tmp_path)
    assert "`cnnc import small.onnx`" in done.stderr
    assert run("import", "small.onnx", cwd=tmp_path).returncode == 0
    np.save(tmp_path / "x.npy", np.ones((1, 8, 8), np.float32))
    imported = run("unfold", "small.safetensors", "fc1", "x.npy", cwd=tmp_path)
    assert imported.returncode == 0, imported.stderr
    assert "untrained" not in imported.stdout + imported.stderr
    assert value(imported.stdout) == pytest.approx(
        value(run("unfold", trained / "run", "fc1", "x.npy", cwd=tmp_path).stdout), rel=1e-3
    )


def test_several_inputs_take_a_file_each(deployed: Path, tmp_path: Path) -> None:
    for name, sentence in (("left", "a fine film"), ("right", "a dull film")):
        (tmp_path / f"{name}.txt").write_text(f"{sentence}\n")
    words = ("--input", f"left={tmp_path / 'left.txt'}", "--input", f"right={tmp_path / 'right.txt'}")
    done = run("unfold", "pairs", "fc1", *words, cwd=deployed)
    assert done.returncode == 0, done.stderr
    both = run("unfold", "pairs", "fc1", "--text", "a fine film\ta dull film", cwd=deployed)
    assert value(done.stdout) == value(both.stdout)
    missing = run("unfold", "pairs", "fc1", *words[:2], cwd=deployed)
    assert codes(missing.stderr) == ["E010"]
    assert "`--input right=FILE`" in missing.stderr
    for command in ("unfold pairs fc1", "predict pairs.onnx"):
        twice = run(*command.split(), *words, *words[:2], cwd=deployed)
        assert codes(twice.stderr) == ["E010"], command
        assert "left has two files" in twice.stderr
        unknown = run(*command.split(), "--input", "lef=x", *words[2:], cwd=deployed)
        assert "help: did you mean `left`?" in unknown.stderr


@pytest.mark.parametrize(
    "source",
    [
        "input 1xHxW; conv 2 k=3; pool max k=2",
        pytest.param("input 1xHxW; pool avg k=H x 1; conv 2 k=1", marks=pytest.mark.long),
    ],
)
def test_open_sizes_are_those_of_the_example(cnnc: Cnnc, tmp_path: Path, source: str) -> None:
    (tmp_path / "open.cnn").write_text(source.replace("k=H x 1", "k=[H, 1]"))
    np.save(tmp_path / "x.npy", np.arange(12 * 9, dtype=np.float32).reshape(1, 12, 9))
    done = cnnc("unfold", "open.cnn", "conv1", "x.npy")
    assert done.returncode == 0, done.stderr
    assert "1x12x9" in done.stdout or "1x1x9" in done.stdout
    assert value(done.stdout) == pytest.approx(engine(done.stdout), rel=1e-3)


def test_given_weights_are_not_called_untrained(cnnc: Cnnc, tmp_path: Path) -> None:
    (tmp_path / "given.cnn").write_text("input 1x3x3; conv 1 k=2 weights=[[1,0],[2,-1]] biases=0.5")
    np.save(tmp_path / "x.npy", np.array([[[1, 3, -1], [2, 1, 0], [0, 2, -1]]], np.float32))
    done = cnnc("unfold", "given.cnn", "conv1", "x.npy", "--at", "0,1")
    assert done.stdout.startswith("conv1(0,0,1) = 5 + 0.5 = 5.5\nengine: 5.5, the same number\n")
    assert "untrained" not in done.stdout + done.stderr


@pytest.mark.long
@pytest.mark.parametrize("words", [("conv1",), ("conv1", "--backward"), ("fc1", "--toeplitz"), ("relu1",)])
def test_files_hold_the_picture_and_the_steps(trained: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    svg, html = tmp_path / "a.svg", tmp_path / "a.html"
    done = run("unfold", "run", *words, "--svg", svg, "--html", html, cwd=trained)
    assert done.stdout == f"wrote {svg}\nwrote {html}\n", done.stderr
    assert svg.read_text(encoding="utf-8").startswith("<svg")
    page = html.read_text(encoding="utf-8")
    steps = json.loads(page.split('id="steps">')[1].split("</script>")[0])
    assert len(steps["steps"]) == {"conv1": 64, "relu1": 64}.get(words[-1], len(steps["steps"]))
    assert len(page) < 2_000_000
    again = run("unfold", "run", *words, "--svg", svg, cwd=trained)
    assert again.returncode == 0, again.stderr
    assert codes(run("unfold", "run", *words, "--svg", "run/curves.svg", cwd=trained).stderr) == ["E902"]


@pytest.mark.long
@pytest.mark.parametrize("number", [np.inf, np.nan, 3e38])
def test_numbers_that_are_not_finite_are_shown(cnnc: Cnnc, tmp_path: Path, number: float) -> None:
    (tmp_path / "net.cnn").write_text("input 1x4x4; conv 2 k=2; pool lp k=2 s=1 norm=11; relu; fc 3; softmax")
    x = np.full((1, 4, 4), number, np.float32)
    x[0, 0] = -x[0, 0]
    np.save(tmp_path / "x.npy", x)
    for layer in ("conv1", "pool1", "relu1", "fc1", "softmax1"):
        for words in ((), ("--json",), ("--html", "a.html"), ("--toeplitz",), ("--backward",)):
            done = cnnc("unfold", "net.cnn", layer, "x.npy", *words)
            assert done.returncode == 0 or codes(done.stderr) == ["E010"], (layer, words, done.stderr)
            assert "difference nan" not in done.stdout, "nothing is said of the rounding of what is not a number"


def test_the_name_of_a_file_stays_on_its_line(cnnc: Cnnc, tmp_path: Path) -> None:
    (tmp_path / "net.cnn").write_text("input 1x4x4; conv 2 k=2")
    np.save(tmp_path / "a\nb.npy", np.ones((1, 4, 4), np.float32))
    assert "input: a b.npy" in cnnc("unfold", "net.cnn", "conv1", "a\nb.npy").stdout.splitlines()


def test_inputs_are_those_of_the_exported_models(deployed: Path) -> None:
    """An example is prepared as predict prepares it: each run describes its inputs as its model does."""
    from cnnc.onnx.run.predictions import model_inputs
    from cnnc.onnx.run.session import open_model
    from cnnc.training.trained import input_specs, read_trained
    from tests.cli.nets import NETS

    for name in NETS:
        of_run = input_specs(read_trained(deployed / name))
        of_model = model_inputs(open_model(deployed / f"{name}.onnx", "cpu"))
        for ours, theirs in zip(of_run, of_model, strict=True):
            largest = theirs.largest if theirs.takes_integers else None  # which counts for integers alone
            assert ours == theirs.replace(largest=largest), name


def test_an_example_is_prepared_as_in_predict(deployed: Path, tmp_path: Path) -> None:
    """The probabilities of a sentence are those that predict prints."""
    words = ("--text", "a warm film that shines")
    predicted = json_of(run("predict", "words.onnx", *words, "--json", cwd=deployed))[0]["top"][0]
    unfolded = json_of(run("unfold", "words", "softmax1", *words, "--json", cwd=deployed))
    assert unfolded["engine"] == pytest.approx(predicted["probability"], rel=1e-5)


def test_shared_weights_and_inputs_are_said(cnnc: Cnnc, tmp_path: Path) -> None:
    (tmp_path / "net.cnn").write_text("input 2x5x5; a: conv 2 k=3 p=1; b: conv 2 k=3 p=1 share=a; add a; fc 2")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(2, 5, 5)).astype(np.float32))
    text = cnnc("unfold", "net.cnn", "b", "x.npy", "--backward").stdout
    assert "its weights are those of a" in text
    assert "a also has these weights; dL/dw here is what b adds to it" in text
    assert "add1 also reads a; dL/dx here is through b" in text
    assert "\n\n\n" not in text
