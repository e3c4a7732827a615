"""What a train section means that says little, and what settings of the command line make of one."""

from __future__ import annotations

import pytest

from cnnc.diagnostics import CnncError
from cnnc.network import check
from cnnc.recipe.losses import CrossEntropy
from cnnc.recipe.optimizers import Adam, Sgd
from cnnc.recipe.recipe import Recipe, require_recipe
from cnnc.recipe.schedules import Constant

HEAD = "input 1x8x8\nfc 10\nsoftmax\n"


def recipe(section: str, *settings: str) -> Recipe:
    network = check(f"{HEAD}train {{ {section} }}", "net.cnn", settings)
    network.require_graph()
    return require_recipe(network.recipe, network.name)


def test_data_alone_is_enough() -> None:
    found = recipe("data digits")
    assert (found.data.name, found.data.val) == ("digits", 0.1)
    assert found.losses[0].kind == "cross_entropy"
    assert found.optimizer == Sgd(lr=0.01, momentum=0.9, nesterov=False, weight_decay=0)
    assert found.schedule == Constant(warmup=0)
    assert (found.batch, found.epochs, found.seed) == (32, 10, 0)
    assert found.augment is None


def test_keys_left_out() -> None:
    assert recipe("data digits; optimizer adam").optimizer == Adam(
        lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0
    )
    assert recipe("data digits; optimizer sgd lr=1").optimizer == Sgd(lr=1, momentum=0, nesterov=False, weight_decay=0)


def test_settings_replace_and_add() -> None:
    found = recipe("data digits; batch 64", "train.batch=16", "train.epochs=2", "train.data.val=0.3", "train.seed=5")
    assert (found.batch, found.epochs, found.seed, found.data.val) == (16, 2, 5, 0.3)
    assert recipe("data digits; optimizer adam", "train.optimizer.lr=0.5").optimizer.lr == 0.5


def test_a_setting_of_an_argument_keeps_the_rest_of_the_default() -> None:
    found = recipe("data digits", "train.optimizer.lr=0.5", "train.loss.smoothing=0.1", "train.schedule.warmup=2")
    assert found.optimizer == Sgd(lr=0.5, momentum=0.9, nesterov=False, weight_decay=0)
    assert found.losses == (CrossEntropy.make(smoothing=0.1),)
    assert found.schedule == Constant(warmup=2)


def test_a_setting_without_a_train_section() -> None:
    (error,) = check(HEAD, "net.cnn", ["train.epochs=2"]).diagnostics
    assert (error.code, error.message) == ("E115", "net has no train section to set `train.epochs` in")


def test_no_train_section() -> None:
    network = check(HEAD, "net.cnn")
    with pytest.raises(CnncError) as caught:
        require_recipe(network.recipe, network.name)
    assert [d.code for d in caught.value.diagnostics] == ["E509"]
