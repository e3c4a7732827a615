"""What a page that trains is told: graphs, examples, initial weights and recipe, as plain data.

In: a network with its weights to begin with, its data set, and the files of the runtime. Out: a `TrainingPage`.

The training examples are embedded in the order in which `cnnc train` takes them in its first epoch, so that the page begins
with the same batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnc.cli.console import print_status
from cnnc.cli.demo_examples import spread
from cnnc.cli.demo_limits import MAX_MODEL_BYTES, SLOW_MACS, TRAINING_EXAMPLES
from cnnc.cli.export_training import read_start
from cnnc.core.files import write_atomic
from cnnc.core.random_streams import Stream
from cnnc.core.versions import versions
from cnnc.data.dataset import Dataset, Split
from cnnc.diagnostics import CnncError
from cnnc.graph.graph import Graph, needed_nodes
from cnnc.network import Network
from cnnc.onnx.metadata import metadata
from cnnc.onnx.run.model_layers import source_line
from cnnc.onnx.run.predictions import model_inputs, model_outputs
from cnnc.onnx.run.session import Session, convert_for_input
from cnnc.onnx.source_map import SourceMap, read_map
from cnnc.onnx.train_step.build import LOSS, RATE, STEP, StepGraph
from cnnc.onnx.train_step.export import StepFiles, describe, left_out, verified_step
from cnnc.onnx.train_step.inference import build_inference
from cnnc.onnx.train_step.random_bits import SEED
from cnnc.onnx.train_step.scoring import build_scoring
from cnnc.ops.conv import Conv
from cnnc.recipe.recipe import Recipe, require_recipe
from cnnc.training.checkpoint import Checkpoint, facts_of
from cnnc.training.loop import open_data, training_and_validation
from cnnc.training.objective import Objective, feeds_of, term_of
from cnnc.view.demo.sheet import PackedColumn, packed_column
from cnnc.view.demo.training_page import TrainingPage, training_html
from cnnc.view.web.runtime import WebRuntime

MOST_TEST, LEAST_TEST = 1000, 500
"""Test examples in a page: a quarter of the training examples, within these bounds."""


SHOWN = 40
"""Test examples that the page shows with their answers: the first, so these too are spread over the test set."""

SPLITS = ("train", "test")


class Examples(NamedTuple):
    """The examples of a page: the rows of training and test, and how many there are in the data set."""

    train: Split
    test: Split
    of_train: int
    of_test: int


def choose_examples(data: Dataset, recipe: Recipe, count: int | None) -> Examples:
    """The training examples that come first in the first epoch of `cnnc train`, and test examples spread over theirs."""
    train, _ = training_and_validation(data, recipe.data.val, recipe.seed)
    order = np.random.default_rng(Stream.SHUFFLE.key(recipe.seed, 0)).permutation(len(train))
    chosen = order[: TRAINING_EXAMPLES if count is None else count]
    tested = min(len(data.test), max(LEAST_TEST, min(MOST_TEST, len(chosen) // 4)))
    rows, shown = spread(len(data.test), tested), spread(tested, SHOWN)
    rows = np.concatenate([rows[shown], np.delete(rows, shown)])
    return Examples(train.select(chosen), data.test.select(rows), len(train), len(data.test))


def training_page(
    network: Network, saved: Checkpoint, data: Dataset, count: int | None, runtime: WebRuntime, source: Path
) -> TrainingPage:
    """The page of a network.

    Raises CnncError E509 without a train section, E607 and E610 where the data do not fit, E810 for what a graph of ONNX
    operators cannot compute, E811 if the graph deviates from the trainer.
    """
    graph, recipe = network.require_graph(), require_recipe(network.recipe, network.name)
    train, _ = training_and_validation(data, recipe.data.val, recipe.seed)
    recipe = Objective(graph, recipe, data, train).recipe
    network = network.replace(recipe=recipe)
    examples = choose_examples(data, recipe, count)
    if not len(examples.train):
        raise CnncError.of("E607", f"{data.name}: no example is left to train on", help="use a smaller val=")
    feeds_of(graph, examples.train.inputs)
    saved = replace(saved, classes=data.classes, vocabulary=data.vocabulary, columns=data.columns)
    unmixed = network.replace(recipe=recipe.replace(augment=None))  # the page trains on labels
    step, _ = verified_step(unmixed, saved.weights)
    facts = metadata(
        network, graph, versions(), classes=saved.classes, vocabulary=saved.vocabulary, columns=saved.columns
    )
    inference = build_inference(graph, graph.outputs, facts).SerializeToString()
    session = Session(step.model.SerializeToString(), "the training step", "cpu")
    described = describe(graph, recipe, step, StepFiles.beside(Path("step.onnx")))
    fed = _fed(graph, step, session)
    columns = {
        name: _columns(part, graph, recipe, step)
        for name, part in zip(SPLITS, (examples.train, examples.test), strict=True)
    }
    packed = {name: {key: packed_column(array) for key, array in arrays.items()} for name, arrays in columns.items()}
    rates = _rates(recipe, -(-len(examples.train) // recipe.batch))
    offsets, arrays = _packed_arrays(described, saved)
    names = observed_layers(graph)
    blobs = {
        "step": step.model.SerializeToString(),
        "score": build_scoring(graph, recipe, {}).SerializeToString(),
        "observe": build_inference(graph, names, {}).SerializeToString(),
        "arrays": arrays,
        "rates": rates.astype("<f4").tobytes(),
        **{f"{part}-{i}": c.content for part, found in packed.items() for i, c in enumerate(found.values())},
    }
    positions = read_map(facts)
    page_data = {
        "training": {
            **{key: described[key] for key in _KEYS},
            "start": _steps_done(saved),
            "recipe": {
                "batch": recipe.batch,
                "epochs": recipe.epochs,
                "seed": recipe.seed,
                "learning_rate": recipe.optimizer.lr,
            },
        },
        "fed": fed,
        "columns": {part: [{"name": key, **c.entry} for key, c in found.items()] for part, found in packed.items()},
        "counts": {
            "train": len(examples.train),
            "test": len(examples.test),
            "shown": min(SHOWN, len(examples.test)),
        },
        "arrays": offsets,
        "inputs": _inputs(inference, step, columns["test"]),
        "outputs": _outputs(inference),
        "layers": [{"name": name, "line": source_line(positions, name)} for name in names],
        "kernel": _kernel(graph, positions),
        "metric": recipe.metric,
        "schedule": _statement(recipe, "schedule").removeprefix("schedule ") if len(set(rates)) > 1 else "",
        "recipeText": _recipe_text(recipe),
        "checkpoint": {**facts_of(saved), "versions": {**saved.versions, "onnxruntime-web": runtime.version}},
        "file": f"{network.name}.safetensors",
        "check": {
            "seed": _CHECK_SEED,
            "loss": _first_loss(session, step, columns["train"], saved, recipe, float(rates[0])),
        },
    }
    about = tuple(_about(network, examples, packed, step, source))
    return TrainingPage(network.name, _description(recipe, examples), about, page_data, blobs, runtime)


_CHECK_SEED = 1

_KEYS = ("learning_rate", "counter", "seed", "loss", "metrics", "weights", "slots")
"""What the page needs of the description of the step graph."""


def _columns(part: Split, graph: Graph, recipe: Recipe, step: StepGraph) -> dict[str, NDArray[Any]]:
    """The examples by the names of the graph's inputs, in the shapes that these take."""
    feeds = feeds_of(graph, tuple(c[:] for c in part.inputs))
    by_output = {
        term.output.name: term.column
        for term in (term_of(graph, loss, len(graph.outputs)) for loss in reversed(recipe.losses))
        if term.column is not None
    }
    found = {name: feeds[name] for name in step.inputs}
    for target in step.targets:
        values = part.targets[by_output[target.output]][:]
        found[target.name] = values.reshape(len(values), *target.shape)
    return found


