"""`cnnc filter`: sheets of filters and template matching, their numbers, files and errors."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

pytest.importorskip("PIL")

from PIL import Image

from cnnc.core.arguments import WordValue
from cnnc.core.arrays import Array
from cnnc.data.image_file import read_whole_image
from cnnc.diagnostics import CnncError, Exit
from cnnc.ops.filter import Filter
from cnnc.ops.kernels import NAMED
from tests.cli.conftest import Cnnc, codes, json_of
from tests.reference import plain


@pytest.fixture
def photo(tmp_path: Path) -> Array:
    """The pixels (H, W, 3) of photo.png; eye.png is cut from it at row 7, column 12."""
    pixels: Array = np.random.default_rng(0).integers(0, 256, (20, 26, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    Image.fromarray(pixels[7:12, 12:18]).save(tmp_path / "eye.png")
    Image.fromarray(pixels[..., 0]).save(tmp_path / "grey.png")
    Image.fromarray(np.full((4, 4), 9, np.uint8)).save(tmp_path / "flat.png")
    Image.fromarray(pixels[:2, :2]).save(tmp_path / "tiny.png")
    (tmp_path / "notes.png").write_text("no image")
    return pixels


def shown(path: Path) -> Array:
    with Image.open(path) as image:
        pixels: Array = np.asarray(image)
    return pixels


def filters(done: Any) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json_of(done)["filters"]
    return listed


def filtered(pixels: Array, kernel: Any, stride: int = 1, pad: int = 0) -> Array:
    """The cross-correlation of each channel of values from 0 to 1, by plain loops: (C, H, W)."""
    x = np.moveaxis(pixels / 255, -1, 0)[None]
    weight = np.broadcast_to(np.array(kernel, float), (3, 1, *np.shape(kernel)))
    y: Array = plain.conv(x, weight, None, (stride,) * 2, (1, 1), ((pad, pad),) * 2, 3)[0]
    return y


def test_the_numbers_are_those_of_plain_loops(cnnc: Cnnc, photo: Array) -> None:
    names = ("sobel_x", "1 0; 0 -1 p=valid", "[[1, 2, 3], [4, 5, 6], [7, 8, 10]] flip=true s=2 p=1", "-1 -2 3 p=0")
    done = cnnc("filter", "photo.png", *names, "--json")
    expected = (
        filtered(photo, [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], 1, 1),
        filtered(photo, [[1, 0], [0, -1]]),
        filtered(photo, [[10, 8, 7], [6, 5, 4], [3, 2, 1]], 2, 1),
        filtered(photo, [[-1, -2, 3]]),
    )
    for result, name, y in zip(filters(done), names, expected, strict=True):
        assert result["name"] == name
        assert result["shape"] == list(y.shape)
        found = (result["minimum"], result["maximum"], result["mean"])
        assert found == pytest.approx((y.min(), y.max(), y.mean()), rel=1e-12, abs=1e-12)
    assert filters(done)[2]["kernel"] == [[10, 8, 7], [6, 5, 4], [3, 2, 1]]


@pytest.mark.long
def test_a_mean_of_zero_is_printed_as_zero(cnnc: Cnnc, tmp_path: Path) -> None:
    """A digit that does not touch the border: its differences add up to 0, their floating-point sum to about 1e-17."""
    pixels = np.zeros((28, 28), np.uint8)
    pixels[4:24, 6:20] = np.random.default_rng(0).integers(0, 256, (20, 14))
    Image.fromarray(pixels).save(tmp_path / "digit.png")
    done = cnnc("filter", "digit.png", "sobel_x")
    assert done.stdout.splitlines()[2].split()[-1] == "0"


@pytest.mark.long
def test_without_names_all_named_filters_are_shown(cnnc: Cnnc, photo: Array, tmp_path: Path) -> None:
    done = cnnc("filter", "photo.png", "--json")
    found = filters(done)
    assert [result["name"] for result in found] == [name for name in NAMED if name != "identity"]
    for result in found:
        assert np.allclose(result["kernel"], Filter.make(numbers=WordValue(result["name"])).kernel(), rtol=1e-15)
    assert json_of(done)["output"] == "photo-filters.png"
    assert shown(tmp_path / "photo-filters.png").shape[1] > 1500


@pytest.mark.long
def test_stride_and_padding_of_all_filters(cnnc: Cnnc, photo: Array) -> None:
    done = cnnc("filter", "photo.png", "box", "sobel_y", "-s", "2", "-p", "valid", "--json")
    assert [result["shape"] for result in filters(done)] == [[3, 9, 12]] * 2
    small = cnnc("filter", "eye.png", "-p", "valid")
    assert "gabor is left out: the 15x15 kernel does not fit into the 5x6 input" in small.stderr
    assert small.returncode == 0
    assert "sobel_x" in small.stdout


def test_the_sheet_holds_the_pixels(cnnc: Cnnc, photo: Array, tmp_path: Path) -> None:
    done = cnnc("filter", "photo.png", "laplacian", "--scale", "4", "-o", "sheet.png")
    assert done.stdout.splitlines()[-1] == "sheet.png: 2 images"
    sheet = shown(tmp_path / "sheet.png")
    y = np.moveaxis(filtered(photo, NAMED["laplacian"].rows, 1, 1), 0, -1)
    result = np.rint(255 * (y / np.abs(y).max() + 1) / 2).astype(np.uint8)
    for expected in (photo, result):
        enlarged = np.repeat(np.repeat(expected, 4, 0), 4, 1)[4:-4, 4:-4]  # without the frame
        assert contains(sheet, enlarged)


def contains(image: Array, part: Array) -> bool:
    height, width = part.shape[:2]
    corners = np.argwhere((image[: 1 - height, : 1 - width] == part[0, 0]).all(-1))
    return any((image[r : r + height, c : c + width] == part).all() for r, c in corners)


@pytest.mark.long
def test_a_large_image_is_reduced_and_the_command_says_so(cnnc: Cnnc, tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (700, 1200)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "large.png")
    done = cnnc("filter", "large.png", "sobel_x", "-o", "sheet.png")
    assert "shown at 1/2 of its size; --scale 1 shows all pixels" in done.stdout
    assert shown(tmp_path / "sheet.png").shape[1] < 1350
    assert cnnc("filter", "large.png", "sobel_x", "-o", "sheet.png", "--scale", "1").returncode == 0
    assert shown(tmp_path / "sheet.png").shape[1] == 1280


@pytest.mark.long
def test_the_largest_scale_that_help_names_works(cnnc: Cnnc, photo: Array, tmp_path: Path) -> None:
    refused = cnnc("filter", "photo.png", "sobel_x", "--scale", "400")
    assert codes(refused.stderr) == ["E010"]
    assert "`--scale 310`" in refused.stderr
    assert cnnc("filter", "photo.png", "sobel_x", "--scale", "310").returncode == 0
    assert codes(cnnc("filter", "photo.png", "sobel_x", "--scale", "311").stderr) == ["E010"]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("nowhere.png",), "E901", "no such file"),
        (("notes.png",), "E608", "cannot be read as an image"),
        (("photo.png", "sobell_x"), "E203", "did you mean `sobel_x`?"),
        (("photo.png", "1 0; 2"), "E010", "row 2 has 1 entry"),
        (("photo.png", "[[1, 0], [2]]"), "E203", "rows of numbers, all of one length"),
        (("photo.png", "1 0 | 2 3"), "E010", "give one"),
        (("photo.png", "1 x; 2 3"), "E010", "`x` is not a number"),
        (("photo.png", "1e39 1; 2 3"), "E203", "float32 can hold, not 1e+39"),
        (("photo.png", "[[1e308, 1e308]]"), "E203", "float32 can hold, not 1e+308"),
        (("photo.png", "[[1, 0], [2, true]]"), "E203", "not true at [1][1]"),
        (("photo.png", ""), "E202", "`filter sobel_x`"),
        (("photo.png", "sobel_x; relu"), "E010", "is not one filter"),
        (("photo.png", "sobel_x\nsobel_y"), "E111", "sobel_y"),
        (("photo.png", "sobel_x sigma=2"), "E311", "leave it out"),
        (("photo.png", "box k=99 p=valid"), "E302", "does not fit"),
        (("photo.png", "box", "-s", "0"), "E203", "at least 1"),
        (("photo.png", "box", "-p", "sam"), "E203", "did you mean `same`?"),
        (("photo.png", "box", "--scal", "2"), "E010", "did you mean `--scale`?"),
        (("photo.png", "box", "-o", "sheet.jpg"), "E902", "`-o sheet.png`"),
        (("photo.png", "box", "-o", "."), "E902", "`-o photo-filters.png`"),
        (("photo.png", "box", "-o", "/"), "E902", "`-o /photo-filters.png`"),
        (("photo.png", "box", "-o", ""), "E010", "leave -o out"),
        (("photo.png", "box", "-o", "/dev/null"), "E902", "with one of these suffixes"),
        (("photo.png", "box", "-o", "photo.png"), "E902", "this command reads it"),
        (("photo.png", "box", "-o", "nowhere/sheet.png"), "E902", "nowhere"),
        (("photo.png", "box", "-o", "grey.png"), "E902", "--force"),
        (("photo.png", "box", "--template", "eye.png"), "E010", "takes no filters"),
        (("eye.png", "--template", "photo.png"), "E608", "larger than eye.png"),
        (("photo.png", "--template", "flat.png"), "E608", "all pixels of flat.png are the same"),
        (("flat.png", "--template", "tiny.png"), "E608", "all pixels of flat.png are the same"),
        (("photo.png", "--template", "nowhere.png"), "E901", "no such file"),
        (("photo.png", "--template", "notes.png"), "E608", "cannot be read as an image"),
    ],
)
def test_errors(cnnc: Cnnc, photo: Array, tmp_path: Path, words: tuple[str, ...], code: str, says: str) -> None:
    before = sorted(tmp_path.iterdir())
    done = cnnc("filter", *words)
    assert codes(done.stderr) == [code]
    assert says in done.stderr
    assert done.returncode in (1, 2, 3, 6)
    assert sorted(tmp_path.iterdir()) == before, "nothing is written"


@pytest.mark.long
def test_an_image_smaller_than_every_named_kernel(cnnc: Cnnc, tmp_path: Path) -> None:
    Image.new("L", (40, 2), 7).save(tmp_path / "low.png")
    done = cnnc("filter", "low.png", "-p", "valid")
    assert codes(done.stderr) == ["E010"]
    assert "no named filter fits into low.png" in done.stderr
    assert cnnc("filter", "low.png").returncode == 0, "help: leave -p out"
    assert cnnc("filter", "low.png", "box k=1", "-p", "valid").returncode == 0


@pytest.mark.long
def test_a_file_of_another_program_is_replaced_only_by_force(cnnc: Cnnc, photo: Array, tmp_path: Path) -> None:
    assert cnnc("filter", "photo.png", "box", "-o", "sheet.png").returncode == 0
    assert cnnc("filter", "photo.png", "box", "-o", "sheet.png").returncode == 0, "its own sheet is replaced"
    assert cnnc("filter", "photo.png", "box", "-o", "grey.png").returncode == 6
    assert shown(tmp_path / "grey.png").shape == (20, 26)
    assert cnnc("filter", "photo.png", "box", "-o", "grey.png", "--force").returncode == 0


@pytest.mark.long
@pytest.mark.parametrize("suffix", [".png", ".svg", ".html"])
@pytest.mark.parametrize("words", [("sobel_x", "gabor"), ("--template", "eye.png")])
def test_every_format_is_self_contained_and_replaces_only_its_own(
    cnnc: Cnnc, photo: Array, tmp_path: Path, words: tuple[str, ...], suffix: str
) -> None:
    name = f"sheet{suffix}"
    assert cnnc("filter", "photo.png", *words, "-o", name).returncode == 0
    content = (tmp_path / name).read_bytes()
    assert cnnc("filter", "photo.png", *words, "-o", name).returncode == 0
    assert (tmp_path / name).read_bytes() == content, "the same drawing is the same file"
    if suffix != ".png":
        text = content.decode()
        assert text.count("data:image/png;base64,") >= 3
        outside = re.sub(r"data:image/png;base64,[^\"]+", "", text).replace("http://www.w3.org/2000/svg", "")
        assert "//" not in outside, "no address"
        assert "photo.png" in text
    (tmp_path / name).write_text("<svg><p>mine</p></svg>")
    assert cnnc("filter", "photo.png", *words, "-o", name).returncode == 6
    assert cnnc("filter", "photo.png", *words, "-o", name, "--force").returncode == 0


def test_names_of_files_stay_text(cnnc: Cnnc, photo: Array, tmp_path: Path) -> None:
    (tmp_path / "photo.png").rename(tmp_path / "<b>&'\".png")
    for suffix in ("svg", "html"):
        assert cnnc("filter", "<b>&'\".png", "box", "-o", f"sheet.{suffix}").returncode == 0
        text = (tmp_path / f"sheet.{suffix}").read_text(encoding="utf-8")
        assert "<b>" not in text
        assert "&lt;b&gt;&amp;" in text
        ElementTree.fromstring(text[text.index("<svg") : text.rindex("</svg>") + 6])


def test_a_patch_is_found_where_it_was_cut(cnnc: Cnnc, photo: Array, tmp_path: Path) -> None:
    done = cnnc("filter", "photo.png", "--template", "eye.png")
    assert done.stdout.splitlines()[0] == "best match at row 7, column 12: 1.000"
    assert (tmp_path / "photo-match.png").is_file()
    best = json_of(cnnc("filter", "photo.png", "--template", "eye.png", "--json"))["best"]
    assert (best["row"], best["column"]) == (7, 12)
    assert best["score"] == pytest.approx(1, abs=1e-12)


@pytest.mark.long
def test_grey_and_colour_are_compared_channel_by_channel(cnnc: Cnnc, photo: Array, tmp_path: Path) -> None:
    """A grey patch is the same in each channel."""
    Image.fromarray(photo[2:8, 3:11, 0]).save(tmp_path / "patch.png")
    done = json_of(cnnc("filter", "grey.png", "--template", "patch.png", "--json"))
    assert (done["best"]["row"], done["best"]["column"]) == (2, 3)
    across = json_of(cnnc("filter", "photo.png", "--template", "patch.png", "--json"))
    assert (across["best"]["row"], across["best"]["column"]) == (2, 3)
    t = np.repeat(photo[2:8, 3:11, :1].astype(float), 3, 2)
    f = photo[2:8, 3:11].astype(float)
    f, t = f - f.mean((0, 1)), t - t.mean((0, 1))
    score = (f * t).sum() / np.sqrt((f * f).sum() * (t * t).sum())
    assert across["best"]["score"] == pytest.approx(score, abs=1e-12)


@pytest.mark.long
@pytest.mark.parametrize("mode", ["L", "RGB", "P", "RGBA", "LA", "1", "I;16"])
def test_images_of_every_kind_are_read(cnnc: Cnnc, tmp_path: Path, mode: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7)).astype(np.uint8)
    image = Image.fromarray(pixels)
    image = Image.fromarray(pixels.astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
    image.save(tmp_path / "a.png")
    found, _ = read_whole_image(tmp_path / "a.png")
    assert found.shape == (1, 9, 7), "grey is one channel, however it is stored"
    if mode != "1":
        assert (found[0] == pixels).all()
    assert cnnc("filter", "a.png", "box", "-o", "sheet.png").returncode == 0


@pytest.mark.long
def test_an_image_of_one_pixel(cnnc: Cnnc, tmp_path: Path) -> None:
    Image.fromarray(np.full((1, 1, 3), [255, 0, 51], np.uint8)).save(tmp_path / "dot.png")
    results = filters(cnnc("filter", "dot.png", "--json"))
    assert len(results) == len(NAMED) - 1
    sharpened = next(result for result in results if result["name"] == "sharpen")
    assert (sharpened["minimum"], sharpened["maximum"]) == (0, 5)


def test_without_pillow(tmp_path: Path, photo: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(CnncError) as caught:
        read_whole_image(tmp_path / "photo.png")
    assert caught.value.diagnostics[0].code == "E906"
    assert "pip install pillow" in caught.value.diagnostics[0].help
    assert caught.value.status is Exit.RESOURCES
