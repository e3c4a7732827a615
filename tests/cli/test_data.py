"""`cnnc data`: what it says of image folders, arrays, tables, text and public data, and what it refuses."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from cnnc.api.data_sheet import sheet
from cnnc.api.opened_data import open_network_data
from cnnc.network import load
from cnnc.view.drawing import Raster
from tests.cli.conftest import SMALL, codes, json_of, run
from tests.paths import DOCS


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with the folder `photos`: 12 cats, 3 dogs, one of them a cat too, a broken file and a readme."""
    image = pytest.importorskip("PIL.Image")
    random = np.random.default_rng(0)
    for name, count in (("cat", 12), ("dog", 2)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for n in range(count):
            pixels = random.integers(0, 256, (6, 4 + 4 * (n == 0)), np.uint8)
            image.fromarray(pixels).save(tmp_path / "photos" / name / f"{n}.png")
    cat = (tmp_path / "photos/cat/3.png").read_bytes()
    (tmp_path / "photos/dog/copy.png").write_bytes(cat)
    (tmp_path / "photos/cat/broken.png").write_text("not an image")
    (tmp_path / "photos/readme.txt").write_text("cats")
    network = 'net P\ninput 1x6x4\nfc 2\ntrain {\n  data images "photos" val=0.2\n  epochs 1\n}\n'
    (tmp_path / "p.cnn").write_text(network)
    return tmp_path


def test_a_folder_of_images(photos: Path) -> None:
    done = run("data", "images", "photos", cwd=photos)
    assert done.returncode == 0, done.stderr
    assert "1x6x4, the most frequent size" in done.stderr
    for text in (
        "file sizes  4x6 13, 8x6 2 (width x height)",
        "skipped     cat/broken.png (unknown format)",
        "not read    readme.txt",
        "cat/3.png = ",
        "2 examples equal others that have another label",
    ):
        assert text in done.stdout
    facts = json_of(run("data", "images", "photos", "--input", "3x5x5", "--json", cwd=photos))
    assert facts["inputs"][0]["shape"] == [3, 5, 5]
    assert facts["files"]["modes"] == {"L": 15}
    assert facts["files"]["resized"] == 15
    assert facts["files"]["skipped"] == [{"file": "cat/broken.png", "reason": "unknown format"}]


def test_the_keys_of_json_are_those_of_the_docs(photos: Path) -> None:
    facts = json_of(run("data", "p.cnn", "--json", cwd=photos))
    documented = (
        (DOCS / "cli.md").read_text(encoding="utf-8").partition("## What is in the data")[2].partition("\n## ")[0]
    )
    told = set(re.findall(r"`(\w+)`", documented))
    parts = [facts, *facts["inputs"], *facts["targets"], facts["files"], *facts["files"]["skipped"]]
    parts += [facts["duplicates"], *facts["duplicates"]["across"], facts["duplicates"]["groups"][0][0]]
    parts += facts["inputs"][0]["shares"].values()
    assert {key for part in parts for key in part} - told == set()


def test_a_network_is_read_as_training_reads_it(photos: Path) -> None:
    facts = json_of(run("data", "p.cnn", "--json", cwd=photos))
    shares = {share: entry["examples"] for share, entry in facts["shares"].items()}
    assert sum(shares.values()) == 15
    assert shares["validation"] == round(0.2 * (15 - shares["test"]))
    assert facts["losses"] == [{"loss": "cross_entropy", "compares_with": "labels"}]
    assert facts["targets"][0]["few"] == ["dog", "cat"]
    assert (facts["network"], facts["data"], facts["source"]) == ("P", "images", "photos")
    dry = run("train", "p.cnn", "--dry-run", cwd=photos)
    assert [line for line in dry.stderr.splitlines() if line.startswith("photos:")] == facts["read"]


def test_the_normalize_line_can_be_written_into_the_file(photos: Path) -> None:
    (entry,) = json_of(run("data", "p.cnn", "--json", cwd=photos))["inputs"]
    text = (photos / "p.cnn").read_text()
    (photos / "p.cnn").write_text(text.replace("fc 2", f"{entry['normalize']}\nfc 2"))
    assert run("check", "p.cnn", cwd=photos).returncode == 0


def test_arrays_with_masks_values_and_constant_channels(tmp_path: Path) -> None:
    x = np.zeros((30, 2, 4), np.float32)
    x[:, 0] = np.random.default_rng(0).random((30, 4))
    np.savez(tmp_path / "a.npz", x=x, y=np.ones((30, 2), np.float32) * [1, 3], more=x)
    done = run("data", "npz", "a.npz", cwd=tmp_path)
    assert "2 values, values from 1 to 3, mean [1, 3], deviation [0, 0]" in done.stdout
    assert "channel 1 has one value throughout the training share" in done.stdout
    assert " std=[0." in done.stdout
    assert done.stdout.count("  not read  more\n") == 1


def texts(svg: Path) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg.read_text())


