"""`cnnc new`: it writes templates and published networks, lists them, and never replaces a file."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from cnnc.models import published_networks
from tests.cli.conftest import Cnnc, codes
from tests.model_files import network_of


def test_the_next_command_works_when_typed(cnnc: Cnnc) -> None:
    _, command = cnnc("new", "two words").stdout.split("; next: ")
    program, *arguments = shlex.split(command)
    assert (program, cnnc(*arguments).returncode) == ("cnnc", 0)


@pytest.mark.long
@pytest.mark.parametrize("template", ["lenet", "resnet", "small_unet", "textcnn"])
def test_new_writes_a_network_that_checks_without_warnings(cnnc: Cnnc, tmp_path: Path, template: str) -> None:
    done = cnnc("new", "mine", "--template", template)
    assert done.returncode == 0
    assert done.stdout == "wrote mine.cnn; next: cnnc check mine.cnn\n"
    assert cnnc("check", "mine.cnn", "--strict").returncode == 0
    assert "net mine\n" in (tmp_path / "mine.cnn").read_text()
    assert cnnc("fmt", "--check", "mine.cnn").returncode == 0
    done = cnnc("new", "mine")
    assert (done.returncode, codes(done.stderr)) == (6, ["E902"])


def test_new_with_an_awkward_name(cnnc: Cnnc, tmp_path: Path) -> None:
    assert cnnc("new", 'my "net" 1').returncode == 0
    assert cnnc("check", 'my "net" 1.cnn').stdout.splitlines()[-2].startswith('my "net" 1: ')
    assert cnnc("new", "relu").returncode == 0
    assert cnnc("check", "relu.cnn").returncode == 0
    assert cnnc("new", "nowhere/mine").returncode == 6
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.long
@pytest.mark.parametrize("name", published_networks())
def test_new_writes_a_published_network_as_it_is(cnnc: Cnnc, tmp_path: Path, name: str) -> None:
    assert cnnc("new", "-t", name).stdout.startswith(f"wrote {name}.cnn; next: cnnc check {name}.cnn\n")
    assert (tmp_path / f"{name}.cnn").read_bytes() == published_networks()[name].read_bytes()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if number % 6 == 0 else pytest.mark.long)
        for number, name in enumerate(published_networks())
    ],
)
def test_a_published_network_under_another_name_differs_in_its_name_only(cnnc: Cnnc, tmp_path: Path, name: str) -> None:
    assert cnnc("new", "an other", "-t", name).returncode == 0
    written = (tmp_path / "an other.cnn").read_text(encoding="utf-8").splitlines()
    published = published_networks()[name].read_text(encoding="utf-8").splitlines()
    ((ours, theirs),) = [pair for pair in zip(written, published, strict=True) if pair[0] != pair[1]]
    assert (ours, theirs.split()[0]) == ('net "an other"', "net")
    assert cnnc("check", "an other.cnn", "--strict").returncode == 0
    assert cnnc("fmt", "--check", "an other.cnn").returncode == 0


def test_new_names_the_command_that_makes_the_data(cnnc: Cnnc) -> None:
    assert cnnc("new", "-t", "waves").stdout.splitlines()[1:] == [
        "its training data: python -m cnnc.models.scripts.waves"
    ]
    assert len(cnnc("new", "-t", "digits").stdout.splitlines()) == 1


def test_new_replaces_no_file(cnnc: Cnnc, tmp_path: Path) -> None:
    (tmp_path / "digits.cnn").write_text("mine")
    (tmp_path / "folder.cnn").mkdir()
    for words in (("-t", "digits"), ("digits",), ("digits.cnn", "-t", "lenet5"), ("folder",)):
        done = cnnc("new", *words)
        assert (done.returncode, codes(done.stderr)) == (6, ["E902"])
    assert (tmp_path / "digits.cnn").read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "help"),
    [
        ((), "`cnnc new NAME` writes a small one, `cnnc new --list` lists all of them"),
        (("mine", "-t", "ResNet-50"), "did you mean `resnet50`?"),
        (("-t", "lenet5.cnn"), "did you mean `lenet5`?"),
        (("-t", "vgg"), "did you mean `vgg16`?"),
        (("-t", "lenett"), "did you mean `lenet`?"),
        (("-t", "nonsense"), "`cnnc new --list` lists all of them"),
        (("-t", "../lenet5"), "did you mean `lenet5`?"),
        (("-t", ""), "`cnnc new --list` lists all of them"),
        (("",), "for example `cnnc new mine`"),
        ((".",), "for example `cnnc new mine`"),
        (("..",), "for example `cnnc new ../mine`"),
        (("/",), "for example `cnnc new /mine`"),
        ((".cnn",), "for example `cnnc new mine`"),
        (("folder/",), "for example `cnnc new mine`"),
        (("--json",), "write `cnnc new --list --json`"),
        (("mine", "--list"), "write `cnnc new --list` alone"),
        (("--list", "-t", "digits"), "write `cnnc new --list` alone"),
    ],
)
def test_wrong_use_is_one_error(cnnc: Cnnc, tmp_path: Path, words: tuple[str, ...], help: str) -> None:
    before = sorted(tmp_path.iterdir())
    done = cnnc("new", *words)
    assert (done.returncode, codes(done.stderr), done.stdout) == (2, ["E010"], "")
    assert f"= help: {help}" in done.stderr
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.long
def test_the_list_names_every_network_with_its_facts(cnnc: Cnnc) -> None:
    listed = json.loads(cnnc("new", "--list", "--json").stdout)
    assert [row["name"] for row in listed] == ["lenet", "resnet", "small_unet", *published_networks()]
    assert [row["name"] for row in listed if row["published"]] == [*published_networks()]
    keys = ["name", "published", "about", "source", "params", "data", "path", "data_command"]
    assert all(list(row) == keys for row in listed)
    for row in listed:
        assert row["about"].endswith(".")
        if row["published"]:
            network = network_of(published_networks()[row["name"]])
            assert row["params"] == network.require_graph().total_parameters
            assert row["data"] == (network.recipe.data.name if network.recipe else None)
    (ranker,) = [row for row in listed if row["name"] == "text_ranker"]
    assert ranker["path"] == "made/pairs"
    assert ranker["data_command"] == "python -m cnnc.models.scripts.pairs --data DIR/text"
    assert ranker["source"].startswith("Severyn & Moschitti (SIGIR 2015), ")
    assert ranker["source"].endswith('networks", figure 2.')
    (net,) = [row for row in listed if row["name"] == "unet"]
    assert (net["data"], net["data_command"]) == (None, None)


@pytest.mark.long
def test_the_list_as_a_table(cnnc: Cnnc) -> None:
    head, rule, *rows, empty, last = cnnc("new", "--list").stdout.splitlines()
    assert head.split("  ")[0] == "template"
    assert set(rule) == {"─", " "}
    names = [row.split()[0] for row in rows]
    assert names == ["lenet", "resnet", "small_unet", *published_networks()]
    (row,) = [row for row in rows if row.startswith("lenet5 ")]
    assert re.split(r"\s{2,}", row) == [
        "lenet5",
        "61,706",
        "mnist",
        "LeNet-5 as it is trained on MNIST today: with ReLU and max pooling; about 99.1 % of the test images.",
        "LeCun, Bottou, Bengio & Haffner (1998)",
    ]
    assert (empty, last.split(" writes")[0]) == ("", "`cnnc new -t TEMPLATE`")


def test_a_name_with_accents_stays_readable(cnnc: Cnnc, tmp_path: Path) -> None:
    assert cnnc("new", "é").returncode == 0
    assert 'net "é"\n' in (tmp_path / "é.cnn").read_text(encoding="utf-8")
    assert "\né: " in cnnc("check", "é.cnn").stdout


@pytest.mark.parametrize("command", ["check", "train", "export"])
def test_a_missing_file_with_the_name_of_a_published_network(cnnc: Cnnc, command: str) -> None:
    done = cnnc(command, "models/digits.cnn")
    assert (done.returncode, codes(done.stderr)) == (6, ["E901"])
    assert "= help: `cnnc new -t digits` writes the published network" in done.stderr
    assert "help" not in cnnc(command, "models/mine.cnn").stderr
    assert cnnc("new", "-t", "digits").returncode == 0
    assert cnnc("check", "digits.cnn").returncode == 0
