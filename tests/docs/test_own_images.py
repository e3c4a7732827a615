"""The networks of docs/data.md for tables of images, masks and pairs go the whole way, with the files that their script writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cnnc.data import load
from models.scripts import own_images
from tests.cli.conftest import run
from tests.paths import DOCS
from tests.report.test_docs import networks

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the networks of the page and made/own."""
    place = tmp_path_factory.mktemp("own")
    for name, source in networks(DOCS / "data.md").items():
        (place / name).write_text(source)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["own_images", "--out", str(place / "made")])
        own_images.main()
    return place


def predicted(folder: Path, name: str, *inputs: str) -> dict[str, Any]:
    """Trains a network for an epoch, exports it, and returns its prediction, which is also in the folder of-NAME."""
    lines = [
        ("train", f"{name}.cnn", "--run", name, "--set", "train.epochs=1"),
        ("export", name, "-o", f"{name}.onnx", "--card"),
        ("predict", f"{name}.onnx", *inputs, "--out", f"of-{name}", "--json"),
    ]
    for words in lines:
        done = run(*words, cwd=folder)
        assert done.returncode == 0, done.stderr
    (answer,) = json.loads(done.stdout)
    return dict(answer)


def test_labels_and_targets_in_a_table(folder: Path) -> None:
    assert len(predicted(folder, "table", "made/own/photos/0000.png")["top"]) == 3
    predicted(folder, "ink", "made/own/photos/0000.png")
    assert np.load(folder / "of-ink" / "0000.npy").shape == (2,)


def test_predicted_masks(folder: Path) -> None:
    predicted(folder, "scenes", "made/own/scenes/000.png")
    mask = Image.open(folder / "of-scenes" / "000.png")
    assert (mask.mode, mask.size) == ("P", (20, 20))
    np.testing.assert_array_equal(np.asarray(mask), np.load(folder / "of-scenes" / "000.npy"))


def test_siamese_network(folder: Path) -> None:
    same = "made/own/photos/0000.png"
    predicted(folder, "siamese", "--input", f"left={same}", "--input", f"right={same}")
    assert np.load(folder / "of-siamese" / "0000-0000.npy").item() < 1e-3  # the distance of an image from itself
    assert "mse" in run("eval", "siamese", cwd=folder).stdout


def test_pairs_of_the_script_differ_as_they_say() -> None:
    labels = load("digits").train.labels[: own_images.PHOTOS]
    rows = own_images.pairs(labels, np.random.default_rng(0))
    assert all((labels[a] != labels[b]) == bool(different) for a, b, different, _ in rows)
    images = {share: {n for a, b, _, s in rows if s == share for n in (a, b)} for share in ("train", "test")}
    assert not images["train"] & images["test"]
