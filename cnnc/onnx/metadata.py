"""Metadata of an exported model: its source, and what a user needs to feed it and to interpret its outputs.

Input: a network, the exported graph (its own or a part of it), and a summary of the training. Output: the model's metadata
properties (`metadata`), and the same read back from any model (`read_facts`).

    cnnc.version, cnnc.sha256   the version of cnnc; the hash of the source
    cnnc.source, cnnc.includes  the source; the included files, JSON by name
    cnnc.map                    the source position of each layer (see source_map.py)
    cnnc.vocabulary             JSON list of words, for text: word i is fed as 2 + i, 0 pads, 1 is an unknown word
    cnnc.facts                  JSON, the fields of `Facts` that are not empty
    cnnc.precision              float16 or int8, if not float32 (see quantize/examples.py)
    cnnc.quality                of int8: what it cost on the test examples (see quantize/examples.py)
    cnnc.training               JSON, of a model that takes the weights as inputs (see train_step/export.py)

In an untrusted model, whatever is missing or of another type than cnnc writes is read as empty.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from cnnc.core.record import Record
from cnnc.data.catalog import KNOWN, checked_options
from cnnc.data.image_file import DEFAULT_RULE, PixelRule
from cnnc.diagnostics import CnncError
from cnnc.graph.analysis import vocabularies
from cnnc.graph.graph import Graph, Node
from cnnc.graph.sizes import LegalSizes, SizeSurvey
from cnnc.network import Network
from cnnc.onnx.source_map import (
    INCLUDES,
    MAP,
    SOURCE,
    embedded_sources,
    relative_source_names,
    source_map,
    with_relative_sources,
)
from cnnc.ops.activation import LogSoftmax, Softmax
from cnnc.ops.dense import Input
from cnnc.ops.norm import Normalize
from cnnc.recipe.metrics import finite
from cnnc.recipe.statements import Data

VERSION, HASH, FACTS, VOCABULARY = "cnnc.version", "cnnc.sha256", "cnnc.facts", "cnnc.vocabulary"
PRECISION = "cnnc.precision"
QUALITY = "cnnc.quality"
TRAINING = "cnnc.training"
IMAGE_READERS = (*KNOWN, "images", "shards")  # data readers that give 8-bit pixels
# What the object of an input may lack.
_INPUT_DEFAULTS: Mapping[str, Any] = {"range": None, "mean": None, "std": None, "inside": (), "file": None}
_NUMBER = int | float
# The keys and types that an object must have to be read.
_INPUT = {"kind": str, "layout": str, "inside": list | tuple | None}
_FILE = {
    **dict.fromkeys(("decoder", "frame", "exif", "colour", "resize", "crop", "aspect"), str),
    "background": str | None,
}
_WORDS = {"pattern": str, "padding": int, "unknown": int, "first": int}
_OUTPUT = {"kind": str}
_DATA = {"name": str, "path": str | None}
_JUDGED = {"metric": str, "judged_by": str, "best": _NUMBER | None, "test": dict | None}
_ORIGIN = {"file": str, "sha256": str | None, "producer": str | None}
_TRAINED = {"epochs": int, "best_epoch": int, **_JUDGED}
_LAYOUTS = {0: "N, F", 1: "N, C, T", 2: "N, C, H, W", 3: "N, C, D, H, W"}


class Facts(Record):
    """What cnnc wrote into a model.

    `at` are the sizes that symbols were fixed to. `inputs` and `outputs` hold an object for each by name (see `_input` and
    `_output`), `data` the data statement, `trained` the summary of the training and the sizes it ran at, `origin` the model
    that the weights were imported from (`file`, `sha256`, `producer`), `sizes` the legal sizes of each symbol. `parameters`
    counts the parameters before the passes, `macs` the multiply-adds of one example. `whole` says that the model is
    the whole network, not a part with other outputs. `random` says that weights are random before training, false for a
    network whose weights the source gives and for one without weights.
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
    columns: tuple[str, ...] = ()
    inputs: Mapping[str, Mapping[str, Any]] = {}
    outputs: Mapping[str, Mapping[str, Any]] = {}
    data: Mapping[str, Any] = {}
    trained: Mapping[str, Any] = {}
    origin: Mapping[str, Any] = {}
    sizes: Mapping[str, LegalSizes] = {}
    parameters: int | None = None
    macs: int | None = None
    whole: bool = True
    random: bool = True
    versions: Mapping[str, str] = {}

    @property
    def data_options(self) -> dict[str, Any]:
        """The arguments of the `data` statement that say how files are read."""
        return checked_options(self.data)


