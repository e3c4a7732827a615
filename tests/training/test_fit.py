"""What `cnnc check` and the start of training say about a train section that does not fit its network or its data.

Each row: the layers, the statements, and the code of the only diagnostic ("" for none). The wording, and that the help
works, is tested in tests/language/golden/train-*.txt.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from cnnc.data import load
from cnnc.data.catalog import KNOWN
from cnnc.data.dataset import Dataset, Split
from cnnc.diagnostics import Diagnostic
from cnnc.network import check
from cnnc.training.loop import start, train
from cnnc.training.run import Callback, Run

AUTOENCODER = "input 1x8x8; fc 64; reshape 1x8x8"
CLASSIFIER = "input 1x8x8; fc 10"
WORDS = "input 8 dtype=int64; embed 4 vocab=9; global_pool max; fc 3"
TABLE = 'data images "photos" labels="labels.csv"'
MASKS = 'data images "photos" masks="masks"'

ROWS = [
    (CLASSIFIER, "data digits", ""),
    (CLASSIFIER, "data digits; loss mse", "E515"),
    (CLASSIFIER, "data digits; loss l1", "E515"),
    (CLASSIFIER, "data digits; loss cross_entropy; loss huber", "E515"),
    ("input 1x8x8; fc 10; sigmoid", "data digits; loss bce", "E515"),
    ("input 1x8x8; fc 10; softmax", "data digits; loss bce", "E515"),
    ("input 1x8x8; fc 3", 'data images "photos"; loss mse', "E515"),
    ("input 1x8; fc 3", 'data series "a.csv"; loss mse', ""),
    ("input 1x8; fc 3", 'data series "a.csv" label=[a, "b c", last]; loss mse', ""),
    ("input 1x8; fc 3", 'data series "a.csv" label=0', "E203"),
    ("input 1x8; fc 3", 'data series "a.npz" label=last', "E517"),
    ("input 1x8x8; fc 3", 'data images "photos" header=true', "E517"),
    (CLASSIFIER, "data digits index=1", "E517"),
    ("input 1x8x8; conv 2 k=1", f'{MASKS} colours=["", "#000000"]', "E203"),
    ("input 1x1000; fc 2", 'data audio "words" seconds=1e308', "E203"),
    ("input 1x1000; spectrogram window=100 hop=50 mels=8 rate=1e308; fc 2", 'data audio "words"', "E203"),
    ("input 1x8; fc 3", 'data series "a.npz"; loss mse', ""),
    ("input 1x8; fc 3", 'data npz "a.npz"; loss mse', ""),
    (WORDS, 'data text "a.tsv"; loss mse', "E515"),
    (AUTOENCODER, "data digits; loss mse", "E515"),
    (AUTOENCODER, "data digits; loss mse target=input", ""),
    ("input 1x8x8; fc 64", "data digits; loss mse target=input", "E511"),
    ("a: input 1x8x8; b: input 1x8x8; add a; fc 10", "data digits", "E507"),
    ("a: input 3x8x8; b: input 3x8x8; add a; fc 4", 'data images "photos"', "E507"),
    ("a: input 1x8; b: input 1x8; add a; fc 4", 'data series "a.csv"', "E507"),
    ("a: input 1x8; b: input 1x8; add a; fc 4", 'data series "a.npz"', ""),
    ("a: input 1x8; b: input 1x8; add a; fc 4", 'data npz "a.npz"', ""),
    ("input 1x9x9; fc 10", "data digits", "E507"),
    ("input 1x8x8; fc 3", 'data text "a.tsv"', "E507"),
    ("input 8; fc 3", 'data text "a.tsv"', "E507"),
    (WORDS, 'data text "a.tsv"', ""),
    (WORDS, 'data images "photos"', "E507"),
    (WORDS, 'data npz "a.npz"', ""),
    ("input 1x8x8; fc 9", "data digits", "E508"),
    ("input 1x8x8; fc 9; softmax", "data digits", "E508"),
    ("input 1x8x8; conv 10 k=3", "data digits", "E508"),
    ("input 1x8x8; conv 10 k=3; global_pool avg", "data digits", ""),
    ("input 3x8x8; conv 4 k=3", 'data images "photos"', "E508"),
    ("input 3x8x8; conv 4 k=3", 'data npz "maps.npz"', ""),
    ("input 3x8x8; fc 1", 'data images "photos"', "E508"),
    ("input 8; fc 1", 'data npz "a.npz"', "E508"),
    ("input 8; fc 1; sigmoid", 'data npz "a.npz"; loss bce', ""),
    ("input 3x8x8; fc 3", f"{TABLE}; loss mse", ""),
    ("input 3x8x8; fc 3", f'{TABLE} label=["x", "y"]; loss mse', "E511"),
    ("input 3x8x8; fc 2", f'{TABLE} label=["x", "y"]; loss mse', ""),
    ("input 3x8x8; fc 3", f'{TABLE} label=["x", "y"]', "E508"),
    ("input 3x8x8; fc 3", f"{TABLE} label=last", ""),
    ("input 3x8x8; conv 3 k=1", TABLE, "E508"),
    ("a: input 1x8x8; b: input 1x8x8; add a; fc 4", TABLE, ""),
    ("a: input 1x8x8; b: input 1x8x8; sub a; reshape 1x64; global_pool l2", f"{TABLE}; loss contrastive", ""),
    ("input 3x8x8; conv 3 k=1", MASKS, ""),
    ("input 3x8x8; conv 1 k=1", MASKS, "E508"),
    ("input 3x8x8; conv 1 k=1", f"{MASKS}; loss bce", ""),
    ("input 3x8x8; conv 2 k=1", f"{MASKS}; loss bce", "E511"),
    ("input 3x8x8; fc 3", MASKS, "E508"),
    ("input 3x8x8; fc 3", f"{MASKS}; loss bce", "E511"),
    ("input 3x8x8; conv 2 k=1", f'{MASKS} colours=["#000000", "#FF0000"]', ""),
    ("input 3x8x8; conv 3 k=1", f'{MASKS} colours=["#000000", "#ff0000"]', "E508"),
    ("input 3x8x8; conv 2 k=1", f'{MASKS} colours=["#000000", "red"]', "E203"),
    ("input 3x8x8; conv 3 k=1", f'{MASKS} classes=["ground", "tree"]', "E508"),
    ("input 3x8x8; conv 3 k=1", f'{MASKS} classes=["tree", "tree", "car"]', "E203"),
    ("input 3x8x8; conv 2 k=1", f'{MASKS} classes=["tree", "on two\\nlines"]', "E203"),
    ("input 3x8x8; conv 3 k=1", f'{MASKS} labels="labels.csv"', "E517"),
    ("input 3x8x8; fc 3", 'data images "photos" label=last', "E517"),
    (CLASSIFIER, 'data digits masks="masks"', "E517"),
    ("input 1x8; fc 3", 'data npz "a.npz" labels="labels.csv"', "E517"),
    ("input 1x8x8; fc 6 bias=false; bn; fc 10", "data digits; batch 1", "E516"),
    ("input 1x8x8; fc 6 bias=false; bn; fc 10", "data digits; batch 2", ""),
    ("input 1x8x8; conv 6 k=8 bias=false; bn; fc 10", "data digits; batch 1", "E516"),
    ("input 1x8x8; conv 6 k=7 bias=false; bn; relu; fc 10", "data digits; batch 1", ""),
    ("input 1x8x8; fc 6; layer_norm; fc 10", "data digits; batch 1", ""),
    (CLASSIFIER, "data digits; batch 1293", ""),
    (CLASSIFIER, "data digits; batch 1294", "W502"),
    (CLASSIFIER, "data digits val=0; batch 1437", ""),
    (CLASSIFIER, "data digits val=0; batch 1438", "W502"),
]


@pytest.mark.parametrize(("layers", "section", "code"), ROWS)
def test_what_check_says_of_a_train_section(layers: str, section: str, code: str) -> None:
    found = check(f"{layers}\ntrain {{ {section} }}").diagnostics
    assert [d.code for d in found] == ([code] if code else [])


@pytest.mark.parametrize(
    ("section", "codes"),
    [
        ("data digitz; los mse; batch 0", ["E506", "E501", "E203"]),
        ("data digitz; optimizer sgd", ["E506", "E202"]),
        ("data digits; loss huberr; metric mse; batch 9999", ["E503", "W502"]),
        ("data digits; criterion mse", ["E501"]),
        ('data digits "x"; loss mse; batch 1', ["E512"]),
    ],
)
def test_an_error_hides_no_other_and_causes_none(section: str, codes: list[str]) -> None:
    assert [d.code for d in check(f"{CLASSIFIER}\ntrain {{ {section} }}").diagnostics] == codes


@pytest.mark.parametrize("name", ["digits", pytest.param("mnist", marks=pytest.mark.long)])
def test_the_sizes_of_public_data_sets(name: str) -> None:
    folder = os.environ.get("CNNC_DATA")
    if name != "digits" and not folder:
        pytest.skip("the variable CNNC_DATA names no data")
    assert len(load(name, Path(folder) if folder else None).train) == KNOWN[name].training


class Warnings(Callback):
    """Keeps the warnings of a run."""

    def __init__(self) -> None:
        self.warnings: list[Diagnostic] = []

    def on_warning(self, run: Run, warning: Diagnostic) -> None:
        self.warnings.append(warning)


def warnings_of(folder: Path, layers: str, examples: int, section: str) -> list[Diagnostic]:
    """The warnings of a run of one epoch on random examples of three classes."""
    network = check(f'input 6; {layers}; fc 3\ntrain {{ data npz "a.npz" val=0; epochs 1; {section} }}')
    x = np.random.default_rng(0).normal(size=(examples, 6)).astype(np.float32)
    split, tested = (Split.of(np.tile(x, (n, 1)), np.tile(np.arange(examples) % 3, n)) for n in (1, 4))
    callback = Warnings()
    train(start(network, Dataset("npz", ("a", "b", "c"), split, tested), folder), callback)
    return callback.warnings


@pytest.mark.parametrize(
    ("layers", "examples", "batch", "code"),
    [
        ("fc 4 bias=false; bn", 33, 32, "W702"),
        ("fc 4 bias=false; bn", 33, 16, "W702"),
        ("fc 4 bias=false; bn", 33, 31, ""),
        ("fc 4 bias=false; bn", 34, 32, ""),
        ("fc 4; relu", 33, 32, ""),
        ("fc 4; relu", 33, 34, "W502"),
    ],
)
def test_batches_that_are_too_large_or_too_small(
    tmp_path: Path, layers: str, examples: int, batch: int, code: str
) -> None:
    found = warnings_of(tmp_path / "run", layers, examples, f"batch {batch}")
    assert [d.code for d in found if d.code not in ("W701", "W705")] == ([code] if code else [])
    for warning in found:
        if warning.code == "W702":
            edit = warning.help.split("`")[1]
            again = warnings_of(tmp_path / "again", layers, examples, edit)
            assert "W702" not in [d.code for d in again]


@pytest.mark.parametrize("kind", ["cross_entropy", "focal"])
def test_a_missing_score_names_the_loss_that_is_written(kind: str) -> None:
    (error,) = check(f'input 1x8x8; fc 1; train {{ data images "photos"; loss {kind} }}').diagnostics
    assert (error.code, error.message.partition(" ")[0]) == ("E508", kind)
