"""The program in docs/language.md that writes shards."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest

from cnnc.data import load
from tests.data.test_images import GREY, by_class, folder_of
from tests.paths import ROOT


def test_its_shards_hold_the_images_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(# make_shards\.py\n.*?)```", text, re.DOTALL)
    (tmp_path / "make_shards.py").write_text(program, encoding="utf-8")
    photos, shards = folder_of(tmp_path / "photos", by_class(6, 5)), tmp_path / "shards"
    monkeypatch.setattr(sys, "argv", ["make_shards.py", str(photos), str(shards), "4"])
    runpy.run_path(str(tmp_path / "make_shards.py"))
    assert sorted(path.name for path in shards.iterdir()) == [f"train-{n:03d}.tar" for n in range(3)]
    packed = load("shards", path=str(shards / "train-{000..002}.tar"), inputs=GREY, classes=2)
    unpacked = load("images", path=str(photos), inputs=GREY, classes=2)
    assert packed.classes == unpacked.classes == ("cat", "dog")
    assert packed.train.images.tobytes() == unpacked.train.images.tobytes()
    assert packed.test.labels.tolist() == unpacked.test.labels.tolist()
