"""`survey`: statistics, class counts and duplicates, compared with plain NumPy on the whole data."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnc.data import load
from cnnc.data import survey as survey_module
from cnnc.data.column_statistics import ColumnStatistics
from cnnc.data.dataset import Dataset, ReadFacts, Split
from cnnc.data.duplicates import ExampleDigests, find_duplicates
from cnnc.data.survey import survey

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_statistics_of_batches_are_those_of_all_values(dtype: type) -> None:
    values: np.ndarray[Any, Any] = (RANDOM.random((50, 3, 4, 5)) * [[[[200]], [[20]], [[2]]]] + 1).astype(dtype)
    if dtype is np.float32:
        values += 1000  # where a sum of squares would lose all digits in float32
    statistics = ColumnStatistics(3)
    for part in np.array_split(values, [1, 17, 17, 40]):
        statistics.add(part)
    exact = values.astype(np.float64)
    axes = (0, 2, 3)
    np.testing.assert_allclose(statistics.mean, exact.mean(axes), rtol=1e-12)
    np.testing.assert_allclose(statistics.deviation, exact.std(axes), rtol=1e-9)
    assert statistics.minimum.tolist() == exact.min(axes).tolist()
    assert statistics.maximum.tolist() == exact.max(axes).tolist()
    whole = statistics.together()
    np.testing.assert_allclose([whole.mean[0], whole.deviation[0]], [exact.mean(), exact.std()], rtol=1e-9)


def test_duplicates_within_and_across() -> None:
    shares = [np.array([[1], [2], [1], [3], [1]]), np.array([[4]]), np.array([[2], [1], [5], [2]])]
    digests = [ExampleDigests() for _ in shares]
    for each, share in zip(digests, shares, strict=True):
        for part in np.array_split(share, 2):
            each.add((part, part.astype(np.uint8)))
    found = find_duplicates(digests)
    assert found.within == (2, 0, 1)
    assert found.across == {(0, 1): 0, (0, 2): 3, (1, 2): 0}
    assert [list(map(tuple, group)) for group in found.groups] == [
        [(0, 0), (0, 2), (0, 4), (2, 1)],
        [(0, 1), (2, 0), (2, 3)],
    ]
    assert len(find_duplicates(digests, most_groups=1).groups) == 1


def test_groups_across_shares_come_first() -> None:
    first, second = ExampleDigests(), ExampleDigests()
    first.add((np.array([[7], [7], [8]]),))
    second.add((np.array([[8]]),))
    assert [list(map(tuple, group)) for group in find_duplicates([first, second]).groups] == [
        [(0, 2), (1, 0)],
        [(0, 0), (0, 1)],
    ]


def test_survey_in_small_parts_equals_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey_module, "_BATCH_BYTES", 100)
    images = RANDOM.integers(0, 256, (20, 2, 3, 3), np.uint8)
    images[12:14] = images[:2]
    labels = np.arange(20) % 3
    labels[12], labels[13] = labels[0], (labels[1] + 1) % 3
    training, test = Split.of(images[:12], labels[:12]), Split.of(images[12:], labels[12:])
    data = Dataset("some", ("a", "b", "c"), training, test, facts=ReadFacts("here"))
    facts = survey(data, {"training": training, "test": test})
    seen = facts["inputs"][0]["shares"]["training"]
    np.testing.assert_allclose(seen["mean"], (images[:12] / 255).mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(seen["deviation"], (images[:12] / 255).std((0, 2, 3)), rtol=1e-12)
    assert (seen["minimum"], seen["maximum"]) == (images[:12].min(), images[:12].max())
    counts = {name: [entry[name] for entry in facts["targets"][0]["classes"]] for name in ("training", "test")}
    assert counts == {"training": np.bincount(labels[:12]).tolist(), "test": np.bincount(labels[12:]).tolist()}
    assert facts["duplicates"]["across"] == [{"of": "test", "also_in": "training", "examples": 2}]
    assert facts["duplicates"]["different_labels"] == 2
    assert facts["duplicates"]["groups"][0] == [
        {"share": "training", "example": 0, "file": None},
        {"share": "test", "example": 0, "file": None},
    ]


def test_label_maps_count_positions_without_the_ignored_label() -> None:
    maps = RANDOM.integers(0, 3, (6, 4, 4))
    maps[0, 0] = 255
    share = Split.of(RANDOM.random((6, 1, 4, 4), np.float32), maps)
    empty = share.select(np.arange(0))
    facts = survey(Dataset("npz", (), share, empty), {"training": share, "test": empty}, ignored_label=255)
    (target,) = facts["targets"]
    assert [entry["training"] for entry in target["classes"]] == np.bincount(maps[maps != 255]).tolist()
    assert target["shares"]["training"] == {"ignored": 4}
    assert facts["inputs"][0]["shares"]["test"]["mean"] is None
    assert facts["duplicates"]["different_labels"] is None


def test_readers_name_what_they_do_not_read(tmp_path: Path) -> None:
    for name in ("train", "test"):
        (tmp_path / f"{name}.tsv").write_text("".join(f"{n % 2}\tword {n}\n" for n in range(8)))
    (tmp_path / "more.tsv").write_text("0\tword\n")
    np.savez(tmp_path / "a.npz", x=np.ones((9, 2), np.float32), y=np.arange(9) % 2)
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.writestr("notes.txt", "not an array")
    for name, path, unread in (("text", tmp_path, ["a.npz", "more.tsv"]), ("npz", tmp_path / "a.npz", ["notes.txt"])):
        lines: list[str] = []
        data = load(name, None, lines.append, path=str(path))
        assert (data.facts.source, list(data.facts.unread)) == (str(path), unread)
        assert f"{path}: not read: {', '.join(unread)}" in lines
