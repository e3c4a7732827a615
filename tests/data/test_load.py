"""Loading data sets by name, and what importing the package loads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cnnc.data import KNOWN, READERS, load
from cnnc.diagnostics import CnncError, Exit


def test_every_public_data_set_has_its_facts() -> None:
    assert set(READERS) - set(KNOWN) == {"images", "shards", "npz", "text", "series", "audio"}
    assert set(KNOWN) <= set(READERS)


def test_facts_are_consistent() -> None:
    for facts in KNOWN.values():
        assert len(set(facts.classes)) == len(facts.classes) > 1
        assert all(size > 0 for size in facts.shape)


@pytest.mark.parametrize(
    ("name", "help"),
    [
        ("mnits", "write `mnist`"),
        ("Digits", "write `digits`"),
        ("fashionmnist", "write `fashion_mnist`"),
        ("xyz", "the data sets are: digits, mnist, fashion_mnist, cifar10, images, shards, npz, text, series, audio"),
    ],
)
def test_unknown_name(name: str, help: str) -> None:
    with pytest.raises(CnncError) as caught:
        load(name)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "E601"
    assert caught.value.status is Exit.DATA
    assert diagnostic.message == f"there is no data set called `{name}`"
    assert diagnostic.help == help


def test_a_folder_for_bundled_data_is_mentioned(tmp_path: Path) -> None:
    lines: list[str] = []
    assert len(load("digits", tmp_path, lines.append).train) == 1437
    assert lines == [f"digits comes with cnnc; {tmp_path} is not read"]


def test_importing_loads_neither_numpy_nor_a_reader() -> None:
    code = (
        "import sys, cnnc.data; cnnc.data.KNOWN['cifar10']\n"
        "heavy = {'numpy', 'urllib.request', 'platformdirs', 'gzip', 'PIL', 'zipfile', 'cnnc.data.dataset'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
