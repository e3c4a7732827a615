"""The optimizers against the published rules, written out longhand in float64, and against PyTorch where it is there."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from cnnc.core.arguments import Word
from cnnc.core.arrays import Array, Weights
from cnnc.recipe.statements import Adam, AdamW, Optimizer, RmsProp, Sgd
from cnnc.training.optimizers import clip, update

STEPS = 12
SHAPES = {"conv1.weight": (3, 2, 3, 3), "fc1.bias": (5,)}
RATES = [0.1 * (1 + math.cos(math.pi * step / STEPS)) for step in range(STEPS)]


def sgd(momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0) -> Sgd:
    return Sgd(kind="sgd", lr=0.1, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)


def adam(beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8, weight_decay: float = 0.0) -> Adam:
    return Adam(kind="adam", lr=0.1, beta1=beta1, beta2=beta2, eps=eps, weight_decay=weight_decay)


SGD = [sgd(), sgd(0.9), sgd(0.9, True), sgd(0.8, False, 0.05), sgd(0.8, True, 0.05)]
ADAM = [adam(), adam(0.5, 0.75, 1e-3), adam(weight_decay=0.05)]


def weights_and_gradients(dtype: Any = np.float64) -> tuple[Weights, list[Weights]]:
    random = np.random.default_rng(7)

    def draw() -> Weights:
        return {name: random.normal(0, 1, shape).astype(dtype) for name, shape in SHAPES.items()}

    return draw(), [draw() for _ in range(STEPS)]


def trained(optimizer: Optimizer, dtype: Any = np.float64) -> Weights:
    weights, gradients = weights_and_gradients(dtype)
    slots: Weights = {}
    for gradient, rate in zip(gradients, RATES, strict=True):
        update(optimizer, weights, gradient, slots, rate)
    return weights


def sgd_by_hand(op: Sgd, name: str) -> Array:
    """Sutskever et al. 2013, in the form that keeps the gradient's scale: v = mu*v + g, w = w - rate*v."""
    weights, gradients = weights_and_gradients()
    w = weights[name]
    v = np.zeros_like(w)
    for gradient, rate in zip(gradients, RATES, strict=True):
        g = gradient[name] + op.weight_decay * w
        v = op.momentum * v + g
        w = w - rate * (g + op.momentum * v if op.nesterov else v)
    return w


def adam_by_hand(op: Adam, name: str) -> Array:
    """Kingma & Ba 2015, algorithm 1, line by line."""
    weights, gradients = weights_and_gradients()
    theta = weights[name]
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    for t, (gradient, alpha) in enumerate(zip(gradients, RATES, strict=True), start=1):
        g = gradient[name] + op.weight_decay * theta
        m = op.beta1 * m + (1 - op.beta1) * g
        v = op.beta2 * v + (1 - op.beta2) * g**2
        m_hat = m / (1 - op.beta1**t)
        v_hat = v / (1 - op.beta2**t)
        theta = theta - alpha * m_hat / (np.sqrt(v_hat) + op.eps)
    return theta


