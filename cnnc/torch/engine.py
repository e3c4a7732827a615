"""The engine that trains with PyTorch, on the CPU or another device.

In: a run and one batch. Out: `StepResult`. Weights, buffers and slots begin as those of the run, and lie on the device
between steps; `fetch` copies them to the run. On the CPU most of them are the run's own arrays.

Batches, augmentation, learning rates and initial weights come from the training loop, as for every engine. On the CPU
dropout keeps the same elements as the NumPy engine does; on other devices the device's own generator decides, seeded by the
run's seed, epoch and step, so that a stopped and resumed run ends as an uninterrupted one does.

Parts of a step, which an engine that extends this one may replace: `wrap` (what a step calls in place of the module),
`forward_backward` (from one or more calls of `one_pass`), `measured` (loss and counts of the whole batch), `update`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from cnnc.core.arrays import Array, Weights
from cnnc.core.random_streams import Stream
from cnnc.graph.for_training import move_relus_behind_pools
from cnnc.graph.graph import Graph, Node, verify
from cnnc.reference.engine import StepRandom
from cnnc.reference.registry import Random
from cnnc.torch.devices import autocast_type, device_named, machine_of, peak_memory, reset_peak_memory, total_memory
from cnnc.torch.feeds import check_integers, tensor_of
from cnnc.torch.layers import Statistics
from cnnc.torch.losses import BatchResult, batch_loss
from cnnc.torch.masks import dropping_nodes, kept_elements
from cnnc.torch.module import GraphModule
from cnnc.torch.optimizers import STEPS, clip_gradients, make_optimizer, set_slots, slots_of
from cnnc.torch.out_of_memory import is_out_of_memory, out_of_memory
from cnnc.torch.settings import torch_settings
from cnnc.training.divergence import diverged
from cnnc.training.objective import Feeds, Runner, feeds_of
from cnnc.training.run import Engine, Run, StepBatch, StepResult

LOSS_SCALE = "loss_scale"
"""The slot of fp16: the factor of the loss, and the steps since it last changed."""


class TorchState(NamedTuple):
    """What lives on the device during a run.

    `plain` is what a step calls in place of the module, and `model` the same compiled, if it is to be. `parameters` are those
    that training changes, by full name; `scaler` scales the loss in fp16. `dropping` are the layers that drop elements.
    """

    module: GraphModule
    plain: nn.Module
    model: nn.Module
    optimizer: torch.optim.Optimizer
    parameters: Mapping[str, nn.Parameter]
    scaler: torch.amp.GradScaler
    dropping: Sequence[Node]


class TorchEngine(Engine):
    """Computes steps and scores with PyTorch.

    `device` and `precision` are the words of `--device` and `--precision`. `compiles` runs the module through torch.compile.
    `report` receives what a user should know. `channels_last` is the layout of images; by default that is so in 16 bits,
    where convolutions are up to twice as fast with it. Raises CnncError E905 and E010 as `device_named` does.
    """

    name = "torch"

    def __init__(
        self,
        device: str = "auto",
        precision: str = "float32",
        compiles: bool = False,
        report: Callable[[str], None] = lambda line: None,
        channels_last: bool | None = None,
    ) -> None:
        self.device = device_named(device)
        self.precision, self.compiles, self.report = precision, compiles, report
        self._autocast = autocast_type(precision, self.device)
        self.channels_last = self._autocast is not None if channels_last is None else channels_last
        self._state: TorchState | None = None
        self._is_newer = False
        self._compiled_size = 0
        self._copies, self._loss_is_known = None, None
        if self.device.type == "cuda":
            self._copies, self._loss_is_known = torch.cuda.Stream(self.device), torch.cuda.Event()

    @property
    def provider(self) -> str:
        """The device, in checkpoints."""
        return str(self.device)

    @property
    def machine(self) -> dict[str, str]:
        return machine_of(self.device)

    @property
    def options(self) -> dict[str, str]:
        return {"precision": self.precision, "compile": str(self.compiles).lower()}

    @property
    def limit(self) -> float:
        return torch.finfo(torch.float16).max if self.precision == "fp16" else math.inf

    # --- a run ---------------------------------------------------------------------------------------------------------

    @contextmanager
    def running(self, run: Run) -> Iterator[None]:
        with torch_settings(self.device, self.ranks.local_size), self.memory_errors(run):
            reset_peak_memory(self.device)
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
        op, weights = run.recipe.optimizer, self.tensors(run.weights)
        module = GraphModule(self.training_graph(run), run.objective.activations, weights)
        learned = {name: t for name, t in module.tensors.items() if isinstance(t, nn.Parameter) and t.requires_grad}
        names = {f"{name}.{slot}": name for name in learned for slot in op.slots}
        for slot, name in names.items():
            run.slots.setdefault(slot, np.zeros_like(run.weights[name]))
        optimizer = make_optimizer(op, learned.values(), fused=self.device.type in ("cpu", "cuda"))
        slots = {name: self.on_device(run.slots[name]) for name in names}
        set_slots(op, optimizer, learned, slots, int(run.slots.get(STEPS, 0)))
        plain = self.wrap(module)
        model = torch.compile(plain) if self.compiles else plain
        dropping = dropping_nodes(run.training_graph, run.objective.activations)
        return TorchState(module, plain, model, optimizer, learned, self._scaler(run), dropping)

    def training_graph(self, run: Run) -> Graph:
        """The graph that a step runs: relus behind max pools have fewer elements to process.

        Not so in the default layout on a CPU: there PyTorch's pooling branches for each element that is larger than those
        before it, which takes longer than the relu where negative elements are not zeros yet.
        """
        if self.device.type == "cpu" and not self.channels_last and not self.compiles:
            return run.graph
        return verify(move_relus_behind_pools(run.graph, set(run.objective.activations)))

    def _scaler(self, run: Run) -> torch.amp.GradScaler:
        scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")
        if scaler.is_enabled() and LOSS_SCALE in run.slots:
            scale, tracker = run.slots[LOSS_SCALE].tolist()
            scaler.load_state_dict({**scaler.state_dict(), "scale": scale, "_growth_tracker": int(tracker)})
        return scaler

    def wrap(self, module: GraphModule) -> nn.Module:
        """What a step calls in place of the module."""
        return module

    def fetch(self, run: Run) -> None:
        if self._state is None or not self._is_newer:
            return
        state, op = self._state, run.recipe.optimizer
        for name, tensor in state.module.tensors.items():
            _copy_to_host(tensor, run.weights[name])
        for name, tensor in slots_of(op, state.optimizer, state.parameters).items():
            _copy_to_host(tensor, run.slots[name])
        if op.counts_steps:
            steps = max((int(slot["step"]) for slot in state.optimizer.state.values()), default=0)
            run.slots[STEPS] = np.array(steps, np.int64)
        if state.scaler.is_enabled():
            scale = state.scaler.state_dict()
            run.slots[LOSS_SCALE] = np.array([scale["scale"], scale["_growth_tracker"]], np.float32)
        self._is_newer = False

    # --- a step --------------------------------------------------------------------------------------------------------

    def step(self, run: Run, batch: StepBatch, random: Random | None = None) -> StepResult:
        of_batch, statistics = self.forward_backward(run, batch, random)
        result = self.measured(of_batch)
        if not math.isfinite(result.loss):
            self.state.optimizer.zero_grad()
            self.fetch(run)
            feeds = feeds_of(run.graph, batch.inputs) if len(batch.inputs[0]) else {}
            raise diverged(run, feeds, batch.epoch, batch.step)
        self.update(run, run.rate(batch.epoch, batch.step))
        self.state.module.update_statistics(statistics)
        self._is_newer = True
        return result

    def forward_backward(
        self, run: Run, batch: StepBatch, random: Random | None
    ) -> tuple[BatchResult, list[Statistics]]:
        """Computes the loss of a batch and the gradients of the parameters; also returns what batch norm measured."""
        feeds, kept = feeds_of(run.graph, batch.inputs), self.kept(run, batch, random)
        check_integers(run.graph, feeds)
        return self.one_pass(run, self.tensors(feeds), [self.on_device(column) for column in batch.targets], kept)

    def one_pass(
        self,
        run: Run,
        feeds: Mapping[str, Tensor],
        targets: Sequence[Tensor],
        kept: Mapping[str, Tensor],
        shares: Sequence[float] | None = None,
    ) -> tuple[BatchResult, list[Statistics]]:
        """One forward and backward pass of a batch, or of a part of it with `shares` of its losses (see `batch_loss`).

        Where torch.compile fails, the pass is repeated without it.
        """
        size = len(next(iter(feeds.values())))
        self._compiled_size = self._compiled_size or size
        compiled = self.compiles and size == self._compiled_size  # other sizes would be compiled anew for one step
        try:
            return self._pass(run, self.state.model if compiled else self.state.plain, feeds, targets, kept, shares)
        except Exception as error:
            if not (compiled and _is_compile_error(error)):
                raise
            self.report(f"note: torch.compile fails ({_first_line(error)}); training continues without it")
            self.compiles = False
            self.state.optimizer.zero_grad()
            return self._pass(run, self.state.plain, feeds, targets, kept, shares)

    def _pass(
        self,
        run: Run,
        model: nn.Module,
        feeds: Mapping[str, Tensor],
        targets: Sequence[Tensor],
        kept: Mapping[str, Tensor],
        shares: Sequence[float] | None,
    ) -> tuple[BatchResult, list[Statistics]]:
        with self.autocast():
            activations, statistics = model(feeds, kept)
        result = batch_loss(run.objective, activations, targets, shares)
        self.mark_loss()
        if result.loss.requires_grad:
            self.state.scaler.scale(result.loss).backward()
        return BatchResult(result.loss.detach(), result.counts), statistics

    def mark_loss(self) -> None:
        """Notes that loss and counts are computed, for `measured`, which does not wait for what comes after."""
        if self._loss_is_known is not None:
            self._loss_is_known.record()

    def measured(self, result: BatchResult) -> StepResult:
        """Loss and counts of a batch, copied to the host; on a GPU without waiting for the backward pass."""
        loss, counts = result
        if self._copies is not None:
            with torch.cuda.stream(self._copies):
                self._copies.wait_event(self._loss_is_known)
                loss, counts = (tensor.to("cpu", non_blocking=True) for tensor in result)
            self._copies.synchronize()
        right, total = counts.tolist()
        return StepResult(float(loss), right, total)

    def kept(self, run: Run, batch: StepBatch, random: Random | None) -> dict[str, Tensor]:
        """Which elements dropout keeps, where NumPy decides; elsewhere seeds the generator of the device."""
        if not self.state.dropping:
            return {}
        if self.device.type == "cpu" or random is not None:
            random = random or StepRandom(run.recipe.seed, batch.epoch, batch.step)
            masks = kept_elements(run.training_graph, self.state.dropping, batch.size, random)
            return {name: mask.to(self.device) for name, mask in masks.items()}
        seeds = np.random.SeedSequence(Stream.STEP_SEED.key(run.recipe.seed, batch.epoch, batch.step))
        torch.manual_seed(int(seeds.generate_state(1)[0]))
        return {}

    def update(self, run: Run, rate: float) -> None:
        """Changes the parameters by their gradients, and drops these."""
        state, clip = self.state, run.recipe.clip
        for group in state.optimizer.param_groups:
            group["lr"] = rate
        if not any(parameter.grad is not None for parameter in state.parameters.values()):
            return
        if clip is not None:
            state.scaler.unscale_(state.optimizer)
            clip_gradients(state.parameters.values(), clip)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.optimizer.zero_grad()

    # --- scoring ---------------------------------------------------------------------------------------------------------

    def runner(self, run: Run, weights: Weights) -> Runner:
        names = run.objective.activations
        module = GraphModule(run.graph, names, self.tensors(weights)).eval()

        def outputs(feeds: Feeds) -> Mapping[str, Array]:
            check_integers(run.graph, feeds)
            with torch.inference_mode(), self.autocast():
                activations, _ = module(self.tensors(feeds), {})
            return {name: tensor.to("cpu", torch.float32).numpy() for name, tensor in activations.items()}

        return run.objective.model(outputs, names)

    # --- the device ------------------------------------------------------------------------------------------------------

    def on_device(self, array: Array) -> Tensor:
        """The array as a tensor of the device; on the CPU it shares the array's memory where its layout is the same.

        With one channel the two layouts differ in their strides alone, which `contiguous` keeps and `to` sets.
        """
        tensor = tensor_of(array, self.device)
        if tensor.dim() == 4 and self.channels_last:
            return tensor.to(memory_format=torch.channels_last)
        return tensor

    def tensors(self, arrays: Mapping[str, Array]) -> dict[str, Tensor]:
        """Arrays by name as tensors of the device."""
        return {name: self.on_device(array) for name, array in arrays.items()}

    def autocast(self) -> AbstractContextManager[object]:
        """Convolutions and matrix products in the precision of the run."""
        return torch.autocast(self.device.type, self._autocast) if self._autocast else nullcontext()

    def device_memory(self) -> int | None:
        return peak_memory(self.device)

    @contextmanager
    def memory_errors(self, run: Run) -> Iterator[None]:
        """Raises CnncError E904 in place of PyTorch's errors, where memory runs out."""
        try:
            yield
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            batch = min(run.recipe.batch, len(run.train))
            raise out_of_memory(run, self.device, batch, total_memory(self.device)) from error


def _copy_to_host(tensor: Tensor, array: Array) -> None:
    """Copies a tensor into the array, unless it is the array's own memory."""
    tensor = tensor.detach()
    if tensor.device.type != "cpu" or tensor.data_ptr() != array.ctypes.data:
        array[...] = tensor.cpu().numpy()


def _is_compile_error(error: Exception) -> bool:
    """Whether torch.compile raised it, and not a layer."""
    return any(cls.__module__.startswith(("torch._dynamo", "torch._inductor")) for cls in type(error).__mro__)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
