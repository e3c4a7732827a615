"""What several processes send each other, computed in advance: docs/scale.md explains the formulas.

In: parameters, processes, the time of a step, and the bandwidth of the slowest link in bytes per second. Out: bytes and
seconds. Loads no PyTorch.

    bytes_per_step(25_557_032, 8)                     # 178,899,224: what each of 8 processes sends in a step of ResNet-50
    efficiency(25_557_032, 8, 0.5, 12.5e9)            # 0.81
"""

from __future__ import annotations

FLOAT = 4
"""Bytes of a weight, a gradient or a slot."""


def bytes_per_step(parameters: int, processes: int, shard: bool = False) -> float:
    """What each process sends in a step, and receives as well.

    A ring all-reduce of the gradients passes them on twice, without the part that a process has itself. With shards, weights
    are gathered for the forward and for the backward pass, and gradients are summed and spread: three times.
    """
    return (3 if shard else 2) * FLOAT * parameters * (processes - 1) / processes


def efficiency(parameters: int, processes: int, step_seconds: float, bandwidth: float, shard: bool = False) -> float:
    """The speedup divided by the number of processes, if nothing is sent while a process computes: the worst case.

    `step_seconds` is the time of a step in one process; the batch stays the same, so each process computes a part of it.
    """
    computing = step_seconds / processes
    return computing / (computing + bytes_per_step(parameters, processes, shard) / bandwidth)


def state_bytes(parameters: int, slots: int, processes: int = 1) -> float:
    """Weights, gradients and slots of each process, with shards where there are several."""
    return FLOAT * parameters * (2 + slots) / processes
