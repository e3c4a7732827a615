"""Which files a command may write: one rule for every output of every command, applied before any work.

In: the files that the command reads, and its outputs. Out: nothing; or CnncError E902 (status 6) for an output that would
replace something that the user probably did not mean: an input, a network file, a file of a run folder, another output of the same
command, or a file of another kind (unless --force is given).

    require_outputs([run], [Output(Path("digits.onnx"), "-o", "onnx"), Output(Path("digits.md"), "--card", "card")])
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from cnnc.core.files import read_start, real_path, require_writable
from cnnc.diagnostics import CnncError

FORCE = Annotated[bool, typer.Option("--force", help="Also replace an existing file of another kind.")]

SUFFIXES = {
    "onnx": ".onnx",
    "card": ".md",
    "network": ".cnn",
    "weights": ".safetensors",
    "png": ".png",
    "svg": ".svg",
    "html": ".html",
    "mmd": ".mmd",
    "dot": ".dot",
    "python": ".py",
}
"""The suffix of each kind of output. Another suffix is allowed unless it stands for another format."""

_FORMATS = {
    "onnx": "an ONNX model",
    "card": "a model card",
    "network": "a network file",
    "weights": "a checkpoint",
    "png": "a PNG image",
    "svg": "an SVG image",
    "html": "an HTML page",
    "mmd": "a Mermaid diagram",
    "dot": "a Graphviz graph",
    "python": "Python source",
}
_NAMES = {
    **_FORMATS,
    "onnx": "an ONNX model that cnnc wrote",
    "network": "a network file that import wrote",
    "python": "Python source as cnnc wrote it",
    **{kind: f"{_FORMATS[kind]} that cnnc wrote" for kind in ("png", "svg", "html", "mmd", "dot")},
}
_OTHER_FORMATS = frozenset(
    [
        ".bin",
        ".c",
        ".cc",
        ".cpp",
        ".csv",
        ".engine",
        ".gguf",
        ".gif",
        ".h",
        ".h5",
        ".hdf5",
        ".html",
        ".jpeg",
        ".jpg",
        ".json",
        ".jsonl",
        ".keras",
        ".mlmodel",
        ".mlpackage",
        ".mnn",
        ".npy",
        ".npz",
        ".ort",
        ".pb",
        ".pdf",
        ".pkl",
        ".plan",
        ".png",
        ".pt",
        ".pt2",
        ".pth",
        ".py",
        ".svg",
        ".tflite",
        ".toml",
        ".torchscript",
        ".trt",
        ".tsv",
        ".txt",
        ".wasm",
        ".xml",
        ".yaml",
        ".yml",
        ".zip",
    ]
)


class Output(NamedTuple):
    """A file that a command is about to write: the option that names it, and its kind, a key of SUFFIXES."""

    path: Path
    option: str
    kind: str


def require_outputs(inputs: Iterable[Path], outputs: Sequence[Output], force: bool = False) -> None:
    """Checks all outputs of a command. Raises CnncError E902 for the first that it may not write."""
    sources = [path for path in inputs if path.exists()]
    for number, output in enumerate(outputs):
        reason = (
            _reason_of_suffix(output)
            or _reason_of_inputs(output, sources)
            or _reason_of_run(output)
            or _reason_of_outputs(output, outputs[:number])
        )
        help = f"name another file with {output.option}"
        if not reason and not force and output.path.is_file() and not _is_of_kind(output):
            reason, help = f"it exists and is not {_NAMES[output.kind]}", f"{help}, or replace it with --force"
        if reason:
            raise CnncError.of("E902", f"cannot write {output.path}: {reason}", help=help)
        require_writable(output.path, f"give {output.option} a file name in an existing folder")


def _reason_of_suffix(output: Output) -> str:
    suffix = output.path.suffix.lower()
    if str(output.path) == "-":
        return f"{_FORMATS[output.kind]} is written to a file, not to the standard output"
    if suffix != SUFFIXES[output.kind] and (suffix in _OTHER_FORMATS or suffix in SUFFIXES.values()):
        return f"{suffix} is another format; {_FORMATS[output.kind]} has the suffix {SUFFIXES[output.kind]}"
    return ""


def _reason_of_inputs(output: Output, sources: Sequence[Path]) -> str:
    return "this command reads it" if any(_same(output.path, source) for source in sources) else ""


def _reason_of_run(output: Output) -> str:
    return f"it belongs to the run folder {output.path.parent}" if belongs_to_run(output.path) else ""


def belongs_to_run(path: Path) -> bool:
    """Whether a file has the name of one that training writes, in a run folder."""
    from cnnc.training.checkpoint import RUN_FILES

    path = real_path(path)
    others = [name for name in RUN_FILES if name != "curves.svg"]  # which `cnnc curves` writes to any folder
    return path.name in RUN_FILES and any((path.parent / name).exists() for name in others)


def _reason_of_outputs(output: Output, others: Sequence[Output]) -> str:
    other = next((other for other in others if _same(output.path, other.path)), None)
    return f"{other.option} names the same file" if other is not None else ""


def _same(path: Path, other: Path) -> bool:
    if path.exists() and other.exists():
        return path.samefile(other)
    return real_path(path) == real_path(other)


def _is_of_kind(output: Output) -> bool:
    """Whether an existing file is what the command writes, so that an earlier result is replaced; or is empty."""
    begin = read_start(output.path)
    if not begin:
        return True
    match output.kind:
        case (
            "onnx"
        ):  # a ModelProto begins with the version of its format (field 1, one byte) and the producer (field 2)
            return begin[:1] == b"\x08" and begin[2:].startswith(b"\x12\x04cnnc")
        case "weights":
            return begin[8:].startswith(b'{"__metadata__":{"cnnc":')
        case "card":
            return begin.startswith(b"# ") and b"Exported by cnnc" in begin
        case "png":
            return b"tEXtSoftware\0cnnc" in begin
        case "svg":
            return b"<metadata>drawn by cnnc</metadata>" in begin
        case "mmd":
            return begin.startswith(b"%% drawn by cnnc")
        case "dot":
            return begin.startswith(b"// drawn by cnnc")
        case "html":
            return b'<meta name="generator" content="cnnc">' in begin
        case "python":  # which users edit
            from cnnc.torch.source.unedited import is_unedited

            return is_unedited(output.path)
        case "network":  # import writes the checkpoint beside it
            return begin.startswith(b"# Imported from") or output.path.with_suffix(SUFFIXES["weights"]).exists()
    return True
