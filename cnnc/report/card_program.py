"""The program of a model card: reads files or sentences as `cnnc predict` does, runs the model, and prints the answers.

In: the plain data of `cnnc.onnx.run.inspect.describe`. Out: Python that needs NumPy, onnxruntime and, for images, Pillow, for recordings soundfile. What
it does with a file follows `file` of an input in the metadata (see `cnnc.data.image_file.PixelRule.described`); a test
compares it with `cnnc predict`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import PurePath
from typing import Any

from cnnc.diagnostics import one_line
from cnnc.report.model import takes_recordings

Data = Mapping[str, Any]


def program(model: Data) -> str:
    """The source of the program."""
    readers = [_reader(entry, model) for entry in model["inputs"]]
    functions = dict.fromkeys(text for reader in readers for text in reader.functions)
    modules = sorted({"import sys", *(line for reader in readers for line in reader.modules if line not in _LIBRARIES)})
    libraries = ["import numpy as np", "import onnxruntime as ort"]
    libraries += sorted({line for reader in readers for line in reader.modules if line in _LIBRARIES})
    name = PurePath(model["file"]).name
    parts = [
        "\n".join([*modules, "", *libraries]),
        f'session = ort.InferenceSession({name!r}, providers=["CPUExecutionProvider"])',
        *functions,
        *_answer_functions(model),
        _main(model, readers),
    ]
    return parts[0] + "".join(_gap(before, after) + after for before, after in pairwise(parts))


def _gap(before: str, after: str) -> str:
    """Two blank lines around functions, else one."""
    return "\n\n\n" if after.startswith("def ") or "\ndef " in f"\n{before}" else "\n\n"


class _Reader:
    """How an input is read: the call for the argument `given`, what the usage calls it, and the code that this needs."""

    def __init__(self, call: str, noun: str, functions: Sequence[str] = (), modules: Sequence[str] = ()) -> None:
        self.call, self.noun, self.functions, self.modules = call, noun, functions, modules


def _reader(entry: Data, model: Data) -> _Reader:
    sizes = list((entry["shape"] or [1])[1:])
    dtype = str(entry["dtype"] or "float32")
    if entry.get("kind") == "words":
        length = sizes[0] if isinstance(sizes[0], int) else None
        return _Reader(f"words({{}}, {length})", "SENTENCE", [_words(entry["words"])], ["import json", "import re"])
    if entry.get("kind") == "picture" and entry.get("file") and len(sizes) == 3 and sizes[0] in (1, 3):
        return _image_reader(entry["file"], sizes, dtype, model)
    if (model["data"] or {}).get("name") == "series" and (len(sizes) == 1 or (len(sizes) == 2 and sizes[0] == 1)):
        length = sizes[-1] if isinstance(sizes[-1], int) else 0
        shape = ", ".join(["-1", *(["1"] if len(sizes) == 2 else []), "rows.shape[1]"])
        call, read = ("table({})", _TABLE) if model["columns"] else (f"series({{}}, {length})", _SERIES)
        read = read.replace("SHAPE", shape).replace("COLUMNS", repr(list(model["columns"])))
        return _Reader(call, "FILE.csv", [_ROWS, _NUMBERS, read], ["import csv", "import re"])
    if takes_recordings(entry, model):
        length = sizes[1] if isinstance(sizes[1], int) else 0
        call = f"recording({{}}, {sizes[0]}, {length}, {model['data']['rate']})"
        return _Reader(call, "FILE.wav", [_RECORDING], [_SOUNDFILE])
    rank = len(sizes) + 1
    return _Reader(f"array({{}}, {rank}, np.{dtype})", "FILE.npy", [_ARRAY])


# --- images ----------------------------------------------------------------------------------------------------------


def _image_reader(rule: Data, sizes: Sequence[Any], dtype: str, model: Data) -> _Reader:
    channels, height, width = sizes
    symbols = [size for size in dict.fromkeys((height, width)) if not isinstance(size, int)]
    read = _IMAGE.replace("VALUES", _values(rule["range"])).replace("OPAQUE", _opaque(rule["background"]))
    read = read.replace("MODE", '"L"' if channels == 1 else '"RGB"')
    # as cnnc.onnx.run.session.convert_for_input
    kind = "" if dtype == "float32" else f".astype(np.{dtype})"
    scaled = (
        "pixels" if dtype == "uint8" else f"(pixels / np.float32(255)){kind}" if kind else "pixels / np.float32(255)"
    )
    functions = [_OVER, read.replace("SCALED", scaled)]
    if not symbols:
        return _Reader(f"image({{}}, {height}, {width})", "IMAGE", functions, [_PILLOW])
    rules = {
        rule["symbol"]: {k: rule[k] for k in ("minimum", "period", "residues", "extra")} for rule in model["sizes"]
    }
    allowed = "{" + ", ".join(f"{symbol!r}: {_allowed(rules.get(symbol))}" for symbol in symbols) + "}"
    functions.append(_SIZES.replace("ALLOWED", allowed).replace("HEIGHT", repr(height)).replace("WIDTH", repr(width)))
    return _Reader("image({0}, *sizes({0}))", "IMAGE", functions, [_PILLOW])


def _allowed(rule: Data | None) -> str:
    """A function that says whether a size is legal, as `LegalSizes.allows`."""
    if rule is None:
        return "lambda n: True"
    extra = f" or n in {list(rule['extra'])}" if rule["extra"] else ""
    least, period = f"n >= {rule['minimum']}", rule["period"]
    if not rule["residues"]:
        return f"lambda n: n in {list(rule['extra'])}"
    return f"lambda n: ({least} and n % {period} in {list(rule['residues'])}){extra}"


_PILLOW = "from PIL import Image, ImageOps"

_SOUNDFILE = "import soundfile"
_LIBRARIES = (_PILLOW, _SOUNDFILE)  # not of Python itself

_IMAGE = '''def image(path, height, width):
    """An image file as the input of the model."""
    with Image.open(path) as file:
        file.draft(None, (2 * max(height, width),) * 2)  # decode a much larger JPEG at a fraction of its size
        file.load()
        image = file
        try:
            image = ImageOps.exif_transpose(file)  # turn it upright
        except Exception:
            pass  # the EXIF data are damaged
    if image.mode[0] in "FI":  # 16 bits, or floats
        values = np.asarray(image)
VALUES
        image = Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))
    elif image.has_transparency_data:
        layer = image.convert("RGBA")
        if layer.getchannel("A").getextrema() != (255, 255):
OPAQUE
    image = image.convert(MODE)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(image, np.uint8).reshape(height, width, -1).transpose(2, 0, 1)[np.newaxis]  # 1, C, H, W
    return SCALED'''

_SIZES = '''def sizes(path):
    """Height and width of an image, or the next smaller ones that the model takes."""
    allowed = ALLOWED
    with Image.open(path) as file:
        width, height = ImageOps.exif_transpose(file).size
    found = {}
    for symbol, size in ((HEIGHT, height), (WIDTH, width)):
        if isinstance(symbol, str) and symbol not in found:
            nearest = [*range(size, 0, -1), *range(size + 1, 4 * size + 4096)]
            found[symbol] = next(n for n in nearest if allowed[symbol](n))
    return found.get(HEIGHT, HEIGHT), found.get(WIDTH, WIDTH)'''


def _values(value_range: Sequence[float] | None) -> str:
    if value_range is not None:
        start, end = value_range
        scaled = (
            f"(values.astype(np.float32) - np.float32({start!r})) * np.float32(255 / {end - start!r}) + np.float32(0.5)"
        )
        return f"        values = {scaled}"
    return """        if values.dtype.kind != "f":
            values = values >> 8
        elif values.max() <= 1:
            values = values * np.float32(255) + np.float32(0.5)"""


def _opaque(background: str | None) -> str:
    if background is not None:
        return f"            image = over({background!r}, layer)"
    return """            image, black = over("white", layer), over("black", layer)
            if not (np.asarray(image) != np.asarray(image)[0, 0]).any() and np.asarray(black).any():
                image = black  # on white nothing would be seen"""


