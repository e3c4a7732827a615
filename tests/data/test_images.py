"""`data images`: folders and .zip files of images."""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cnnc.data import Request, image_column, image_decoder, load
from cnnc.data.file_tree import open_tree
from cnnc.data.image_decoder import ruled_files
from cnnc.data.image_file import NotAnImage, PixelRule, decode_image
from cnnc.data.prediction_inputs import InputSpec, read_file
from cnnc.diagnostics import CnncError
from cnnc.training.loop import training_and_validation
from tests.data.conftest import data_folder, loaded_and_reported, refused, takes

GREY = (takes(1, 4, 6),)
RGB = (takes(3, 4, 6),)


def encoded_image(value: int, size: tuple[int, int] = (6, 4), kind: str = "PNG", mode: str = "L") -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, value if mode in ("L", "I;16") else (value, 0, 255)).save(file, kind)
    return file.getvalue()


Files = dict[str, bytes]


def by_class(cats: int = 6, dogs: int = 4) -> Files:
    files = {f"cat/{n}.png": encoded_image(n) for n in range(cats)}
    return {**files, **{f"dog/{n}.png": encoded_image(100 + n) for n in range(dogs)}}


def with_test_split(test: str = "test") -> Files:
    files = {f"train/{name}": data for name, data in by_class().items()}
    return {**files, f"{test}/cat/a.png": encoded_image(50), f"{test}/dog/a.png": encoded_image(150)}


def folder_of(place: Path, files: Files) -> Path:
    for name, data in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
    return place


def zip_of(place: Path, files: Files) -> Path:
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return place


def as_folder_and_zip(tmp_path: Path, files: Files) -> list[Path]:
    return [folder_of(tmp_path / "photos", files), zip_of(tmp_path / "photos.zip", files)]


def values(column: object) -> list[int]:
    return [int(v) for v in column[:][:, 0, 0, 0]]  # type: ignore[index]


# ---- what is read


def test_one_folder_per_class(tmp_path: Path) -> None:
    for place in as_folder_and_zip(tmp_path, by_class()):
        data, lines = loaded_and_reported("images", place, inputs=GREY, test=0.25)
        assert data.classes == ("cat", "dog")
        assert data.train.images.shape == (7, 1, 4, 6)
        assert data.train.images.dtype == np.uint8
        assert np.bincount(data.train.labels).tolist() == [4, 3]
        assert np.bincount(data.test.labels).tolist() == [2, 1]
        seen = [*zip(values(data.train.inputs[0]), data.train.labels.tolist(), strict=True)]
        seen += zip(values(data.test.inputs[0]), data.test.labels.tolist(), strict=True)
        assert sorted(seen) == [*((n, 0) for n in range(6)), *((100 + n, 1) for n in range(4))]
        assert lines == [
            "PLACE: 2 classes: cat 6, dog 4",
            "PLACE: 7 training and 3 test examples (test fraction 0.25, seed 0)",
        ]


@pytest.mark.parametrize("name", ["test", "Testing"])
def test_a_given_test_split(tmp_path: Path, name: str) -> None:
    for place in as_folder_and_zip(tmp_path, with_test_split(name)):
        data, lines = loaded_and_reported("images", place, inputs=GREY)
        assert values(data.train.inputs[0]) == [0, 1, 2, 3, 4, 5, 100, 101, 102, 103]
        assert values(data.test.inputs[0]) == [50, 150]
        assert data.test.labels.tolist() == [0, 1]
        assert data.validation is None
        assert lines[-1] == "PLACE: 10 training and 2 test examples"


@pytest.mark.parametrize("name", ["val", "VALID", "Validation"])
def test_a_given_validation_share_is_used(tmp_path: Path, name: str) -> None:
    for place in as_folder_and_zip(tmp_path, with_test_split(name)):
        data, lines = loaded_and_reported("images", place, inputs=GREY)
        assert data.validation is not None
        assert values(data.validation.inputs[0]) == [50, 150]
        assert sorted(values(data.train.inputs[0]) + values(data.test.inputs[0])) == [
            0,
            1,
            2,
            3,
            4,
            5,
            100,
            101,
            102,
            103,
        ]
        assert training_and_validation(data, 0.5, 0) == (data.train, data.validation)
        assert lines[-1] == (
            "PLACE: 8 training, 2 validation and 2 test examples (test fraction 0.1 of training, seed 0)"
        )