def _fed(graph: Graph, step: StepGraph, session: Session) -> list[dict[str, Any]]:
    """What a host feeds in each step besides the arrays that it keeps: inputs and targets."""
    dtype = {name: str(signature.dtype) for name, signature in session.inputs.items()}
    inputs = [
        {"name": node.name, "dtype": dtype[node.name], "shape": list(node.type.shape)}
        for node in graph.inputs
        if node.name in step.inputs
    ]
    targets = [
        {
            "name": target.name,
            "dtype": dtype[target.name],
            "shape": list(target.shape),
            "output": target.output,
            "labels": target.kind == "labels",
        }
        for target in step.targets
    ]
    return [*inputs, *targets]


def _rates(recipe: Recipe, steps: int) -> NDArray[np.float32]:
    """The learning rate of each step of the recipe, with `steps` steps per epoch, as `cnnc train` computes it."""
    return np.array(
        [recipe.learning_rate(epoch + step / steps) for epoch in range(recipe.epochs) for step in range(steps)],
        np.float32,
    )


def _packed_arrays(described: Mapping[str, Any], saved: Checkpoint) -> tuple[dict[str, int], bytes]:
    """Where each array is in their blob, and the blob; slots that the checkpoint lacks are zeros, and not in it."""
    offsets, parts, size = dict[str, int](), list[bytes](), 0
    for entries, arrays in ((described["weights"], saved.weights), (described["slots"], saved.slots)):
        for entry in entries:
            if entry["name"] in arrays:
                content = np.ascontiguousarray(arrays[entry["name"]], "<f4").tobytes()
                offsets[entry["name"]] = size
                parts.append(content)
                size += len(content)
    return offsets, b"".join(parts)


