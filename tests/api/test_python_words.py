"""Errors of functions name parameters and functions, those of commands name options and commands."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.main

import cnnc
from cnnc.api.python_words import FUNCTIONS, function_of, in_python, parameter_of
from cnnc.cli.app import app
from tests.cli.conftest import run

NETWORK = "input 1x8x8; conv 4 k=3; relu; fc 10; softmax; train { data digits; epochs 1 }"

ONLY_OPTIONS = {
    "": {
        "json",
        "force",
        "max-memory",
        "max-params",
        "offline",
    },  # values, and the file that is named; `limits`; CNNC_OFFLINE
    "check": {"explain", "depth", "sort", "batch", "versus-dense", "csv", "format", "strict", "watch"},  # of a Network
    "train": {"run-folder", "resume", "export", "dry-run", "log", "log-as", "processes", "accumulate", "shard"}
    | {"live", "live-port"},  # a callback follows a training
    "predict": {"out"},  # numpy.save
    "export": {"training", "no-pass", "passes", "report", "card", "card-file", "set"},  # `options`
    "draw": {"o", "out"},  # .save
    "unfold": {"svg", "html"},  # .save
    "inspect": {"o", "out", "files"},  # .save
    "data": {"o", "out"},  # .sheet
}
"""Options of each command that have no parameter, and why."""


def options_of(command: str) -> set[str]:
    group: Any = typer.main.get_command(app([command]))
    found = group.commands[command] if hasattr(group, "commands") else group
    options = (p for p in found.params if p.param_type_name == "option")
    return {word.lstrip("-") for p in options for word in (*p.opts, *p.secondary_opts)}


@pytest.mark.parametrize("command", [command for command in FUNCTIONS if command != "resume"])
def test_every_option_has_a_parameter(command: str) -> None:
    missing = {name for name in options_of(command) if parameter_of(name, function_of(command)) is None}
    assert missing <= ONLY_OPTIONS[""] | ONLY_OPTIONS.get(command, set())


@pytest.mark.parametrize(
    ("command", "text", "expected"),
    [
        ("export", "leave --data out, or write `--at H=32,W=4`", 'leave `data` out, or write `at={"H": 32, "W": 4}`'),
        ("import", "for example --at H=224,W=224; then", 'for example `at={"H": 224, "W": 224}`; then'),
        ("train", "e.g. --set train.optimizer.lr=0.1", 'e.g. `settings=["train.optimizer.lr=0.1"]`'),
        ("draw", "--at goes with --style field", '`at` goes with `style="field"`'),
        ("export", "leave --int8 out", 'leave `precision="int8"` out'),
        ("unfold", "--pool needs -k: add `-k 2`", "`pool` needs `k`: add `k=2`"),
        ("bench", "`--size H=224`", '`sizes={"H": 224}`'),
        ("data", "`--input 3x64x64`", '`size="3x64x64"`'),
        ("inspect", "leave --why out", "leave `why` out"),
        ("inspect", "`--text good`", '`text=["good"]`'),
        ("train", "`--set a=1 --set b=2`", '`settings=["a=1", "b=2"]`'),
        ("train", "`cnnc train --resume runs/a` continues", '`cnnc.resume("runs/a")` continues'),
        ("eval", "`cnnc inspect runs/a --mistakes`", '`cnnc.inspect("runs/a", mistakes=True)`'),
        ("draw", "`cnnc draw a.cnn --style volumes -o a.svg`", '`cnnc.draw("a.cnn", style="volumes").save("a.svg")`'),
        ("predict", "`cnnc export RUN --int8`", '`cnnc.export("RUN", precision="int8")`'),
        ("predict", "`cnnc new -t lenet5` writes one", "`cnnc new -t lenet5` writes one"),
        ("export", "`--no-pass fuse` may help", "`--no-pass fuse` may help"),
        ("predict", "the name a`b --top", "the name a`b --top"),
    ],
)
def test_options_become_parameters(command: str, text: str, expected: str) -> None:
    assert in_python(text, function_of(command)) == expected


def test_errors_name_what_the_caller_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    network = cnnc.check(NETWORK, name="net.cnn")
    network.save("net.cnn")
    cnnc.export(cnnc.Model(network), "net.onnx")

    with pytest.raises(cnnc.CnncError) as caught:
        cnnc.draw("net.cnn", style="volumes", at="conv1")
    assert '`at` does not go with `style="volumes"`' in str(caught.value)
    assert 'cnnc.draw("net.cnn", style="volumes")' in str(caught.value)
    assert "--" not in str(caught.value)
    assert (
        "--at does not go with --style volumes"
        in run("draw", "net.cnn", "--style", "volumes", "--at", "conv1", cwd=tmp_path).stderr
    )

    with pytest.raises(cnnc.CnncError) as caught:
        cnnc.export("net.cnn", "part.onnx", outputs=["conv2"])
    assert "`outputs`: no layer is named `conv2`" in str(caught.value)
    assert caught.value.args[0].startswith("`outputs`")
    assert "--outputs: no layer" in run("export", "net.cnn", "--outputs", "conv2", cwd=tmp_path).stderr


def test_settings_are_named_as_they_are_given(tmp_path: Path) -> None:
    with pytest.raises(cnnc.CnncError) as caught:
        cnnc.check(NETWORK, settings=["train.epochs"])
    assert "settings takes NAME=VALUE" in str(caught.value)
    assert '`settings=["train.epochs=2"]`' in str(caught.value)
    help = cnnc.check(NETWORK, settings=["train.epoch=2"]).diagnostics[0].help
    assert 'Write `settings=["train.epochs=2"]`' in help
    (tmp_path / "net.cnn").write_text(NETWORK)
    assert "Write `--set train.epochs=2`" in run("check", "net.cnn", "--set", "train.epoch=2", cwd=tmp_path).stderr
    assert "--set takes NAME=VALUE" in run("check", "net.cnn", "--set", "train.epoch", cwd=tmp_path).stderr


def test_notes_are_in_the_words_of_the_caller(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    for name in "ab":
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(4):
            image.new("L", (6, 5), number * 40).save(tmp_path / "photos" / name / f"{number}.png")
    lines: list[str] = []
    cnnc.data("images", tmp_path / "photos", progress=lines.append)
    assert any(line.endswith("the most frequent size; `size` sets another") for line in lines)
    assert "--input sets another" in run("data", "images", str(tmp_path / "photos"), cwd=tmp_path).stderr


NOTES: dict[str, tuple[str, str]] = {
    "field": ("chooses another position", 'at="conv1:Y,X"'),
    "graph": ("unfolds one level", "depth=2"),
    "volumes": ("draws every layer", "depth=0"),
    "command": ("shows how one number of conv1 comes about", 'cnnc.unfold("run", "conv1", example=3)'),
    "mistakes": ("shows what the first of these answers depends on", "why=True"),
    "histograms": ("names the data", 'data="FOLDER"'),
    "example": ("takes another than 0", "example=N"),
    "unfolded": ("chooses another", "at"),
    "steps": ("names", "at"),
    "sizes": ("MACs and memory depend on the size", "at"),
    "classes": ("classes in between are left out", "facts"),
}
"""A part of a note or paragraph in a page, drawing or table, and what it names within backticks, by its text below."""

DEEP = """block inner(n) { conv n k=3 p=1; relu }
block outer(n) { inner(n); inner(n) }
input 1x16x16
outer(4); outer(4); outer(4); outer(4); outer(4); outer(4); outer(4); outer(4)
fc 3
"""


@pytest.fixture(scope="module")
def noted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What Python functions return, as text, and the pages that they write."""
    folder = tmp_path_factory.mktemp("noted")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        network = cnnc.check(NETWORK, name="net.cnn")
        cnnc.train(network, "run", progress=False)
        deep = cnnc.check(DEEP)
        untrained = cnnc.Model(cnnc.check("input 1x8x8; conv 4 k=3; relu; fc 10"))
        np.save("three.npy", np.zeros((3, 1, 8, 8), np.float32))
        np.savez("many.npz", x=np.zeros((160, 1, 4, 4), np.float32), y=np.arange(160) % 50)
        many = cnnc.check('input 1x4x4; fc 50; train { data npz "many.npz"; loss cross_entropy; epochs 1 }')
        lines: list[str] = []
        report = cnnc.inspect("run", example=3, mistakes=True, progress=False).html
        unfolded = cnnc.unfold("run", "conv1", "three.npy", progress=lines.append)
        return {
            "field": cnnc.draw(network, style="field", at="conv1").save("field.html").read_text(),
            "graph": cnnc.draw(deep, depth=1).svg,
            "volumes": cnnc.draw(deep, style="volumes", depth=1).save("volumes.svg").read_text(),
            "command": report,
            "mistakes": report,
            "histograms": cnnc.inspect(untrained, progress=False).html,
            "example": "\n".join(lines),
            "unfolded": str(unfolded),
            "steps": cnnc.unfold(np.ones((50, 50)), kernel="1 0; 0 1").html,
            "sizes": str(cnnc.check("input 1xHxW; conv 4 k=3")),
            "classes": str(cnnc.data(many)),
        }