def test_three_given_shares(tmp_path: Path) -> None:
    files = {**with_test_split(), "val/cat/b.png": encoded_image(1), "valid/cat/b.png": encoded_image(2)}
    data, lines = loaded_and_reported("images", folder_of(tmp_path, files), inputs=GREY)
    assert data.validation is not None
    assert (len(data.train), len(data.validation), len(data.test)) == (10, 1, 2)
    assert lines[-2:] == [
        "PLACE: 10 training, 1 validation and 2 test examples",
        "PLACE: the validation share has no example of dog",
    ]
    assert "PLACE/valid is not read: training reads train" in lines


@pytest.mark.parametrize("names", [("train_set", "test_set"), ("seg_train/seg_train", "seg_test/seg_test")])
def test_folders_that_hold_the_same_folders_are_shares(tmp_path: Path, names: tuple[str, str]) -> None:
    files = {f"{share}/{name}": image for share in names for name, image in by_class().items()}
    data, _ = loaded_and_reported("images", folder_of(tmp_path, files), inputs=GREY)
    assert data.classes == ("cat", "dog")
    assert len(data.train) == len(data.test) == 10


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (("monday", "tuesday"), "monday and tuesday both hold the folders cat, dog, so they are not classes | name"),
        (("test", "val"), "test and val both hold the folders cat, dog, so they are not classes | name"),
        (("train/a", "train/b", "test/a"), "a and b both hold the folders cat, dog, so they are not classes | put"),
    ],
)
def test_folders_that_hold_the_same_folders_are_no_classes(tmp_path: Path, names: tuple[str, ...], text: str) -> None:
    files = {f"{name}/{file}": image for name in names for file, image in by_class().items()}
    assert text in refused("images", folder_of(tmp_path, files), inputs=GREY)


def test_shares_without_folders_of_classes_are_no_classes(tmp_path: Path) -> None:
    files = {f"{name}/{n}.png": encoded_image(n) for name in ("Train", "Test") for n in range(2)}
    text = refused("images", folder_of(tmp_path, files), inputs=GREY, classes=2)
    assert "Train: is a share, and expected one folder of images per class in it, found none" in text


@pytest.mark.parametrize("shares", [("",), ("Train/", "Test/")])
def test_images_without_labels(tmp_path: Path, shares: tuple[str, ...]) -> None:
    files = {f"{name}{n}.png": encoded_image(n) for name in shares for n in range(4)} | {"note.txt": b"no image"}
    data, lines = loaded_and_reported("images", folder_of(tmp_path, files), inputs=GREY, output=GREY[0])
    assert (len(data.train) + len(data.test), data.classes, data.train.targets) == (4 * len(shares), (), ())
    assert f"no folders of classes: {4 * len(shares)} images without labels" in "\n".join(lines)
    assert refused("images", tmp_path, inputs=GREY, target_values=1).count("labels=") == 1


def test_classes_may_hold_one_folder_of_the_same_name(tmp_path: Path) -> None:
    files = {f"{name}/images/{n}.png": encoded_image(n) for name in ("cat", "dog") for n in range(3)}
    assert load("images", path=str(folder_of(tmp_path, files)), inputs=GREY).classes == ("cat", "dog")


def test_a_train_folder_alone_is_split(tmp_path: Path) -> None:
    data, _ = loaded_and_reported(
        "images", folder_of(tmp_path, {f"train/{k}": v for k, v in by_class().items()}), inputs=GREY
    )
    assert len(data.train) + len(data.test) == 10
    assert data.classes == ("cat", "dog")


def test_train_may_be_a_class(tmp_path: Path) -> None:
    files = {f"{name}/{n}.png": encoded_image(n) for name in ("plane", "train", "test") for n in range(2)}
    data, _ = loaded_and_reported("images", folder_of(tmp_path, files), inputs=GREY)
    assert data.classes == ("plane", "test", "train")


def test_an_enclosing_folder_is_skipped(tmp_path: Path) -> None:
    place = zip_of(tmp_path / "a.zip", {f"photos/new/{k}": v for k, v in by_class().items()})
    data, _ = loaded_and_reported("images", place, inputs=GREY)
    assert data.classes == ("cat", "dog")