def test_the_sheet_has_rows_of_each_class_and_of_the_augmentation(photos: Path) -> None:
    classes = json_of(run("data", "p.cnn", "-o", "plain.svg", "--json", cwd=photos))["targets"][0]["classes"]
    headings = [f"{entry['name']}: {entry['training']}" for entry in classes if entry["training"]]
    assert [text for text in texts(photos / "plain.svg") if ": " in text] == headings
    source = (photos / "p.cnn").read_text().replace("  epochs 1", "  augment cutout=3\n  epochs 1")
    (photos / "p.cnn").write_text(source)
    done = run("data", "p.cnn", "-o", "augmented.svg", cwd=photos)
    assert (done.returncode, "wrote augmented.svg" in done.stderr) == (0, True)
    assert texts(photos / "augmented.svg").count("after augmentation") == len(headings)
    images = [
        re.findall(r"data:image/png;base64,[^\"]+", (photos / f"{n}.svg").read_text()) for n in ("plain", "augmented")
    ]
    assert len(images[1]) == 2 * len(images[0])
    assert len(set(images[1]) - set(images[0])) == len(images[0])  # as each of them has changed


def test_the_sheet_names_the_parts_of_mixed_examples(tmp_path: Path) -> None:
    """Examples of different classes are mixed, and series are shown after augmentation too."""
    random = np.random.default_rng(0)
    np.savez(tmp_path / "a.npz", x=random.random((60, 1, 12), np.float32), y=np.arange(60) % 3)
    (tmp_path / "a.cnn").write_text(
        'net A\ninput 1x12\nfc 3\ntrain { data npz "a.npz"; augment jitter=0.1 mixup=1; epochs 1 }\n'
    )
    assert run("data", "a.cnn", "-o", "a.svg", cwd=tmp_path).returncode == 0
    captions = [re.findall(r"(\d) (\d+)%", text) for text in texts(tmp_path / "a.svg") if "%" in text]
    assert len(captions) == 24
    assert all(len({label for label, _ in parts}) == len(parts) for parts in captions)
    assert all(abs(sum(int(part) for _, part in parts) - 100) <= 1 for parts in captions)
    assert sum(len(parts) == 2 for parts in captions) > 16


def test_the_sheet_shows_label_maps_after_augmentation(tmp_path: Path) -> None:
    maps = np.zeros((12, 6, 6), np.int64)
    maps[:, 1:4, 1:3] = 1
    np.savez(tmp_path / "a.npz", x=maps[:, None].astype(np.float32), y=maps)
    (tmp_path / "a.cnn").write_text(
        'net A\ninput 1x6x6\nconv 2 k=1\ntrain { data npz "a.npz"; augment flip shift=2; epochs 1 }\n'
    )
    opened = open_network_data(load(tmp_path / "a.cnn"), tmp_path, lambda line: None)
    rasters = [shape.pixels for shape in sheet(opened).shapes if isinstance(shape, Raster)]
    before, _, after, overlays = (np.stack(rasters[n : n + 8]) for n in range(0, 32, 8))
    assert (before != after).any()
    in_colour = overlays != np.repeat(after[..., None], 3, -1)
    np.testing.assert_array_equal(in_colour.any(-1), after > 0, "the mask lies where the image is white")
    assert (after > 0).any()


