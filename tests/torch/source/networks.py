"""Networks that the tests of PyTorch source write, and how they are written."""

from __future__ import annotations

from pathlib import Path

from cnnc.network import Network, check
from cnnc.torch.source.export import written_network
from cnnc.torch.source.write import WrittenNetwork

HOSTILE = r"""
net "a\"\"\"b\\ \n import os {0} \u0007class\u0007 'x"

block class(def, skip, lambda=2) { conv def k=3 p=1; l: relu; forward: conv def k=lambda p=same; concat skip; O: conv def k=1 }
block tensor(w) { torch: conv w k=1; nn: bn; F: relu }
block F(w) { conv w k=1; add in }
block scale_shift(w) { affine; conv w k=1 }

def: input 4x8x8
eval: conv 4 k=3 p=1
l: relu
weight: conv 4 k=3 p=1 share=eval
__init__: bn
_modules: dropout 0.5
None: class 6 weight
type: class 6 weight 3
I: tensor 5
repeat 3 { x: tensor 5 }
y: F 5
scale_shift 5
self: relu
return: identity
forward: fc 4
bias: fc 4
add forward
_parameters: tanh
output bias weight _parameters
"""
"""Names that are keywords, methods of nn.Module, names of PyTorch, or would end a docstring."""

SHARED = """
net Shared
block tower(w) { conv w k=3 p=1; bn; relu }
block inner(w) { a: conv w k=1; conv w k=1 share=a }
block twice(s) { a: conv 4 k=3 p=1; relu; conv 4 k=3 p=1 s=s share=a }
x: input 4x8x8
left: tower 4
y: input 4x8x8
right: tower 4 share=left
add left
c: conv 4 k=3 p=1 flip=true
relu
conv 4 k=3 s=2 p=1 share=c
tanh
conv 4 k=3 p=1 share=c flip=true
inner 4
conv 4 k=1 share=inner1.a
twice 1
twice 2
global_pool avg
fc 3
"""
"""Parameters shared by whole calls, by layers that compute the same, and by layers with another stride or another flip."""

NUMBERS = """
net Numbers
block pick(a, b, factor=2) { select [a, b, a]; scale factor; conv 2 k=1; clip 0 factor }
block cut(n) { maxout n; slice 0 2; crop 5-n }
input 4x8x8
pick 0 1
concat { pick 1 0 factor=0.5 } { }
cut 2
conv 6 k=1
cut 3
fc 3
"""
"""Functions without a module whose numbers are arguments of a block."""

OPEN = """
net Open
block down(w, s=2) { conv w k=3 s=s p=same bias=false; bn; relu }
input 3xHxW dtype=uint8
a: down 4
down 8 s=3
pool max k=2 s=2 p=same_lower
global_pool avg
fc 5
log_softmax
"""
"""Symbolic sizes, with padding that depends on them."""


def write(text: str, path: str = "net.py", settings: tuple[str, ...] = ()) -> WrittenNetwork:
    """The source of a network."""
    return written_network(network_of(text, settings), Path(path))


def network_of(text: str, settings: tuple[str, ...] = ()) -> Network:
    """A network from its source."""
    return check(text, "net.cnn", settings)