def test_subfolders_of_a_class_belong_to_it(tmp_path: Path) -> None:
    place = folder_of(tmp_path, {**by_class(), "cat/old/more/x.png": encoded_image(77)})
    _, lines = loaded_and_reported("images", place, inputs=GREY)
    assert "PLACE: 2 classes: cat 7, dog 4" in lines


def test_examples_are_in_order_of_their_names(tmp_path: Path) -> None:
    files = with_test_split()
    first = folder_of(tmp_path / "a", files)
    second = folder_of(tmp_path / "b", dict(reversed(files.items())))
    third = zip_of(tmp_path / "c.zip", dict(reversed(files.items())))
    made = [load("images", path=str(place), inputs=GREY).train.images for place in (first, second, third)]
    assert np.array_equal(made[0], made[1])
    assert np.array_equal(made[0], made[2])


def test_one_class_is_enough_for_an_autoencoder(tmp_path: Path) -> None:
    data, lines = loaded_and_reported("images", folder_of(tmp_path, by_class(dogs=0)), inputs=GREY)
    assert data.classes == ("cat",)
    assert lines[0] == "PLACE: 1 class: cat 6"


# ---- conversion of images


def test_resized_images_are_counted(tmp_path: Path) -> None:
    place = folder_of(
        tmp_path, {**by_class(), "cat/9.png": encoded_image(40, (60, 40)), "cat/8.png": encoded_image(40, (4, 6))}
    )
    data, lines = loaded_and_reported("images", place, inputs=RGB)
    assert data.train.images.shape[1:] == (3, 4, 6)
    assert "PLACE: resized 2 images to 3x4x6" in lines


def test_resizing_is_bilinear() -> None:
    file = io.BytesIO()
    Image.fromarray(np.array([[0, 100]], np.uint8)).save(file, "PNG")
    pixels, size, *_ = decode_image(file.getvalue(), (1, 1, 4))
    assert size == (2, 1)
    assert pixels.tolist() == [[[0, 25, 75, 100]]]


def test_channels_decide_between_grey_and_rgb() -> None:
    colour = encoded_image(100, mode="RGB")
    assert decode_image(colour, (3, 4, 6))[0][:, 0, 0].tolist() == [100, 0, 255]
    assert decode_image(colour, (1, 4, 6))[0][:, 0, 0].tolist() == [59]  # 0.299 red + 0.114 blue
    assert decode_image(encoded_image(9), (3, 4, 6))[0][:, 2, 3].tolist() == [9, 9, 9]


def test_sixteen_bits_become_eight() -> None:
    decoded = decode_image(encoded_image(40_000, mode="I;16"), (1, 4, 6))
    assert (decoded.pixels[0, 0, 0], decoded.conversion) == (40_000 >> 8, "16-bit values divided by 256")
    wide = decode_image(encode(Image.fromarray(np.array([[-256, 512, 100_000]], np.int32)), "TIFF"), (1, 1, 3))
    assert wide.pixels[0, 0].tolist() == [0, 2, 255]
    assert wide.conversion == "16-bit values divided by 256; values outside 0 to 65,535 clipped"


