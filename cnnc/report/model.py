"""A model in words for `cnnc info` and the model card: contents, how to prepare inputs, how to read outputs.

In: the plain data of `cnnc.onnx.run.inspect.describe`. Out: text. Nothing is computed; what the model does not contain is
left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cnnc.core.intervals import interval_text
from cnnc.core.listing import listed
from cnnc.diagnostics import one_line
from cnnc.recipe.metrics import format_metric

Data = Mapping[str, Any]
MAX_LISTED = 12
"""The most names of a list that are shown."""
_MAX_KEY = 40  # characters, before values no longer begin in one column


def info_text(model: Data) -> str:
    """The model as `cnnc info` prints it: one line per fact."""
    lines = [one_line(f"{model['file']}: {model['name'] or 'unnamed model'}, {model['bytes']:,} bytes")]
    rows = [
        ("made by", producer(model)),
        ("format", f"{opsets(model)}, IR {model['ir']}"),
        ("source", source(model)),
        ("nodes", f"{model['nodes']:,}: {_counted(model['operators'])}"),
        ("weights", weights(model)),
        ("parameters", f"{model['parameters']:,}" if model["parameters"] is not None else ""),
        ("MACs", f"{model['macs']:,}" if model["macs"] is not None else ""),
        *(
            (f"input {entry['name']}", f"{signature(entry)}{_more(input_preparation(entry, model))}")
            for entry in model["inputs"]
        ),
        *(
            (f"output {entry['name']}", f"{signature(entry)}{_more(output_meaning(entry))}")
            for entry in model["outputs"]
        ),
        ("sizes", "; ".join(rule["rule"] for rule in model["sizes"])),
        ("classes", f"{len(model['classes'])}: {listed(model['classes'], MAX_LISTED)}" if model["classes"] else ""),
        ("columns", f"{len(model['columns'])}: {listed(model['columns'], MAX_LISTED)}" if model["columns"] else ""),
        ("vocabulary", f"{model['vocabulary']:,} words" if model["vocabulary"] else ""),
        ("data", data(model)),
        ("trained", trained(model)),
        ("versions", ", ".join(f"{name} {version}" for name, version in model["versions"].items())),
        *((key, " ".join(value.split())[:100]) for key, value in model["metadata"].items()),
    ]
    known = [(one_line(key), one_line(value)) for key, value in rows if value]
    width = min(_MAX_KEY, max(len(key) for key, _ in known))
    return "\n".join([*lines, *(f"  {key:<{width}}  {value}" for key, value in known)])


def producer(model: Data) -> str:
    """The program that wrote the model."""
    return model["producer"] or "unknown"


def opsets(model: Data) -> str:
    """`opset 17`; operator sets other than ONNX's own with their domain."""
    return ", ".join(
        f"opset {version}" if domain == "ai.onnx" else f"{domain} {version}"
        for domain, version in model["opsets"].items()
    )


def source(model: Data) -> str:
    """The source file of the network, and with which settings it was exported; "" if unknown."""
    facts = model["source"]
    if facts is None:
        return ""
    parts = [f"{facts['file']}, {facts['lines']} lines, sha256 {facts['sha256'][:16]}"]
    parts += [] if facts["matches"] else ["the source in the model does not match its sha256"]
    parts += [f"includes {', '.join(facts['includes'])}"] if facts["includes"] else []
    settings = [*facts["settings"], *(f"{symbol}={size}" for symbol, size in facts["at"].items())]
    parts += [f"with {' '.join(settings)}"] if settings else []
    return "; ".join(parts)


def weights(model: Data) -> str:
    """Size and element types of the weights, and the external files that hold them; "" if there are none."""
    facts = model["weights"]
    if not facts["tensors"]:
        return ""
    external = [f"{file['file']} ({_bytes(file['bytes'])})" for file in model["external"]]
    location = f", in {', '.join(external)}" if external else ""
    return f"{facts['numbers']:,} elements in {facts['tensors']:,} tensors ({', '.join(facts['types'])}){location}"


def _bytes(count: int | None) -> str:
    return "missing" if count is None else f"{count:,} bytes"


def signature(entry: Data) -> str:
    """Element type and shape: `float32 N x 3 x H x W`."""
    if entry["shape"] is None:
        return str(entry["dtype"] or "of unknown type")
    return f"{entry['dtype']} {' x '.join('?' if size is None else str(size) for size in entry['shape']) or 'scalar'}"


def input_preparation(entry: Data, model: Data) -> str:
    """How to prepare data for an input of a model; "" if the model does not say."""
    kind, limits = entry.get("kind"), entry.get("range")
    if kind == "words":
        rules = entry["words"]
        return (
            f"lower-case words of a sentence, numbered from {rules['first']} on in the order of the vocabulary; "
            f"{rules['unknown']} for unknown words, {rules['padding']} for padding"
        )
    if kind == "integers":
        return f"integers 0 to {limits[1]:,}" if limits else "integers"
    if kind not in ("picture", "values"):
        return ""
    parts = [f"{_colour(entry)} images, {entry['layout']}" if kind == "picture" else entry["layout"]]
    if takes_recordings(entry, model):
        parts.append(_recording(entry, model))
    elif limits == [0, 255]:
        parts.append("bytes from 0 to 255")
    else:
        learned = model["trained"] or model["origin"] or model["random"]
        parts += ["scaled to 0..1, bytes divided by 255"] if limits else ["scaled as in training"] if learned else []
    parts += [f"{step} is part of the model" for step in entry["inside"]]
    if kind == "picture" and entry["mean"] is None and entry["std"] is None:
        parts.append("no other normalization" if entry["inside"] else "no normalization")
    return "; ".join(parts)


