"""The model card: a Markdown page that describes an exported model and how to run it.

In: the plain data of `cnnc.onnx.run.inspect.describe`, and the summary of the network. Out: Markdown. The card contains only
what cnnc counted or measured.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath

from cnnc.core.intervals import points_text
from cnnc.core.listing import listed
from cnnc.diagnostics import escaped
from cnnc.report.card_program import program
from cnnc.report.model import (
    MAX_LISTED,
    Data,
    data,
    image_steps,
    input_preparation,
    opsets,
    output_meaning,
    producer,
    signature,
    source,
    takes_recordings,
    trained,
    weights,
)
from cnnc.report.summary import Summary
from cnnc.report.table import format_size

_COMPARED = "Before export every layer output of the float32 model was compared with the network, and this model with that one: "
_VERIFIED = {
    None: "Before export every layer output was compared with the network.",
    "float16": f"{_COMPARED}with every result rounded to float16, the scores differ by at most 1% of the largest, and no "
    "clear prediction changes.",
    "int8": f"{_COMPARED}at most one percentage point of accuracy is lost on the examples it was tested on or, without "
    "classes, the outputs differ by at most 10%.",
}  # the limits are those of cnnc.onnx.quantize.float16 and cnnc.onnx.quantize.int8


def card(model: Data, summary: Summary, verified: str = "") -> str:
    """The card of a model: overview, inputs, outputs, data and score, how to run it, layers, file.

    `verified` is the result of its verification, as export reports it.
    """
    sections = [
        ("", _head(model, summary, verified)),
        (
            "Inputs",
            _table(("name", "type", "preparation"), [_entry(e, input_preparation(e, model)) for e in model["inputs"]]),
        ),
        ("From a file to the input", _from_file(model)),
        ("Outputs", _outputs(model)),
        ("Data and score", _score(model)),
        ("How to run it", _usage(model)),
        ("Layers", _layers(summary)),
        ("File", _file(model)),
    ]
    return escaped("\n\n".join(f"## {title}\n\n{body}" if title else body for title, body in sections if body) + "\n")


def _head(model: Data, summary: Summary, verified: str) -> str:
    macs = f", {summary.macs:,} multiply-adds per example" if summary.macs is not None else ""
    buffers = f" and {summary.buffers:,} buffers" if summary.buffers else ""
    sizes = [f"Legal sizes: {'; '.join(rule['rule'] for rule in model['sizes'])}."] if model["sizes"] else []
    return "\n\n".join(
        [
            f"# {_plain(model['name'])}",
            f"An ONNX model of {len(summary.rows)} layers: {summary.parameters:,} parameters{buffers}{macs}. "
            f"Exported by cnnc. {_cost(model) or _VERIFIED[model['precision']]}",
            *([f"Verification: {_safe(verified)}."] if verified else []),
            *sizes,
        ]
    )


def _cost(model: Data) -> str:
    """What int8 cost, as it was measured; "" where that is not known."""
    quality = model["quality"]
    if not quality or not quality["changed"]:
        return ""
    changed, samples = quality["changed"], quality["samples"]
    low, high = changed["interval"]
    return (
        f"{_COMPARED}on {samples:,} test examples its accuracy is {quality['after']:.2%}, and {quality['before']:.2%} in float32; "
        f"{changed['lost']:,} answers are lost and {changed['gained']:,} gained. The 95% interval of the loss is "
        f"{points_text((low, high))}."
    )


def _entry(entry: Data, description: str) -> tuple[str, str, str]:
    return _code(entry["name"]), signature(entry), description


def _outputs(model: Data) -> str:
    table = _table(("name", "type", "meaning"), [_entry(e, output_meaning(e)) for e in model["outputs"]])
    return (
        f"{table}\n\nClasses in output order: {_plain(listed(model['classes'], MAX_LISTED))}."
        if model["classes"]
        else table
    )


def _score(model: Data) -> str:
    lines = [f"Data: {_code(data(model))}."] if model["data"] else []
    if trained(model):
        precision = model["precision"] if model["trained"] else None
        original = f" (float32 weights, before conversion to {precision})" if precision else ""
        lines.append(f"Training: {_safe(trained(model))}{original}.")
    return "\n\n".join(lines)


def _layers(summary: Summary) -> str:
    rows = [
        (
            row.name,
            f"{row.op} {row.arguments}".rstrip(),
            format_size(row.shape),
            _count(row.parameters),
            _count(row.macs),
        )
        for row in summary.rows
    ]
    return _table(("name", "layer", "output", "parameters", "MACs"), rows)


def _count(number: int | None) -> str:
    return f"{number:,}" if number else ""


def _file(model: Data) -> str:
    rows = [
        ("file", f"{_code(PurePath(model['file']).name)}, {model['bytes']:,} bytes"),
        ("format", f"{opsets(model)}, IR {model['ir']}"),
        ("weights", weights(model)),
        ("made by", producer(model)),
        ("source", _plain(source(model))),
        ("sha256 of the source", f"`{model['source']['sha256']}`" if model["source"] else ""),
        ("versions", ", ".join(f"{name} {version}" for name, version in model["versions"].items())),
    ]
    return _table(("", ""), [row for row in rows if row[1]])


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *[[_safe(cell) for cell in row] for row in rows]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _safe(text: str) -> str:
    """Text for one line or table cell: escapes Markdown and HTML syntax other than inline code."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def _plain(text: str) -> str:
    """A name as text, whatever Markdown or HTML it contains."""
    return _safe(re.sub(r"([\\`*_\[\]#~!&])", r"\\\1", text))


def _code(text: str) -> str:
    """A name as inline code, which no mark in it ends."""
    return f"`{text.replace('`', chr(39))}`"


def _usage(model: Data) -> str:
    more = [
        name for name, needed in (("Pillow", _reads_images(model)), ("soundfile", _reads_recordings(model))) if needed
    ]
    libraries = f"{', '.join(['NumPy', *more])} and onnxruntime"
    packages = " ".join(["numpy", *map(str.lower, more), "onnxruntime"])
    return (
        f"This program needs Python, {libraries} (`pip install {packages}`). It reads each input as `cnnc predict` does and "
        f"prints the same answers.\n\n```python\n{program(model)}\n```"
    )


def _reads_images(model: Data) -> bool:
    return any(entry.get("file") for entry in model["inputs"])


def _reads_recordings(model: Data) -> bool:
    return any(takes_recordings(entry, model) for entry in model["inputs"])


def _from_file(model: Data) -> str:
    """How an image file becomes each input that takes one, as steps in their order."""
    parts = []
    for entry in model["inputs"]:
        if entry.get("file"):
            steps = "\n".join(f"{n}. {_safe(step)}." for n, step in enumerate(image_steps(entry), 1))
            heading = f"`{entry['name']}`:\n\n" if len(model["inputs"]) > 1 else ""
            parts.append(f"{heading}{steps}")
    return "\n\n".join(parts)
