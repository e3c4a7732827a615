"""A network that was trained on a table with a header finds the columns of later tables by their names, on every road."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cnnc
from cnnc.training import checkpoint as checkpoints
from tests.cli.conftest import json_of, run
from tests.cli.test_card_program import answers, classes_in, program_of, require_equal

SOURCE = """
input 3
normalize mean=[2, 8, 200] std=[1, 1, 80]
fc 3
softmax
train { data series "beans.csv" label=kind test=0.3; epochs 2 }
"""
RANDOM = np.random.default_rng(5)
MEANS = {"kidney": (2, 9, 100), "lentil": (3, 7, 300), "pinto": (4, 8, 200)}
ROWS = [
    (name, *(round(float(RANDOM.normal(mean, mean / 10)), 2) for mean in means))
    for _ in range(20)
    for name, means in MEANS.items()
]


def lines(form: str, rows: list[tuple[object, ...]] = ROWS) -> str:
    """A table with the header and the columns that a form names, such as `weight,length`."""
    names = form.split(",")
    known = [dict(zip(("kind", "length", "width", "weight"), row, strict=True)) for row in rows]
    return "\n".join([form, *(",".join(str(row.get(name, n)) for name in names) for n, row in enumerate(known))]) + "\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a table, its model and its card; tables of the same beans in other orders."""
    folder = tmp_path_factory.mktemp("beans")
    (folder / "beans.cnn").write_text(SOURCE)
    (folder / "beans.csv").write_text(lines("kind,length,width,weight"))
    assert run("train", "beans.cnn", cwd=folder).returncode == 0
    assert run("export", "runs/beans", "-o", "beans.onnx", "--card", cwd=folder).returncode == 0
    (folder / "same.csv").write_text(lines("length,width,weight", ROWS[:5]))
    (folder / "other.csv").write_text(lines("lot,weight,length,kind,width", ROWS[:5]))
    (folder / "without.csv").write_text(lines("length,width,weight", ROWS[:5]).partition("\n")[2])
    (folder / "commas.csv").write_text(lines("lot,weight,length,width", ROWS[:5]).replace(",", ";").replace(".", ","))
    (folder / "bare.csv").write_text((folder / "without.csv").read_text().replace(",", ";").replace(".", ","))
    (folder / "lacks.csv").write_text(lines("length,width,mass", ROWS[:5]))
    (folder / "again").mkdir()
    (folder / "again" / "beans.csv").write_text(lines("weight,kind,width,length"))
    return folder


def test_predict_and_the_program_of_the_card(folder: Path) -> None:
    expected = json_of(run("predict", "beans.onnx", "same.csv", "--json", cwd=folder))
    program = program_of(folder, "beans.md")
    for name in ("same.csv", "other.csv", "without.csv", "commas.csv", "bare.csv"):
        done = run("predict", "beans.onnx", name, "--json", cwd=folder)
        assert [row["top"] for row in json_of(done)] == [row["top"] for row in expected], name
        assert ("columns are taken by their names" in done.stderr) == (name in ("other.csv", "commas.csv"))
        require_equal(classes_in(answers(program, name)), expected)
    refused = run("predict", "beans.onnx", "lacks.csv", cwd=folder)
    assert refused.returncode == 3
    assert "there is no column weight, which the training table has" in refused.stderr


