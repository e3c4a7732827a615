"""Exports a training step: builds it, compares it with the NumPy trainer, and writes it with all that a host needs.

In: a network and a checkpoint of its weights. Out: three files, all or none, and `ExportedStep`:

    step.onnx                  one training step: inputs and outputs are listed in build.py
    step.infer.onnx            the network in inference, with its weights as inputs
    step.weights.safetensors   a checkpoint with the weights to begin with, and the slots of a run that was interrupted

Both models carry the property `cnnc.training`, JSON with the names of inputs and outputs and the recipe (`describe`). A host
feeds a batch and the arrays that it keeps, and replaces each array by the output `new` of its entry.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import onnx

from cnnc.core.arrays import Weights
from cnnc.core.files import atomic_replacements
from cnnc.core.versions import versions
from cnnc.diagnostics import CnncError, Diagnostic
from cnnc.graph.graph import Graph
from cnnc.network import Network
from cnnc.onnx.emit.model import DEFAULT_OPSET
from cnnc.onnx.emit.verify import LARGE_MACS
from cnnc.onnx.metadata import TRAINING, metadata
from cnnc.onnx.train_step.build import COUNT, LOSS, METRIC, NEW, RATE, STEP, StepGraph, build_step
from cnnc.onnx.train_step.compare import StepDeviation, compare_with_trainer
from cnnc.onnx.train_step.inference import build_inference
from cnnc.onnx.train_step.random_bits import SEED
from cnnc.recipe.recipe import Recipe, require_recipe
from cnnc.reference.parallel.threads import thread_count
from cnnc.reference.registry import traits_of
from cnnc.training import checkpoint as checkpoints
from cnnc.training.checkpoint import Checkpoint, Progress

STEPS, BATCH = 3, 8  # of the comparison
_INFERENCE, _WEIGHTS = ".infer.onnx", ".weights.safetensors"


class StepFiles(NamedTuple):
    """The paths of the step graph, of the inference graph, and of the weights."""

    step: Path
    inference: Path
    weights: Path

    @classmethod
    def beside(cls, step: Path) -> StepFiles:
        """The other two are named after the step graph."""
        stem = step.with_suffix("") if step.suffix == ".onnx" else step
        return cls(step, *(stem.with_name(stem.name + suffix) for suffix in (_INFERENCE, _WEIGHTS)))


class ExportedStep(NamedTuple):
    """What was written and how it was compared.

    `left_out` are statements of the recipe that the host has to do, `draws` the layers that draw random numbers from the
    seed. `sizes` are those that symbols were fixed to.
    """

    files: StepFiles
    sizes_of_files: tuple[int, int, int]
    opset: int
    ir: int
    deviations: tuple[StepDeviation, ...]
    steps: int
    batch: int
    left_out: tuple[str, ...]
    draws: tuple[str, ...]
    sizes: Mapping[str, int]

    @property
    def worst(self) -> StepDeviation:
        """The deviation that is largest relative to what is allowed."""
        return max(self.deviations, key=lambda d: d.share)


def export_step(
    network: Network,
    saved: Checkpoint,
    path: Path,
    opset: int = DEFAULT_OPSET,
    trained: Mapping[str, Any] | None = None,
) -> ExportedStep:
    """Writes the training step of a network; `saved` has the weights to begin with, `trained` is a summary of the training.

    Raises CnncError: E509 without a train section, E804 and E805 for the opset, E810 for what a graph of ONNX operators
    cannot compute, E811 if the graph deviates from the trainer, E902 if a file cannot be written.
    """
    graph, recipe = network.require_graph(), require_recipe(network.recipe, network.name)
    sizes = dict(network.survey.reference) if network.survey is not None else {}
    facts = metadata(
        network,
        graph,
        versions(),
        classes=saved.classes,
        vocabulary=saved.vocabulary,
        columns=saved.columns,
        trained=trained,
        origin=saved.origin,
    )
    step, deviations = verified_step(network, saved.weights, opset)
    facts[TRAINING] = json.dumps(describe(graph, recipe, step, StepFiles.beside(path)), separators=(",", ":"))
    for key, value in facts.items():
        step.model.metadata_props.add(key=key, value=value)
    inference = build_inference(graph, graph.outputs, facts, opset)
    files = StepFiles.beside(path)
    written = _write(files, step.model, inference, saved)
    draws = tuple(node.name for node in graph.nodes if traits_of(node.op).uses_rng)
    batch = _comparison_batch(graph)
    return ExportedStep(
        files, written, opset, step.model.ir_version, deviations, STEPS, batch, left_out(recipe), draws, sizes
    )


def verified_step(
    network: Network, weights: Weights, opset: int = DEFAULT_OPSET
) -> tuple[StepGraph, tuple[StepDeviation, ...]]:
    """Builds the step graph and compares it with the trainer. Raises CnncError E804, E805, E810, E811."""
    graph, recipe = network.require_graph(), require_recipe(network.recipe, network.name)
    step = build_step(graph, recipe, {}, opset)
    deviations = compare_with_trainer(network, step, weights, steps=STEPS, batch=_comparison_batch(graph))
    if not all(d.passes for d in deviations):
        raise _e811(next(d for d in deviations if not d.passes), graph)
    return step, tuple(deviations)


def _comparison_batch(graph: Graph) -> int:
    return 2 if graph.total_macs > LARGE_MACS else BATCH


def _write(
    files: StepFiles, step: onnx.ModelProto, inference: onnx.ModelProto, saved: Checkpoint
) -> tuple[int, int, int]:
    """Writes all files before the first is moved to its place; returns their sizes."""
    parts = (
        [step.SerializeToString(deterministic=True)],
        [inference.SerializeToString(deterministic=True)],
        list(checkpoints.content(saved)),
    )
    with atomic_replacements(*files) as temporaries:
        for temporary, data in zip(temporaries, parts, strict=True):
            with temporary.open("wb") as file:
                file.writelines(data)
    first, second, third = (sum(len(part) for part in data) for data in parts)
    return first, second, third


def left_out(recipe: Recipe) -> tuple[str, ...]:
    """The statements of a recipe that are not in the graph."""
    statements = []
    if recipe.augment is not None:
        span = recipe.spans["augment"]
        statements.append(span.source.text[span.start : span.end])
    if recipe.data.sampling is not None:
        statements.append(f"data sampling={recipe.data.sampling}")
    return tuple(statements)


def describe(graph: Graph, recipe: Recipe, step: StepGraph, files: StepFiles) -> dict[str, Any]:
    """What a host needs to drive the step graph: names, shapes and numbers.

    `weights` are all arrays that the two graphs take, `slots` those of the optimizer, zeros at first. `new` is the output
    that replaces the array, null where the step does not change it; `in_step` says whether the step graph takes it. `rates`
    are the learning rates at the start of each epoch, `left_out` what the host has to do itself.
    """
    names = {info.name for info in step.model.graph.input}
    outputs = {info.name for info in step.model.graph.output}
    metrics = [name.removesuffix(COUNT).removeprefix(METRIC) for name in outputs if name.endswith(COUNT)]

    def array(name: str, shape: tuple[int, ...]) -> dict[str, Any]:
        new = name + NEW
        return {"name": name, "shape": list(shape), "new": new if new in outputs else None, "in_step": name in names}

    return {
        "step": files.step.name,
        "inference": files.inference.name,
        "weights_file": files.weights.name,
        "inputs": list(step.inputs),
        "targets": [target._asdict() for target in step.targets],
        "learning_rate": RATE,
        "counter": STEP if STEP in names else None,
        "seed": SEED if SEED in names else None,
        "loss": LOSS,
        "metrics": {name: {"sum": METRIC + name, "count": METRIC + name + COUNT} for name in sorted(metrics)},
        "weights": [
            {**array(name, parameter.shape), "kind": "weight" if parameter.trainable else "buffer"}
            for name, parameter in graph.weights.items()
        ],
        "slots": [
            {**array(name, graph.weights[weight].shape), "weight": weight} for name, weight in step.slots.items()
        ],
        "recipe": {
            "batch": recipe.batch,
            "epochs": recipe.epochs,
            "seed": recipe.seed,
            "optimizer": recipe.optimizer.kind,
            "learning_rate": recipe.optimizer.lr,
            "rates": [recipe.learning_rate(epoch) for epoch in range(recipe.epochs)],
            "losses": [{"kind": loss.kind, "on": loss.on or graph.outputs[0]} for loss in recipe.losses],
        },
        "left_out": list(left_out(recipe)),
    }


def initial_checkpoint(network: Network, weights: Weights, classes: Sequence[str] = ()) -> Checkpoint:
    """A checkpoint of a network that has not been trained."""
    source, sizes = network.source, dict(network.survey.reference) if network.survey is not None else {}
    return Checkpoint(
        source.name,
        source.text,
        network.settings,
        tuple(classes),
        (),
        weights,
        {},
        Progress(),
        versions(),
        thread_count(),
        dict(network.includes),
        sizes,
    )


def _e811(d: StepDeviation, graph: Graph) -> CnncError:
    owner = next((node for node in graph.nodes if d.name.startswith(f"{node.name}.")), None)
    message = (
        f"the training step as a graph deviates from the trainer: {d.name} by {d.difference:.3g}, where {d.allowed:.3g} is "
        "allowed"
    )
    help = f"no file was written; please report it with the source and this version of onnxruntime, {versions()['onnxruntime']}"
    return CnncError(Diagnostic("E811", message, owner.span if owner is not None else None, help=help))