def observed_layers(graph: Graph) -> list[str]:
    """The layers whose feature maps the page shows: those that the outputs depend on, without inputs and reshapes."""
    needed = {node.name for node in needed_nodes(graph, graph.outputs)}
    return [node.name for node in graph.nodes if node.name in needed and node.inputs and node.type.dtype == "float32"]


def _steps_done(saved: Checkpoint) -> int:
    """The steps that an optimizer that counts them has done."""
    return int(saved.slots.get("steps", 0))


def _first_loss(
    session: Session,
    step: StepGraph,
    columns: Mapping[str, NDArray[Any]],
    saved: Checkpoint,
    recipe: Recipe,
    rate: float,
) -> float:
    """The loss of the first batch in onnxruntime, which the page compares its own with."""
    arrays = dict(saved.weights) | {
        name: saved.slots.get(name, np.zeros_like(saved.weights[weight])) for name, weight in step.slots.items()
    }
    arrays |= {RATE: np.array(rate), STEP: np.array(_steps_done(saved) + 1), SEED: np.array(_CHECK_SEED)}
    arrays |= {name: values[: recipe.batch] for name, values in columns.items()}
    feeds = {name: convert_for_input(arrays[name], signature.dtype) for name, signature in session.inputs.items()}
    return float(session.run(feeds, [LOSS])[0])


# --- what is shown


def _inputs(inference: bytes, step: StepGraph, columns: Mapping[str, NDArray[Any]]) -> list[dict[str, Any]]:
    """How the examples of each input are shown."""
    specs = model_inputs(Session(inference, "the network", "cpu"))
    return [
        {
            "name": spec.name,
            "isImage": spec.is_image,
            "range": _range(columns[spec.name]),
            "vocabulary": list(spec.vocabulary) if spec.takes_words else [],
        }
        for spec in specs
        if spec.name in step.inputs
    ]


def _range(values: NDArray[Any]) -> list[float]:
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    return [low, high] if high > low else [low, low + 1]


def _outputs(inference: bytes) -> list[dict[str, Any]]:
    """What each output of the network means."""
    with TemporaryDirectory(prefix="cnnc-") as folder:
        path = Path(folder) / "network.onnx"
        path.write_bytes(inference)
        outputs = model_outputs(Session(path, "the network", "cpu"), path)
    return [{"name": o.name, "kind": o.kind, "classes": list(o.classes), "isImage": o.is_image} for o in outputs]