def text_of(page: str) -> str:
    """The text of a page, in which code is between backticks."""
    return unescape(re.sub("<[^>]*>", "", re.sub("</?code>", "`", page)))


@pytest.mark.parametrize("name", NOTES)
def test_pages_and_drawings_are_in_the_words_of_python(noted: dict[str, str], name: str) -> None:
    said, named = NOTES[name]
    line = next(line for line in text_of(noted[name]).splitlines() if said in line)
    assert any(named in code for code in re.findall("`([^`]*)`", line))
    assert not re.search(r"(?<![\w-])--[a-z]", line)


def test_pages_of_commands_are_in_the_words_of_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "net.cnn").write_text(NETWORK)
    run("train", "net.cnn", "--run", "run", cwd=tmp_path)
    run("inspect", "run", "--example", "3", "--mistakes", "-o", "page.html", cwd=tmp_path)
    page = re.findall("`[^`]*`", text_of((tmp_path / "page.html").read_text()))
    assert "`cnnc unfold run conv1 --example 3`" in page
    assert any(re.fullmatch(r"`--example \d+ --why`", code) for code in page)
    run("draw", "net.cnn", "--style", "field", "--at", "conv1", "-o", "field.svg", cwd=tmp_path)
    assert "`--at conv1:Y,X`" in re.findall("`[^`]*`", (tmp_path / "field.svg").read_text())
    (tmp_path / "sizes.cnn").write_text("input 1xHxW; conv 4 k=3")
    assert "set it with --at" in run("check", "sizes.cnn", cwd=tmp_path).stdout
