"""What an exported model carries beside its graph: the source, and what its user needs to feed and read it.

In: a network, its sub-network that is exported, and what is known of its training. Out: the model's metadata
properties (`metadata`), and the same read again from any model (`read_facts`).

    cnnc.version, cnnc.sha256   of cnnc; of the text
    cnnc.source, cnnc.includes  the text as it was checked; those it includes, JSON by name
    cnnc.map                    where each layer stands (see sourcemap.py)
    cnnc.vocabulary             JSON list of words, for text: word i is fed as 2 + i, 0 pads, 1 is an unknown word
    cnnc.facts                  JSON, the fields of `Facts`, but for those that are empty
    cnnc.precision              float16 or int8, where it is not float32 (see precision.py)

Of a stranger's model, whatever is missing or of another kind than cnnc writes is left empty.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from cnnc.core.record import Record
from cnnc.data.catalog import KNOWN
from cnnc.graph.graph import Graph, Node
from cnnc.graph.sizes import LegalSizes, SizeSurvey
from cnnc.network import Network
from cnnc.onnx.source_map import INCLUDES, MAP, SOURCE, at_home, home_names, source_map, texts
from cnnc.ops.activation import LogSoftmax, Softmax
from cnnc.ops.dense import Input
from cnnc.ops.norm import Normalize
from cnnc.ops.sequence import Embed
from cnnc.recipe.metrics import finite
from cnnc.recipe.statements import CrossEntropy

VERSION, HASH, FACTS, VOCABULARY = "cnnc.version", "cnnc.sha256", "cnnc.facts", "cnnc.vocabulary"
PRECISION = "cnnc.precision"
PICTURES = (*KNOWN, "images")  # readers of pixels of eight bits
_UNSAID: Mapping[str, Any] = {"range": None, "mean": None, "std": None, "inside": ()}  # of an input
_NUMBER = int | float
# What the objects of facts hold at the least, when they are read.
_INPUT = {"kind": str, "layout": str, "inside": list | tuple | None}
_WORDS = {"pattern": str, "padding": int, "unknown": int, "first": int}
_OUTPUT = {"kind": str}
_DATA = {"name": str, "path": str | None}
_JUDGED = {"metric": str, "judged_by": str, "best": _NUMBER | None, "test": dict | None}
_TRAINED = {"epochs": int, "best_epoch": int, **_JUDGED}
_LAYOUTS = {0: "N, F", 1: "N, C, T", 2: "N, C, H, W", 3: "N, C, D, H, W"}


class Facts(Record):
    """What cnnc wrote into a model.

    `at` are sizes that symbols were fixed to. `inputs` and `outputs` hold an object for each by its name (see `_input`
    and `_output`), `data` the data statement, `trained` the end of the training and the sizes it was at, `sizes` the legal
    sizes of each symbol. `parameters` counts what was learned, before passes fold any of it, `macs` the multiply-adds of
    one example. `whole` says that the model is the whole network, not a part with other outputs.
    """

    name: str = ""
    file: str = ""
    settings: tuple[str, ...] = ()
    at: Mapping[str, int] = {}
    source: str = ""
    includes: Mapping[str, str] = {}
    sha256: str = ""
    classes: tuple[str, ...] = ()
    vocabulary: tuple[str, ...] = ()
    inputs: Mapping[str, Mapping[str, Any]] = {}
    outputs: Mapping[str, Mapping[str, Any]] = {}
    data: Mapping[str, Any] = {}
    trained: Mapping[str, Any] = {}
    sizes: Mapping[str, LegalSizes] = {}
    parameters: int | None = None
    macs: int | None = None
    whole: bool = True
    versions: Mapping[str, str] = {}


def metadata(
    network: Network,
    graph: Graph,
    versions: Mapping[str, str],
    *,
    classes: Sequence[str] = (),
    vocabulary: Sequence[str] = (),
    trained: Mapping[str, Any] | None = None,
) -> dict[str, str]:
    """The metadata properties of the model of `graph`, the network's own or a part of it.

    Classes are kept where the output that they name is still there, the vocabulary where words are still fed.
    """
    survey, labelled = (None if network.at else network.survey), _labelled(network)
    named = any(name in labelled[:2] for name in graph.outputs)
    data = network.recipe.data if network.recipe is not None else None
    reader = data.name if data is not None else None
    files = home_names(network)
    file = files[network.source.name]
    facts = {
        "name": network.name,
        "file": file,
        "settings": list(network.settings),
        "at": dict(network.survey.reference if network.at and network.survey is not None else network.at),
        "classes": list(classes) if named else [],
        "inputs": {node.name: _said(_input(node, graph, survey, reader)) for node in graph.inputs},
        "outputs": {
            name: _output(graph.by_name[name], survey, labelled, bool(classes) and named) for name in graph.outputs
        },
        "data": {k: getattr(data, k) for k in ("name", "path", "val", "test")} if data is not None else None,
        "trained": dict(trained) if trained is not None else None,
        "sizes": {symbol: rule.as_dict() for symbol, rule in survey.legal.items()} if survey is not None else {},
        "parameters": graph.total_parameters,
        "macs": graph.total_macs if survey is None else None,
        "whole": None if graph.outputs == network.require_graph().outputs else False,
        "versions": dict(versions),
    }
    words = {VOCABULARY: _json(list(vocabulary))} if vocabulary and any(_is_words(n) for n in graph.inputs) else {}
    included = {INCLUDES: _json({files[name]: text for name, text in network.includes.items()})}
    return {
        VERSION: versions["cnnc"],
        SOURCE: network.source.text,
        HASH: network.sha256,
        MAP: source_map(at_home(network, graph), file),
        FACTS: _json(_said(facts)),
        **(included if network.includes else {}),
        **words,
    }


def _json(value: Any) -> str:
    return json.dumps(finite(value), sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _said(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What is not empty."""
    return {key: value for key, value in facts.items() if value not in (None, "", [], {})}