def encode(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def test_transparent_pixels_are_laid_over_white() -> None:
    rgba = np.zeros((4, 6, 4), np.uint8)
    rgba[:, :3] = (10, 20, 30, 255)
    rgba[:, 5] = (0, 0, 0, 51)  # a fifth of black
    decoded = decode_image(encode(Image.fromarray(rgba)), (3, 4, 6))
    assert decoded.conversion == "transparent pixels laid over white"
    assert decoded.pixels[:, 0, 0].tolist() == [10, 20, 30]
    assert decoded.pixels[:, 0, 4].tolist() == [255, 255, 255]
    assert decoded.pixels[:, 0, 5].tolist() == [204, 204, 204]
    grey = decode_image(encode(Image.fromarray(rgba[..., [0, 3]], "LA")), (1, 4, 6))
    assert grey.pixels[0, 0].tolist() == [10, 10, 10, 255, 255, 204]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_white_is_laid_over_black(mode: str) -> None:
    layer = Image.new("RGBA", (6, 4), (255, 255, 255, 0))
    layer.putpixel((2, 1), (255, 255, 255, 255))
    decoded = decode_image(encode(layer.convert(mode)), (1, 4, 6))
    assert decoded.conversion.startswith("transparent pixels laid over black")
    assert decoded.pixels[0, 1].tolist() == [0, 0, 255, 0, 0, 0]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_an_opaque_image_is_not_converted(mode: str) -> None:
    opaque = Image.new("RGB", (6, 4), (10, 10, 10)).convert(mode)
    decoded = decode_image(encode(opaque), (3, 4, 6))
    assert (decoded.conversion, decoded.pixels[0, 0, 0]) == ("", 10)


def test_a_palette_with_a_transparent_colour() -> None:
    palette = Image.new("P", (6, 4), 1)
    palette.putpalette([0, 0, 0, 40, 40, 40])
    palette.putpixel((0, 0), 0)
    pixels = decode_image(encode(palette, transparency=0), (1, 4, 6)).pixels
    assert pixels[0, 0, :2].tolist() == [255, 40]


@pytest.mark.parametrize(
    ("values", "expected", "conversion"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255], "fractions from 0 to 1 scaled to 0 to 255"),
        ([-0.5, 0.2, 0.4], [0, 51, 102], "fractions from 0 to 1 scaled to 0 to 255; values outside 0 to 1 clipped"),
        ([0.0, 99.7, 255.0], [0, 99, 255], "fractional values taken as 0 to 255"),
        ([0.0, 100.0, 300.0], [0, 100, 255], "fractional values taken as 0 to 255; values outside 0 to 255 clipped"),
    ],
)
def test_floats(values: list[float], expected: list[int], conversion: str) -> None:
    decoded = decode_image(encode(Image.fromarray(np.array([values], np.float32)), "TIFF"), (1, 1, 3))
    assert (decoded.pixels[0, 0].tolist(), decoded.conversion) == (expected, conversion)


def wide(values: list[float], kind: type = np.float32) -> bytes:
    return encode(Image.fromarray(np.array([values], kind)), "TIFF")


@pytest.mark.parametrize(
    ("data", "low", "high", "expected"),
    [
        (wide([0, 2048, 4095], np.uint16), 0, 4095, [0, 128, 255]),
        (wide([-1000, 0, 3000], np.int32), -1000, 1000, [0, 128, 255]),
        (wide([-1, 0, 1]), -1, 1, [0, 128, 255]),
    ],
)
def test_values_are_scaled_by_the_range_that_the_source_gives(
    data: bytes, low: float, high: float, expected: list[int]
) -> None:
    decoded = decode_image(data, (1, 1, 3), PixelRule(value_range=(low, high)))
    assert decoded.pixels[0, 0].tolist() == expected
    assert decoded.conversion.startswith(f"values from {low:,} to {high:,} scaled to 0 to 255")


def test_the_source_gives_the_background() -> None:
    layer = Image.new("RGBA", (6, 4), (255, 255, 255, 0))
    layer.putpixel((2, 1), (255, 255, 255, 255))
    decoded = decode_image(encode(layer), (3, 4, 6), PixelRule(background="#000080"))
    assert decoded.pixels[:, 0, 0].tolist() == [0, 0, 128]
    assert decoded.conversion == "transparent pixels laid over #000080"


def test_rules_of_the_source_reach_training_prediction_and_the_cache(tmp_path: Path) -> None:
    twelve = {f"{name}/{n}.tif": wide([n, 2048 + n, 4095], np.uint16) for name in ("a", "b") for n in range(4)}
    place = folder_of(tmp_path, twelve)
    data, lines = loaded_and_reported("images", place, inputs=(takes(1, 1, 3),))
    assert data.train.images.max() == 15
    assert "PLACE: values reach 4,095 of 65,535: `range=[0, 4095]` uses all of the scale" in lines
    data, lines = loaded_and_reported("images", place, inputs=(takes(1, 1, 3),), value_range=(0, 4095))
    assert data.train.images.max() == 255
    assert "PLACE: values from 0 to 4,095 scaled to 0 to 255 in 8 images" in lines
    spec = InputSpec("x", (1, 1, 3), data={"range": (0.0, 4095.0)})
    assert read_file(place / "a" / "0.tif", [spec]).feeds["x"].tolist() == [[[[0, 128, 255]]]]
    files = ruled_files(open_tree(place), Request(value_range=(0, 4095)))
    assert list(files.states(["a/0.tif"])) != list(open_tree(place).states(["a/0.tif"]))


