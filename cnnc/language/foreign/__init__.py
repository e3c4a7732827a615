"""Recognizes files that are no networks of cnnc: programs and configurations of other frameworks, and binary files.

In: a source that could not be parsed, or the path of a file that is not text. Out: E009, which names the format, shows the
first lines in this language, and names the command that reads the file if there is one; None if it is not recognized.
Loaded only after parsing or reading failed. `FORMATS` has one entry per text format, `binary.KINDS` one per binary one.

Example: `nn.Conv2d(1, 6, 5), nn.ReLU(),` becomes `input 1xHxW; conv 6 k=5; relu`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from cnnc.diagnostics import Diagnostic, Edit, Source, Span
from cnnc.language.foreign import caffe, convnetjs, darknet, keras, keras_json, matlab, pytorch, yaml
from cnnc.language.foreign.enclosed import enclosed
from cnnc.language.foreign.layers import Lines
from cnnc.language.resolve import LANGUAGE_STATEMENTS
from cnnc.language.synonyms import is_train_statement
from cnnc.ops import OPS

MAX_TEXT = 200_000  # characters that are looked at
MAX_SHOWN = 10  # statements of the translation


class ForeignFormat(NamedTuple):
    """A format: a line that only it has, its translation, and another way to bring its networks here."""

    name: str
    line: re.Pattern[str]
    translate: Callable[[str], Lines]
    otherwise: str = ""


_TO_ONNX = "export the model to ONNX, then run `cnnc import model.onnx`"


def _untranslated(text: str) -> Lines:
    return Lines((), True)


_JSON = re.compile(r"(?m)^[ \t\[{]*(?P<at>\"[^\"\n]*\"[ \t]*:)[^\n]*")
_XML = re.compile(r"(?m)^[ \t]*(?P<at><[?!/]?[A-Za-z][\w-]*)(?:\s[^\n]*)?/?>[^\n]*")

FORMATS = (
    ForeignFormat("PyTorch", pytorch.LINE, pytorch.translate, _TO_ONNX),
    ForeignFormat("the JSON of a Keras model", keras_json.LINE, keras_json.translate, _TO_ONNX),
    ForeignFormat("Keras or TensorFlow", keras.LINE, keras.translate, _TO_ONNX),
    ForeignFormat("a Darknet configuration", darknet.LINE, darknet.translate),
    ForeignFormat("a Caffe prototxt", caffe.LINE, caffe.translate),
    ForeignFormat("MATLAB", matlab.LINE, matlab.translate, _TO_ONNX),
    ForeignFormat("JSON", _JSON, _untranslated),
    ForeignFormat("XML or HTML", _XML, _untranslated),
    ForeignFormat("ConvNetJS", convnetjs.LINE, convnetjs.translate),
    ForeignFormat("YAML", yaml.LINE, yaml.translate),
)


def recognized(source: Source) -> Diagnostic | None:
    """E009 if most lines of the source are those of another format; None otherwise."""
    around = enclosed(source)
    if around is not None:
        return around
    text = source.text[:MAX_TEXT]
    own = _own_lines(text)
    for format in FORMATS:
        matches = list(format.line.finditer(text))
        if len(matches) > own and (len(matches) > 1 or len(text.strip().split("\n")) <= 3):
            return _diagnostic(source, format, matches[0], text)
    return None


def translated_line(line: str) -> str:
    """A line of another format in this language, without its input; "" if it is not recognized."""
    for format in FORMATS:
        if format.name in ("PyTorch", "Keras or TensorFlow", "MATLAB", "ConvNetJS") and format.line.match(line):
            try:
                statements = format.translate(line.strip()).statements
            except RecursionError:
                return ""
            return "; ".join(s for s in statements if not s.startswith("input"))
    return ""


def _own_lines(text: str) -> int:
    """The number of lines that begin like a statement of this language: `conv 8`, `a: relu`, `train {`."""
    count = 0
    for match in re.finditer(r"(?m)^[ \t]*(?:\w+:[ \t]*)?([a-z_0-9]+)(?=[ \t]+[\w{\"#]|[ \t]*(?:;|$))", text):
        word = match[1]
        count += word in OPS or (word in LANGUAGE_STATEMENTS and word != "from") or is_train_statement(word)
    return count


def _diagnostic(source: Source, format: ForeignFormat, first: re.Match[str], text: str) -> Diagnostic:
    try:
        lines = format.translate(text)
    except RecursionError:
        lines = Lines((), True)
    helps = [format.otherwise] if format.otherwise else []
    span = Span(source, first.start("at"), first.end("at"))
    message = f"this is {format.name}, not a network of cnnc"
    if not lines.statements:
        return Diagnostic(
            "E009", message, span, help="; ".join(helps) or "`cnnc new lenet` writes an example to start from"
        )
    shown = "; ".join(lines.statements[:MAX_SHOWN])
    more = ", and so on" if lines.cut or len(lines.statements) > MAX_SHOWN else ""
    sizes = ", with the size of your input for H and W" if "xHxW" in shown else ""
    begin = "its first lines are" if more else "it is"
    words = "; or ".join([f"in this language {begin} `{{}}`{more}{sizes}", *helps])
    whole = Span(source, 0, len(source.text))
    help = words.replace("{}", shown, 1)  # shown where the edit does not work: the translation alone is not a network
    return Diagnostic("E009", message, span, help=help, edits=(Edit(whole, shown, words),))
