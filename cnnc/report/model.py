"""A model in words: how it is fed and read, for `cnnc info` and the model card.

In: the plain data of `cnnc.onnx.run.inspect.describe`. Out: text. Nothing is computed, and nothing said that is not there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cnnc.recipe.metrics import format_metric

Data = Mapping[str, Any]
_LISTED = 12


def info_text(found: Data) -> str:
    """The model as `cnnc info` shows it: a line for each thing that is known."""
    lines = [f"{found['file']}: {found['name'] or 'a model without a name'}, {found['bytes']:,} bytes"]
    rows = [
        ("made by", made_by(found)),
        ("format", f"{opsets(found)}, IR {found['ir']}"),
        ("source", source(found)),
        ("nodes", f"{found['nodes']:,}: {_counted(found['operators'])}"),
        ("weights", weights(found)),
        ("parameters", f"{found['parameters']:,}" if found["parameters"] is not None else ""),
        ("MACs", f"{found['macs']:,}" if found["macs"] is not None else ""),
        *((f"input {entry['name']}", f"{signature(entry)}{_more(feeding(entry))}") for entry in found["inputs"]),
        *((f"output {entry['name']}", f"{signature(entry)}{_more(reading(entry))}") for entry in found["outputs"]),
        ("sizes", "; ".join(rule["rule"] for rule in found["sizes"])),
        ("classes", f"{len(found['classes'])}: {listed(found['classes'])}" if found["classes"] else ""),
        ("vocabulary", f"{found['vocabulary']:,} words" if found["vocabulary"] else ""),
        ("data", data(found)),
        ("trained", trained(found)),
        ("versions", ", ".join(f"{name} {version}" for name, version in found["versions"].items())),
        *((key, " ".join(value.split())[:100]) for key, value in found["metadata"].items()),
    ]
    shown = [(key, value) for key, value in rows if value]
    width = max(len(key) for key, _ in shown)
    return "\n".join([*lines, *(f"  {key:<{width}}  {value}" for key, value in shown)])


def made_by(found: Data) -> str:
    return found["producer"] or "it does not say"


def opsets(found: Data) -> str:
    """`opset 17`; others than ONNX's own by their domain."""
    return ", ".join(
        f"opset {version}" if domain == "ai.onnx" else f"{domain} {version}"
        for domain, version in found["opsets"].items()
    )


def source(found: Data) -> str:
    """The text that the model was made from."""
    told = found["source"]
    if told is None:
        return ""
    parts = [f"{told['file']}, {told['lines']} lines, sha256 {told['sha256'][:16]}"]
    parts += [] if told["matches"] else ["the text was changed since"]
    parts += [f"includes {', '.join(told['includes'])}"] if told["includes"] else []
    changed = [*told["settings"], *(f"{symbol}={size}" for symbol, size in told["at"].items())]
    parts += [f"with {' '.join(changed)}"] if changed else []
    return "; ".join(parts)


def weights(found: Data) -> str:
    told = found["weights"]
    if not told["tensors"]:
        return ""
    beside = [f"{part['file']} ({_bytes(part['bytes'])})" for part in found["external"]]
    more = f", in {', '.join(beside)}" if beside else ""
    return f"{told['numbers']:,} numbers in {told['tensors']:,} tensors ({', '.join(told['types'])}){more}"


def _bytes(count: int | None) -> str:
    return "not there" if count is None else f"{count:,} bytes"


def signature(entry: Data) -> str:
    """`float32 N x 3 x H x W`."""
    if entry["shape"] is None:
        return str(entry["dtype"] or "of unknown type")
    return (
        f"{entry['dtype']} {' x '.join('?' if size is None else str(size) for size in entry['shape']) or 'one number'}"
    )


def feeding(entry: Data) -> str:
    """What is to be done to data before the input gets them; "" where the model does not say."""
    kind, span = entry.get("kind"), entry.get("range")
    if kind == "words":
        w = entry["words"]
        return (
            f"words of a sentence in lower case, numbered by the vocabulary from {w['first']} on; "
            f"{w['unknown']} is an unknown word, {w['padding']} pads"
        )
    if kind == "integers":
        return f"integers 0 to {span[1]:,}" if span else "integers"
    if kind not in ("picture", "values"):
        return ""
    parts = [f"{_colour(entry)} pictures, {entry['layout']}" if kind == "picture" else entry["layout"]]
    if span == [0, 255]:
        parts.append("bytes 0 to 255")
    else:
        parts.append("0 to 1, bytes divided by 255" if span else "values as they were in training")
    parts += [f"{step} in the graph" for step in entry["inside"]]
    if kind == "picture" and entry["mean"] is None and entry["std"] is None:
        parts.append("no mean to subtract")
    return "; ".join(parts)


def _colour(entry: Data) -> str:
    return "grey" if (entry["shape"] or [])[1:2] == [1] else "RGB"


def reading(entry: Data) -> str:
    """What an output means; "" where the model does not say."""
    return {
        "classes": "a score for each class",
        "label map": "a score for each class, at each place",
        "picture": "a picture, channels first",
        "values": "values",
    }.get(entry.get("kind", ""), "")


def data(found: Data) -> str:
    """The data statement."""
    told = found["data"]
    if told is None:
        return ""
    path = f' "{told["path"]}"' if told.get("path") else ""
    return f"{told['name']}{path}"


def trained(found: Data) -> str:
    """How the training ended."""
    told = found["trained"]
    if told is None:
        return "no: weights drawn at random" if found["source"] is not None else ""
    best = f"{told['judged_by']} {told['metric']} {_shown(told, told['best'])}"
    if told["best_epoch"] == told["epochs"]:
        parts = [f"weights of epoch {told['epochs']}", best]
    else:
        parts = [f"weights of epoch {told['epochs']}, which was not the best: epoch {told['best_epoch']} was, {best}"]
    if isinstance(sizes := told.get("sizes"), dict) and sizes:
        parts.append("at " + ", ".join(f"{symbol}={size}" for symbol, size in sizes.items()))
    test = told.get("test")
    if test:
        of = f" ({test['right']:,} of {test['total']:,})" if test.get("right") else ""
        parts.append(f"test {told['metric']} {_shown(told, test.get(told['metric']))}{of}")
    return "; ".join(parts) + ("" if found["whole"] else " (of the whole network)")


def _shown(told: Data, value: float | None) -> str:
    return "unbounded" if value is None else format_metric(told["metric"], value)


def listed(names: Sequence[str]) -> str:
    """Names, the first dozen of many."""
    more = f", and {len(names) - _LISTED:,} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _counted(operators: Mapping[str, int]) -> str:
    return listed([f"{name} {count}" if count > 1 else name for name, count in operators.items()])


def _more(text: str) -> str:
    return f"; {text}" if text else ""