def test_floats_of_different_scales_are_refused(tmp_path: Path) -> None:
    files = {f"{name}/{n}.tif": wide([0, 0.5, 40.0**n]) for name in ("a", "b") for n in range(2)}
    text = refused("images", folder_of(tmp_path, files), inputs=(takes(1, 1, 3),))
    assert "2 images hold fractions up to 1, and 2 images larger values" in text
    assert "give all the same scale: `range=[0, 40]`" in text
    data, _ = loaded_and_reported("images", tmp_path, inputs=(takes(1, 1, 3),), value_range=(0, 40))
    assert data.train.images.max() == 255


def test_values_that_are_clipped_are_told_with_the_range_that_clips_none(tmp_path: Path) -> None:
    files = {f"{name}/{n}.tif": wide([2.5, 100, 300 + n]) for name in ("a", "b") for n in range(2)}
    _, lines = loaded_and_reported("images", folder_of(tmp_path, files), inputs=(takes(1, 1, 3),))
    assert "PLACE: fractional values taken as 0 to 255 in 4 images" in lines
    assert "PLACE: values outside 0 to 255 clipped in 4 images" in lines
    assert "PLACE: values reach from 2.5 to 301: `range=[2.5, 301]` clips none" in lines


def test_each_conversion_is_told_once(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    moving = encode(Image.new("L", (6, 4)), "GIF", save_all=True, append_images=[Image.new("L", (6, 4), 99)])
    files = {
        **by_class(),
        "cat/c.png": encode(Image.new("RGB", (6, 4), (9, 8, 7))),
        "dog/t.jpg": encode(Image.new("L", (4, 6)), "JPEG", exif=exif),
        "dog/a.gif": moving,
    }
    _, lines = loaded_and_reported("images", folder_of(tmp_path, files), inputs=GREY)
    for line in ("colours converted to grey in 1 image", "turned as the EXIF data say in 1 image"):
        assert lines.count(f"PLACE: {line}") == 1, lines
    assert "PLACE: only the first of several frames read in 1 image" in lines


def test_floats_that_are_not_numbers_are_no_image() -> None:
    with pytest.raises(NotAnImage, match="infinite or not numbers"):
        decode_image(encode(Image.fromarray(np.array([[0, np.nan]], np.float32)), "TIFF"), (1, 1, 2))


def test_conversions_are_reported(tmp_path: Path) -> None:
    clear = encode(Image.new("RGBA", (6, 4), (0, 0, 0, 0)))
    place = folder_of(tmp_path, {**by_class(), "cat/9.png": clear, "dog/9.png": clear})
    data, lines = loaded_and_reported("images", place, inputs=RGB)
    assert "PLACE: transparent pixels laid over white in 2 images" in lines
    assert data.train.images.max() == 255


@pytest.mark.parametrize(("train", "test"), [("Train", "Test"), ("TRAIN", "TEST"), ("training", "testing")])
def test_splits_in_any_case(tmp_path: Path, train: str, test: str) -> None:
    images = {f"{split}/{name}": image for split in (train, test) for name, image in by_class().items()}
    data, _ = loaded_and_reported("images", folder_of(tmp_path, images), inputs=RGB)
    assert data.classes == tuple(sorted({name.split("/")[0] for name in by_class()}))
    assert len(data.train) == len(data.test) == len(by_class())


def test_exif_rotation_is_applied() -> None:
    made = Image.new("L", (6, 4))
    made.putpixel((0, 0), 255)
    exif = Image.Exif()
    exif[0x0112] = 6  # the top of the scene is at the right
    file = io.BytesIO()
    made.save(file, "PNG", exif=exif)
    pixels, size, *_ = decode_image(file.getvalue(), (1, 6, 4))
    assert size == (4, 6)
    assert np.argwhere(pixels[0] == 255).tolist() == [[0, 3]]


def test_a_large_jpeg_is_decoded_accurately() -> None:
    ramp = np.linspace(0, 255, 640).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(np.broadcast_to(ramp, (480, 640)).copy()).save(file, "JPEG", quality=95)
    pixels, size, *_ = decode_image(file.getvalue(), (1, 12, 16))
    assert size == (640, 480)
    expected = ramp.reshape(16, 40).mean(axis=1)
    assert np.abs(pixels[0].astype(float) - expected).max() < 4


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM"])
def test_formats(kind: str) -> None:
    pixels, *_ = decode_image(encoded_image(99, kind=kind, mode="RGB"), (3, 4, 6))
    assert np.abs(pixels[:, 0, 0].astype(int) - [99, 0, 255]).max() < 9


def test_other_decoders_of_pillow_are_not_used() -> None:
    with pytest.raises(NotAnImage, match="unknown format"):
        decode_image(encoded_image(1, kind="EPS"), (1, 4, 6))


# ---- files that are not images


def test_files_that_are_not_images_are_skipped_and_reported(tmp_path: Path) -> None:
    odd = {
        "cat/notes.txt": b"not a picture",
        "cat/cut.png": encoded_image(1, (60, 60))[:70],
        "dog/empty.png": b"",
        "dog/zero.jpg": bytes(100),
        "cat/.hidden.png": encoded_image(1),
        "README.md": b"about",
    }
    for place in as_folder_and_zip(tmp_path, {**by_class(), **odd}):
        data, lines = loaded_and_reported("images", place, inputs=GREY)
        assert len(data.train) + len(data.test) == 10
        assert sorted(values(data.train.inputs[0]) + values(data.test.inputs[0]))[:7] == [0, 1, 2, 3, 4, 5, 100]
        (skipped,) = [line for line in lines if "skipped" in line]
        assert skipped.startswith("PLACE: skipped 4 of 14 files: cat/cut.png (")
        assert "cat/notes.txt (unknown format), dog/empty.png (unknown format), and 1 more" in skipped
        assert "PLACE: not read: 1 in no class, 1 hidden" in lines


def test_a_class_without_images_is_an_error(tmp_path: Path) -> None:
    place = folder_of(tmp_path, {**by_class(), "owl/a.txt": b"words"})
    assert f"{place / 'owl'}: expected at least one image, found none (a.txt: unknown format)" in refused(
        "images", place, inputs=GREY
    )
    (place / "owl" / "a.txt").unlink()
    assert "owl: expected at least one image, found none |" in refused("images", place, inputs=GREY)


def test_no_classes(tmp_path: Path) -> None:
    assert "expected one folder of images per class" in refused("images", tmp_path, inputs=GREY)
    (tmp_path / "a.png").write_bytes(encoded_image(1))
    assert "expected one folder of images per class" in refused("images", tmp_path, inputs=GREY, classes=2)


def test_a_class_that_occurs_only_in_the_test_split(tmp_path: Path) -> None:
    place = folder_of(tmp_path, {**with_test_split(), "test/owl/1.png": encoded_image(1)})
    assert f"{place / 'test/owl'}: the class owl is not in {place / 'train'}" in refused("images", place, inputs=GREY)


def test_a_test_split_without_images(tmp_path: Path) -> None:
    place = folder_of(tmp_path, {**{f"train/{k}": v for k, v in by_class().items()}, "test/cat/a.txt": b"words"})
    assert "test: expected test images, found none" in refused("images", place, inputs=GREY)


def test_a_different_number_of_classes_than_the_network(tmp_path: Path) -> None:
    text = refused("images", folder_of(tmp_path, by_class()), inputs=GREY, classes=3)
    assert "found 2 classes (cat, dog); the network's output has 3 | end with `fc 2`" in text


def test_an_empty_folder_is_reported_before_the_number_of_classes(tmp_path: Path) -> None:
    place = folder_of(tmp_path, by_class())
    (place / "owl").mkdir()
    assert "owl: expected at least one image, found none" in refused("images", place, inputs=GREY, classes=2)


@pytest.mark.parametrize("inputs", [(), (takes(784),), (takes(4, 8, 8),), (takes(1, 8), takes(1, 8)), GREY * 2])
def test_networks_whose_input_is_not_an_image(tmp_path: Path, inputs: tuple[object, ...]) -> None:
    assert "which is not an image" in refused("images", folder_of(tmp_path, by_class()), inputs=inputs)


# ---- attacks


def bomb(width: int, height: int) -> bytes:
    """A small PNG whose header declares a large image."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(bytes(1000))), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("size", [(10_000, 10_000), (2**31 - 1, 2**31 - 1)])
def test_an_image_of_too_many_pixels_is_skipped(tmp_path: Path, size: tuple[int, int]) -> None:
    _, lines = loaded_and_reported(
        "images", folder_of(tmp_path, {**by_class(), "cat/bomb.png": bomb(*size)}), inputs=GREY
    )
    (line,) = [line for line in lines if "cat/bomb.png" in line]
    assert "pixels" in line


def test_a_file_of_too_many_bytes_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_decoder, "LARGEST", 500)
    for place in as_folder_and_zip(tmp_path, {**by_class(), "cat/large.png": encoded_image(0) + bytes(10_000)}):
        _, lines = loaded_and_reported("images", place, inputs=GREY)
        assert "PLACE: skipped 1 of 11 files: cat/large.png (expected at most 500 bytes)" in lines


@pytest.mark.parametrize("name", ["/etc/cat.png", "../cat.png", "cat/../../x.png", "C:/cat.png", "..\\cat.png"])
def test_names_that_lead_out_of_the_archive(tmp_path: Path, name: str) -> None:
    place = zip_of(tmp_path / "a.zip", {**by_class(), name: encoded_image(1)})
    assert "leads out of the archive" in refused("images", place, inputs=GREY)


def test_backslashes_separate_folders(tmp_path: Path) -> None:
    place = zip_of(tmp_path / "a.zip", {name.replace("/", "\\"): data for name, data in by_class().items()})
    assert load("images", path=str(place), inputs=GREY).classes == ("cat", "dog")


def test_two_members_with_the_same_name(tmp_path: Path) -> None:
    place = tmp_path / "a.zip"
    zip_of(place, by_class())
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(place, "a") as archive:
        archive.writestr("cat/0.png", encoded_image(9))
    assert "two members are named cat/0.png" in refused("images", place, inputs=GREY)


def test_encrypted_members(tmp_path: Path) -> None:
    place = zip_of(tmp_path / "a.zip", by_class())
    data = bytearray(place.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    place.write_bytes(data)
    assert "the member cat/0.png is encrypted | unpack the archive and name the folder" in refused(
        "images", place, inputs=GREY
    )


def test_files_that_are_not_a_zip(tmp_path: Path) -> None:
    place = zip_of(tmp_path / "a.zip", by_class())
    whole = place.read_bytes()
    for content in (b"", b"words", whole[:-30], whole[:200]):
        place.write_bytes(content)
        assert f"{place}: expected a .zip archive" in refused("images", place, inputs=GREY)


def test_a_damaged_member_is_skipped(tmp_path: Path) -> None:
    place = tmp_path / "a.zip"
    with zipfile.ZipFile(place, "w") as archive:  # stored
        for name, whole in by_class().items():
            archive.writestr(name, whole)
    content = bytearray(place.read_bytes())
    content[content.index(b"IDAT") + 6] ^= 0xFF  # in the first image
    place.write_bytes(content)
    data, lines = loaded_and_reported("images", place, inputs=GREY)
    assert len(data.train) + len(data.test) == 9
    assert any("skipped 1 of 10 files: cat/0.png (the member is damaged" in line for line in lines)


def test_names_with_control_characters(tmp_path: Path) -> None:
    place = folder_of(tmp_path, {**by_class(), "cat/a\x1b[2J.png": encoded_image(1)})
    text = refused("images", place, inputs=GREY)
    assert "the name cat/a\\x1b[2J.png contains control characters | rename the file" in text


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_links_are_followed_but_cycles_are_not(tmp_path: Path) -> None:
    place = folder_of(tmp_path / "photos", by_class())
    folder_of(tmp_path / "else", {"1.png": encoded_image(200)})
    (place / "owl").symlink_to(tmp_path / "else")
    (place / "cat" / "again").symlink_to(place)
    (place / "cat" / "broken.png").symlink_to(tmp_path / "absent")
    os.mkfifo(place / "dog" / "pipe.png")
    _, lines = loaded_and_reported("images", place, inputs=GREY)
    assert "PLACE: 3 classes: cat 6, dog 4, owl 1" in lines
    assert any(line.startswith("PLACE: skipped 2 of 13 files: cat/broken.png") for line in lines)


# ---- memory and threads


def test_images_that_exceed_the_memory_limit_are_decoded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {**by_class(30, 30), "cat/a.txt": b"words"}
    for place in as_folder_and_zip(tmp_path, files):
        kept = load("images", path=str(place), inputs=GREY)
        with monkeypatch.context() as patch:
            patch.setattr(image_column, "largest_in_memory", lambda: 60 * 24 - 1)
            streamed = load("images", path=str(place), inputs=GREY)
        for a, b in ((kept.train, streamed.train), (kept.test, streamed.test)):
            assert np.array_equal(a.images, b.images)
            assert np.array_equal(a.labels, b.labels)
            chosen = np.array([3, 0, 3])
            assert np.array_equal(a.inputs[0][chosen], b.inputs[0][chosen])
            assert np.array_equal(a.select(chosen).inputs[0][1:], b.select(chosen).inputs[0][1:])
            assert np.array_equal(a.inputs[0][2], b.inputs[0][2])


def test_images_are_kept_up_to_the_memory_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = open_tree(folder_of(tmp_path, by_class()))
    monkeypatch.setattr(image_column, "largest_in_memory", lambda: 10 * 24)
    assert image_column.load_images(tree, tree.files, (1, 4, 6))[0].in_memory is not None
    monkeypatch.setattr(image_column, "largest_in_memory", lambda: 10 * 24 - 1)
    assert image_column.load_images(tree, tree.files, (1, 4, 6))[0].in_memory is None


def test_a_file_that_changes_later_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_column, "largest_in_memory", lambda: 0)
    place = folder_of(tmp_path, with_test_split())
    data = load("images", path=str(place), inputs=GREY)
    (place / "train/cat/0.png").write_bytes(b"words")
    with pytest.raises(CnncError, match=r"cat.0\.png: is not an image any more") as caught:
        data.train.inputs[0][:1]
    assert caught.value.diagnostics[0].code == "E602"
    (place / "train/cat/0.png").unlink()
    with pytest.raises(CnncError, match=r"cat.0\.png"):
        data.train.inputs[0][:1]


# ---- paths


def test_what_the_path_is_relative_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder_of(tmp_path / "here" / "photos", by_class())
    folder_of(tmp_path / "there" / "photos", by_class(2, 2))
    monkeypatch.chdir(tmp_path / "here")
    assert len(load("images", path="photos", inputs=GREY).train) == 8
    assert len(load("images", tmp_path / "there", path="photos", inputs=GREY).train) == 2
    assert len(load("images", tmp_path, path="photos", inputs=GREY).train) == 8


def test_a_missing_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "there is no folder" in refused("images", "fotos", "E603", inputs=GREY, folder=tmp_path / "data")
    (tmp_path / "data").mkdir()
    text = refused("images", "fotos", "E603", inputs=GREY, folder=tmp_path / "data")
    assert text.startswith(f"fotos does not exist | searched {tmp_path / 'data/fotos'} or {tmp_path / 'fotos'};")
    with pytest.raises(CnncError, match="does not name a file"):
        load("images", inputs=GREY)


# ---- real data


@pytest.mark.long
def test_real_images_equal_those_of_the_archive(tmp_path: Path) -> None:
    """Some images of CIFAR-10, unpacked."""
    tree = open_tree(data_folder("cifar10", "cifar10-half.zip") / "cifar10-half.zip")
    some = [name for name in tree.files if name.endswith(("00.jpg", "50.jpg"))]
    place = folder_of(tmp_path, {name: tree.read(name, 2**20) for name in some})
    data = load("images", path=str(place), inputs=(takes(3, 32, 32),), classes=10)
    assert (len(data.train), len(data.test)) == (500, 100)
    assert np.bincount(data.test.labels).tolist() == [10] * 10
    with Image.open(place / some[0]) as opened:
        assert np.array_equal(data.test.images[0], np.moveaxis(np.asarray(opened), -1, 0))
    assert 110 < float(data.train.images.mean()) < 130
