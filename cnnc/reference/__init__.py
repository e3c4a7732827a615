"""How NumPy runs a graph. Importing this package fills the tables of forward and backward functions."""

from cnnc.reference import activation, conv, dense, norm, pool, reshape
from cnnc.reference.engine import BACKWARD, FORWARD, Weights, backward, forward, initialize, inward, outward

__all__ = [
    "BACKWARD",
    "FORWARD",
    "Weights",
    "activation",
    "backward",
    "conv",
    "dense",
    "forward",
    "initialize",
    "inward",
    "norm",
    "outward",
    "pool",
    "reshape",
]
