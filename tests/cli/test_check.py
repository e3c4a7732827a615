"""`cnnc check`: results, errors, `--json`, `--set` and `--strict`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import SMALL, Cnnc, codes

HEAD = "input 1x8x8\n"

UNREAD = HEAD + "conv 4 k=3 s=2\nrelu\nfc 10\n"  # a row and a column are never read: a warning


def test_a_good_file(cnnc: Cnnc) -> None:
    done = cnnc("check", "small.cnn")
    assert (done.returncode, done.stderr) == (0, "")
    assert "1,036 parameters" in done.stdout
    assert "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["name", "layer", "output", "params", "share", "MACs", "field"]
    (conv,) = [line for line in lines if line.startswith("conv1 ")]
    assert "6x8x8" in conv


def test_explain_shows_formulas(cnnc: Cnnc) -> None:
    plain, explained = cnnc("check", "small.cnn"), cnnc("check", "small.cnn", "--explain")
    assert explained.returncode == 0
    assert len(explained.stdout.splitlines()) > len(plain.stdout.splitlines())


@pytest.mark.parametrize(
    ("text", "code", "line", "words"),
    [
        ("", "E116", None, "defines no network"),
        ("# nothing but a comment\n", "E116", 1, "begin with `input"),
        (HEAD + "convv 4 k=3\nfc 10\n", "E111", 2, "did you mean `conv`?"),
        (HEAD + "conv 4 k=9\nfc 10\n", "E302", 2, "k=8 is the largest kernel that fits"),
        (HEAD + "fc 10\nconv 4 k=3\n", "E303", 3, "`reshape`"),
        (HEAD + "conv 4 k=wide\nfc 10\n", "E203", 2, "whole number"),
        (HEAD + "conv 4.5 k=3\nfc 10\n", "E203", 2, "`//`"),
        (HEAD + 'conv "four" k=3\nfc 10\n', "E203", 2, "whole number"),
        (HEAD + "conv 4\nfc 10\n", "E202", 2, "write `conv 4 k=3`"),
        (HEAD + "conv 4 k=3 strde=2\nfc 10\n", "E201", 2, "did you mean `stride`?"),
        (HEAD + "conv 4 k=(3\nfc 10\n", "E006", 2, "never closed"),
        (HEAD + "fc 9\ntrain { data digits }\n", "E508", 3, "end with `fc 10`"),
        (HEAD + "fc 10\ntrain { data diggits }\n", "E506", 3, "did you mean `digits`?"),
        (HEAD + "fc 10\nexpect 9\n", "E401", 3, "expect 10"),
    ],
)
def test_errors_in_the_source(cnnc: Cnnc, tmp_path: Path, text: str, code: str, line: int | None, words: str) -> None:
    (tmp_path / "bad.cnn").write_text(text)
    for command in ("check", "train", "export"):
        done = cnnc(command, "bad.cnn")
        assert done.returncode == 1, command
        assert done.stdout == "", command
        assert code in codes(done.stderr), command
        assert words in done.stderr
        assert line is None or f"--> bad.cnn:{line}:" in done.stderr
        assert {p.name for p in tmp_path.iterdir()} == {"bad.cnn", "small.cnn"}, "no file is written"


def test_all_errors_of_a_file_at_once(cnnc: Cnnc, tmp_path: Path) -> None:
    (tmp_path / "bad.cnn").write_text(HEAD + "conv 4 kk=3\npool mx k=2\nfc 10\nexpect params=1\n")
    done = cnnc("check", "bad.cnn")
    assert done.returncode == 1
    assert len(codes(done.stderr)) >= 2, done.stderr


@pytest.mark.parametrize(
    "data",
    [b"\xff\xfe\x00", b"input 1x8x8\nfc 10 # \xe4\n", bytes(range(256)), b"\0" * 100, b"(" * 5000, b"{" * 5000],
    ids=["utf-16", "latin-1", "all bytes", "zeros", "brackets", "braces"],
)
def test_files_that_are_not_source(cnnc: Cnnc, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "bad.cnn").write_bytes(data)
    done = cnnc("check", "bad.cnn")
    assert done.returncode == 1
    assert codes(done.stderr)
    assert len(done.stderr) < 5000
    assert "\0" not in done.stderr


@pytest.mark.parametrize("data", [b"\xef\xbb\xbf" + SMALL.encode(), SMALL.replace("\n", "\r\n").encode()])
def test_byte_order_mark_and_crlf(cnnc: Cnnc, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "other.cnn").write_bytes(data)
    assert cnnc("check", "other.cnn").returncode == 0


def test_json(cnnc: Cnnc, tmp_path: Path) -> None:
    (tmp_path / "warned.cnn").write_text(UNREAD)
    done = cnnc("check", "small.cnn", "warned.cnn", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    small, warned = json.loads(done.stdout)
    assert (small["file"], small["name"], small["ok"]) == ("small.cnn", "Small", True)
    assert (small["params"], small["macs"]) == (1036, 6 * 9 * 64 + 960)
    assert small["inputs"] == [{"name": "input1", "shape": [1, 8, 8], "dtype": "float32"}]
    assert [o["shape"] for o in small["outputs"]] == [[10]]
    assert small["diagnostics"] == []
    for layer in small["layers"]:
        assert {"name", "op", "shape", "params", "macs", "line"} <= layer.keys()
    conv = next(layer for layer in small["layers"] if layer["op"] == "conv")
    assert (conv["name"], conv["shape"], conv["params"], conv["line"]) == ("conv1", [6, 8, 8], 54, 5)
    assert sum(layer["params"] for layer in small["layers"]) == small["params"]
    assert sum(layer["macs"] for layer in small["layers"]) == small["macs"]
    assert warned["ok"]
    (warning,) = warned["diagnostics"]
    assert (warning["code"], warning["severity"], warning["line"]) == ("W301", "warning", 2)


def test_json_of_a_bad_file_has_the_same_keys(cnnc: Cnnc, tmp_path: Path) -> None:
    (tmp_path / "bad.cnn").write_text(HEAD + "convv 4 k=3\nfc 10\n")
    done = cnnc("check", "small.cnn", "bad.cnn", "nowhere.cnn", "--json")
    assert done.returncode == 6
    small, bad, nowhere = json.loads(done.stdout)
    assert set(small) - {"buffers"} <= set(bad)
    assert set(bad) == set(nowhere)
    assert (small["ok"], bad["ok"], nowhere["ok"]) == (True, False, False)
    assert (bad["params"], bad["layers"]) == (None, [])
    (error,) = bad["diagnostics"]
    assert {"code", "severity", "line", "column", "message", "help"} <= error.keys()
    assert (error["code"], error["severity"], error["line"], error["column"]) == ("E111", "error", 2, 1)
    assert error["help"] == "did you mean `conv`?"
    (error,) = nowhere["diagnostics"]
    assert (error["code"], error["line"]) == ("E901", None)


def test_strict(cnnc: Cnnc, tmp_path: Path) -> None:
    (tmp_path / "warned.cnn").write_text(UNREAD)
    relaxed, strict = cnnc("check", "warned.cnn"), cnnc("check", "warned.cnn", "--strict")
    assert (relaxed.returncode, strict.returncode) == (0, 1)
    for done in (relaxed, strict):
        assert codes(done.stderr) == ["W301"]
    assert cnnc("check", "small.cnn", "--strict").returncode == 0


def test_set_changes_a_let(cnnc: Cnnc) -> None:
    (network,) = json.loads(cnnc("check", "small.cnn", "--json", "--set", "width=12").stdout)
    assert network["layers"][1]["shape"] == [12, 8, 8]


@pytest.mark.parametrize(
    ("setting", "status", "code", "words"),
    [
        ("widht=3", 2, "E115", "did you mean `width`?"),
        ("train.epoch=3", 2, "E115", "did you mean `train.epochs`?"),
        ("epochs=3", 2, "E115", "did you mean `train.epochs`?"),
        ("lr=0.1", 2, "E115", "did you mean `train.optimizer.lr`?"),
        ("train.lr=0.1", 2, "E115", "did you mean `train.optimizer.lr`?"),
        ("train.rate=0.1", 2, "E115", "did you mean `train.optimizer.lr`?"),
        ("train.xyzzy=1", 2, "E115", "the statements are data, "),
        ("train.optimizer.lrr=3", 2, "E201", "did you mean `lr`?"),
        ("train.optimizer.lr=fast", 2, "E203", "number"),
        ("train.epochs=0", 2, "E203", "at least 1"),
        ("width=0", 1, "E203", "at least 1"),
        ("train.epochs", 2, "E010", "NAME=VALUE"),
        ("=3", 2, "E010", "NAME=VALUE"),
        ("width=", 2, "E010", "NAME=VALUE"),
        ("width=1 2", 2, "E010", "one value"),
    ],
)
def test_bad_settings(cnnc: Cnnc, setting: str, status: int, code: str, words: str) -> None:
    done = cnnc("check", "small.cnn", "--set", setting)
    assert done.returncode == status
    assert codes(done.stderr) == [code]
    assert words in done.stderr


def test_several_files_one_of_them_broken(cnnc: Cnnc, tmp_path: Path) -> None:
    (tmp_path / "bad.cnn").write_text(HEAD + "convv 4 k=3\nfc 10\n")
    done = cnnc("check", "small.cnn", "bad.cnn", "small.cnn")
    assert done.returncode == 1
    assert done.stdout.count("small.cnn:") == 2
    assert done.stdout.count("1,036 parameters") == 2
    assert codes(done.stderr) == ["E111"]


def test_missing_and_unreadable_files(cnnc: Cnnc, tmp_path: Path) -> None:
    for name in ("nowhere.cnn", ".", "small.cnn/x.cnn"):
        done = cnnc("check", name)
        assert done.returncode == 6
        assert codes(done.stderr) == ["E901"]
    done = cnnc("check", "nowhere.cnn", "small.cnn")
    assert done.returncode == 6
    assert "1,036 parameters" in done.stdout, "the other file is still checked"


@pytest.mark.parametrize("words", [(), ("check",), ("chek", "small.cnn"), ("check", "--nonsense", "small.cnn")])
def test_wrong_usage(cnnc: Cnnc, words: tuple[str, ...]) -> None:
    assert cnnc(*words).returncode == 2


def test_help_and_version(cnnc: Cnnc) -> None:
    done = cnnc("--help")
    assert done.returncode == 0
    for command in ("check", "train", "export", "predict", "eval"):
        assert command in done.stdout
        assert cnnc(command, "-h").returncode == 0
    done = cnnc("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("cnnc ")
