"""Builds the step graph: from a network and its train section to an ONNX model that computes one training step.

Inputs and outputs, by name (a layer cannot be named `train`, so that these names are free):

    input1, ...                      the inputs of the network, (N, *shape)
    train.target, train.target.fc3   targets: labels (N), label maps (N, *spatial), or values (N, *shape); probabilities (N, C)
                                     in place of labels where `augment` mixes examples
    train.learning_rate              float32 scalar
    train.step                       int64 scalar, the number of this step from 1, for an optimizer that counts steps
    train.seed                       int32 scalar, for layers that draw random numbers
    conv1.weight, bn1.mean           weights and buffers, named and shaped as in a checkpoint
    conv1.weight.velocity            the slots of the optimizer, of the shape of their weight, zeros at first

    train.loss                       float32 scalar, the weighted sum of losses, mean over the batch
    train.accuracy, train.psnr, ...  the sum of each metric over the batch, and train.accuracy.count, ..., what a host
                                     divides the total by (metrics.py); for labels always the accuracy
    NAME.new                         the new value of the weight, buffer or slot NAME; what has none does not change
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper

from cnnc.diagnostics import CnncError
from cnnc.graph.for_training import move_relus_behind_pools
from cnnc.graph.graph import Graph, Node, needed_nodes, verify
from cnnc.onnx.emit.emitter import BATCH
from cnnc.onnx.emit.model import DEFAULT_OPSET, assemble, complete, require_opset
from cnnc.onnx.train_step.differentiate import differentiate, emit_forward
from cnnc.onnx.train_step.losses import LOSSES, LOSSES_OF_SHARES, measured_outputs
from cnnc.onnx.train_step.metrics import METRICS, OUTPUTS
from cnnc.onnx.train_step.optimizers import UPDATES, WeightState, clip_gradients
from cnnc.onnx.train_step.step_emitter import UPDATE, StepEmitter
from cnnc.recipe.losses import BALANCED
from cnnc.recipe.metrics import metric_named
from cnnc.recipe.recipe import Recipe
from cnnc.training.objective import Term, term_of

LOSS, RATE, STEP = "train.loss", "train.learning_rate", "train.step"
TARGET, METRIC, COUNT, NEW = "train.target", "train.", ".count", ".new"


class TargetInput(NamedTuple):
    """An input for targets: the output that it belongs to, `labels`, `probabilities` or `values`, and the shape of one target."""

    name: str
    output: str
    kind: str
    shape: tuple[int, ...]


class StepGraph(NamedTuple):
    """A training step, and what a host feeds and reads: weights and buffers, slots with their weight, targets."""

    model: onnx.ModelProto
    inputs: tuple[str, ...]
    targets: tuple[TargetInput, ...]
    weights: tuple[str, ...]
    slots: Mapping[str, str]


def build_step(graph: Graph, recipe: Recipe, metadata: Mapping[str, str], opset: int = DEFAULT_OPSET) -> StepGraph:
    """The model of one training step.

    Raises CnncError E804 for an opset that cnnc does not emit, E805 where a gradient needs a newer one, E810 for what a graph
    of ONNX operators cannot compute, and where nothing would change.
    """
    require_opset(opset)
    require_numbers(recipe)
    terms = [term_of(graph, loss, len(graph.outputs)) for loss in recipe.losses]
    read = {term.node.name for term in terms}
    graph = verify(move_relus_behind_pools(graph, read))
    e = StepEmitter(graph, opset)
    of_input = {graph.inputs[0].name for term in terms if term.column is None}
    emit_forward(e, needed_nodes(graph, read | of_input))
    targets = target_inputs(terms, recipe.augment is not None and recipe.augment.mixes)
    add_target_inputs(e, targets)
    outputs = add_losses(e, terms, targets)
    metrics = add_metrics(e, recipe, terms, targets)
    gradients, _ = differentiate(e, graph, outputs.seeds)
    if not gradients and not e.updated:
        message = f"the training step of {graph.name} would change nothing: it has no weights that are not frozen"
        raise CnncError.of("E810", message, help="leave `frozen=true` out at a layer, or add a layer with weights")
    if recipe.clip is not None:
        with e.stage(terms[0].node, UPDATE):
            gradients = clip_gradients(e, gradients, recipe.clip)
    slots = _update(e, recipe, gradients)
    outputs_info = [*outputs.infos, *metrics, *_new_infos(e, slots)]
    model = complete(assemble(e, outputs_info, [], metadata), e.content)
    inputs = tuple(node.name for node in graph.inputs if node.name in {i.name for i in e.inputs})
    return StepGraph(model, inputs, tuple(targets), tuple(e.weight_inputs), slots)


def require_numbers(recipe: Recipe) -> None:
    """Raises CnncError E810 for weights that training would compute from its data."""
    for loss in recipe.losses:
        if loss.balance == BALANCED:
            (name,) = (spec.name for spec in loss.arguments if getattr(loss, spec.name) == BALANCED)
            message = (
                f"{name}={BALANCED} of {loss.kind} depends on the training data, which the step graph does not have"
            )
            help = f"write the list that `cnnc train` prints behind `{name}={BALANCED} is` in place of `{BALANCED}`"
            raise CnncError.of("E810", message, span=recipe.spans.get("loss"), help=help)


def target_inputs(terms: list[Term], mixed: bool = False) -> list[TargetInput]:
    """The inputs for targets: one for each output that a loss compares with them; of `mixed` examples probabilities."""
    compared = {term.output.name: term for term in reversed(terms) if term.column is not None}
    names = {output: TARGET if len(compared) == 1 else f"{TARGET}.{output}" for output in compared}
    return [_target_input(names[output], output, term, mixed) for output, term in compared.items()]


def _target_input(name: str, output: str, term: Term, mixed: bool) -> TargetInput:
    shape = _target_shape(term)
    if mixed and term.loss.compares_with == "labels" and shape == ():
        return TargetInput(name, output, "probabilities", (term.node.type.channels,))
    return TargetInput(name, output, term.loss.compares_with, shape)


def _target_shape(term: Term) -> tuple[int, ...]:
    """The shape of one target: a label has none, a label map is without the channels."""
    type_ = term.node.type
    if term.loss.compares_with != "labels":
        return type_.shape
    return type_.spatial if any(size != 1 for size in type_.spatial) else ()


class _Losses(NamedTuple):
    """The output for the loss, and the gradients with which differentiation begins, by layer."""

    infos: list[onnx.ValueInfoProto]
    seeds: Mapping[str, str]


def add_target_inputs(e: StepEmitter, targets: list[TargetInput]) -> None:
    """Adds the inputs: int64 for labels, float32 for values."""
    for target in targets:
        kind = TensorProto.INT64 if target.kind == "labels" else TensorProto.FLOAT
        e.add_input(target.name, (BATCH, *target.shape), kind)


def add_losses(e: StepEmitter, terms: list[Term], targets: list[TargetInput]) -> _Losses:
    """Adds the losses."""
    values, seeds = list[str](), dict[str, str]()
    for term in terms:
        with e.stage(term.node, "loss"):
            target = _target_tensor(e, term, targets)
            table = LOSSES_OF_SHARES if _are_probabilities(target, targets) else LOSSES
            value, gradient = table[type(term.loss)](e, term.loss, e.tensor(term.node.name), target)
            if term.loss.weight != 1:
                value, gradient = (e.new("Mul", tensor, e.number(term.loss.weight)) for tensor in (value, gradient))
            seeds[term.node.name] = (
                e.new("Add", seeds[term.node.name], gradient) if term.node.name in seeds else gradient
            )
            values.append(value)
    with e.stage(terms[0].node, "loss"):
        e.op("Sum", values, LOSS) if len(values) > 1 else e.op("Identity", values, LOSS)
    return _Losses([helper.make_tensor_value_info(LOSS, TensorProto.FLOAT, [])], seeds)


def _target_tensor(e: StepEmitter, term: Term, targets: list[TargetInput]) -> str:
    """The tensor that a loss compares with."""
    if term.column is None:
        return e.tensor(e.graph.inputs[0].name)
    return next(target.name for target in targets if target.output == term.output.name)


def _are_probabilities(tensor: str, targets: list[TargetInput]) -> bool:
    return any(target.name == tensor and target.kind == "probabilities" for target in targets)


def _most_probable(e: StepEmitter, probabilities: str, ignored: int | None) -> str:
    """The class of the larger part of each mixed example; the label that does not count if no part does."""
    labels = e.new("ArgMax", probabilities, axis=1, keepdims=0)
    if ignored is None:
        return labels
    has_part = e.new("Cast", e.reduce("Sum", probabilities, [1]), to=TensorProto.BOOL)
    return e.new("Where", has_part, labels, e.number(ignored, np.int64))


def add_metrics(
    e: StepEmitter, recipe: Recipe, terms: list[Term], targets: list[TargetInput]
) -> list[onnx.ValueInfoProto]:
    """Adds the metrics, each on the first loss that compares with what it compares with, and returns their outputs."""
    kinds = {term.loss.compares_with: term for term in reversed(terms)}
    classifier = ("accuracy",) if "labels" in kinds else ()
    infos = list[onnx.ValueInfoProto]()
    for name in dict.fromkeys((*classifier, *(recipe.metrics or (recipe.metric,)))):
        metric = metric_named(name)
        term = kinds[metric.compares_with]
        with e.stage(term.node, "metric"):
            outputs = e.tensor(term.node.name)
            if term.loss.compares_with == "values" and term.loss.included_layers:
                outputs = e.new(OUTPUTS[term.loss.included_layers[0]], outputs)
            outputs = measured_outputs(e, term.loss, outputs)
            target = _target_tensor(e, term, targets)
            if _are_probabilities(target, targets):
                target = _most_probable(e, target, term.loss.ignored_label)
            sums = METRICS[metric](e, outputs, target, term.loss.ignored_label)
            total = e.op("Identity", [sums.total], METRIC + name)
            count = e.op("Identity", [sums.counted], METRIC + name + COUNT)
        infos.append(helper.make_tensor_value_info(total, sums.dtype, sums.shape))
        infos.append(helper.make_tensor_value_info(count, TensorProto.INT64, ()))
    return infos


def _update(e: StepEmitter, recipe: Recipe, gradients: Mapping[str, str]) -> dict[str, str]:
    """Adds the update of each weight that has a gradient, and returns the slots with the weight that each belongs to."""
    optimizer, slots = recipe.optimizer, dict[str, str]()
    rate = e.add_input(RATE, ())
    step = e.add_input(STEP, (), TensorProto.INT64) if optimizer.counts_steps else ""
    for full, gradient in gradients.items():
        with e.stage(_owner(e.graph, full), UPDATE):
            names = [f"{full}.{slot}" for slot in optimizer.slots]
            state = WeightState(full, tuple(e.add_input(name, e.graph.weights[full].shape) for name in names))
            new = UPDATES[type(optimizer)](e, optimizer, rate, step, state, gradient)
            for name, tensor in zip((full, *names), (new.weight, *new.slots), strict=True):
                e.op("Identity", [tensor], name + NEW)
            slots.update(dict.fromkeys(names, full))
    for full, tensor in e.updated.items():
        with e.stage(_owner(e.graph, full), UPDATE):
            e.op("Identity", [tensor], full + NEW)
    return slots


def _owner(graph: Graph, full: str) -> Node:
    """The layer that a parameter is named after."""
    return graph.by_name[full.rpartition(".")[0]]


def _new_infos(e: StepEmitter, slots: Mapping[str, str]) -> list[onnx.ValueInfoProto]:
    """Names and types of the new weights, buffers and slots, in the order of the inputs."""
    computed = {output for node in e.nodes for output in node.output}
    names = [info.name for info in e.inputs if info.name + NEW in computed]
    return [
        helper.make_tensor_value_info(name + NEW, TensorProto.FLOAT, e.graph.weights[slots.get(name, name)].shape)
        for name in names
    ]
