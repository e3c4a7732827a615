"""Mistakes on the command line: the help says what was meant, and works as it stands."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from cnnc.cli.app import COMMANDS
from tests.cli.conftest import Cnnc, codes

pytestmark = pytest.mark.long

ONE = ("--set", "train.epochs=1")


@pytest.fixture
def files(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    return tmp_path


def help_of(text: str) -> str:
    """The help of the only error, which is about the command line."""
    assert len(codes(text)) == 1, text
    (help,) = re.findall(r"= help: (.*)", text)
    return str(help)


def repaired(words: list[str], help: str) -> list[str]:
    """The command with the help applied: a whole command replaces it, options replace the last option or setting typed."""
    quoted = re.findall(r"`([^`]*)`", help)
    assert quoted, help
    typed = shlex.split(quoted[-1])
    if typed[0] == "cnnc":
        return typed[1:]
    start = max(index for index, word in enumerate(words) if word.startswith("-") or "=" in word)
    start -= words[start - 1] == "--set"
    return [*words[:start], *typed]


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("train small.cnn --epochs 3", "write `--set train.epochs=3`"),
        ("train small.cnn --epochs=3", "write `--set train.epochs=3`"),
        ("train small.cnn --max-epochs 3", "write `--set train.epochs=3`"),
        ("train small.cnn --lr 0.1", "write `--set train.optimizer.lr=0.1`"),
        ("train small.cnn --learning-rate 0.1", "write `--set train.optimizer.lr=0.1`"),
        ("train small.cnn --batch 64", "write `--set train.batch=64`"),
        ("train small.cnn --batch-size 64", "write `--set train.batch=64`"),
        ("train small.cnn --base-lr 0.1", "write `--set train.optimizer.lr=0.1`"),
        ("train small.cnn --set batchsize=64", "did you mean `train.batch`? Write `--set train.batch=64`"),
        ("train small.cnn --seed 7", "write `--set train.seed=7`"),
        ("train small.cnn --weight-decay 0.1", "write `--set train.optimizer.weight_decay=0.1`"),
        ("train small.cnn --optimizer rmsprop", "write `--set train.optimizer=rmsprop`"),
        ("train small.cnn --val 0.2", "write `--set train.data.val=0.2`"),
        ("data small.cnn --val 0.2", "write `--set train.data.val=0.2`"),
        ("train small.cnn --width 4", "a `let` of the file is set with `--set width=4`"),
        ("train small.cnn --out 'my run'", "write `--run 'my run'`"),
        ("train small.cnn --gpu cuda", "write `cnnc train small.cnn`"),
        ("train --checkpoint run", "write `--resume run`"),
        ("train small.cnn -e 3", "write `--set train.epochs=3`"),
        ("train run --resume", "write `cnnc train --resume run`"),
        ("train small.cnn --resume run", "the run holds its network: write `cnnc train --resume run`"),
        ("run small.cnn", "write `cnnc train small.cnn`"),
        ("export run x.onnx --last", "write `cnnc export run -o x.onnx --last`"),
        ("export run --format onnx", "write `cnnc export run`"),
        ("import small.onnx new.cnn", "write `cnnc import small.onnx -o new.cnn`"),
        ("train small.cnn epochs=3", "write `--set train.epochs=3`"),
        ("train small.cnn --set train.epochs 3", "write `--set train.epochs=3`"),
        ("train small.cnn --set epochs=2", "did you mean `train.epochs`? Write `--set train.epochs=2`"),
        ("train small.cnn --set batch_size=64", "did you mean `train.batch`? Write `--set train.batch=64`"),
        ("train small.cnn --set lr=0.1", "did you mean `train.optimizer.lr`? Write `--set train.optimizer.lr=0.1`"),
        (
            "train small.cnn --set train.lr=0.1",
            "did you mean `train.optimizer.lr`? Write `--set train.optimizer.lr=0.1`",
        ),
        (
            "train small.cnn --set optimizer.lr=0.1",
            "did you mean `train.optimizer.lr`? Write `--set train.optimizer.lr=0.1`",
        ),
        (
            "train small.cnn --set train.optimzer.lr=0.1",
            "did you mean `train.optimizer.lr`? Write `--set train.optimizer.lr=0.1`",
        ),
        ("check small.cnn --set widht=2*4", "did you mean `width`? Write `--set width=2*4`"),
        ("train run", "write `cnnc train --resume run`"),
        ("train run --set train.epochs=9", "write `cnnc train --resume run --set train.epochs=9`"),
        ("train ./run/", "write `cnnc train --resume ./run/`"),
        ("train run/last.safetensors", "write `cnnc train --resume run/last.safetensors`"),
        ("check run", "write `cnnc check run/network.cnn`"),
        ("check run/best.safetensors", "write `cnnc check run/network.cnn`"),
        ("check small.onnx", "write `cnnc info small.onnx`"),
        ("check small.cnn --batch-size 3", "write `--batch 3`"),
        ("check small.cnn --epochs 3", "write `--set train.epochs=3`"),
        ("export small.cnn --run run", "write `cnnc export run`"),
        ("export run --output x.onnx", "write `--out x.onnx`"),
        ("eval --model run", "write `cnnc eval run`"),
        ("bench small.onnx --seconds 0 --batch-size 2", "write `--batch 2`"),
        ("chekc small.cnn", "write `cnnc check small.cnn`"),
        ("evaluate run", "write `cnnc eval run`"),
        ("resume run", "write `cnnc train --resume run`"),
        ("small.cnn", "write `cnnc check small.cnn`"),
        ("small.onnx", "write `cnnc info small.onnx`"),
        ("help train", "write `cnnc train --help`"),
        ("version", "write `cnnc --version`"),
    ],
)
def test_the_help_is_what_was_meant_and_works(cnnc: Cnnc, files: Path, words: str, meant: str) -> None:
    typed = shlex.split(words)
    done = cnnc(*typed)
    assert (done.returncode, done.stdout) == (2, "")
    assert help_of(done.stderr) == meant
    more = repaired(typed, meant)
    more += ONE if more[0] == "train" and not any("epochs" in word for word in [*more, *meant.split()]) else []
    assert cnnc(*more).returncode == 0, more


def test_an_option_for_the_label_of_a_table(cnnc: Cnnc, files: Path) -> None:
    (files / "beans.csv").write_text("a,kind,b\n" + "".join(f"{n},{'xy'[n % 2]},{n * 2}\n" for n in range(30)))
    done = cnnc("data", "series", "beans.csv", "--label", "kind")
    assert help_of(done.stderr) == "write `--set train.data.label=kind`"
    assert cnnc("data", "series", "beans.csv", "--set", "train.data.label=kind").returncode == 0


@pytest.mark.parametrize(
    ("words", "code", "help"),
    [
        ("train", "E010", "write `cnnc train NET.cnn`; `cnnc new NET` writes a network to start with"),
        ("train small.onnx", "E010", "write `cnnc import small.onnx`"),
        ("train small.cnn --threads 2", "E010", "write `CNNC_THREADS=2 cnnc train small.cnn`"),
        ("train small.cnn --exprot x.onnx", "E010", "did you mean `--export`?"),
        ("train small.cnn --epochs", "E010", "write `--set train.epochs=VALUE`"),
        ("train small.cnn --zzz", "E010", "`cnnc train --help` shows how it is used"),
        ("train small.cnn --set", "E010", "`cnnc train --help` shows how it is used"),
        ("train small.cnn other.cnn", "E010", "`cnnc train --help` shows how it is used"),
        ("train small.cnn --log csv", "E010", "`cnnc train --help` shows how it is used"),
        ("check", "E010", "`cnnc check --help` shows how it is used"),
        ("check small.cnn --depth x", "E010", "`cnnc check --help` shows how it is used"),
        ("zzz", "E010", "`cnnc --help` shows how it is used"),
        ("--zzz", "E010", "`cnnc --help` shows how it is used"),
        ("eval small.cnn", "E604", "`cnnc train small.cnn` trains it and prints the score on the test set"),
        ("train --resume small.cnn", "E605", "`cnnc train small.cnn` trains a network file"),
        ("train --resume small.onnx", "E605", "`cnnc import small.onnx` turns a model into a network and a checkpoint"),
        ("export small.onnx", "E605", "`cnnc import small.onnx` turns a model into a network and a checkpoint"),
        ("predict run", "E604", "`cnnc export run` exports a model from it"),
        ("predict small.onnx", "E010", "name files, or give a sentence with `--text`"),
        ("info run", "E604", "`cnnc export run` exports a model from it"),
    ],
)
def test_other_mistakes_have_one_error_with_help(cnnc: Cnnc, files: Path, words: str, code: str, help: str) -> None:
    done = cnnc(*words.split())
    assert codes(done.stderr) == [code]
    assert done.returncode == {"E010": 2, "E604": 3, "E605": 3}[code]
    assert help_of(done.stderr) == help
    assert "damaged" not in done.stderr


def test_a_setting_of_a_file_without_a_train_section_is_not_taken_for_one_of_it(cnnc: Cnnc, tmp_path: Path) -> None:
    (tmp_path / "bare.cnn").write_text("let wide = 3\ninput 1x8x8\nconv wide k=3\n")
    done = cnnc("check", "bare.cnn", "--set", "epochs=3")
    assert help_of(done.stderr) == "the file has `let wide`"


def test_words_for_commands_do_not_hide_a_command() -> None:
    from cnnc.cli import usage

    assert not set(usage._COMMANDS) & set(COMMANDS)
    assert set(usage._OPTIONS) <= set(COMMANDS)


def test_words_for_options_do_not_hide_an_option() -> None:
    from cnnc.cli import usage
    from tests.cli.test_options import COMMANDS as PARSED

    known = {name: {o for p in command.params for o in p.opts} for name, command in PARSED.items()}
    for command, options in usage._OPTIONS.items():
        assert not set(options) & known[command]
        for meant in options.values():
            first = meant.split()[0]
            assert first in known[command] or not first.startswith("--"), (command, meant)


@pytest.mark.parametrize("setting", ["abc", "0", "-1", "1.5", "²", "1e3", "+2", "99999999999", "1025", " "])
def test_a_number_of_threads_that_is_none(cnnc: Cnnc, files: Path, setting: str) -> None:
    for words in (
        ("train", "small.cnn"),
        ("train", "small.cnn", "--dry-run"),
        ("train", "--resume", "run"),
        ("eval", "run"),
    ):
        done = cnnc(*words, env={"CNNC_THREADS": setting})
        assert (done.returncode, codes(done.stderr)) == (2, ["E010"]), words
        assert f"CNNC_THREADS is `{setting}`" in done.stderr
    assert not (files / "runs").exists()
    assert cnnc("check", "small.cnn", env={"CNNC_THREADS": setting}).returncode == 0


@pytest.mark.parametrize("setting", ["", "2", " 2 ", "02"])
def test_a_number_of_threads(cnnc: Cnnc, setting: str) -> None:
    assert cnnc("train", "small.cnn", "--dry-run", env={"CNNC_THREADS": setting}).returncode == 0


@pytest.mark.parametrize("folder", ["nowhere", "small.cnn"])
def test_a_data_folder_that_is_none(cnnc: Cnnc, files: Path, folder: str) -> None:
    """Also for the digits, which come with cnnc, and for a command that would not read it."""
    commands = [("train", "small.cnn"), ("train", "--resume", "run"), ("eval", "run"), ("eval", "small.onnx")]
    commands += [("export", "run", "-o", "new.onnx")] if folder == "nowhere" else []
    for words in commands:
        done = cnnc(*words, "--data", folder)
        assert (done.returncode, codes(done.stderr)) == (3, ["E603"]), words
        assert "or leave out --data" in help_of(done.stderr)
    assert not (files / "runs").exists()
    assert not (files / "new.onnx").exists()


def test_the_variable_of_the_data_folder_counts_if_it_is_needed(cnnc: Cnnc, files: Path) -> None:
    absent = {"CNNC_DATA": str(files / "nowhere")}
    assert cnnc("eval", "run", env=absent).returncode == 0, "the digits come with cnnc"
    done = cnnc("eval", "small.onnx", "--on", "mnist", env=absent)
    assert (done.returncode, codes(done.stderr)) == (3, ["E603"])
    assert f"CNNC_DATA names {files / 'nowhere'}, which does not exist" in done.stderr
    (files / "own.cnn").write_text('input 4\nfc 2\ntrain { data npz "x.npz"; epochs 1 }\n')
    done = cnnc("train", "own.cnn", env=absent)
    assert (done.returncode, codes(done.stderr)) == (3, ["E603"])
    assert "CNNC_DATA names" in done.stderr
