"""The model card: a page of Markdown beside a model, with what is known of it and how to run it.

In: the plain data of `cnnc.onnx.run.inspect.describe`, and the summary of the network. Out: Markdown. It says what cnnc
counted or measured, and nothing else; what nobody measured is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from cnnc.graph.sizes import LegalSizes
from cnnc.report.model import Data, data, feeding, listed, made_by, opsets, reading, signature, source, trained, weights
from cnnc.report.summary import Summary
from cnnc.report.table import format_size

_USUAL = 224  # the size of an open axis in the program, or the legal one next to it

_FIRST = "Before it was written, its form in float32 was compared with the network, tensor by tensor, and this one with that: "
_PROVEN = {
    None: "Before it was written, it was compared with the network, tensor by tensor.",
    "float16": f"{_FIRST}the scores differ by at most 1 % of the largest, and no clear answer is another.",
    "int8": f"{_FIRST}at most one point of accuracy was lost on the test examples, or, where these have no classes, "
    "the outputs differ by at most 10 %.",
}  # by the gates of cnnc.onnx.quantize.float16 and cnnc.onnx.quantize.int8


def card(found: Data, summary: Summary) -> str:
    """The page of a model: what it is, inputs, outputs, data and score, how to run it, layers, versions."""
    sections = [
        ("", _head(found, summary)),
        ("Inputs", _table(("name", "type", "how it is fed"), [_entry(e, feeding(e)) for e in found["inputs"]])),
        ("Outputs", _outputs(found)),
        ("Data and score", _score(found)),
        ("How to run it", _how(found)),
        ("Layers", _layers(summary)),
        ("File", _file(found)),
    ]
    return "\n\n".join(f"## {title}\n\n{body}" if title else body for title, body in sections if body) + "\n"


def _head(found: Data, summary: Summary) -> str:
    macs = f", {summary.macs:,} multiply-adds for one example" if summary.macs is not None else ""
    buffers = f" and {summary.buffers:,} buffers" if summary.buffers else ""
    sizes = [f"Legal sizes: {'; '.join(rule['rule'] for rule in found['sizes'])}."] if found["sizes"] else []
    return "\n\n".join(
        [
            f"# {_safe(found['name'])}",
            f"An ONNX model of {len(summary.rows)} layers: {summary.parameters:,} parameters{buffers}{macs}. It was "
            f"exported by cnnc. {_PROVEN[found['precision']]}",
            *sizes,
        ]
    )


def _entry(entry: Data, what: str) -> tuple[str, str, str]:
    return f"`{entry['name']}`", signature(entry), what


def _outputs(found: Data) -> str:
    made = _table(("name", "type", "what it is"), [_entry(e, reading(e)) for e in found["outputs"]])
    return f"{made}\n\nClasses, in their order: {_safe(listed(found['classes']))}." if found["classes"] else made


def _score(found: Data) -> str:
    lines = [f"Data: `{data(found)}`."] if found["data"] else []
    if trained(found):
        said = trained(found)
        lower = found["precision"] if found["trained"] else None
        weights_of = f" (of the weights before they became {lower})" if lower else ""
        lines.append(f"Training: {_safe(said)}{weights_of}.")
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
    """A text as a cell of a table or a line: what Markdown would take for its own is escaped, but for code."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


# --- the snippet -----------------------------------------------------------------------------------------


def _how(found: Data) -> str:
    return f"With Python, NumPy and onnxruntime (`pip install numpy onnxruntime`):\n\n```python\n{snippet(found)}\n```"


def snippet(found: Data) -> str:
    """A program that runs the model on made-up input, to be changed by whoever has real one."""
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
        *(f"    {entry['name']!r}: {_made_up(entry, found)},{_comment(entry)}" for entry in found["inputs"]),
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
    """Sentences to integers, as in training: what `cnnc/data/text.py` does, by the facts of the model."""
    (told, *_) = [entry["words"] for entry in found["inputs"] if entry.get("kind") == "words"]
    return [
        'vocabulary = json.loads(session.get_modelmeta().custom_metadata_map.get("cnnc.vocabulary", "[]"))',
        f"number = {{word: {told['first']} + n for n, word in enumerate(vocabulary)}}",
        "",
        "",
        "def numbers(sentence, length):",
        f"    words = re.findall({told['pattern']!r}, sentence.lower())[:length]",
        f"    found = [number.get(word, {told['unknown']}) for word in words]",
        f"    return np.array([found + [{told['padding']}] * (length - len(found))], np.int64)",
        "",
        "",
    ]


def _made_up(entry: Data, found: Data) -> str:
    shape = (1, *(_size(size, found) for size in entry["shape"][1:]))
    if entry.get("kind") == "words":
        return f'numbers("a sentence to look at", {shape[1]})'
    return f"np.zeros({shape!r}, np.{entry['dtype']})"


def _size(size: Any, found: Data) -> int:
    """A size, or a legal one of a symbol."""
    if isinstance(size, int):
        return size
    told = next((rule for rule in found["sizes"] if rule["symbol"] == size), None)
    if told is None:
        return _USUAL
    rule = LegalSizes(told["symbol"], told["minimum"], told["period"], tuple(told["residues"]), tuple(told["extra"]))
    return rule.closest(_USUAL) or _USUAL


def _comment(entry: Data) -> str:
    told = feeding(entry)
    return f"  # {told}" if told and entry.get("kind") != "words" else ""