def takes_recordings(entry: Data, model: Data) -> bool:
    """Whether an input is a waveform of a model that was trained on recordings."""
    return (model["data"] or {}).get("name") == "audio" and len(entry["shape"] or ()) == 3


def _recording(entry: Data, model: Data) -> str:
    """`1 s of sound at 16000 Hz, mono, samples from -1 to 1`."""
    _, channels, length = entry["shape"]
    rate = model["data"]["rate"]
    duration = f"{length / rate:.4g} s of sound" if isinstance(length, int) else "sound"
    kind = {1: "mono", 2: "stereo"}.get(channels, f"{channels} channels")
    return f"{duration} at {rate} Hz, {kind}, samples from -1 to 1"


def image_steps(entry: Data) -> list[str]:
    """The steps from an image file to an input whose metadata say it, in their order."""
    rule = entry["file"]
    sizes = (entry["shape"] or [None] * 4)[2:]
    background, limits = rule["background"], rule["range"]
    wide = "divide 16-bit values by 256; multiply floats of at most 1 by 255 and round, take others as 0 to 255"
    over = f"over {background}" if background else "over white, or over black where nothing would be seen on white"
    grey = "Convert to grey, 0.299 R + 0.587 G + 0.114 B, where there is colour"
    size = " x ".join("?" if n is None else str(n) for n in sizes)
    return [
        f"Decode with {rule['decoder']}, of an animation the {rule['frame']} frame; a JPEG of more than twice the size that is "
        "needed at a half, a quarter or an eighth of its size",
        "Turn it upright, as the EXIF data say",
        f"Bring other values than bytes to 0 to 255: {_scaled(limits) if limits else wide}; clip them",
        f"Lay transparent pixels {over}",
        grey if rule["colour"] == "grey" else "Convert to RGB, in this order of channels",
        f"Resize to {size} (height x width), {rule['resize']}, {rule['crop']}; {rule['aspect']}",
        f"Order the axes as {entry['layout']}"
        + ("; the bytes stay as they are" if entry["range"] == [0, 255] else ", and divide the bytes by 255"),
        *([f"Inside the model: {'; '.join(entry['inside'])}"] if entry["inside"] else []),
    ]


def _scaled(limits: Sequence[float]) -> str:
    return f"{limits[0]:g} becomes 0 and {limits[1]:g} becomes 255"


def _colour(entry: Data) -> str:
    return "grey" if (entry["shape"] or [])[1:2] == [1] else "RGB"


def output_meaning(entry: Data) -> str:
    """The meaning of an output; "" if the model does not say."""
    return {
        "classes": "one score per class",
        "label map": "one score per class and pixel",
        "picture": "an image, channels first" if entry.get("range") else "values of an image or map, channels first",
        "values": "values",
    }.get(entry.get("kind", ""), "")


def data(model: Data) -> str:
    """The arguments of the data statement that the model was trained with; "" if unknown."""
    statement = model["data"]
    if statement is None:
        return ""
    path = f' "{statement["path"]}"' if statement.get("path") else ""
    beside = [f' {key}="{value}"' for key in ("labels", "masks") if isinstance(value := statement.get(key), str)]
    return f"{statement['name']}{path}{''.join(beside)}"


def trained(model: Data) -> str:
    """The result of the training: epochs, best validation metric, test metric; and where the weights were imported from.

    "" if unknown.
    """
    run, source = model["trained"], origin(model)
    if run is None:
        return source or _untrained(model)
    best = f"{run['judged_by']} {run['metric']} {_shown(run, run['best'])}"
    if run["best_epoch"] == run["epochs"]:
        parts = [f"weights of epoch {run['epochs']}", best]
    else:
        parts = [f"weights of epoch {run['epochs']}; the best was epoch {run['best_epoch']}, {best}"]
    if isinstance(sizes := run.get("sizes"), dict) and sizes:
        parts.append("at " + ", ".join(f"{symbol}={size}" for symbol, size in sizes.items()))
    test = run.get("test")
    if test:
        is_accuracy = run["metric"] == "accuracy"
        of = f" ({test['right']:,} of {test['total']:,})" if is_accuracy and test.get("right") else ""
        interval = test.get("accuracy_interval") if is_accuracy else None
        reach = f", 95% interval {interval_text(interval)}" if interval else ""
        parts.append(f"test {run['metric']} {_shown(run, test.get(run['metric']))}{of}{reach}")
    whole = "" if model["whole"] else " (of the complete network)"
    return "; ".join(parts) + whole + (f"; started from {source}" if source else "")


def _untrained(model: Data) -> str:
    """What the weights of a model are that was exported from a source file; "" if unknown, or if there are none."""
    if model["source"] is None or not model["parameters"]:
        return ""
    return "no: random weights" if model["random"] else "no: the source gives the weights"


def origin(model: Data) -> str:
    """The model that the weights were imported from, with its producer and hash if known; "" if they were not."""
    facts = model["origin"]
    if facts is None:
        return ""
    details = [f"produced by {facts['producer']}"] if facts.get("producer") else []
    details += [f"sha256 {facts['sha256'][:16]}"] if facts.get("sha256") else []
    return f"weights imported from {facts['file']}" + (f" ({', '.join(details)})" if details else "")


def _shown(run: Data, value: float | None) -> str:
    return "unbounded" if value is None else format_metric(run["metric"], value)


def _counted(operators: Mapping[str, int]) -> str:
    return listed([f"{name} {count}" if count > 1 else name for name, count in operators.items()], MAX_LISTED)


def _more(text: str) -> str:
    return f"; {text}" if text else ""