def _shape(node: Node, survey: SizeSurvey | None) -> list[int | str]:
    """Sizes without the batch, as numbers or formulas of symbols."""
    if survey is None or node.name not in survey.formulas:
        return list(node.type.shape)
    return [int(size) if size.isdigit() else size for size in survey.formulas[node.name]]


def _is_words(node: Node) -> bool:
    return isinstance(node.op, Input) and node.op.fed().dtype == "int64"


def _input(node: Node, graph: Graph, survey: SizeSurvey | None, reader: str | None) -> dict[str, Any]:
    """How an input is fed.

    `range` are the least and the largest value where they are known. `mean` and `std` are what is to be subtracted
    and divided by before the model: nothing (null), as cnnc's graphs do it themselves; `inside` says what they do.
    """
    assert isinstance(node.op, Input)
    dtype = node.op.fed().dtype
    found: dict[str, Any] = {"shape": _shape(node, survey), "dtype": dtype, "mean": None, "std": None, "inside": []}
    found["layout"] = "N, T" if dtype == "int64" else _LAYOUTS[node.type.rank]
    if dtype == "int64":
        size = _vocabulary(graph, node)
        found["range"] = [0, size - 1] if size else None
        found["kind"] = "words" if reader == "text" else "integers"
        if reader == "text":
            from cnnc.data import text

            found["words"] = {
                "pattern": text.PATTERN,
                "lower": True,
                "padding": text.PADDING,
                "unknown": text.UNKNOWN,
                "first": text.FIRST_WORD,
            }
        return found
    pictures = reader in PICTURES or dtype == "uint8"
    found["kind"] = "picture" if pictures and node.type.rank == 2 else "values"
    found["range"] = [0, 255] if dtype == "uint8" else [0, 1] if pictures else None
    if dtype == "uint8":
        found["inside"].append("divided by 255")
    for reader_ in graph.consumers[node.name]:
        if isinstance(reader_.op, Normalize):
            found["inside"].append(f"normalize mean={list(reader_.op.mean)} std={list(reader_.op.std)}")
    return found


def _vocabulary(graph: Graph, entry: Node) -> int:
    """The size of the smallest vocabulary that looks the integers of an input up, 0 where none does."""
    reached = {entry.name}
    sizes = []
    for node in graph.nodes:
        if any(name in reached for name in node.inputs):
            if isinstance(node.op, Embed):
                sizes.append(node.op.vocab)
            elif node.type.dtype == "int64":
                reached.add(node.name)
    return min(sizes, default=0)


def _labelled(network: Network) -> tuple[str, ...]:
    """The outputs under cross-entropy and the scores before their softmax: first those of the first loss, which classes
    name."""
    graph, recipe = network.require_graph(), network.recipe
    if recipe is None:
        losses = [graph.outputs[0]]
    else:
        losses = [loss.on or graph.outputs[0] for loss in recipe.losses if isinstance(loss, CrossEntropy)]
        if losses and not isinstance(recipe.losses[0], CrossEntropy):
            losses.insert(0, "")  # the data's classes are those of the first loss alone
    found = []
    for name in losses:
        node = graph.by_name.get(name)
        scores = node is not None and isinstance(node.op, Softmax | LogSoftmax)
        found += [name, node.inputs[0] if node is not None and scores else name]
    return tuple(found)


