"""The engine whose weights, gradients and slots are spread over the processes, for networks that do not fit into one device.

In: a run and the share of one process in a batch. Out: the same weights as with whole copies. PyTorch's fully_shard (FSDP2)
gives each process a part of the rows of each parameter; a layer's parameters are gathered before it runs, and its gradients
summed and spread afterwards. The optimizer updates the rows of its process. Batch norms, and layers that share parameters, are
gathered once per pass.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, Shard

from cnnc.core.arrays import Array, Weights
from cnnc.diagnostics import CnncError
from cnnc.ops.dense import Input
from cnnc.ops.norm import BatchNorm
from cnnc.reference.registry import Random
from cnnc.torch.distributed.engine import SplitEngine
from cnnc.torch.engine import TorchState
from cnnc.torch.masks import dropping_nodes
from cnnc.torch.module import GraphModule
from cnnc.torch.optimizers import STEPS, make_optimizer, set_slots, slots_of
from cnnc.training.objective import Feeds, Runner
from cnnc.training.ranks import ALONE, Ranks
from cnnc.training.run import Run, StepBatch, StepResult


class ShardedEngine(SplitEngine):
    """Holds a part of each parameter. `prepare` raises CnncError E010 for fp16, whose scale of the loss is that of one process."""

    def prepare(self, run: Run) -> None:
        if self.precision == "fp16":
            raise CnncError.of("E010", "--shard does not train in fp16", help="write `--precision bf16`")
        super().prepare(run)

    @property
    def scoring_ranks(self) -> Ranks:
        """Every process sees every score: `runner` splits each batch, as all processes hold a part of the weights."""
        return ALONE

    def build(self, run: Run) -> TorchState:
        op = run.recipe.optimizer
        self._mesh = init_device_mesh(self.device.type, (self.ranks.size,))
        module = self._sharded(GraphModule(self.training_graph(run), run.objective.activations, _on_host(run.weights)))
        module.normalize = self._normalizer
        self._parameters = {name: p for name, p in parameters_of(module).items() if p.requires_grad}
        own = {name: nn.Parameter(p.detach().to_local()) for name, p in self._parameters.items()}
        dropping = dropping_nodes(run.training_graph, run.objective.activations)
        for name in own:
            for slot in op.slots:
                run.slots.setdefault(f"{name}.{slot}", np.zeros_like(run.weights[name]))
        slots = {f"{n}.{s}": self._own_rows(run.slots[f"{n}.{s}"], own[n]) for n in own for s in op.slots}
        optimizer = make_optimizer(op, own.values(), fused=self.device.type in ("cpu", "cuda"))
        set_slots(op, optimizer, own, slots, int(run.slots.get(STEPS, 0)))
        model = torch.compile(module) if self.compiles else module
        return TorchState(module, module, model, optimizer, own, self._scaler(run), dropping)

    def _sharded(self, module: GraphModule) -> GraphModule:
        """The module with its parameters spread over the processes; each layer is a group that is gathered by itself."""
        readers = Counter(id(p) for layer in module.layers for p in layer.parameters())
        nodes = [node for node in module.order if not isinstance(node.op, Input)]
        for node, layer in zip(nodes, module.layers, strict=True):
            own = list(layer.parameters())
            if own and not isinstance(node.op, BatchNorm) and all(readers[id(p)] == 1 for p in own):
                fully_shard(layer, mesh=self._mesh)
        fully_shard(module, mesh=self._mesh)
        module.tensors = {name: t for name, t in module.tensors.items() if not isinstance(t, nn.Parameter)}
        for part in module.modules():
            if isinstance(part, FSDPModule):
                part.set_gradient_divide_factor(1.0)  # gradients are summed, not averaged
                part.set_force_sum_reduction_for_comms(True)
        return module

    def _own_rows(self, array: Array, like: Tensor) -> Tensor:
        """The rows of an array that belong to this process."""
        rows = -(-len(array) // self.ranks.size) if array.ndim else 1
        start = min(rows * self.ranks.rank, len(array))
        return torch.from_numpy(np.array(array[start : start + len(like)])).to(self.device)

    def gradients_of(self, is_last: bool) -> AbstractContextManager[None]:
        for part in self.state.module.modules():
            if isinstance(part, FSDPModule):
                part.set_requires_gradient_sync(is_last, recurse=False)
        return nullcontext()

    def step(self, run: Run, batch: StepBatch, random: Random | None = None) -> StepResult:
        try:
            return super().step(run, batch, random)
        except BaseException:
            self._is_newer = False  # the other processes may not be there to gather the weights
            raise

    def update(self, run: Run, rate: float) -> None:
        state, clip = self.state, run.recipe.clip
        for name, own in state.parameters.items():
            gradient = self._parameters[name].grad
            own.grad = None if gradient is None else gradient.to_local()
        gradients = [own.grad for own in state.parameters.values() if own.grad is not None]
        if clip is not None:
            (square,) = self.ranks.sum(sum(float(g.double().square().sum()) for g in gradients))
            if square > clip**2:
                torch._foreach_mul_(gradients, clip / math.sqrt(square))
        for group in state.optimizer.param_groups:
            group["lr"] = rate
        state.optimizer.step()
        state.optimizer.zero_grad()
        for parameter in self._parameters.values():
            parameter.grad = None

    def fetch(self, run: Run) -> None:
        if self._state is None or not self._is_newer:
            return
        state, op = self.state, run.recipe.optimizer
        for name, buffer in state.module.tensors.items():
            run.weights[name][...] = buffer.cpu().numpy()
        for name, parameter in self._parameters.items():
            run.weights[name][...] = _whole(parameter)
        for name, own in slots_of(op, state.optimizer, state.parameters).items():
            like = self._parameters[name.rpartition(".")[0]]
            run.slots[name][...] = _whole(
                DTensor.from_local(own, self._mesh, [Shard(0)], run_check=False, shape=like.shape, stride=like.stride())
            )
        if op.counts_steps:
            steps = max((int(slot["step"]) for slot in state.optimizer.state.values()), default=0)
            run.slots[STEPS] = np.array(steps, np.int64)
        self._is_newer = False

    def runner(self, run: Run, weights: Weights) -> Runner:
        names = run.objective.activations
        module = self._sharded(GraphModule(run.graph, names, _on_host(weights))).eval()

        def outputs(feeds: Feeds) -> Mapping[str, Array]:
            size = len(next(iter(feeds.values())))
            rank, ranks = self.ranks.rank, self.ranks.size
            own = slice(size * rank // ranks, size * (rank + 1) // ranks)
            has_share = own.stop > own.start
            part = {name: array[own] if has_share else array[:1] for name, array in feeds.items()}
            with torch.no_grad(), self.autocast():
                activations, _ = module(self.tensors(part), {})
            results = {name: tensor.to("cpu", torch.float32).numpy() for name, tensor in activations.items()}
            parts = [results for results in self.ranks.gather(results if has_share else None) if results is not None]
            return {name: np.concatenate([results[name] for results in parts]) for name in activations}

        return run.objective.model(outputs, names)


def parameters_of(module: GraphModule) -> dict[str, DTensor]:
    """The parameters of a sharded module by full name."""
    tensors = {name: getattr(layer, short) for name, (layer, short) in module.places.items()}
    return {name: tensor for name, tensor in tensors.items() if isinstance(tensor, DTensor)}


def _on_host(weights: Weights) -> dict[str, Tensor]:
    """Copies of the weights in the memory of the host; fully_shard moves one layer after the other to the device."""
    return {name: torch.from_numpy(np.array(array)) for name, array in weights.items()}


def _whole(tensor: DTensor) -> Array:
    array: Array = tensor.full_tensor().detach().cpu().numpy()
    return array