_OVER = '''def over(colour, layer):
    """Transparent pixels laid over a colour."""
    return Image.alpha_composite(Image.new("RGBA", layer.size, colour), layer).convert("RGB")'''


# --- words, series, arrays -------------------------------------------------------------------------------------------


def _words(rules: Data) -> str:
    """Turns sentences into integers as `cnnc/data/text.py` does in training."""
    return f'''vocabulary = json.loads(session.get_modelmeta().custom_metadata_map.get("cnnc.vocabulary", "[]"))
number = {{word: {rules["first"]} + n for n, word in enumerate(vocabulary)}}


def words(sentence, length):
    """A sentence as the numbers of its words."""
    words = re.findall({rules["pattern"]!r}, sentence.lower())
    length = length or len(words)
    numbers = [number.get(word, {rules["unknown"]}) for word in words[:length]]
    return np.array([numbers + [{rules["padding"]}] * (length - len(numbers))], np.int64)'''


_ROWS = '''def rows_of(path):
    """The cells of each line of a table, separated by tabs, semicolons or commas."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        lines = [line for line in file if line.strip()]
    declared = re.fullmatch(r" *sep=([;,\\t])\\s*", lines[0] if lines else "", re.IGNORECASE)
    lines = lines[1:] if declared else lines
    if not lines:
        sys.exit(f"{path}: there is no table")
    marks = [mark for mark in "\\t;," if mark in re.sub('"[^"]*"', "", lines[0])]
    separator = declared[1] if declared else marks[0] if marks else ","
    rows = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    return [[cell.strip() for cell in row] for row in rows]'''

