"""What to do first: `cnnc` alone prints it, and the manual page has it."""

from __future__ import annotations

FIRST_STEPS = """\
cnnc new digits -t digits               write a network to start from
cnnc check digits.cnn                   shapes, parameters, and all errors
cnnc train digits.cnn                   train it, about five seconds; the run goes to runs/digits
cnnc eval runs/digits                   score it on its test set
cnnc export runs/digits -o digits.onnx  write the ONNX model, verified tensor by tensor"""
"""Commands that work one after the other in an empty folder."""


def welcome() -> str:
    """What `cnnc` alone prints."""
    steps = "\n".join(f"  {line}" for line in FIRST_STEPS.splitlines())
    return f"""\
cnnc, a compiler for convolutional networks: a network is one source file with one layer per line. First steps:

{steps}

`cnnc --help` lists all commands, `cnnc COMMAND --help` its options, `cnnc ops` all layers.
`cnnc --install-completion` sets up your shell to complete commands, files, layers and error codes."""
