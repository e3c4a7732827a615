"""The optimizers on PyTorch, in a table keyed by the classes of recipe/optimizers.py.

In: the statement and the parameters by name. Out: a torch.optim.Optimizer whose state is that of the NumPy trainer, under
PyTorch's names; `slots_of` and `set_slots` translate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from cnnc.recipe.optimizers import Adam, AdamW, Lion, Optimizer, RmsProp, Sgd

STEPS = "steps"
"""The slot that counts steps, in checkpoints."""

Maker = Callable[[Any, Iterable[nn.Parameter], bool], torch.optim.Optimizer]
"""(statement, parameters, whether the device has fused kernels) -> optimizer"""


class Rule(NamedTuple):
    """How to make an optimizer, and the name in PyTorch's state of each slot."""

    make: Maker
    state_names: Mapping[str, str]


RULES: dict[type[Optimizer], Rule] = {}

TorchUpdate = Callable[..., None]
"""(optimizer, rate, step, weight, gradient, *slots): as `UpdateRule` in training/optimizers.py, on tensors."""

U = TypeVar("U", bound=TorchUpdate)
M = TypeVar("M", bound=Maker)


def optimizer_of(cls: type[Optimizer], **state_names: str) -> Callable[[M], M]:
    """Registers how an optimizer of torch.optim is made; the names are those of PyTorch's state, by slot."""

    def register(make: M) -> M:
        RULES[cls] = Rule(make, state_names)
        return make

    return register


@optimizer_of(Sgd, velocity="momentum_buffer")
def _sgd(op: Sgd, parameters: Iterable[nn.Parameter], fused: bool) -> torch.optim.Optimizer:
    nesterov = op.nesterov and op.momentum > 0
    return torch.optim.SGD(parameters, op.lr, op.momentum, weight_decay=op.weight_decay, nesterov=nesterov, fused=fused)


@optimizer_of(Adam, mean="exp_avg", square="exp_avg_sq")
def _adam(op: Adam, parameters: Iterable[nn.Parameter], fused: bool) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, op.lr, (op.beta1, op.beta2), op.eps, op.weight_decay, fused=fused)


@optimizer_of(AdamW, mean="exp_avg", square="exp_avg_sq")
def _adamw(op: AdamW, parameters: Iterable[nn.Parameter], fused: bool) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, op.lr, (op.beta1, op.beta2), op.eps, op.weight_decay, fused=fused)


@optimizer_of(RmsProp, square="square_avg", velocity="momentum_buffer")
def _rmsprop(op: RmsProp, parameters: Iterable[nn.Parameter], fused: bool) -> torch.optim.Optimizer:
    return torch.optim.RMSprop(parameters, op.lr, op.decay, op.eps, op.weight_decay, op.momentum)


# --- optimizers that torch.optim lacks ---------------------------------------------------------------------------------


class RuleOptimizer(torch.optim.Optimizer):  # type: ignore[misc]
    """An optimizer whose rule is written here; its state has the names of the slots."""

    def __init__(self, op: Optimizer, rule: TorchUpdate, parameters: Iterable[nn.Parameter]) -> None:
        super().__init__(parameters, {"lr": op.lr})
        self.op, self.rule = op, rule

    def step(self, closure: None = None) -> None:
        """One step of all parameters that have a gradient."""
        with torch.no_grad():
            for group in self.param_groups:
                for weight in group["params"]:
                    if weight.grad is not None:
                        self._update(group["lr"], weight)

    def _update(self, rate: float, weight: Tensor) -> None:
        state, step = self.state[weight], 0
        if self.op.counts_steps:
            state["step"] += 1
            step = int(state["step"])
        self.rule(self.op, rate, step, weight, weight.grad, *(state[slot] for slot in self.op.slots))


def update_of(cls: type[Optimizer]) -> Callable[[U], U]:
    """Registers the update rule of an optimizer."""

    def register(rule: U) -> U:
        names = _SameNames()
        RULES[cls] = Rule(lambda op, parameters, fused: RuleOptimizer(op, rule, parameters), names)
        return rule

    return register


class _SameNames(dict[str, str]):
    """Maps every name to itself."""

    def __missing__(self, key: str) -> str:
        return key


@update_of(Lion)
def _lion(op: Lion, rate: float, step: int, weight: Tensor, gradient: Tensor, momentum: Tensor) -> None:
    """w ← w − rate·(sign(β₁·m + (1 − β₁)·g) + weight_decay·w), then m ← β₂·m + (1 − β₂)·g (Chen et al. 2023)."""
    direction = (momentum * op.beta1).add_(gradient, alpha=1 - op.beta1).sign_()
    if op.weight_decay:
        direction.add_(weight, alpha=op.weight_decay)
    weight.sub_(direction, alpha=rate)
    momentum.mul_(op.beta2).add_(gradient, alpha=1 - op.beta2)


# --- state, and clipping -------------------------------------------------------------------------------------------------


def make_optimizer(op: Optimizer, parameters: Iterable[nn.Parameter], fused: bool) -> torch.optim.Optimizer:
    """The optimizer of a recipe for these parameters."""
    return RULES[type(op)].make(op, list(parameters), fused)


def set_slots(
    op: Optimizer,
    optimizer: torch.optim.Optimizer,
    parameters: Mapping[str, nn.Parameter],
    slots: Mapping[str, Tensor],
    steps: int,
) -> None:
    """Gives the optimizer its state: the slot of each parameter by full name (`conv1.weight.velocity`), zeros at first."""
    names = RULES[type(op)].state_names
    fused = bool(optimizer.defaults.get("fused"))
    for full, parameter in parameters.items():
        state = {names[slot]: slots[f"{full}.{slot}"] for slot in op.slots}
        if op.counts_steps or (isinstance(op, RmsProp)):
            device = parameter.device if fused else torch.device("cpu")
            state["step"] = torch.tensor(float(steps), dtype=torch.float32, device=device)
        optimizer.state[parameter] = state


def slots_of(
    op: Optimizer, optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter]
) -> dict[str, Tensor]:
    """The state of the optimizer as slots by full name, without the number of steps."""
    names = RULES[type(op)].state_names
    return {
        f"{full}.{slot}": optimizer.state[parameter][names[slot]]
        for full, parameter in parameters.items()
        for slot in op.slots
    }


def clip_gradients(parameters: Iterable[nn.Parameter], norm: float) -> None:
    """Scales all gradients down, in place, where the norm of all of them together exceeds `norm`.

    Unlike torch.nn.utils.clip_grad_norm_ it adds nothing to the norm that it divides by.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if gradients:
        total = torch.nn.utils.get_total_norm(gradients)
        torch._foreach_mul_(gradients, (norm / total).clamp(max=1))