@pytest.mark.parametrize("op", SGD, ids=repr)
@pytest.mark.parametrize("name", SHAPES)
def test_sgd_is_the_published_rule(op: Sgd, name: str) -> None:
    np.testing.assert_allclose(trained(op)[name], sgd_by_hand(op, name), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("op", ADAM, ids=repr)
@pytest.mark.parametrize("name", SHAPES)
def test_adam_is_the_published_rule(op: Adam, name: str) -> None:
    np.testing.assert_allclose(trained(op)[name], adam_by_hand(op, name), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("op", [*SGD, *ADAM], ids=repr)
def test_float32_stays_float32(op: Optimizer) -> None:
    weights, gradients = weights_and_gradients(np.float32)
    kept = dict(weights)
    slots: Weights = {}
    for gradient, rate in zip(gradients, RATES, strict=True):
        update(op, weights, gradient, slots, rate)
    assert {array.dtype for array in weights.values()} == {np.dtype(np.float32)}
    assert all(array.dtype == np.float32 for name, array in slots.items() if name != "steps")
    assert all(weights[name] is kept[name] for name in SHAPES), "weights are changed where they are"
    exact = trained(op)
    for name in SHAPES:
        np.testing.assert_allclose(weights[name], exact[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("op", [*SGD, *ADAM], ids=repr)
def test_gradients_are_left_alone(op: Optimizer) -> None:
    weights, gradients = weights_and_gradients()
    before = {name: array.copy() for name, array in gradients[0].items()}
    slots: Weights = {}
    update(op, weights, gradients[0], slots, 0.1)
    update(op, weights, gradients[0], slots, 0.1)
    for name in SHAPES:
        np.testing.assert_array_equal(gradients[0][name], before[name])


@pytest.mark.parametrize("op", [*SGD, *ADAM], ids=repr)
def test_a_weight_without_gradient_stays(op: Optimizer) -> None:
    weights, gradients = weights_and_gradients()
    before = weights["fc1.bias"].copy()
    update(op, weights, {"conv1.weight": gradients[0]["conv1.weight"]}, {}, 0.1)
    np.testing.assert_array_equal(weights["fc1.bias"], before)


@pytest.mark.long
@pytest.mark.parametrize("op", [*SGD, *ADAM], ids=repr)
def test_pytorch_agrees(op: Optimizer) -> None:
    torch = pytest.importorskip("torch")
    weights, gradients = weights_and_gradients()
    theirs = {name: torch.nn.Parameter(torch.tensor(array)) for name, array in weights.items()}
    options: dict[str, Any]
    if isinstance(op, Sgd):
        options = {"momentum": op.momentum, "nesterov": op.nesterov, "weight_decay": op.weight_decay}
        optimizer = torch.optim.SGD(theirs.values(), lr=1.0, **options)
    else:
        assert isinstance(op, Adam)
        options = {"betas": (op.beta1, op.beta2), "eps": op.eps, "weight_decay": op.weight_decay}
        optimizer = torch.optim.Adam(theirs.values(), lr=1.0, **options)
    for gradient, rate in zip(gradients, RATES, strict=True):
        optimizer.param_groups[0]["lr"] = rate
        for name, parameter in theirs.items():
            parameter.grad = torch.tensor(gradient[name])
        optimizer.step()
    ours = trained(op)
    for name in SHAPES:
        np.testing.assert_allclose(ours[name], theirs[name].detach().numpy(), rtol=1e-9, atol=1e-10)


def test_adamw_takes_its_decay_from_the_weight_and_not_from_the_gradient() -> None:
    """Loshchilov & Hutter 2019, algorithm 2."""
    op = AdamW.make(kind=Word("adamw"), lr=0.1, weight_decay=0.2)
    weights, gradients = weights_and_gradients()
    for name, w in weights.items():
        m, v = np.zeros_like(w), np.zeros_like(w)
        for t, (gradient, rate) in enumerate(zip(gradients, RATES, strict=True), 1):
            m = 0.9 * m + 0.1 * gradient[name]
            v = 0.999 * v + 0.001 * gradient[name] ** 2
            w = w - rate * 0.2 * w - rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        np.testing.assert_allclose(trained(op)[name], w, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("momentum", [0, 0.9])
def test_rmsprop(momentum: float) -> None:
    op = RmsProp.make(kind=Word("rmsprop"), lr=0.1, decay=0.9, momentum=momentum, weight_decay=0.01)
    weights, gradients = weights_and_gradients()
    for name, w in weights.items():
        v, b = np.zeros_like(w), np.zeros_like(w)
        for gradient, rate in zip(gradients, RATES, strict=True):
            g = gradient[name] + 0.01 * w
            v = 0.9 * v + 0.1 * g**2
            b = momentum * b + g / (np.sqrt(v) + 1e-8)
            w = w - rate * b
        np.testing.assert_allclose(trained(op)[name], w, rtol=1e-9, atol=1e-12)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["adamw", "rmsprop"])
def test_against_torch(kind: str) -> None:
    torch = pytest.importorskip("torch")
    weights, gradients = weights_and_gradients()
    made = {name: torch.nn.Parameter(torch.tensor(w)) for name, w in weights.items()}
    ours: Optimizer = AdamW.make(kind=Word("adamw"), lr=0.01, weight_decay=0.1)
    theirs = torch.optim.AdamW(made.values(), lr=0.01, weight_decay=0.1)
    if kind == "rmsprop":
        ours = RmsProp.make(kind=Word("rmsprop"), lr=0.01, momentum=0.9)
        theirs = torch.optim.RMSprop(made.values(), lr=0.01, momentum=0.9)
    slots: Weights = {}
    for step in range(100):
        gradient = gradients[step % STEPS]
        for name, parameter in made.items():
            parameter.grad = torch.tensor(gradient[name])
        theirs.step()
        update(ours, weights, gradient, slots, 0.01)
    for name, parameter in made.items():
        np.testing.assert_allclose(weights[name], parameter.detach().numpy(), rtol=1e-6, atol=1e-9)


def test_clip_scales_all_gradients_by_their_common_norm() -> None:
    gradients = {"a": np.array([3.0, 0.0]), "b": np.array([[4.0]])}
    clip(gradients, 10)
    assert gradients["a"][0] == 3
    clip(gradients, 1)
    np.testing.assert_allclose([gradients["a"][0], gradients["b"][0, 0]], [0.6, 0.8])
