"""`data images "photos" masks="masks"`: which mask belongs to which image, and what masks hold."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cnnc.core.tensor import TensorType
from cnnc.data import image_column, load
from cnnc.data.dataset import Dataset
from cnnc.data.mask_file import NotAMask, decode_mask
from cnnc.diagnostics import CnncError
from cnnc.view.inspect.examples import overlaid_pixels, side_by_side
from tests.data.test_images import encoded_image, folder_of

THREE: dict[str, Any] = {"classes": 3, "output": TensorType((3, 4, 6))}
LEFT = np.repeat(np.array([[0, 0, 1, 1, 2, 2]], np.uint8), 4, axis=0)
"""A mask of three classes, (4, 6)."""

PALETTE = [0, 0, 0, 200, 0, 0, 0, 200, 0]


def encoded(values: Any, mode: str = "L", kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    if mode == "P":
        image = Image.fromarray(np.asarray(values, np.uint8)).convert("P")
        image.putpalette([*PALETTE, *[7] * 759])
    elif mode == "1":
        image = Image.fromarray(np.asarray(values, bool))
    elif mode == "RGB":
        image = Image.fromarray(np.array(PALETTE, np.uint8).reshape(3, 3)[values])
    else:
        image = Image.fromarray(np.asarray(values, np.uint16 if mode == "I;16" else np.uint8))
    image.save(file, kind)
    return file.getvalue()


def four(mask: bytes | None = None, ending: str = "") -> dict[str, bytes]:
    files = {f"photos/{n}.jpg": encoded_image(20 * n) for n in range(4)}
    return {**files, **{f"masks/{n}{ending}.png": mask or encoded(LEFT) for n in range(4)}}


def read(place: Path, masks: str = "masks", **more: Any) -> tuple[Dataset, list[str]]:
    lines: list[str] = []
    more = {"inputs": (TensorType((1, 4, 6)),), "input_names": ("x",), "test": 0.25, **THREE, **more}
    more.setdefault("target_values", 0 if more["classes"] else more["output"].size)
    path = place if place.suffix == ".zip" else place / "photos"
    return load("images", None, lines.append, path=str(path), masks=masks, **more), lines


def refused(place: Path, **more: Any) -> str:
    with pytest.raises(CnncError) as caught:
        read(place, **more)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "E602"
    return f"{diagnostic.message}\n{diagnostic.help}"


# ---- what masks hold


@pytest.mark.parametrize("mode", ["L", "P", "I;16"])
def test_masks_of_indices(tmp_path: Path, mode: str) -> None:
    data, lines = read(folder_of(tmp_path, four(encoded(LEFT, mode))))
    assert data.train.targets[0].dtype == np.int64
    np.testing.assert_array_equal(data.train.labels, [LEFT] * 3)
    assert data.classes == ("0", "1", "2")
    assert any("pixels per class: 0 33.3%, 1 33.3%, 2 33.3%" in line for line in lines)


def test_coloured_masks_by_a_list_of_colours(tmp_path: Path) -> None:
    more: dict[str, Any] = {"colours": ("#00c800", "#000000", "#c80000"), "class_names": ("tree", "ground", "car")}
    data, _ = read(folder_of(tmp_path, four(encoded(LEFT, "RGB"))), **more)
    assert data.classes == ("tree", "ground", "car")
    np.testing.assert_array_equal(data.train.labels[0], np.array([1, 2, 0])[LEFT])
    data, _ = read(folder_of(tmp_path / "p", four(encoded(LEFT, "P"))), **more)  # a palette has colours too
    np.testing.assert_array_equal(data.train.labels[0], np.array([1, 2, 0])[LEFT])


def test_colours_that_are_not_listed(tmp_path: Path) -> None:
    place = folder_of(tmp_path, four(encoded(LEFT, "RGB")))
    told = refused(place, colours=("#000000", "#c80000"))
    assert "8 pixels have a colour that colours= does not list, such as #00c800" in told
    assert "0.png" in told
    data, lines = read(place, colours=("#000000", "#c80000"), ignore=255)
    np.testing.assert_array_equal(data.train.labels[0], np.array([0, 1, 255])[LEFT])
    assert any("ignored 33.3%" in line for line in lines)


def test_coloured_masks_without_a_list_are_refused_with_their_colours(tmp_path: Path) -> None:
    told = refused(folder_of(tmp_path, four(encoded(LEFT, "RGB"))))
    assert "it is coloured, and the network file lists no colours" in told
    assert 'colours=["#000000", "#00c800", "#c80000"]' in told


@pytest.mark.parametrize("white", [255, 1])
def test_black_and_white_masks(tmp_path: Path, white: int) -> None:
    mask = np.where(LEFT > 0, white, 0)
    place = folder_of(tmp_path, four(encoded(mask)))
    data, lines = read(place, classes=2, output=TensorType((2, 4, 6)))
    np.testing.assert_array_equal(data.train.labels[0], LEFT > 0)
    assert any("255 is class 1" in line for line in lines) == (white == 255)
    data, _ = read(place, classes=0, output=TensorType((1, 4, 6)))
    assert data.train.targets[0].shape[1:] == (1, 4, 6)
    assert data.train.targets[0].dtype == np.float32
    np.testing.assert_array_equal(data.train.labels[0, 0], LEFT > 0)


def test_ignored_label_stays_as_it_is(tmp_path: Path) -> None:
    mask = LEFT.copy()
    mask[0] = 255
    place = folder_of(tmp_path, four(encoded(mask)))
    np.testing.assert_array_equal(read(place, ignore=255)[0].train.labels[0], mask)
    told = refused(place)
    assert "found the label 255; the network's output has 3 classes, from 0" in told
    assert "`loss cross_entropy ignore=255`" in told


def test_labels_beyond_the_classes(tmp_path: Path) -> None:
    place = folder_of(tmp_path, four(encoded(np.where(LEFT > 1, 7, 128))))
    assert "found the labels 7, 128; the network's output has 3 classes" in refused(place)
    assert "takes masks of 0 and 1" in refused(place, classes=0, output=TensorType((1, 4, 6)))
    data, _ = read(place, colours=("#808080", "#070707"), classes=2, output=TensorType((2, 4, 6)))
    np.testing.assert_array_equal(data.train.labels[0], LEFT > 1)


def test_resizing_makes_no_class_between_two_others() -> None:
    mask = np.random.default_rng(0).choice([0, 9, 200], (50, 70)).astype(np.uint8)
    small = decode_mask(encoded(mask), (1, 33, 21), (), None).pixels
    large = decode_mask(encoded(mask, "P"), (1, 100, 140), (), None).pixels
    assert set(np.unique(small)) == {0, 9, 200}
    np.testing.assert_array_equal(large[0], mask.repeat(2, 0).repeat(2, 1))


def test_images_that_are_no_masks() -> None:
    for content, expected in [
        (encoded(np.full((4, 6), 300), "I;16"), "it holds the number 300"),
        (encoded(LEFT, "RGB"), "it is coloured"),
    ]:
        with pytest.raises(NotAMask, match=expected):
            decode_mask(content, (1, 4, 6), (), None)


def test_masks_in_the_size_of_the_output(tmp_path: Path) -> None:
    data, lines = read(folder_of(tmp_path, four()), output=TensorType((3, 2, 3)))
    np.testing.assert_array_equal(data.train.labels[0], [[0, 1, 2], [0, 1, 2]])
    assert any("resized 4 masks to 3x2 by nearest neighbour" in line for line in lines)


# ---- which mask belongs to which image


@pytest.mark.parametrize("ending", ["", "_mask", "_Labels", "_L"])
def test_masks_are_matched_by_name(tmp_path: Path, ending: str) -> None:
    files = four(ending=ending)
    for n in range(4):
        files[f"masks/{n}{ending}.png"] = encoded(np.full((4, 6), min(n, 2)))
    data, _ = read(folder_of(tmp_path, files))
    for share in (data.train, data.test):
        for image, mask in zip(share.images, share.labels, strict=True):
            assert mask[0, 0] == min(round(int(image[0, 0, 0]) / 20), 2)


def test_subfolders_shares_and_files_without_partner(tmp_path: Path) -> None:
    files = {f"photos/{share}/{n}.png": encoded_image(n) for share in ("train", "test") for n in range(3)}
    files |= {f"masks/{share}/{n}_mask.png": encoded(LEFT) for share in ("train", "test") for n in (0, 1, 5)}
    data, lines = read(folder_of(tmp_path, files))
    assert (len(data.train), len(data.test)) == (2, 2)
    assert any("not read: 2 images without mask: test/2.png, train/2.png" in line for line in lines)
    assert any("2 masks without image: test/5_mask.png, train/5_mask.png" in line for line in lines)
    assert data.facts.skipped["train/2.png"] == "no mask has its name"


def test_masks_beside_their_images_and_inside_a_zip(tmp_path: Path) -> None:
    files = {f"{n}.png": encoded_image(n) for n in range(4)}
    files |= {f"{n}_mask.png": encoded(LEFT) for n in range(4)}
    data, _ = read(folder_of(tmp_path / "photos", files).parent, masks=str(tmp_path / "photos"))
    assert len(data.train) + len(data.test) == 4
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for name, content in four().items():
            archive.writestr(name, content)
    data, _ = read(tmp_path / "set.zip")
    np.testing.assert_array_equal(data.train.labels[0], LEFT)


def test_damaged_files_are_left_out_with_their_partner(tmp_path: Path) -> None:
    files = {**four(), "photos/0.jpg": b"no image", "masks/1.png": b"no mask"}
    data, lines = read(folder_of(tmp_path, files))
    assert len(data.train) + len(data.test) == 2
    assert {"0.jpg", "1.png"} <= set(data.facts.skipped)
    assert sum("skipped 1 of 4 files" in line for line in lines) == 2


def test_nothing_matches(tmp_path: Path) -> None:
    place = folder_of(tmp_path, {"photos/a.png": encoded_image(1), "masks/b.png": encoded(LEFT)})
    assert "no image and mask have the same name" in refused(place)
    with pytest.raises(CnncError, match="masks= names, does not exist"):
        read(place, masks="nothing")


def test_masks_that_stay_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = four()
    for n in range(4):
        files[f"masks/{n}.png"] = encoded(np.full((4, 6), min(n, 2)))
    place = folder_of(tmp_path, files)
    whole, _ = read(place)
    monkeypatch.setattr(image_column, "largest_in_memory", lambda: 0)
    monkeypatch.setenv("CNNC_CACHE_GB", "0")
    data, _ = read(place)
    ((_, (labels,)),) = list(data.train.batches([np.array([2, 0])]))
    np.testing.assert_array_equal(labels, whole.train.labels[[2, 0]])
    assert labels.dtype == np.int64


def test_a_mask_is_laid_over_its_image_in_the_image_size() -> None:
    colours = np.zeros((256, 3), np.uint8)
    colours[1] = (200, 0, 0)
    image = np.full((4, 4), 100, np.uint8)
    pixels = overlaid_pixels(image, np.array([[0, 1], [7, 0]]), colours, ignored=7)
    assert pixels.shape == (4, 4, 3)
    assert pixels[0, 0].tolist() == [100, 100, 100]
    assert pixels[1, 3].tolist() == [150, 50, 50]
    assert pixels[3, 0].tolist() == [177, 177, 177]


def test_images_of_one_example_stand_side_by_side() -> None:
    pixels = side_by_side([np.zeros((2, 3), np.uint8), np.full((4, 2, 3), 9, np.uint8)])
    assert pixels.shape == (4, 6, 3)
    assert (pixels[:2, :3] == 0).all()
    assert (pixels[:, 4:] == 9).all()
    assert (pixels[2:, :3] == 255).all()
