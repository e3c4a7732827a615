"""How NumPy runs a graph. Importing this package fills the tables of forward and backward functions."""

from cnnc.reference import activation, conv, conv_transpose, dense, filter, merge, norm, pool, reshape, sequence
from cnnc.reference.engine import BACKWARD, FORWARD, Weights, backward, forward, inward, outward
from cnnc.reference.initializers import initialize

__all__ = [
    "BACKWARD",
    "FORWARD",
    "Weights",
    "activation",
    "backward",
    "conv",
    "conv_transpose",
    "dense",
    "filter",
    "forward",
    "initialize",
    "inward",
    "merge",
    "norm",
    "outward",
    "pool",
    "reshape",
    "sequence",
]
