"""Models and checkpoints: what `import`, `info` and `predict` do with any .onnx file, and reading a checkpoint."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors import numpy as safetensors

from cnnc.network import check
from cnnc.onnx.importer.importer import import_model
from cnnc.onnx.run.batched_run import run_each
from cnnc.onnx.run.inspect import describe
from cnnc.onnx.run.predictions import model_inputs, model_outputs, predictions_of
from cnnc.onnx.run.session import open_model
from cnnc.report.model import info_text
from cnnc.training import checkpoint as checkpoints
from cnnc.training.trained import of_checkpoint, untrained
from tests.fuzz.choices import Choices
from tests.fuzz.files import Reading, one_file, read_in_folder, target
from tests.fuzz.target import Target, mutated

RAW = 64
"""A first byte below this one begins the bytes of a model; others choose a model and its changes."""

# --- models --------------------------------------------------------------------------------------------------


def _weight(name: str, *shape: int, dtype: Any = np.float32) -> TensorProto:
    return numpy_helper.from_array(np.full(shape, 0.5).astype(dtype), name)


def _model(
    nodes: Sequence[Any], shape: Sequence[Any], weights: Sequence[TensorProto] = (), **facts: Any
) -> onnx.ModelProto:
    """A model from x to y; `facts` are what cnnc writes into its metadata."""
    kind = facts.pop("kind", TensorProto.FLOAT)
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if facts:
        helper.set_model_props(model, {"cnnc.facts": json.dumps(facts)})
    return model


def _models() -> list[onnx.ModelProto]:
    node = helper.make_node
    image = ("N", 2, 6, 6)
    return [
        _model([node("Relu", ["x"], ["y"])], ("N", 4)),
        _model(
            [
                node("Conv", ["x", "w", "b"], ["a"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]),
                node("Relu", ["a"], ["c"]),
                node("MaxPool", ["c"], ["d"], kernel_shape=[2, 2], strides=[1, 1]),
                node("Flatten", ["d"], ["e"]),
                node("Gemm", ["e", "v"], ["f"], transB=1),
                node("Softmax", ["f"], ["y"], axis=1),
            ],
            image,
            [_weight("w", 3, 2, 3, 3), _weight("b", 3), _weight("v", 2, 12)],
            name="Net",
            classes=["cat", "dog"],
            outputs={"y": {"kind": "classes", "named": True}},
            inputs={"x": {"kind": "picture", "range": [0, 1]}},
        ),
        _model(
            [
                node("BatchNormalization", ["x", "s", "s", "s", "s"], ["a"], epsilon=1e-5),
                node("Conv", ["a", "w"], ["b"], group=2, pads=[1, 1, 1, 1]),
                node("Add", ["a", "b"], ["c"]),
                node("GlobalAveragePool", ["c"], ["d"]),
                node("Concat", ["d", "d"], ["e"], axis=1),
                node("Reshape", ["e", "r"], ["y"]),
            ],
            image,
            [_weight("s", 2), _weight("w", 2, 1, 3, 3), numpy_helper.from_array(np.array([0, -1]), "r")],
        ),
        _model(
            [
                node("Transpose", ["x"], ["a"], perm=[0, 2, 1]),
                node("Slice", ["a", "z", "o", "o"], ["b"]),
                node("Squeeze", ["b", "o"], ["c"]),
                node("Clip", ["c", "lo", "hi"], ["d"]),
                node("Pad", ["d", "p"], ["e"]),
                node("LeakyRelu", ["e"], ["y"], alpha=0.1),
            ],
            ("N", 3, 4),
            [
                numpy_helper.from_array(np.array([0]), "z"),
                numpy_helper.from_array(np.array([1]), "o"),
                _weight("lo"),
                numpy_helper.from_array(np.array(2, np.float32), "hi"),
                numpy_helper.from_array(np.array([0, 0, 0, 1]), "p"),
            ],
        ),
        _model(
            [
                node("Gather", ["t", "x"], ["a"]),
                node("ReduceMean", ["a"], ["b"], axes=[1]),
                node("MatMul", ["b", "m"], ["y"]),
            ],
            ("N", 3),
            [_weight("t", 5, 4), _weight("m", 4, 2)],
            kind=TensorProto.INT64,
            inputs={"x": {"kind": "words", "range": [0, 4]}},
            vocabulary=["a", "b", "c"],
        ),
        _model(
            [
                node("QuantizeLinear", ["x", "s", "z"], ["a"]),
                node("DequantizeLinear", ["a", "s", "z"], ["y"]),
            ],
            image,
            [_weight("s"), _weight("z", dtype=np.uint8)],
        ),
        _model(
            [
                node("ConvTranspose", ["x", "w"], ["c"], strides=[2, 2], kernel_shape=[2, 2]),
                node("Resize", ["c", "", "k"], ["y"], mode="nearest", coordinate_transformation_mode="asymmetric"),
            ],
            image,
            [_weight("w", 2, 1, 2, 2), numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "k")],
        ),
    ]


MODELS = _models()
OPERATORS = tuple(schema.name for schema in onnx.defs.get_all_schemas() if not schema.domain)


def changed_model(random: Random) -> bytes:
    """A model with a few changes of operators, connections, attributes, sizes and metadata."""
    model = onnx.ModelProto()
    model.CopyFrom(MODELS[random.randrange(len(MODELS))])
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        if model.graph.node:
            _CHANGES[random.randrange(len(_CHANGES))](model, random)
    content: bytes = model.SerializeToString()
    return content


def _any(items: Any, random: Random) -> Any:
    return items[random.randrange(len(items))]


def _names(model: onnx.ModelProto) -> list[str]:
    return ["", "x", "y", *(o for n in model.graph.node for o in n.output), *(w.name for w in model.graph.initializer)]


def _size(random: Random) -> int:
    return random.choice((0, 1, 1, 2, 3, 4, 6, 7, -1, -2, 255, 2**31, 2**62, -(2**63)))


def _operator(model: onnx.ModelProto, random: Random) -> None:
    _any(model.graph.node, random).op_type = random.choice(OPERATORS)


def _connection(model: onnx.ModelProto, random: Random) -> None:
    node = _any(model.graph.node, random)
    ends = node.input if random.random() < 0.7 else node.output
    match random.randrange(3):
        case 0:
            ends.append(random.choice(_names(model)))
        case 1 if ends:
            del ends[random.randrange(len(ends))]
        case _ if ends:
            ends[random.randrange(len(ends))] = random.choice(_names(model))


def _attribute(model: onnx.ModelProto, random: Random) -> None:
    node = _any(model.graph.node, random)
    names = [
        each for schema in onnx.defs.get_all_schemas() if schema.name == node.op_type for each in schema.attributes
    ]
    if not names or (node.attribute and random.random() < 0.3):
        if node.attribute:
            del node.attribute[random.randrange(len(node.attribute))]
        return
    ints = [_size(random) for _ in range(random.randrange(5))]
    values = (
        _size(random),
        random.choice((0.0, -1.5, 1e38, float("nan"))),
        ints,
        random.choice(("SAME_UPPER", "VALID", "", "\x1b[31m")),
    )
    name, value = random.choice(names), random.choice(values)
    if value != []:
        kept = [a for a in node.attribute if a.name != name]
        del node.attribute[:]
        node.attribute.extend([*kept, helper.make_attribute(name, value)])


def _dimensions(model: onnx.ModelProto, random: Random) -> None:
    shape = model.graph.input[0].type.tensor_type.shape
    at = random.randrange(len(shape.dim) + 1)
    if at == len(shape.dim):
        shape.dim.add(dim_value=_size(random))
    elif random.random() < 0.3:
        del shape.dim[at]
    elif random.random() < 0.3:
        shape.dim[at].dim_param = random.choice(("N", "H", "x\ny", "9"))
    else:
        shape.dim[at].dim_value = _size(random)


def _weights(model: onnx.ModelProto, random: Random) -> None:
    if not model.graph.initializer:
        return
    weight = _any(model.graph.initializer, random)
    match random.randrange(5):
        case 0:
            weight.raw_data = mutated(weight.raw_data, random)
        case 1:
            weight.data_type = random.randrange(24)
        case 2:
            weight.dims.append(_size(random))
        case 3 if weight.dims:
            weight.dims[random.randrange(len(weight.dims))] = _size(random)
        case _:
            model.graph.initializer.remove(weight)


def _facts(model: onnx.ModelProto, random: Random) -> None:
    props = {p.key: p.value for p in model.metadata_props} or {"cnnc.facts": '{"name": "a"}'}
    key = random.choice(list(props))
    text = mutated(props[key].encode(), random).decode("utf-8", "replace")
    swapped = json.dumps(random.choice((None, 3, [], {}, "", [[]], {"x": 3}, {"y": []}, [1.5], -1, True)))
    parts = props[key].split(":")
    if len(parts) > 1 and random.random() < 0.7:
        at = random.randrange(1, len(parts))
        text = ":".join(
            [*parts[:at], swapped + (", " + parts[at].split(",", 1)[1] if "," in parts[at] else "}"), *parts[at + 1 :]]
        )
    helper.set_model_props(model, {**props, key: text})


def _other(model: onnx.ModelProto, random: Random) -> None:
    graph = model.graph
    match random.randrange(6):
        case 0:
            del graph.node[random.randrange(len(graph.node))]
        case 1:
            graph.node.append(_any(graph.node, random))
        case 2:
            model.opset_import[0].version = random.choice((0, 1, 7, 9, 11, 13, 21, 999))
        case 3:
            graph.input[0].type.tensor_type.elem_type = random.randrange(24)
        case 4:
            graph.output[0].name = random.choice(_names(model))
        case _:
            graph.input.append(helper.make_tensor_value_info(random.choice(_names(model)), 1, [1, 2]))


_CHANGES: Sequence[Callable[[onnx.ModelProto, Random], None]] = (
    _operator, _connection, _attribute, _attribute, _dimensions, _weights, _facts, _other,
)  # fmt: skip


def _case(data: bytes) -> bytes:
    return data[1:] if data and data[0] < RAW else changed_model(Choices(data))


def _seeds() -> Iterable[bytes]:
    yield from (b"\0" + model.SerializeToString() for model in MODELS)
    yield from (_random(Random(f"seed {n}")) for n in range(40))


def _random(random: Random) -> bytes:
    if random.random() < 0.15:
        return b"\0" + mutated(random.choice(MODELS).SerializeToString(), random)
    return bytes([random.randrange(RAW, 256)]) + random.randbytes(80)


def _target(help: str, read: Callable[[Path], Any]) -> Target:
    return Target(
        help,
        _case,
        lambda model: read_in_folder(lambda folder: read(folder / "m.onnx"), {"m.onnx": model}),
        _seeds,
        _random,
        900,
    )


def _info(path: Path) -> None:
    text = info_text(describe(path))
    json.dumps(describe(path)).encode()
    text.encode()


def _predict(path: Path) -> None:
    session = open_model(path, "cpu", threads=1)
    specs, outputs = model_inputs(session), model_outputs(session, path)
    sizes = [[size if isinstance(size, int) else 2 for size in spec.shape] for spec in specs]
    feeds = {
        s.name: np.zeros((1, *size), s.dtype) for s, size in zip(specs, sizes, strict=True) if math.prod(size) < 1e6
    }
    if len(feeds) == len(specs):
        for row in predictions_of(run_each(session, feeds), outputs, 3):
            for prediction in row:
                prediction.summary(3).encode()


def _import(path: Path) -> None:
    imported = import_model(path)
    graph = imported.network.require_graph()
    assert {name: array.shape for name, array in imported.weights.items()} == {
        n: p.shape for n, p in graph.weights.items()
    }
    assert check(imported.network.source.text).ok


IMPORTER = _target("import of .onnx files", _import)
INFO = _target("cnnc info on .onnx files", _info)
PREDICT = _target("cnnc predict with .onnx files", _predict)

# --- checkpoints ---------------------------------------------------------------------------------------------


def _checkpoint() -> tuple[bytes, bytes, bytes, bytes]:
    """A whole checkpoint; and its facts, the descriptions of its tensors, and their numbers."""
    trained = untrained(check("net N; input 2; fc 1"))
    saved = checkpoints.Checkpoint(
        "n.cnn",
        "net N; input 2; fc 1",
        (),
        ("a", "b"),
        (),
        dict(trained.weights),
        {},
        checkpoints.Progress(1, 2),
        {"numpy": "1"},
        1,
    )
    whole = b"".join(bytes(part) for part in checkpoints.content(saved))
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])
    facts = header.pop("__metadata__")["cnnc"].encode()
    return whole, facts, json.dumps(header).encode(), whole[8 + length :]


def _with_digest(parts: Sequence[bytes]) -> dict[str, bytes]:
    """A checkpoint of damaged parts with a right checksum, as far as its tensors can be read."""
    facts, tensors, numbers = parts
    text = facts.decode("utf-8", "replace")

    def file(metadata: dict[str, str]) -> bytes:
        head = tensors.replace(b"{", b'{"__metadata__": ' + json.dumps(metadata).encode() + b", ", 1)
        head += b" " * (-len(head) % 8)
        return len(head).to_bytes(8, "little") + head + numbers

    digest = ""
    with suppress(BaseException):  # the library is written in Rust, and may panic
        digest = checkpoints._digest(safetensors.load(file({})), text)
    return {"c.safetensors": file({"cnnc": text, "digest": digest, "format": checkpoints.FORMAT})}


def _load(folder: Path) -> None:
    path = folder / "c.safetensors"
    of_checkpoint(checkpoints.load(path)).network.require_graph()


_WHOLE, *_PARTS = _checkpoint()

CHECKPOINT = target(
    "checkpoints",
    {
        "damaged": Reading(one_file("c.safetensors"), _load, (_WHOLE,)),
        "right digest": Reading(_with_digest, _load, tuple(_PARTS)),
    },
)
