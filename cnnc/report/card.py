"""The model card: a Markdown page that describes an exported model and how to run it.

In: the plain data of `cnnc.onnx.run.inspect.describe`, and the summary of the network. Out: Markdown. The card contains only
what cnnc counted or measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from cnnc.graph.sizes import LegalSizes
from cnnc.report.model import Data, data, feeding, listed, made_by, opsets, reading, signature, source, trained, weights
from cnnc.report.summary import Summary
from cnnc.report.table import format_size

_USUAL = 224  # the size of a symbolic axis in the snippet, or else the nearest legal one

_COMPARED = "Before export every layer output of the float32 model was compared with the network, and this model with that one: "
_VERIFIED = {
    None: "Before export every layer output was compared with the network.",
    "float16": f"{_COMPARED}the scores differ by at most 1% of the largest, and no clear prediction changes.",
    "int8": f"{_COMPARED}at most one percentage point of accuracy is lost on the test examples or, without classes, "
    "the outputs differ by at most 10%.",
}  # the limits are those of cnnc.onnx.quantize.float16 and cnnc.onnx.quantize.int8


def card(found: Data, summary: Summary) -> str:
    """The card of a model: overview, inputs, outputs, data and score, how to run it, layers, file."""
    sections = [
        ("", _head(found, summary)),
        ("Inputs", _table(("name", "type", "preparation"), [_entry(e, feeding(e)) for e in found["inputs"]])),
        ("Outputs", _outputs(found)),
        ("Data and score", _score(found)),
        ("How to run it", _how(found)),
        ("Layers", _layers(summary)),
        ("File", _file(found)),
    ]
    return "\n\n".join(f"## {title}\n\n{body}" if title else body for title, body in sections if body) + "\n"


def _head(found: Data, summary: Summary) -> str:
    macs = f", {summary.macs:,} multiply-adds per example" if summary.macs is not None else ""
    buffers = f" and {summary.buffers:,} buffers" if summary.buffers else ""
    sizes = [f"Legal sizes: {'; '.join(rule['rule'] for rule in found['sizes'])}."] if found["sizes"] else []
    return "\n\n".join(
        [
            f"# {_safe(found['name'])}",
            f"An ONNX model of {len(summary.rows)} layers: {summary.parameters:,} parameters{buffers}{macs}. "
            f"Exported by cnnc. {_VERIFIED[found['precision']]}",
            *sizes,
        ]
    )


def _entry(entry: Data, what: str) -> tuple[str, str, str]:
    return f"`{entry['name']}`", signature(entry), what


def _outputs(found: Data) -> str:
    table = _table(("name", "type", "meaning"), [_entry(e, reading(e)) for e in found["outputs"]])
    return f"{table}\n\nClasses in output order: {_safe(listed(found['classes']))}." if found["classes"] else table


def _score(found: Data) -> str:
    lines = [f"Data: `{data(found)}`."] if found["data"] else []
    if trained(found):
        precision = found["precision"] if found["trained"] else None
        original = f" (float32 weights, before conversion to {precision})" if precision else ""
        lines.append(f"Training: {_safe(trained(found))}{original}.")
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


def _file(found: Data) -> str:
    rows = [
        ("file", f"`{PurePath(found['file']).name}`, {found['bytes']:,} bytes"),
        ("format", f"{opsets(found)}, IR {found['ir']}"),
        ("weights", weights(found)),
        ("made by", made_by(found)),
        ("source", source(found)),
        ("sha256 of the source", f"`{found['source']['sha256']}`" if found["source"] else ""),
        ("versions", ", ".join(f"{name} {version}" for name, version in found["versions"].items())),
    ]
    return _table(("", ""), [row for row in rows if row[1]])


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *[[_safe(cell) for cell in row] for row in rows]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _safe(text: str) -> str:
    """Text for one line or table cell: escapes Markdown and HTML syntax other than inline code."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


# --- the snippet -----------------------------------------------------------------------------------------


def _how(found: Data) -> str:
    return f"With Python, NumPy and onnxruntime (`pip install numpy onnxruntime`):\n\n```python\n{snippet(found)}\n```"


def snippet(found: Data) -> str:
    """A Python program that runs the model on placeholder input, for the reader to replace."""
    name = PurePath(found["file"]).name
    words = any(entry.get("kind") == "words" for entry in found["inputs"])
    lines = [
        *(["import json", "import re", ""] if words else []),
        "import numpy as np",
        "import onnxruntime as ort",
        "",
        f'session = ort.InferenceSession({name!r}, providers=["CPUExecutionProvider"])',
        *(_tokenizer(found) if words else []),
        "feeds = {",
        *(f"    {entry['name']!r}: {_placeholder(entry, found)},{_comment(entry)}" for entry in found["inputs"]),
        "}",
        f"outputs = dict(zip({[entry['name'] for entry in found['outputs']]!r}, session.run(None, feeds)))",
    ]
    first = found["outputs"][0]
    if first.get("kind") == "classes" and first.get("named"):
        lines += [f"classes = {list(found['classes'])!r}", f"print(classes[outputs[{first['name']!r}][0].argmax()])"]
    else:
        lines.append("print({name: values.shape for name, values in outputs.items()})")
    return "\n".join(lines)


def _tokenizer(found: Data) -> list[str]:
    """Lines that turn sentences into integers as `cnnc/data/text.py` does in training."""
    (rules, *_) = [entry["words"] for entry in found["inputs"] if entry.get("kind") == "words"]
    return [
        'vocabulary = json.loads(session.get_modelmeta().custom_metadata_map.get("cnnc.vocabulary", "[]"))',
        f"number = {{word: {rules['first']} + n for n, word in enumerate(vocabulary)}}",
        "",
        "",
        "def numbers(sentence, length):",
        f"    words = re.findall({rules['pattern']!r}, sentence.lower())[:length]",
        f"    indices = [number.get(word, {rules['unknown']}) for word in words]",
        f"    return np.array([indices + [{rules['padding']}] * (length - len(indices))], np.int64)",
        "",
        "",
    ]


def _placeholder(entry: Data, found: Data) -> str:
    shape = (1, *(_size(size, found) for size in entry["shape"][1:]))
    if entry.get("kind") == "words":
        return f'numbers("an example sentence", {shape[1]})'
    return f"np.zeros({shape!r}, np.{entry['dtype']})"


def _size(size: Any, found: Data) -> int:
    """The size itself, or a legal size for a symbol."""
    if isinstance(size, int):
        return size
    facts = next((rule for rule in found["sizes"] if rule["symbol"] == size), None)
    if facts is None:
        return _USUAL
    rule = LegalSizes(
        facts["symbol"], facts["minimum"], facts["period"], tuple(facts["residues"]), tuple(facts["extra"])
    )
    return rule.closest(_USUAL) or _USUAL


def _comment(entry: Data) -> str:
    preparation = feeding(entry)
    return f"  # {preparation}" if preparation and entry.get("kind") != "words" else ""