def test_the_sheet_of_series_label_maps_and_vectors(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {"vector": (5,), "series": (2, 9), "image": (1, 4, 4), "volume": (1, 3, 4, 4)}
    for name, shape in shapes.items():
        x = random.random((12, *shape), np.float32)
        np.savez(tmp_path / f"{name}.npz", x=x, y=random.integers(0, 2, (12, *shape[1:])))
        done = run("data", "npz", f"{name}.npz", "-o", f"{name}.svg", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert f"Training examples of {name}.npz" in texts(tmp_path / f"{name}.svg")


def test_words_and_series(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("".join(f"{n % 2}\tword{n % 3} and word{n % 5}\n" for n in range(30)))
    facts = json_of(run("data", "text", "t.tsv", "--json", cwd=tmp_path))
    assert facts["inputs"][0]["shares"]["training"] == {"mean_words": 3.0, "most_words": 3, "unknown": 0.0}
    assert facts["inputs"][0]["normalize"] is None
    rows = np.random.default_rng(0).normal(4, 2, (40, 5)).round(3)
    (tmp_path / "s.csv").write_text("".join(f"{n % 2},{','.join(map(str, row))}\n" for n, row in enumerate(rows)))
    series = json_of(run("data", "series", "s.csv", "--json", cwd=tmp_path))
    assert series["inputs"][0]["shape"] == [1, 5]
    assert "normalize mean=" in series["inputs"][0]["normalize"]


REFUSED = {
    "images": ("E603", "write `cnnc data images PATH`"),
    "imagse photos": ("E601", "write `cnnc data images photos`"),
    "photos": ("E010", "write `cnnc data images photos`"),
    "images missing": ("E603", "searched"),
    "npz p.cnn": ("E602", ""),
    "images photos --input 3x4": ("E010", "`--input 3x64x64`"),
    "series p.cnn --input 1x4x4": ("E010", "leave --input out"),
    'images photos --set train.data.masks="m"': ("E010", 'data images "photos" masks=...'),
    "images photos --set width=3": ("E010", "write, for example, `--set train.data.label=last`"),
    "images photos --set train.data.header=true": ("E517", "leave header= out"),
    "images photos --set train.data.colour=white": ("E201", ""),
    "p.cnn photos": ("E010", "write `cnnc data p.cnn --data photos`"),
    "p.cnn --input 1x4x4": ("E010", "leave --input out"),
    "p.cnn --set train.data.val=0.99": ("E607", "use a smaller val="),
    "p.cnn -o x.pdf": ("E902", "write `-o x.html`"),
    "p.cnn -o p.cnn": ("E902", ""),
    "text words.tsv -o x.svg": ("E010", "leave -o out"),
    "missing.cnn": ("E901", ""),
    "untrained.cnn": ("E509", ""),
}


@pytest.mark.parametrize("words", REFUSED)
def test_refused(photos: Path, words: str) -> None:
    (photos / "untrained.cnn").write_text(SMALL.partition("train {")[0])
    (photos / "words.tsv").write_text("".join(f"{n % 2}\tword {n}\n" for n in range(20)))
    done = run("data", *words.split(), cwd=photos)
    code, help = REFUSED[words]
    assert codes(done.stderr) == [code]
    assert done.returncode
    assert help in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("words", ["images photos", "p.cnn --data photos"])
def test_the_edits_of_errors_work(photos: Path, words: str) -> None:
    assert run("data", *words.split(), cwd=photos).returncode == 0
