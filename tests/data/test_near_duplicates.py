"""Images that look the same in two shares of the data, told apart from equal ones and from images that merely resemble."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cnnc.data.dataset import Dataset, Split
from cnnc.data.near_duplicates import Fingerprints, NearDuplicates, find_near
from cnnc.data.survey import survey
from cnnc.report.data import data_text, with_conclusions

RANDOM = np.random.default_rng(0)
Images = NDArray[np.uint8]


def scenes(count: int, size: int = 24, channels: int = 3) -> Images:
    """Images of random blotches."""
    small = RANDOM.integers(20, 200, (count, 6, 6, channels), np.uint8)
    large = [
        np.asarray(Image.fromarray(image.squeeze()).resize((size, size), 3)).reshape(size, size, -1) for image in small
    ]
    return np.moveaxis(np.stack(large), -1, 1)


def as_jpeg(image: Images) -> Images:
    file = io.BytesIO()
    Image.fromarray(np.moveaxis(image, 0, -1)).save(file, "JPEG", quality=70)
    return np.moveaxis(np.asarray(Image.open(io.BytesIO(file.getvalue()))), -1, 0)


def resized(image: Images) -> Images:
    small = Image.fromarray(np.moveaxis(image, 0, -1)).resize((19, 19), 2)
    return np.moveaxis(np.asarray(small.resize((24, 24), 2)), -1, 0)


def brighter(image: Images) -> Images:
    return (image * 0.7 + 60).astype(np.uint8)


def near(*shares: Images) -> NearDuplicates:
    prints = [Fingerprints() for _ in shares]
    for each, images in zip(prints, shares, strict=True):
        for first in range(0, len(images), 7):
            each.add(images[first : first + 7])
    flat = np.concatenate([images.reshape(len(images), -1) for images in shares])
    _, contents = np.unique(flat, axis=0, return_inverse=True)
    return find_near(prints, contents.reshape(-1))


@pytest.mark.parametrize("change", [as_jpeg, resized, brighter])
def test_changed_copies_are_found_and_others_are_not(change: object) -> None:
    train, test = scenes(300), scenes(40)
    assert callable(change)
    test[5], test[9] = change(train[123]), change(train[7])
    found = near(train, test)
    assert found.across == {(0, 1): 2}
    assert {(pair.first.number, pair.second.number) for pair in found.pairs} == {(123, 5), (7, 9)}
    assert all(0.99 <= pair.likeness <= 1 for pair in found.pairs)


def test_equal_images_are_not_nearly_equal_ones() -> None:
    train, test = scenes(30), scenes(10)
    test[3] = train[8]
    assert near(train, test).across == {(0, 1): 0}


def test_images_of_one_colour_resemble_nothing() -> None:
    plain = np.stack([np.full((3, 24, 24), level, np.uint8) for level in (0, 9, 200)])
    assert near(plain, plain + 1).pairs == ()


def test_many_images_with_the_same_hash_are_neighbours_across_shares() -> None:
    (scene,) = scenes(1)
    frames = np.clip(scene + RANDOM.integers(0, 3, (400, 1, 1, 1)), 0, 255).astype(np.uint8)
    frames[:, 0, 0, 0] = np.arange(400) % 256
    frames[:, 0, 0, 1] = np.arange(400) // 256
    assert near(frames[:200], frames[200:]).across[0, 1] > 190


def test_the_survey_names_them(tmp_path: Path) -> None:
    train, test = scenes(40, channels=1), scenes(20, channels=1)
    test[4] = train[30] // 2 + 40
    labels = np.zeros(40, np.int64)
    data = Dataset("npz", ("a",), Split.of(train, labels), Split.of(test, labels[:20]))
    facts = with_conclusions(survey(data, {"training": data.train, "test": data.test}))
    assert facts["duplicates"]["near"]["across"] == [{"of": "test", "also_in": "training", "examples": 1}]
    text = data_text({**facts, "losses": []})
    assert "training 30 ~ test 4" in text
    assert "note: 1 test image looks almost like one in training" in text
    small = Dataset("npz", ("a",), Split.of(train[..., :8], labels), Split.of(test[..., :8], labels[:20]))
    assert survey(small, {"training": small.train, "test": small.test})["duplicates"]["near"] is None