def metadata(
    network: Network,
    graph: Graph,
    versions: Mapping[str, str],
    *,
    classes: Sequence[str] = (),
    vocabulary: Sequence[str] = (),
    columns: Sequence[str] = (),
    trained: Mapping[str, Any] | None = None,
    origin: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The metadata properties of the model of `graph`, the network's graph or a part of it.

    Classes are kept if the graph still has the output that they name, the vocabulary if it still has an input of words, the
    names of columns if it still has an input of as many values, whose length is not open.
    """
    survey = network.symbolic_sizes
    labelled, images = _labelled_outputs(network, bool(classes)), _image_outputs(network)
    named = any(name in labelled[:2] for name in graph.outputs)
    data = network.recipe.data if network.recipe is not None else None
    files = relative_source_names(network)
    file = files[network.source.name]
    facts = {
        "name": network.name,
        "file": file,
        "settings": list(network.settings),
        "at": dict(network.fixed_sizes),
        "classes": list(classes) if named else [],
        "columns": list(columns) if any(_size(node, survey) == len(columns) for node in graph.inputs) else [],
        "inputs": {node.name: _without_empty(_input(node, graph, survey, data)) for node in graph.inputs},
        "outputs": {
            name: _output(graph.by_name[name], survey, labelled, images, bool(classes) and named)
            for name in graph.outputs
        },
        "data": _data_facts(data) if data is not None else None,
        "trained": dict(trained) if trained is not None else None,
        "origin": dict(origin) if origin is not None else None,
        "sizes": {symbol: rule.as_dict() for symbol, rule in survey.legal.items()} if survey is not None else {},
        "parameters": graph.total_parameters,
        "macs": graph.total_macs if survey is None else None,
        "whole": None if graph.outputs == network.require_graph().outputs else False,
        "random": None if graph.starts_at_random else False,
        "versions": dict(versions),
    }
    words = {VOCABULARY: _json(list(vocabulary))} if vocabulary and any(_is_words(n) for n in graph.inputs) else {}
    included = {INCLUDES: _json({files[name]: text for name, text in network.includes.items()})}
    return {
        VERSION: versions["cnnc"],
        SOURCE: network.source.text,
        HASH: network.sha256,
        MAP: source_map(with_relative_sources(network, graph), file),
        FACTS: _json(_without_empty(facts)),
        **(included if network.includes else {}),
        **words,
    }


def _json(value: Any) -> str:
    return json.dumps(finite(value), sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _without_empty(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts that are not empty."""
    return {key: value for key, value in facts.items() if value not in (None, "", [], {})}


def _shape(node: Node, survey: SizeSurvey | None) -> list[int | str]:
    """The shape without the batch, as numbers or formulas of symbols."""
    if survey is None or node.name not in survey.formulas:
        return list(node.type.shape)
    return [int(size) if size.isdigit() else size for size in survey.formulas[node.name]]


def _size(node: Node, survey: SizeSurvey | None) -> int | None:
    """The number of elements without the batch; None where a size is open."""
    sizes = [size for size in _shape(node, survey) if isinstance(size, int)]
    return math.prod(sizes) if len(sizes) == len(node.type.shape) else None


def _is_words(node: Node) -> bool:
    return isinstance(node.op, Input) and node.op.fed().dtype == "int64"


def _input(node: Node, graph: Graph, survey: SizeSurvey | None, data: Data | None) -> dict[str, Any]:
    """How to feed an input.

    `range` is the smallest and the largest element, where known. `mean` and `std`, which other models want subtracted and
    divided by before they run, are null: cnnc's models normalize inside, and `inside` lists the steps. `file` says how an
    image file becomes the input.
    """
    assert isinstance(node.op, Input)
    reader = data.name if data is not None else None
    dtype = node.op.fed().dtype
    entry: dict[str, Any] = {"shape": _shape(node, survey), "dtype": dtype, "mean": None, "std": None, "inside": []}
    entry["layout"] = "N, T" if dtype == "int64" else _LAYOUTS[node.type.rank]
    if dtype == "int64":
        size = vocabularies(graph).get(node.name)
        entry["range"] = [0, size - 1] if size else None
        entry["kind"] = "words" if reader == "text" else "integers"
        if reader == "text":
            from cnnc.data import text

            entry["words"] = {
                "pattern": text.PATTERN,
                "lower": True,
                "padding": text.PADDING,
                "unknown": text.UNKNOWN,
                "first": text.FIRST_WORD,
            }
        return entry
    images = reader in IMAGE_READERS or dtype == "uint8"
    entry["kind"] = "picture" if images and node.type.rank == 2 else "values"
    entry["range"] = [0, 255] if dtype == "uint8" else [0, 1] if images else None
    if entry["kind"] == "picture" and node.type.channels in (1, 3):
        rule = PixelRule(data.background, data.range) if data is not None else DEFAULT_RULE
        entry["file"] = rule.described(node.type.channels)
    if dtype == "uint8":
        entry["inside"].append("divided by 255")
    for consumer in graph.consumers[node.name]:
        if isinstance(consumer.op, Normalize):
            entry["inside"].append(f"normalize mean={list(consumer.op.mean)} std={list(consumer.op.std)}")
    return entry


def _labelled_outputs(network: Network, has_classes: bool) -> tuple[str, ...]:
    """The outputs under a cross-entropy loss, each followed by the scores before its softmax.

    The classes of the data set name the first two, those of the first loss; they are "" if that is another loss. Without a
    train section, classes that the caller gives name the first output.
    """
    graph, recipe = network.require_graph(), network.recipe
    if recipe is None:
        losses = [graph.outputs[0]] if has_classes else []
    else:
        losses = [loss.on or graph.outputs[0] for loss in recipe.losses if loss.compares_with == "labels"]
    if losses and recipe is not None and recipe.losses[0].compares_with != "labels":
        losses.insert(0, "")  # the classes of the data set belong to the first loss only
    labelled = []
    for name in losses:
        node = graph.by_name.get(name)
        scores = node is not None and isinstance(node.op, Softmax | LogSoftmax)
        labelled += [name, node.inputs[0] if node is not None and scores else name]
    return tuple(labelled)


def _image_outputs(network: Network) -> tuple[str, ...]:
    """The outputs that are trained to be images from 0 to 1: to equal an input image, or with psnr as a metric."""
    graph, recipe = network.require_graph(), network.recipe
    if recipe is None:
        return ()
    bytes_or_scaled = recipe.data.name in IMAGE_READERS or graph.inputs[0].type.dtype == "uint8"
    return tuple(
        loss.on or graph.outputs[0]
        for loss in recipe.losses
        if loss.compares_with == "values" and ((loss.of_input and bytes_or_scaled) or "psnr" in recipe.metrics)
    )


def _output(
    node: Node, survey: SizeSurvey | None, labelled: Sequence[str], images: Sequence[str], named: bool
) -> dict[str, Any]:
    """How to interpret an output.

    `kind` is classes (a score per class), label map (a score per class and position), picture (an image) or values. Scores
    are outputs under a cross-entropy loss, and a final softmax without spatial axes. `range` is [0, 1] for an output that
    is trained to be an image.
    """
    kind, channels, spatial = "values", node.type.channels, node.type.spatial
    if channels > 1 and all(size == 1 for size in spatial):
        kind = "classes" if node.name in labelled or isinstance(node.op, Softmax | LogSoftmax) else kind
    elif channels > 1 and node.name in labelled:
        kind = "label map"
    if kind == "values" and len(spatial) == 2 and channels in (1, 3):
        kind = "picture"
    return {
        "shape": _shape(node, survey),
        "dtype": node.type.dtype,
        "kind": kind,
        "named": named and node.name in labelled[:2],
        **({"range": [0, 1]} if kind == "picture" and node.name in images else {}),
    }


def require_own_weights(properties: Mapping[str, str], name: str) -> None:
    """Raises CnncError E613 for a file of `cnnc export --training`, which takes its weights as inputs."""
    if TRAINING not in properties:
        return
    weights = _text(_object(_parsed(properties[TRAINING])).get("weights_file")) or "WEIGHTS.safetensors"
    message = f"{name} takes the weights as inputs; `cnnc export --training` wrote it for a program that trains"
    command = f"cnnc export {quote(str(Path(name).with_name(Path(weights).name)))}"
    raise CnncError.of("E613", message, help=f"export the weights as a model: `{command}`")


# --- reading ---------------------------------------------------------------------------------------------


def read_facts(properties: Mapping[str, str]) -> Facts:
    """The facts in a model's metadata properties; fields that are missing or malformed are empty."""
    facts = _object(_parsed(properties.get(FACTS, "{}")))
    file = str(facts.get("file") or "network.cnn")
    try:
        included = {name: text for name, text in embedded_sources(properties, file).items() if name != file}
    except (ValueError, AttributeError, RecursionError):
        included = {}
    return Facts(
        name=_text(facts.get("name")),
        file=file,
        settings=_texts(facts.get("settings")),
        source=properties.get(SOURCE, ""),
        includes=included,
        sha256=properties.get(HASH, ""),
        classes=_texts(facts.get("classes")),
        columns=_texts(facts.get("columns")),
        vocabulary=_texts(_parsed(properties.get(VOCABULARY, "[]"))),
        inputs={name: _read_input(fact) for name, fact in _objects(facts.get("inputs")).items()},
        outputs={name: _if_typed(fact, _OUTPUT) for name, fact in _objects(facts.get("outputs")).items()},
        data=_if_typed(_object(facts.get("data")), _DATA),
        trained=_read_training(_object(facts.get("trained"))),
        origin=_if_typed(_object(facts.get("origin")), _ORIGIN),
        at=positive_sizes(facts.get("at")),
        sizes=_sizes(facts.get("sizes")),
        parameters=_count(facts.get("parameters")),
        macs=_count(facts.get("macs")),
        whole=facts.get("whole") is not False,
        random=facts.get("random") is not False,
        versions={k: _text(v) for k, v in _object(facts.get("versions")).items()},
    )


def _data_facts(data: Data) -> dict[str, Any]:
    """The data statement; arguments that only some kinds of data take are there where they are given."""
    return {**{name: getattr(data, name) for name in ("name", "path", "val", "test")}, **data.options}


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> dict[str, dict[str, Any]]:
    return {name: _object(inner) for name, inner in _object(value).items()}


def _if_typed(fact: dict[str, Any], types: Mapping[str, Any]) -> dict[str, Any]:
    """The object if each key has a value of its type, else an empty one."""
    return fact if all(isinstance(fact.get(key), type_) for key, type_ in types.items()) else {}


def _read_input(fact: dict[str, Any]) -> dict[str, Any]:
    """The object of an input; empty if malformed."""
    words = fact.get("kind") == "words"
    limits = fact.get("range") or [0, 0]
    numbers = isinstance(limits, list) and len(limits) == 2 and all(isinstance(n, _NUMBER) for n in limits)
    known = numbers and _if_typed(fact, _INPUT) and (not words or _if_typed(_object(fact.get("words")), _WORDS))
    if not known:
        return {}
    return {**_INPUT_DEFAULTS, **fact, "file": _read_rule(_object(fact.get("file")))}


def _read_rule(fact: dict[str, Any]) -> dict[str, Any] | None:
    """How an image file becomes an input; None if that is missing or malformed."""
    limits = fact.get("range", [0, 1])
    is_range = limits is None or (
        isinstance(limits, list) and len(limits) == 2 and all(isinstance(n, _NUMBER) for n in limits)
    )
    return fact if is_range and _if_typed(fact, _FILE) else None


def read_quality(properties: Mapping[str, str]) -> dict[str, Any] | None:
    """What a lower precision cost on test examples; None if missing or malformed."""
    facts = _object(_parsed(properties.get(QUALITY, "")))
    types = {"metric": str, "before": _NUMBER, "after": _NUMBER, "samples": int}
    if not facts or not _if_typed(facts, types):
        return None
    changed = _object(facts.get("changed"))
    is_known = _if_typed(changed, dict.fromkeys(("lost", "gained", "other"), int)) and _is_interval(
        changed.get("interval")
    )
    return {**{name: facts[name] for name in types}, "changed": changed if is_known else None}


def _is_interval(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(n, _NUMBER) for n in value)


def _read_training(fact: dict[str, Any]) -> dict[str, Any]:
    """The summary of the training and its test; empty if malformed."""
    types = {"right": int | None, "total": int | None, str(fact.get("metric")): _NUMBER | None}
    test = _object(fact.get("test"))
    if "accuracy_interval" in test and not _is_interval(test["accuracy_interval"]):
        return {}
    return _if_typed(fact, _TRAINED) if _if_typed(test, types) == test else {}


def _count(value: Any) -> int | None:
    return value if type(value) is int else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(value) if isinstance(value, list) and all(isinstance(v, str) for v in value) else ()


def positive_sizes(value: Any) -> dict[str, int]:
    """Sizes by symbol from parsed JSON, without entries that are not positive integers."""
    return {k: n for k, n in _object(value).items() if type(n) is int and n > 0}


def _sizes(value: Any) -> dict[str, LegalSizes]:
    sizes = {}
    for symbol, rule in _objects(value).items():
        numbers = [rule.get("minimum"), rule.get("period"), *_list(rule.get("residues")), *_list(rule.get("extra"))]
        if all(type(n) is int for n in numbers) and rule["period"] > 0:
            sizes[symbol] = LegalSizes(
                symbol, rule["minimum"], rule["period"], tuple(rule["residues"]), tuple(_list(rule.get("extra")))
            )
    return sizes


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [None]