def _kernel(graph: Graph, positions: SourceMap) -> dict[str, Any] | None:
    """The weight of the first convolution, if there is one on images or series."""
    for node in graph.nodes:
        name = f"{node.parameter_owner}.weight"
        parameter = graph.weights.get(name)
        if isinstance(node.op, Conv) and parameter is not None and len(parameter.shape) in (3, 4):
            return {"name": name, "shape": list(parameter.shape), "line": source_line(positions, node.name)}
    return None


# --- texts


def _statement(recipe: Recipe, keyword: str) -> str:
    """A statement of the train section as the source writes it, "" where it has none."""
    span = recipe.spans.get(keyword)
    return " ".join(span.source.text[span.start : span.end].split()) if span is not None else ""


def _recipe_text(recipe: Recipe) -> str:
    shown = [_statement(recipe, keyword) for keyword in ("loss", "optimizer", "schedule", "clip")]
    shown += [f"batch {recipe.batch}", f"epochs {recipe.epochs}", f"seed {recipe.seed}"]
    omitted = [*left_out(recipe), *([_statement(recipe, "stop")] if recipe.stop is not None else [])]
    said = f"The recipe of the source: {'; '.join(filter(None, shown))}."
    return f"{said} Left out on this page: {'; '.join(omitted)}." if omitted else said


def _description(recipe: Recipe, examples: Examples) -> str:
    some = f"{len(examples.train):,}" + (
        f" of {examples.of_train:,}" if len(examples.train) < examples.of_train else ""
    )
    return (
        f"This page trains the network in your browser, from its initial weights, on {some} examples of "
        f"{recipe.data.path or recipe.data.name}. Nothing leaves the page."
    )


def _about(
    network: Network,
    examples: Examples,
    packed: Mapping[str, Mapping[str, PackedColumn]],
    step: StepGraph,
    source: Path,
) -> Iterator[tuple[str, str]]:
    graph = network.require_graph()
    yield "parameters", f"{graph.total_parameters:,}"
    yield "multiply-adds", f"{graph.total_macs:,}"
    train, test = (sum(len(c.content) for c in packed[part].values()) for part in ("train", "test"))
    yield "training examples", f"{len(examples.train):,} of {examples.of_train:,}, {train:,} bytes"
    yield "test examples", f"{len(examples.test):,} of {examples.of_test:,}, {test:,} bytes"
    yield "training step", f"{step.model.ByteSize():,} bytes, {len(step.model.graph.node):,} operators"
    yield "source", source.name
    yield "written by", f"cnnc {versions()['cnnc']}"


def write_training(
    source: Path,
    out: Path,
    *,
    last: bool,
    settings: Sequence[str],
    count: int | None,
    folder: Path | None,
    runtime: Path | None,
    webgpu: bool,
) -> dict[str, Any]:
    """Writes the page that trains a run, a checkpoint or a network file; the result is what `--json` prints."""
    from cnnc.cli.web_runtime import web_runtime

    if count == 0:
        raise CnncError.of("E010", "--training needs training examples: --examples 0 leaves none")
    network, saved, _, state = read_start(source, last, settings, {})
    data = open_data(network, folder, print_status, saved)
    files = web_runtime(runtime, "webgpu" if webgpu else "wasm", print_status)
    page = training_page(network, saved, data, count, files, source)
    size = sum(len(content) for content in page.blobs.values())
    if size > MAX_MODEL_BYTES:
        message = (
            f"the page would hold {size >> 20:,} MiB of examples and weights; the most is {MAX_MODEL_BYTES >> 20} MiB"
        )
        raise CnncError.of("E903", message, help="embed fewer with `--examples N`")
    macs = network.require_graph().total_macs * 3 * require_recipe(network.recipe, network.name).batch
    if macs > SLOW_MACS:
        print_status(f"a step takes about {macs:,} multiply-adds: in a browser that is seconds to minutes")
    html = training_html(page).encode()
    write_atomic(out, html)
    counts = page.data["counts"]
    return {
        "file": str(out),
        "bytes": len(html),
        "training_examples": counts["train"],
        "test_examples": counts["test"],
        "data_bytes": sum(len(content) for name, content in page.blobs.items() if name.partition("-")[0] in SPLITS),
        "weights": state,
        "runtime": f"onnxruntime-web {files.version}",
        "build": files.build,
    }
