"""docs/files.md names every key of a checkpoint, of a model's metadata and of metrics.jsonl, and every file of a run."""

from __future__ import annotations

import re

import pytest

import cnnc
from cnnc.onnx import metadata, source_map
from cnnc.training.checkpoint import facts_of
from tests.paths import DOCS
from tests.report.test_docs import FENCE

TEXT = (DOCS / "files.md").read_text(encoding="utf-8")
NAMED = set(re.findall(r"`([^`\n]+)`", FENCE.sub("", TEXT)))


def test_checkpoints() -> None:
    keys = facts_of(cnnc.Model(cnnc.check("input 4; fc 2")).checkpoint()).keys()
    assert (
        keys | {"progress", "origin", "engine", "provider", "engine_options", "dataset", "machine", "columns"} <= NAMED
    )


@pytest.mark.parametrize("module", [metadata, source_map])
def test_metadata(module: object) -> None:
    values = {value for value in vars(module).values() if isinstance(value, str) and value.startswith("cnnc.")}
    values -= {vars(module)["__name__"], vars(module).get("__package__")}
    assert values
    assert values <= NAMED


def test_metrics(tmp_path: object) -> None:
    network = cnnc.check("input 1x8x8; fc 10; train { data digits; epochs 1; batch 512 }")
    (row,) = cnnc.train(network, f"{tmp_path}/run", progress=False).rows
    assert {"val_NAME" if name == "val_accuracy" else name for name in row} <= NAMED