_NUMBERS = '''def numbers(path, rows):
    """Rows of cells as numbers, with decimal points or decimal commas."""
    if len({len(row) for row in rows}) != 1:
        sys.exit(f"{path}: {'lines differ in their number of cells' if rows else 'there is no line of numbers'}")
    text = " ".join(cell for row in rows for cell in row)
    if "," in text and "." in text:
        sys.exit(f"{path}: write decimals either with a point or with a comma, and no mark between groups of digits")
    try:
        values = np.array([[cell.replace(",", ".") for cell in row] for row in rows], np.float32)
    except ValueError as error:
        sys.exit(f"{path}: {error}")
    if not np.isfinite(values).all():
        sys.exit(f"{path}: a number is missing or too large")
    return values'''

_SERIES = '''def series(path, length):
    """Series, one per line; a label before the values is left out, and a first line of words or of 0, 1, 2, ..."""
    rows = [row[-length:] for row in rows_of(path)]
    scales = [[str(n) for n in range(start, start + len(rows[0]))] for start in (0, 1)]
    if rows[0] in scales or not re.fullmatch(r"[-+.,0-9eE]+", rows[0][0]):
        rows = rows[1:]
    rows = numbers(path, rows)
    return rows.reshape(SHAPE)'''

_TABLE = '''columns = COLUMNS


def table(path):
    """The columns of a table by the names in its first line, one example per line; without such a line in their order."""
    rows = rows_of(path)
    header, lower, order = rows[0], [cell.lower() for cell in rows[0]], []
    for name in columns:
        cells, cell = (header, name) if name in header else (lower, name.lower())
        order += [cells.index(cell)] if cells.count(cell) == 1 else []
    if len(set(order)) == len(columns):
        if any(len(row) != len(header) for row in rows):
            sys.exit(f"{path}: a line has not as many cells as the first")
        rows = [[row[n] for n in order] for row in rows[1:]]
    elif len(header) != len(columns) or not all(re.fullmatch(r"[-+.,0-9eE]+", cell) for cell in header):
        sys.exit(f"{path}: name each of these once in the first line, or have them alone, in this order: {columns}")
    rows = numbers(path, rows)
    return rows.reshape(SHAPE)'''

_RECORDING = '''def recording(path, channels, length, rate):
    """A recording as the input of the model: cut, or followed by zeros, to its length."""
    samples, file_rate = soundfile.read(path, dtype="float32", always_2d=True)  # from -1 to 1
    if samples.shape[1] != channels:
        samples = samples.mean(1, keepdims=True) if channels == 1 else samples.repeat(channels, 1)
    if file_rate != rate:
        import soxr  # pip install soxr

        samples = soxr.resample(samples, file_rate, rate, quality="HQ").astype(np.float32)
    fitted = np.zeros((1, channels, length or len(samples)), np.float32)
    fitted[0, :, : len(samples)] = samples[: fitted.shape[2]].T
    return fitted'''

