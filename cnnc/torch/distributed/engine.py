"""The engine that splits each batch: over the processes of a job, and over several passes where memory is short.

In: a run and the share of one process in a batch. Out: the same weights as one process computes from the whole batch, up to
rounding. A batch of B examples is cut into `accumulate` parts, and each of them into one share per process; a share may be
empty. The losses are means over the whole batch, so the loss of a share is multiplied by its part of what is averaged, and
gradients are summed over shares (DistributedDataParallel would average them, which is wrong for shares of unequal size).

Batch norm normalizes over the examples of all processes, in each pass separately: its results depend on `accumulate`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.futures import Future
from torch.nn.parallel import DistributedDataParallel

from cnnc.core.arrays import Array, Rows
from cnnc.ops.activation import Dropout, DropPath
from cnnc.ops.pool import Unpool
from cnnc.reference.parallel.threads import split_evenly
from cnnc.reference.registry import Random
from cnnc.torch.distributed.alike import require_alike
from cnnc.torch.distributed.batch_norm import SynchronizedNormalizer
from cnnc.torch.distributed.ranks import lost_peers
from cnnc.torch.engine import TorchEngine
from cnnc.torch.feeds import check_integers
from cnnc.torch.layers import Statistics
from cnnc.torch.losses import BatchResult
from cnnc.torch.masks import mask_shape
from cnnc.torch.module import GraphModule
from cnnc.training.losses import averaged_count, divisor
from cnnc.training.objective import Objective, feeds_of
from cnnc.training.ranks import ALONE, Ranks
from cnnc.training.run import Run, StepBatch, StepResult


class Part(NamedTuple):
    """The share of this process in one pass: its rows in the batch, and how many examples the pass has in all processes."""

    rows: range
    examples: int


class SplitEngine(TorchEngine):
    """Computes the share of one process, in `accumulate` passes. The other arguments are those of `TorchEngine`."""

    def __init__(
        self,
        device: str = "auto",
        precision: str = "float32",
        compiles: bool = False,
        report: Callable[[str], None] = lambda line: None,
        ranks: Ranks = ALONE,
        accumulate: int = 1,
    ) -> None:
        super().__init__(device, precision, compiles, report)
        self.ranks, self.accumulate = ranks, accumulate
        self._normalizer = SynchronizedNormalizer()

    def prepare(self, run: Run) -> None:
        super().prepare(run)
        if self.ranks.size > 1:
            require_alike(run, self.ranks)

    @contextmanager
    def running(self, run: Run) -> Iterator[None]:
        with super().running(run), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")  # costs a copy of them
            yield

    def wrap(self, module: GraphModule) -> nn.Module:
        """The module, which in several processes sums its gradients over them while it computes them."""
        if self.ranks.size == 1:
            return module
        module.normalize = self._normalizer
        if not any(parameter.requires_grad for parameter in module.parameters()):
            return module
        return summing_gradients(module)

    def step(self, run: Run, batch: StepBatch, random: Random | None = None) -> StepResult:
        with lost_peers():
            return super().step(run, batch, random)

    def parts(self, size: int) -> list[Part]:
        """The shares of this process in the passes of a batch of this size."""
        rank, ranks = self.ranks.rank, self.ranks.size
        return [
            Part(
                range(start + (stop - start) * rank // ranks, start + (stop - start) * (rank + 1) // ranks),
                stop - start,
            )
            for start, stop in split_evenly(size, self.accumulate)
        ]

    def rows(self, size: int) -> Rows:
        return np.concatenate([np.array(part.rows, np.int64) for part in self.parts(size)])

    def forward_backward(
        self, run: Run, batch: StepBatch, random: Random | None
    ) -> tuple[BatchResult, list[Statistics]]:
        feeds, kept = feeds_of(run.graph, batch.inputs), self.kept(run, batch, random)
        check_integers(run.graph, feeds)
        averaged = self.averaged_counts(run.objective, batch)
        parts = self.parts(batch.size)
        ends = list(accumulate((len(part.rows) for part in parts), initial=0))
        results, statistics = list[BatchResult](), list[list[Statistics]]()
        for own in map(slice, ends, ends[1:]):
            targets = [column[own] for column in batch.targets]
            counts = counts_of_losses(run.objective, targets, own.stop - own.start)
            own_feeds, own_kept = ({k: v[own] for k, v in named.items()} for named in (feeds, kept))
            self._normalizer.counts_share = has_share = own.stop > own.start
            shares = [
                divisor(count) / divisor(whole) if has_share else 0.0
                for count, whole in zip(counts, averaged, strict=True)
            ]
            if not has_share:  # the other processes need this one to sum gradients and to normalize
                own_feeds, targets, own_kept = _any_example(run, kept)
            with self.gradients_of(is_last=len(results) == len(parts) - 1):
                tensors, columns = self.tensors(own_feeds), [self.on_device(column) for column in targets]
                result, measured = self.one_pass(run, tensors, columns, own_kept, shares)
            results.append(result if has_share else BatchResult(result.loss, torch.zeros_like(result.counts)))
            statistics.append(measured)
        sizes = [part.examples for part in parts]
        return self.added(results), [_combined(sizes, of_parts) for of_parts in zip(*statistics, strict=True)]

    def averaged_counts(self, objective: Objective, batch: StepBatch) -> Sequence[float]:
        """For each loss the number of what its mean over the whole batch is over."""
        counts = counts_of_losses(objective, batch.targets, len(batch.inputs[0]))
        if all(term.loss.counts_every_label for term in objective.terms):
            return [batch.size] * len(counts)
        return self.ranks.sum(*counts)

    def kept(self, run: Run, batch: StepBatch, random: Random | None) -> dict[str, Tensor]:
        """Which elements dropout keeps, of those drawn for the whole batch."""
        masks = super().kept(run, batch, random)
        if not masks:  # the generator of the device is seeded
            masks = {
                node.name: torch.rand(mask_shape(node, batch.size), device=self.device) >= node.op.p
                for node in self.state.dropping
                if isinstance(node.op, Dropout | DropPath)
            }
        rows = torch.from_numpy(self.rows(batch.size)).to(self.device)
        return {name: mask[rows] for name, mask in masks.items()}

    def added(self, results: Sequence[BatchResult]) -> BatchResult:
        """Loss and counts of the parts of a batch together."""
        if len(results) == 1:
            return results[0]
        loss, counts = (torch.stack(tensors).sum(0) for tensors in zip(*results, strict=True))
        self.mark_loss()
        return BatchResult(loss, counts)

    def measured(self, result: BatchResult) -> StepResult:
        loss, right, total = self.ranks.sum(*super().measured(result))
        return StepResult(loss, int(right), int(total))

    def gradients_of(self, is_last: bool) -> AbstractContextManager[None]:
        """Within it, gradients are added up; after the last part they are summed over the processes."""
        model = self.state.plain
        if isinstance(model, DistributedDataParallel) and not is_last:
            return model.no_sync()  # type: ignore[no-any-return]
        return nullcontext()


def counts_of_losses(objective: Objective, targets: Sequence[Array], examples: int) -> list[float]:
    """For each loss the number of what its mean over these examples is over: the labels that count, or the examples."""
    return [
        examples if term.column is None else averaged_count(term.loss, targets[term.column]) for term in objective.terms
    ]


def _any_example(run: Run, kept: Mapping[str, Tensor]) -> tuple[dict[str, Array], list[Array], dict[str, Tensor]]:
    """Feeds, targets and masks of one example, for a process without a share of a batch."""
    feeds = feeds_of(run.graph, tuple(column[:1] for column in run.train.inputs))
    masks = {name: mask.new_ones(1, *mask.shape[1:]) for name, mask in kept.items()}
    return feeds, [column[:1] for column in run.train.targets], masks


def _combined(sizes: Sequence[int], parts: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """The mean and variance of a batch from those of its parts."""
    if len(parts) == 1:
        return parts[0]
    means, variances = (torch.stack(tensors) for tensors in zip(*parts, strict=True))
    weights = means.new_tensor(sizes).div_(sum(sizes)).unsqueeze(1)
    mean = (weights * means).sum(0)
    return mean, (weights * (variances + (means - mean).square())).sum(0)


def summing_gradients(module: GraphModule) -> DistributedDataParallel:
    """The module with gradients that are summed over the processes in buckets, while backward still computes others."""

    def summed(bucket: dist.GradBucket) -> Future[Tensor]:
        future = dist.all_reduce(bucket.buffer(), async_op=True).get_future()
        return future.then(lambda done: done.value()[0])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # broadcast_buffers has another name from PyTorch 2.13 on
        model = DistributedDataParallel(
            module,
            broadcast_buffers=False,
            gradient_as_bucket_view=True,
            find_unused_parameters=any(isinstance(node.op, Unpool) for node in module.order),
        )
    model.register_comm_hook(None, lambda state, bucket: summed(bucket))
    return model