@pytest.mark.parametrize(("cell", "said"), [("1.234,5", "no mark between groups of digits"), ("heavy", "'heavy'")])
def test_the_program_of_the_card_says_which_numbers_it_does_not_read(folder: Path, cell: str, said: str) -> None:
    (folder / "wrong.csv").write_text(f"length;width;weight\n2;9;{cell}\n")
    program = program_of(folder, "beans.md")
    done = subprocess.run(
        [sys.executable, program.name, "wrong.csv"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("wrong.csv: ")
    assert said in done.stderr


def test_an_input_of_open_length_takes_longer_series_in_their_order(tmp_path: Path) -> None:
    source = 'input 1xT; conv 2 k=3; global_pool avg; fc 2; train { data series "a.csv"; loss cross_entropy; epochs 1 }'
    (tmp_path / "a.csv").write_text(
        "label,t0,t1,t2\n" + "".join(f"{'xy'[n % 2]},{n},{n % 3},{-n}\n" for n in range(20))
    )
    (tmp_path / "long.csv").write_text("t4,t3,t2,t1,t0\n1,5,2,4,3\n")
    (tmp_path / "bare.csv").write_text("1,5,2,4,3\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        cnnc.train(cnnc.check(source, at={"T": 3}), "run", progress=False)
        cnnc.export("run", "net.onnx")
        for subject in ("run", "net.onnx"):
            long, bare = (cnnc.predict(subject, Path(name)).outputs["fc1"] for name in ("long.csv", "bare.csv"))
            assert np.array_equal(long, bare), subject
    assert "columns" not in run("info", "net.onnx", cwd=tmp_path).stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "there is no table"),
        ("sep=;\n", "there is no table"),
        ("length,width,weight\n", "there is no line of numbers"),
        ("length,width,weight,weight\n2,9,100,7\n", "name each of these once"),
        ("lot,width,weight,length\n9,100,2\n", "a line has not as many cells as the first"),
        ("2,9,100\n2,9\n", "lines differ in their number of cells"),
        ("length,width,weight\n2,nan,100\n", "a number is missing"),
    ],
)
def test_the_program_of_the_card_refuses_what_predict_refuses(folder: Path, text: str, said: str) -> None:
    (folder / "wrong.csv").write_text(text)
    assert run("predict", "beans.onnx", "wrong.csv", cwd=folder).returncode == 3
    program = program_of(folder, "beans.md")
    done = subprocess.run(
        [sys.executable, program.name, "wrong.csv"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"wrong.csv: {said}")


def test_the_program_of_the_card_tells_names_apart_as_predict_does(tmp_path: Path) -> None:
    """`a` and `A` are two columns; a name may be a word that the program is made with."""
    names = "label,a,A,SHAPE"
    (tmp_path / "net.cnn").write_text(
        'input 3\nfc 2\nsoftmax\ntrain { data series "a.csv"; epochs 1; loss cross_entropy }'
    )
    (tmp_path / "a.csv").write_text("\n".join([names, *(f"{'xy'[n % 2]},{n},{n % 3},{-n}" for n in range(20))]))
    assert run("train", "net.cnn", cwd=tmp_path).returncode == 0
    assert run("export", "runs/net", "-o", "net.onnx", "--card", cwd=tmp_path).returncode == 0
    (tmp_path / "new.csv").write_text("SHAPE,A,a\n0.5,-1,1.5\n2,1,-1\n")
    expected = json_of(run("predict", "net.onnx", "new.csv", "--json", cwd=tmp_path))
    require_equal(classes_in(answers(program_of(tmp_path, "net.md"), "new.csv")), expected)


def test_python_reads_names_from_a_run_a_checkpoint_and_a_model(folder: Path, tmp_path: Path) -> None:
    model = cnnc.Model.load(folder / "runs" / "beans")
    copy = model.save(tmp_path / "copy.safetensors")
    built = cnnc.Model(model.network, model.weights, classes=model.classes, columns=model.columns)
    expected = cnnc.predict(folder / "beans.onnx", folder / "same.csv").outputs["softmax1"]
    for subject in (folder / "runs" / "beans", copy, cnnc.Model.load(folder / "beans.onnx"), built):
        found = cnnc.predict(subject, folder / "other.csv").outputs["softmax1"]
        assert np.allclose(found, expected, atol=1e-6), subject


def test_scores_do_not_depend_on_the_order(folder: Path) -> None:
    for subject in ("runs/beans", "beans.onnx"):
        first, again = (
            json_of(run("eval", subject, *data, "--json", cwd=folder)) for data in ((), ("--data", "again"))
        )
        assert first["accuracy"] == again["accuracy"], subject
        assert first["total"] == again["total"] > 0


def test_the_facts_of_a_model_and_of_a_checkpoint(folder: Path) -> None:
    assert json_of(run("info", "beans.onnx", "--json", cwd=folder))["columns"] == ["length", "width", "weight"]
    assert re.search(r"\n  columns +3: length, width, weight\n", run("info", "beans.onnx", cwd=folder).stdout)
    saved = checkpoints.load(folder / "runs" / "beans" / "best.safetensors")
    assert saved.columns == ("length", "width", "weight")


def test_a_run_resumes_on_a_table_in_another_order(folder: Path, tmp_path: Path) -> None:
    """Its weights are those of a run on the table as it was."""
    weights = []
    for name, form in (("a", "kind,length,width,weight"), ("b", "weight,width,kind,length")):
        place = tmp_path / name
        place.mkdir()
        (place / "beans.cnn").write_text(SOURCE)
        (place / "beans.csv").write_text(lines("kind,length,width,weight"))
        assert run("train", "beans.cnn", cwd=place).returncode == 0
        (place / "beans.csv").write_text(lines(form))
        done = run("train", "--resume", "runs/beans", "--set", "train.epochs=4", cwd=place)
        assert done.returncode == 0, done.stderr
        weights.append(checkpoints.load(place / "runs" / "beans" / "last.safetensors").weights)
    assert all(np.array_equal(weights[0][key], weights[1][key]) for key in weights[0])
