"""Targets that go with an output and its loss, and those that do not; metrics and the losses they are counted on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnc.diagnostics import CnncError, Diagnostic
from cnnc.network import check
from cnnc.recipe.augmentation import Augment
from cnnc.training.augment import augment
from cnnc.training.loop import open_data, start, train
from cnnc.training.objective import Objective

RANDOM = np.random.default_rng(0)
X = RANDOM.random((40, 1, 4, 4), np.float32)
LABELS = RANDOM.integers(0, 3, 40)


def network_of(end: str, section: str) -> Any:
    return check(f'input 1x4x4\n{end}\ntrain {{ data npz "a.npz"; {section}; epochs 1 }}')


def told(folder: Path, end: str, section: str, **arrays: Any) -> Diagnostic | None:
    """What is wrong with these arrays for a network that ends so."""
    np.savez(folder / "a.npz", **{"x": X, **arrays})
    network = network_of(end, section)
    data = open_data(network, folder, lambda line: None)
    try:
        Objective(network.require_graph(), network.recipe, data)
    except CnncError as error:
        return error.diagnostics[0]
    return None


@pytest.mark.parametrize(
    ("y", "help"),
    [
        (LABELS.astype(np.float32), "y.astype(np.int64)"),
        (np.eye(3, dtype=np.float32)[LABELS], "y.argmax(1)"),
        (np.eye(3, dtype=np.int64)[LABELS], "y.argmax(1)"),
    ],
)
def test_what_is_meant_as_labels_and_is_none(tmp_path: Path, y: Any, help: str) -> None:
    found = told(tmp_path, "fc 3", "loss cross_entropy", y=y)
    assert found is not None
    assert (found.code, help in found.help) == ("E610", True)


def test_labels_where_values_are_compared(tmp_path: Path) -> None:
    found = told(tmp_path, "fc 4; sigmoid", "loss bce", y=RANDOM.integers(0, 2, (40, 4)))
    assert found is not None
    assert found.message == "bce compares with values; npz has labels of 4"
    assert "y.astype(np.float32)" in found.help
    assert told(tmp_path, "fc 4; sigmoid", "loss bce", y=RANDOM.integers(0, 2, (40, 4)).astype(np.float32)) is None
    found = told(tmp_path, "fc 1", "loss mse", y=LABELS)
    assert found is not None
    assert "labels of one number" in found.message


@pytest.mark.parametrize(("least", "largest"), [(0, 5), (-1, 1)])
def test_bce_beyond_0_and_1(tmp_path: Path, least: float, largest: float) -> None:
    values = np.linspace(least, largest, 160, dtype=np.float32)
    found = told(tmp_path, "fc 4; sigmoid", "loss bce", y=values.reshape(40, 4))
    assert found is not None
    assert f"npz has targets from {least} to {largest}" in found.message
    found = told(tmp_path, "sigmoid", "loss bce target=input", x=np.resize(values, X.shape))
    assert found is not None
    assert f"npz has inputs from {least} to {largest}" in found.message


def test_bce_from_0_to_1(tmp_path: Path) -> None:
    assert told(tmp_path, "sigmoid", "loss bce target=input") is None
    assert told(tmp_path, "fc 2; sigmoid", "loss bce", y=np.ones((40, 2), np.float32)) is None
    assert told(tmp_path, "sigmoid", "loss bce target=input", x=(X * 255).astype(np.uint8)) is None


TWO_HEADS = "h: fc 8\na: fc 3\nfrom h\nb: fc 5\noutput a b"
TWO_LOSSES = "loss cross_entropy on=a; loss cross_entropy on=b"


def test_two_heads_of_different_numbers_of_classes(tmp_path: Path) -> None:
    assert told(tmp_path, TWO_HEADS, TWO_LOSSES, a=LABELS, b=np.arange(40) % 5) is None
    found = told(tmp_path, TWO_HEADS, TWO_LOSSES, a=LABELS, b=np.arange(40) % 6)
    assert found is not None
    assert (found.code, found.message) == ("E610", "npz has the label 5; the output has 5 classes")
    assert found.span is not None
    assert found.span.text == "b: fc 5"


def test_a_class_that_does_not_count_may_lie_beyond(tmp_path: Path) -> None:
    ignoring = "loss cross_entropy on=a; loss cross_entropy on=b ignore=255"
    assert told(tmp_path, TWO_HEADS, ignoring, a=LABELS, b=np.where(np.arange(40) % 2, 255, 4)) is None


@pytest.mark.parametrize(
    ("section", "wrong"),
    [
        ("loss cross_entropy; metric mse", "mse"),
        ("loss cross_entropy; metric accuracy; metric psnr", "psnr"),
        ("loss mse; metric accuracy", "accuracy"),
        ("loss mse; metric iou", "iou"),
    ],
)
def test_a_metric_without_a_loss_that_it_goes_with(section: str, wrong: str) -> None:
    (found,) = network_of("fc 3", section).diagnostics
    assert (found.code, found.message.split()[0]) == ("E513", wrong)


@pytest.mark.parametrize("order", [("cross_entropy on=a", "mse on=b"), ("mse on=b", "cross_entropy on=a")])
def test_each_metric_is_counted_on_the_loss_that_it_goes_with(tmp_path: Path, order: tuple[str, str]) -> None:
    values = RANDOM.normal(size=(40, 5)).astype(np.float32)
    np.savez(tmp_path / "a.npz", x=X, a=LABELS, b=values, x_test=X, a_test=LABELS, b_test=values)
    network = network_of(TWO_HEADS, f"loss {order[0]}; loss {order[1]}; metric accuracy; metric mse")
    data = open_data(network, tmp_path, lambda line: None)
    run = train(start(network, data, tmp_path / "run"))
    made = run.run.objective.network(run.run.weights)({"input1": X}).values
    assert run.test is not None
    assert run.test.result == pytest.approx((made["a"].argmax(-1) == LABELS).mean())
    assert dict(run.test.others)["mse"] == pytest.approx(np.square(made["b"] - values).mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("input 5; fc 3 | loss cross_entropy; augment noise=0.1", False),
        ("input 1x8; fc 3 | loss cross_entropy; augment flip", False),
        ("input 5 dtype=int64; embed 4 vocab=9; fc 3 | loss cross_entropy; augment noise=0.1", False),
        ("input 1x8x8; fc 3 | loss cross_entropy; augment flip", True),
        ("input 1x8x8; conv 3 k=1; global_pool avg | loss cross_entropy; augment flip", True),
        ("input 1x8x8; conv 3 k=1 | loss cross_entropy; augment flip", True),
        ("input 5 dtype=int64; embed 4 vocab=9; fc 3 | loss cross_entropy; augment brightness=0.1", False),
        ("input 1x8; fc 3 | loss cross_entropy; augment contrast=0.1", False),
        ("input 1x8x8; conv 3 k=1 | loss cross_entropy; augment noise=0.1 cutout=2", True),
        ("input 1x8x8; conv 3 k=1 | loss cross_entropy; augment brightness=0.1 contrast=0.2", True),
        ("input 1x8x8; conv 1 k=1 | loss mse; augment shift=1", True),
        ("input 1x8x8; conv 3 k=1; reshape 3x64 | loss mse; augment shift=1", False),
        ("input 1x8x8; conv 3 k=1; reshape 3x64 | loss mse; augment noise=0.1", True),
        ("input 1x8x8; fc 3 | loss cross_entropy; augment jitter=0.1", False),
        ("input 1x8; fc 3 | loss cross_entropy; augment jitter=0.1 scaling=0.1 time_shift=2 time_mask=3 mixup=1", True),
        ("input 1x8; fc 3 | loss cross_entropy; augment cutmix=1", False),
        ("input 1x8x8; fc 3 | loss cross_entropy; augment mixup=0.2 cutmix=1", True),
        ("input 1x8x8; conv 3 k=1 | loss cross_entropy; augment mixup=0.2", False),
        ("input 1x8x8; conv 3 k=1 | loss cross_entropy; augment cutmix=1", True),
        ("input 1x8x8; conv 1 k=1 | loss bce; augment mixup=0.2 cutmix=1", True),
        (
            "a: input 1x8x8; b: input 1x8x8; add a; fc 3 | loss cross_entropy; augment mixup=0.2",
            False,
        ),
        ("input 8; fc 3 | loss mse; augment jitter=0.1", False),
        ("input 1x8x8; conv 1 k=1 | loss mse target=input; augment shift=1", True),
    ],
)
def test_what_may_be_augmented(text: str, right: bool) -> None:
    layers, _, section = text.partition(" | ")
    found = check(f'{layers}\ntrain {{ data npz "a.npz"; {section} }}').diagnostics
    assert [d.code for d in found] == ([] if right else ["E514"])


@pytest.mark.parametrize(("step", "value"), [("rotate", 20.0), ("noise", 0.01), ("cutout", 2), ("shift", 1)])
def test_pictures_of_floats_stay_floats(step: str, value: float) -> None:
    arguments: dict[str, Any] = {step: value}
    how = Augment.make(**arguments)
    found = augment(X - np.float32(0.5), how, np.random.default_rng(0))
    assert found.dtype == np.float32
    assert len(np.unique(found)) > X.size / 2, "not rounded to whole numbers"
    assert np.abs(found).max() < 0.6
    grey = augment(np.full((4, 1, 8, 8), 0.5, np.float32), Augment.make(noise=0.1), np.random.default_rng(0))
    assert grey.std() == pytest.approx(0.1, rel=0.2)


def test_a_metric_without_bound_is_null_in_json(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=X)
    network = network_of("identity", "loss mse target=input; metric psnr")
    train(start(network, open_data(network, tmp_path, lambda line: None), tmp_path / "run"))
    for name in ("metrics.jsonl", "test.json"):
        text = (tmp_path / "run" / name).read_text()
        assert "Infinity" not in text
        assert '"val_psnr": null' in text or '"psnr": null' in text