def _output(node: Node, survey: SizeSurvey | None, labelled: Sequence[str], named: bool) -> dict[str, Any]:
    """How an output is read. `kind` is classes (a score each), label map (a score each, for each place), picture or values."""
    shape = _shape(node, survey)
    scores = node.name in labelled or isinstance(node.op, Softmax | LogSoftmax)
    if scores and node.type.channels > 1:
        kind = "classes" if all(size == 1 for size in node.type.spatial) else "label map"
    else:
        kind = "picture" if node.type.rank == 2 and node.type.channels in (1, 3) else "values"
    return {"shape": shape, "dtype": node.type.dtype, "kind": kind, "named": named and node.name in labelled[:2]}


# --- reading ---------------------------------------------------------------------------------------------


def read_facts(properties: Mapping[str, str]) -> Facts:
    """What a model says of itself; empty fields where it says nothing, or nonsense."""
    found = _object(_parsed(properties.get(FACTS, "{}")))
    file = str(found.get("file") or "network.cnn")
    try:
        included = {name: text for name, text in texts(properties, file).items() if name != file}
    except (ValueError, AttributeError, RecursionError):
        included = {}
    return Facts(
        name=_text(found.get("name")),
        file=file,
        settings=_texts(found.get("settings")),
        source=properties.get(SOURCE, ""),
        includes=included,
        sha256=properties.get(HASH, ""),
        classes=_texts(found.get("classes")),
        vocabulary=_texts(_parsed(properties.get(VOCABULARY, "[]"))),
        inputs={name: _fed(told) for name, told in _objects(found.get("inputs")).items()},
        outputs={name: _of_kinds(told, _OUTPUT) for name, told in _objects(found.get("outputs")).items()},
        data=_of_kinds(_object(found.get("data")), _DATA),
        trained=_ended(_object(found.get("trained"))),
        at=whole_numbers(found.get("at")),
        sizes=_sizes(found.get("sizes")),
        parameters=_count(found.get("parameters")),
        macs=_count(found.get("macs")),
        whole=found.get("whole") is not False,
        versions={k: _text(v) for k, v in _object(found.get("versions")).items()},
    )


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> dict[str, dict[str, Any]]:
    return {name: _object(inner) for name, inner in _object(value).items()}


def _of_kinds(told: dict[str, Any], kinds: Mapping[str, Any]) -> dict[str, Any]:
    """What is told where each key has a value of its kind, else nothing."""
    return told if all(isinstance(told.get(key), kind) for key, kind in kinds.items()) else {}


def _fed(told: dict[str, Any]) -> dict[str, Any]:
    """What is told of an input."""
    words = told.get("kind") == "words"
    span = told.get("range") or [0, 0]
    numbers = isinstance(span, list) and len(span) == 2 and all(isinstance(n, _NUMBER) for n in span)
    known = numbers and _of_kinds(told, _INPUT) and (not words or _of_kinds(_object(told.get("words")), _WORDS))
    return {**_UNSAID, **told} if known else {}


def _ended(told: dict[str, Any]) -> dict[str, Any]:
    """What is told of the training and its test."""
    kinds = {"right": int | None, "total": int | None, str(told.get("metric")): _NUMBER | None}
    test = _object(told.get("test"))
    return _of_kinds(told, _TRAINED) if _of_kinds(test, kinds) == test else {}


def _count(value: Any) -> int | None:
    return value if type(value) is int else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(value) if isinstance(value, list) and all(isinstance(v, str) for v in value) else ()


def whole_numbers(value: Any) -> dict[str, int]:
    """Sizes by their symbols, of what a model says; whatever is no size is left out."""
    return {k: n for k, n in _object(value).items() if type(n) is int and n > 0}


def _sizes(value: Any) -> dict[str, LegalSizes]:
    found = {}
    for symbol, rule in _objects(value).items():
        numbers = [rule.get("minimum"), rule.get("period"), *_list(rule.get("residues")), *_list(rule.get("extra"))]
        if all(type(n) is int for n in numbers) and rule["period"] > 0:
            found[symbol] = LegalSizes(
                symbol, rule["minimum"], rule["period"], tuple(rule["residues"]), tuple(_list(rule.get("extra")))
            )
    return found


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [None]
