"""The engine that trains with PyTorch, on the CPU or another device.

In: a run and one batch. Out: `StepResult`. Weights, buffers and slots begin as those of the run, and lie on the device
between steps; `fetch` copies them to the run. On the CPU most of them are the run's own arrays.

Batches, augmentation, learning rates and initial weights come from the training loop, as for every engine. On the CPU
dropout keeps the same elements as the NumPy engine does; on other devices the device's own generator decides, seeded by the
run's seed, epoch and step, so that a stopped and resumed run ends as an uninterrupted one does.

`TorchEngine` is written to be extended: `wrap`, `forward_backward`, `measured` and `update` are the parts of a step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from cnnc.core.arrays import Array, Weights
from cnnc.core.random_streams import Stream
from cnnc.graph.for_training import move_relus_behind_pools
from cnnc.graph.graph import Graph, verify
from cnnc.reference.engine import StepRandom
from cnnc.reference.registry import Random
from cnnc.torch.losses import BatchResult, batch_loss
from cnnc.torch.masks import kept_elements
from cnnc.torch.module import GraphModule
from cnnc.torch.optimizers import STEPS, clip_gradients, make_optimizer, set_slots, slots_of
from cnnc.torch.settings import torch_settings
from cnnc.training.divergence import diverged
from cnnc.training.objective import Feeds, Runner, feeds_of
from cnnc.training.run import Engine, Run, StepBatch, StepResult


class TorchState(NamedTuple):
    """What lives on the device during a run: the module, what a step calls in its place, and the optimizer.

    `parameters` are those that training changes, by full name.
    """

    module: GraphModule
    model: nn.Module
    optimizer: torch.optim.Optimizer
    parameters: Mapping[str, nn.Parameter]


class Measured(NamedTuple):
    """The results of a batch on the host."""

    loss: float
    right: int
    total: int


class TorchEngine(Engine):
    """Computes steps and scores with PyTorch."""

    name = "torch"

    def __init__(self) -> None:
        self.device = torch.device("cpu")
        self._state: TorchState | None = None
        self._steps = 0
        self._is_newer = False

    # --- a run ---------------------------------------------------------------------------------------------------------

    @contextmanager
    def running(self, run: Run) -> Iterator[None]:
        with torch_settings(self.device):
            self._steps = int(run.slots.get(STEPS, 0))
            self._state = self.build(run)
            try:
                yield
            finally:
                self.fetch(run)
                self._state = None

    @property
    def state(self) -> TorchState:
        """What lives on the device; only within `running`."""
        assert self._state is not None
        return self._state

    def build(self, run: Run) -> TorchState:
        """The module with the weights of the run, and the optimizer with its slots."""
        graph, op = training_graph(run), run.recipe.optimizer
        weights = {name: self.on_device(array) for name, array in run.weights.items()}
        module = GraphModule(graph, run.objective.activations, weights)
        learned = {name: t for name, t in module.tensors.items() if isinstance(t, nn.Parameter) and t.requires_grad}
        for name in learned:
            for slot in op.slots:
                run.slots.setdefault(f"{name}.{slot}", np.zeros_like(run.weights[name]))
        names = [f"{name}.{slot}" for name in learned for slot in op.slots]
        optimizer = make_optimizer(op, learned.values(), fused=self.device.type in ("cpu", "cuda"))
        set_slots(op, optimizer, learned, {name: self.on_device(run.slots[name]) for name in names}, self._steps)
        return TorchState(module, self.wrap(module), optimizer, learned)

    def wrap(self, module: GraphModule) -> nn.Module:
        """What a step calls in place of the module."""
        return module

    def fetch(self, run: Run) -> None:
        if self._state is None or not self._is_newer:
            return
        module, optimizer = self._state.module, self._state.optimizer
        for name, tensor in module.tensors.items():
            _copy_to_host(tensor, run.weights[name])
        for name, tensor in slots_of(run.recipe.optimizer, optimizer, self._state.parameters).items():
            _copy_to_host(tensor, run.slots[name])
        if run.recipe.optimizer.counts_steps:
            run.slots[STEPS] = np.array(self._steps, np.int64)
        self._is_newer = False

    # --- a step --------------------------------------------------------------------------------------------------------

    def step(self, run: Run, batch: StepBatch, random: Random | None = None) -> StepResult:
        result, statistics = self.forward_backward(run, batch, random)
        measured = self.measured(result)
        if not math.isfinite(measured.loss):
            self.state.optimizer.zero_grad()
            self.fetch(run)
            raise diverged(run, feeds_of(run.graph, batch.inputs), batch.epoch, batch.step)
        self.update(run, run.rate(batch.epoch, batch.step))
        self.state.module.update_statistics(statistics)
        self._steps, self._is_newer = self._steps + 1, True
        return StepResult(*measured)

    def forward_backward(
        self, run: Run, batch: StepBatch, random: Random | None
    ) -> tuple[BatchResult, list[tuple[Tensor, Tensor]]]:
        """The loss of a batch, whose gradients are then those of the parameters, and what batch norm measured."""
        feeds = {name: self.on_device(array) for name, array in feeds_of(run.graph, batch.inputs).items()}
        targets = [self.on_device(column) for column in batch.targets]
        kept = self.kept(run, batch, random)
        activations, statistics = self.state.model(feeds, kept)
        result = batch_loss(run.objective, activations, targets)
        if result.loss.requires_grad:
            result.loss.backward()
        return BatchResult(result.loss.detach(), result.counts), statistics

    def kept(self, run: Run, batch: StepBatch, random: Random | None) -> dict[str, Tensor]:
        """Which elements dropout keeps, where NumPy decides; elsewhere seeds the generator of the device."""
        graph = run.training_graph
        if self.device.type == "cpu" or random is not None:
            random = random or StepRandom(run.recipe.seed, batch.epoch, batch.step)
            masks = kept_elements(graph, run.objective.activations, len(batch.inputs[0]), random)
            return {name: mask.to(self.device) for name, mask in masks.items()}
        key = Stream.STEP_SEED.key(run.recipe.seed, batch.epoch, batch.step)
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1))
        return {}

    def measured(self, result: BatchResult) -> Measured:
        """The results of a batch, copied to the host."""
        right, total = result.counts.tolist()
        return Measured(float(result.loss), right, total)

    def update(self, run: Run, rate: float) -> None:
        """Changes the parameters by their gradients, and drops these."""
        state = self.state
        if run.recipe.clip is not None:
            clip_gradients(state.parameters.values(), run.recipe.clip)
        for group in state.optimizer.param_groups:
            group["lr"] = rate
        state.optimizer.step()
        state.optimizer.zero_grad()

    # --- scoring ---------------------------------------------------------------------------------------------------------

    def runner(self, run: Run, weights: Weights) -> Runner:
        names = run.objective.activations
        module = GraphModule(run.graph, names, {name: self.on_device(array) for name, array in weights.items()}).eval()

        def outputs(feeds: Feeds) -> Mapping[str, Array]:
            with torch.inference_mode():
                activations, _ = module({name: self.on_device(array) for name, array in feeds.items()}, {})
            return {name: tensor.to("cpu", torch.float32).numpy() for name, tensor in activations.items()}

        return run.objective.model(outputs, names)

    def on_device(self, array: Array) -> Tensor:
        """The array as a tensor of the device; on the CPU it shares the array's memory."""
        array = np.ascontiguousarray(array)
        return torch.from_numpy(array if array.flags.writeable else array.copy()).to(self.device)


def training_graph(run: Run) -> Graph:
    """The graph that a step runs: relus behind max pools have fewer elements to process."""
    return verify(move_relus_behind_pools(run.graph, set(run.objective.activations)))


def _copy_to_host(tensor: Tensor, array: Array) -> None:
    """Copies a tensor into the array, unless it is the array's own memory."""
    tensor = tensor.detach()
    if tensor.device.type != "cpu" or tensor.data_ptr() != array.ctypes.data:
        array[...] = tensor.cpu().numpy()