_ARRAY = '''def array(path, rank, dtype):
    """One example or a batch of them, as np.save wrote it."""
    values = np.load(path)
    values = values[np.newaxis] if values.ndim < rank else values
    if values.dtype == np.uint8 and np.dtype(dtype).kind == "f":
        values = values / np.float32(255)
    return values.astype(dtype)'''


# --- answers ---------------------------------------------------------------------------------------------------------


def _answer_functions(model: Data) -> list[str]:
    kinds = {entry.get("kind") for entry in model["outputs"]}
    named = any(entry.get("named") for entry in model["outputs"])
    classes = [f"classes = {[one_line(name) for name in model['classes']]!r}"] if model["classes"] and named else []
    return [*classes, *([_PROBABILITIES] if "classes" in kinds else [])]


_PROBABILITIES = '''def probabilities(scores):
    """Scores of classes as probabilities, whether or not the model ends in a softmax."""
    scores = scores.reshape(len(scores), -1).astype(np.float64)
    if (scores < 0).any() or not np.allclose(scores.sum(1), 1, atol=1e-3):
        scores = np.exp(scores - scores.max(1, keepdims=True))
        scores /= scores.sum(1, keepdims=True)
    return scores'''


def _main(model: Data, readers: Sequence[_Reader]) -> str:
    count = len(readers)
    usage = f"usage: python PROGRAM.py {' '.join(reader.noun for reader in readers)} ..."
    lines = [
        f"if len(sys.argv) < {count + 1}:",
        f"    sys.exit({usage!r})",
    ]
    names = ["given"] if count == 1 else [f"given{n}" for n in range(1, count + 1)]
    if count == 1:
        lines.append("for given in sys.argv[1:]:")
    else:
        lines.append(f"for {', '.join(names)} in zip(*[iter(sys.argv[1:])] * {count}):")
    lines.append("    feeds = {")
    for entry, reader, name in zip(model["inputs"], readers, names, strict=True):
        lines.append(f"        {entry['name']!r}: {reader.call.format(name)},")
    outputs = [entry["name"] for entry in model["outputs"]]
    lines += ["    }", f"    outputs = dict(zip({outputs!r}, session.run({outputs!r}, feeds)))"]
    for entry in model["outputs"]:
        lines += [f"    {line}" for line in _ANSWERS.get(entry.get("kind", ""), _print_values)(entry, model)]
    return "\n".join(lines)


def _print_classes(entry: Data, model: Data) -> list[str]:
    return [
        f"for row in probabilities(outputs[{entry['name']!r}]):",
        '    best = np.argsort(-row, kind="stable")[:3]',
        f"    print({_heading(entry, model)}, *(f'{{{_class(entry, model)}}} {{row[c]:.6f}}' for c in best))",
    ]


def _print_shares(entry: Data, model: Data) -> list[str]:
    return [
        f"for scores in outputs[{entry['name']!r}]:  # one score per class and position",
        "    shares = np.bincount(scores.argmax(0).ravel(), minlength=len(scores)) / scores[0].size",
        '    best = [c for c in np.argsort(-shares, kind="stable")[:3] if shares[c]]',
        f"    print({_heading(entry, model)}, *(f'{{{_class(entry, model)}}} {{shares[c]:.6f}}' for c in best))",
    ]


def _class(entry: Data, model: Data) -> str:
    """The name of class `c`."""
    return "classes[c]" if model["classes"] and entry.get("named") else "c"


def _print_values(entry: Data, model: Data) -> list[str]:
    sizes = (entry["shape"] or [])[1:]
    is_short = len(sizes) == 1 and isinstance(sizes[0], int) and sizes[0] <= _SHORT
    shown = "*values" if is_short else f"values.shape, *values.ravel()[:{_SHORT}]"
    return [f"for values in outputs[{entry['name']!r}]:", f"    print({_heading(entry, model)}, {shown})"]


_SHORT = 6
"""The number of values that are printed."""


def _heading(entry: Data, model: Data) -> str:
    """What a line of output begins with: the file or files, and the output where there are several."""
    count = len(model["inputs"])
    given = "{given}" if count == 1 else " ".join(f"{{given{n}}}" for n in range(1, count + 1))
    output = f" {entry['name']}" if len(model["outputs"]) > 1 else ""
    return f'f"{given}{output}:"'


_ANSWERS: dict[str, Callable[[Data, Data], list[str]]] = {"classes": _print_classes, "label map": _print_shares}
