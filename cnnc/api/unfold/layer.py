"""`cnnc unfold RUN LAYER`: the sum behind one output of a layer of a network, from its weights and one example.

In: `Words`, from the command line or from `cnnc.unfold`. Out: a `LayerView`: pages and a JSON object about the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Any, NamedTuple

from cnnc.api.named_files import named_files
from cnnc.api.python_words import note_words
from cnnc.data import ignore_report
from cnnc.diagnostics import CnncError, nearest

if TYPE_CHECKING:
    from cnnc.core.arguments import Axes
    from cnnc.core.arrays import Array
    from cnnc.graph.graph import Graph
    from cnnc.training.trained import Example, TrainedNetwork
    from cnnc.view.page import Page
    from cnnc.view.unfold.layer_gradient import GradientSum
    from cnnc.view.unfold.layer_run import LayerRun

MAX_CELLS = 40_000
"""The most cells of all steps of a page, so that its file stays below 2 MB."""


MAX_TERMS = 400_000
"""The most terms behind all steps of a page, so that it takes seconds."""


class Words(NamedTuple):
    """What the command line says about a layer of a network, as typed; `report` receives notes.

    A program may give the example itself, and arrays as data.
    """

    source: Path
    layer: str | None = None
    file: Path | None = None
    at: str | None = None
    text: str | None = None
    example: int | None = None
    inputs: Sequence[str] = ()
    data: Path | Mapping[str, Array] | None = None
    last: bool = False
    settings: Sequence[str] = ()
    backward: bool = False
    label: int | None = None
    weight_at: str | None = None
    input_at: str | None = None
    im2col: bool = False
    toeplitz: bool = False
    report: Callable[[str], None] = ignore_report
    given: Example | None = None


class LayerView(NamedTuple):
    """The result: `page(True)` with images and a step for each position, for files; `page(False)` for a terminal; JSON."""

    page: Callable[[bool], Page]
    numbers: Callable[[], dict[str, Any]]


def unfold_layer(words: Words, trained: TrainedNetwork) -> LayerView:
    """Runs the network up to the layer, for --backward also the rest. Raises CnncError."""
    from cnnc.view.unfold.layer_run import largest_output, run_layer

    name = _require_layer(trained.graph, words)
    if trained.untrained:
        words.report(f"{trained.network.name} is {trained.untrained}")
    example = _example(trained, words)
    if example.note:
        words.report(example.note)
    graph = trained.graph_for(example.feeds)
    run = run_layer(graph, trained.weights, example.feeds, name)
    at = index_of(words.at, run.output.shape, f"--at {words.at}", name) if words.at else largest_output(run)
    if not words.backward and (words.weight_at or words.input_at or words.label is not None):
        raise CnncError.of("E010", "--weight-at, --input-at and --label choose a gradient", help="add --backward")
    heading = [f"weights: {_weights_text(trained, run, words)}", f"input: {' '.join(example.name.splitlines())}"]
    chosen = [] if words.at else [note_words()("the output is the largest of the layer; --at chooses another")]
    if run.node.owner:
        heading.append(f"its weights are those of {run.node.owner}")
    if words.backward and (words.im2col or words.toeplitz):
        raise CnncError.of("E010", "--backward excludes --im2col and --toeplitz", help="leave --backward out")
    if words.backward:
        return _backward(trained, graph, example, run, at, heading, words)
    if words.im2col or words.toeplitz:
        return _matrices(run, at, [*heading, *chosen], words)
    return _forward(run, at, heading, chosen)


def _weights_text(trained: TrainedNetwork, run: LayerRun, words: Words) -> str:
    """Where the weights come from; those that the source gives need no training."""
    parameters = [trained.graph.weights[full] for full in trained.graph.parameter_names[run.node.name].values()]
    is_given = any(parameter.is_given for parameter in parameters)
    if trained.untrained and is_given and not any(parameter.is_drawn for parameter in parameters):
        return f"given in {words.source}"
    return trained.untrained or str(words.source)


def _matrices(run: LayerRun, at: Axes, heading: list[str], words: Words) -> LayerView:
    from cnnc.view.unfold.layer_json import layer_json
    from cnnc.view.unfold.layer_matrices import layer_im2col, layer_toeplitz
    from cnnc.view.unfold.terms import TERMS

    option, show = ("--im2col", layer_im2col) if words.im2col else ("--toeplitz", layer_toeplitz)
    if words.im2col and words.toeplitz:
        raise CnncError.of("E010", "--im2col and --toeplitz exclude each other", help="give one of them")
    if type(run.op) not in TERMS:
        message = f"{option}: {run.node.name} ({run.op.keyword}) is not a sum of products"
        raise CnncError.of("E010", message, help=f"leave {option} out")
    page = show(run, at, heading)
    return LayerView(lambda for_file: page, lambda: layer_json(run, at))


def _forward(run: LayerRun, at: Axes, heading: list[str], chosen: list[str]) -> LayerView:
    from cnnc.view.unfold.layer_json import layer_json
    from cnnc.view.unfold.layer_page import layer_page
    from cnnc.view.unfold.steps import MAX_STEPS, around, of_channel
    from cnnc.view.unfold.terms import TERMS, terms

    def page(for_file: bool) -> Page:
        if not for_file:
            return layer_page(run, at, [at], [*heading, *chosen])
        single = layer_page(run, at, [at], heading, True)
        cells = sum(len(row) for band in single.bands for panel in band.panels for row in getattr(panel, "cells", ()))
        count = len(terms(run.op, run.types[0], at).terms) if type(run.op) in TERMS else 0
        most = min(MAX_STEPS, MAX_CELLS // max(1, cells), MAX_TERMS // max(1, count))
        outputs = of_channel(run.output.shape, at)
        positions = [outputs[n] for n in around(outputs.index(at), len(outputs), max(1, most))]
        stepped = layer_page(run, at, positions, heading, True)
        if len(positions) == len(outputs):
            return stepped
        of = f" of channel {at[0]}" if len(at) > 1 else ""
        return stepped._replace(
            notes=(*stepped.notes, f"{len(positions)} of {len(outputs):,} outputs{of} are steps of this page")
        )

    return LayerView(page, lambda: layer_json(run, at))


def _require_layer(graph: Graph, words: Words) -> str:
    """The name of the layer. Raises CnncError E010 for one that is missing, unknown, or that unfold does not know."""
    from cnnc.view.unfold.elementwise import FORMULAS
    from cnnc.view.unfold.terms import TERMS

    known = [node.name for node in graph.nodes if type(node.op) in (TERMS if words.backward else {**TERMS, **FORMULAS})]
    listed = ", ".join(known[:12]) + (f", ... ({len(known)} layers)" if len(known) > 12 else "")
    name = words.layer
    if name is None:
        help = f"`{join(['cnnc', 'unfold', str(words.source), known[0]])}`; layers: {listed}" if known else ""
        raise CnncError.of("E010", "no layer given", help=help)
    node = graph.by_name.get(name)
    if node is None:
        within = [other for other in known if other.endswith(f".{name}")]
        near = "` or `".join(within[:3]) or nearest(name, graph.by_name)
        help = f"did you mean `{near}`?" if near else f"layers: {listed}"
        raise CnncError.of("E010", f"no layer is named `{name}`", help=help)
    if not node.inputs:
        raise CnncError.of("E010", f"{name} is an input: its numbers are the example", help=f"layers: {listed}")
    if name not in known:
        what = "the backward pass of" if words.backward else "the outputs of"
        raise CnncError.of("E010", f"unfold does not show {what} {name} ({node.op.keyword})", help=f"layers: {listed}")
    return name


def _example(trained: TrainedNetwork, words: Words) -> Example:
    """The example that the words name. Raises CnncError E010 without one, unless the digits come with cnnc."""
    from cnnc.training.trained import file_example, named_files_example, sentence_example, test_example

    given = [words.file is not None, words.text is not None, bool(words.inputs), words.given is not None]
    if sum(given) > 1:
        raise CnncError.of("E010", "one example is unfolded: give a FILE, --text or --input NAME=FILE, not several")
    if words.text is not None and words.example is not None:
        raise CnncError.of(
            "E010", "--text gives the example: --example does not go with it", help="leave --example out"
        )
    if words.given is not None:
        return words.given
    if words.file is not None:
        return file_example(trained, words.file, words.example)
    if words.text is not None:
        return sentence_example(trained, words.text)
    if words.inputs:
        files = named_files(words.inputs, [node.name for node in trained.graph.inputs])
        return named_files_example(trained, files, words.example)
    recipe = trained.network.recipe
    number = words.example
    if number is None and recipe is not None and recipe.data.name == "digits":
        number = 0
    if number is None:
        shown = [trained.network.recipe is not None and "take one of the test set with `--example 0`"]
        ways = ["name a file: `" + join(["cnnc", "unfold", str(words.source), words.layer or "", "FILE"]) + "`", *shown]
        raise CnncError.of("E010", "no example given", help=", or ".join(way for way in ways if way))
    return test_example(trained, number, words.data, words.report)


def index_of(text: str, shape: Axes, option: str, name: str) -> Axes:
    """An index such as `3,14,20`; a channel or axes of size 1 may be left out. Raises CnncError E010 outside the shape."""
    words = [word.strip() for word in text.strip("()").split(",")]
    size = "x".join(map(str, shape))
    names = {1: ("index",), 2: ("channel", "position"), 3: ("channel", "row", "column")}
    axes = names.get(len(shape)) or ("channel", "depth", "row", "column")
    legal = ", ".join(f"{axis} 0 to {size - 1}" for axis, size in zip(axes, shape, strict=False))
    if option.startswith("--weight-at"):
        legal = f"its indices are {', '.join(f'0 to {size - 1}' for size in shape)}"
    if not all(word.isascii() and word.isdigit() for word in words):
        example = ",".join(str(size // 2) for size in shape)
        raise CnncError.of("E010", f"{option} is not an index of {name}, which is {size}", help=f"write `{example}`")
    index = tuple(map(int, words))
    if len(index) == len(shape) - 1 and shape[0] == 1:
        index = (0, *index)
    if len(index) < len(shape) and all(size == 1 for size in shape[len(index) :]):
        index += (0,) * (len(shape) - len(index))
    if len(index) != len(shape) or any(i >= size for i, size in zip(index, shape, strict=True)):
        raise CnncError.of("E010", f"{option} is outside of {name}, which is {size}", help=legal)
    return index


def _backward(
    trained: TrainedNetwork,
    graph: Graph,
    example: Example,
    run: LayerRun,
    at: Axes,
    heading: list[str],
    words: Words,
) -> LayerView:
    from cnnc.view.unfold.layer_gradient import engine_gradients, input_gradient, weight_gradient
    from cnnc.view.unfold.layer_gradient_page import gradient_page
    from cnnc.view.unfold.layer_json import gradients_json
    from cnnc.view.unfold.layer_run import output_sum

    scalar, upstream = _upstream(trained, graph, example, run, words.label)
    engine = engine_gradients(run, upstream)
    behind = output_sum(run, at)
    terms = [term for term in behind.terms if term.element is not None]
    is_maximum = behind.indices.kind == "max"
    largest = max(terms, key=lambda term: term.x if is_maximum else abs(term.value), default=None)
    if largest is None or largest.element is None:
        raise CnncError.of("E010", "--backward: this output reads padding alone", help="choose another with --at")
    gradients: list[GradientSum] = []
    if "weight" in run.weights:
        shape, weight_at = run.weights["weight"].shape, largest.weight
        if words.weight_at is not None:
            weight_at = index_of(
                words.weight_at, shape, f"--weight-at {words.weight_at}", f"the weight of {run.node.name}"
            )
        assert weight_at is not None
        gradients.append(weight_gradient(run, upstream, weight_at, engine))
    elif words.weight_at is not None:
        raise CnncError.of(
            "E010", f"--weight-at: {run.node.name} ({run.op.keyword}) has no weights", help="leave --weight-at out"
        )
    element = largest.element
    if words.input_at is not None:
        element = index_of(words.input_at, run.x.shape, f"--input-at {words.input_at}", run.node.inputs[0])
    gradients.append(input_gradient(run, upstream, element, engine))
    heading += _shared_lines(graph, run)

    def page(for_file: bool) -> Page:
        return gradient_page(run, upstream, gradients, scalar, heading, for_file)

    return LayerView(page, lambda: gradients_json(run, scalar, gradients))


def _shared_lines(graph: Graph, run: LayerRun) -> list[str]:
    """Which other layers add to the whole gradients: those that share the weights, and those that read the same input."""
    name, owner, read = run.node.name, run.node.parameter_owner, run.node.inputs[0]
    sharing = [n.name for n in graph.nodes if n.parameter_owner == owner and n.name != name and run.weights]
    readers = [n.name for n in graph.consumers[read] if n.name != name]
    lines = (
        [
            f"{', '.join(sharing)} {'also has' if len(sharing) == 1 else 'also have'} these weights; dL/dw here is what {name} adds to it"
        ]
        if sharing
        else []
    )
    return [
        *lines,
        *(
            [f"{', '.join(readers)} also read{'s' if len(readers) == 1 else ''} {read}; dL/dx here is through {name}"]
            if readers
            else []
        ),
    ]


def _upstream(
    trained: TrainedNetwork, graph: Graph, example: Example, run: LayerRun, label: int | None
) -> tuple[str, Array]:
    """What is differentiated, in words, and its gradient by the layer's output. Raises CnncError E010, E610."""
    from cnnc.view.unfold.layer_run import run_layer
    from cnnc.view.unfold.upstream import largest_element, upstream

    loss = _loss(trained, graph, example, label)
    if loss is not None:
        value, gradient = upstream(graph, trained.weights, example.feeds, run, loss.outputs, loss)
        text = loss.text
    else:
        node = graph.by_name[graph.outputs[0]]
        what = "the largest output"
        if node.op.keyword in ("softmax", "log_softmax", "sigmoid"):
            node, what = graph.by_name[node.inputs[0]], "the largest score"
        index, scalar = largest_element(node.name, run_layer(graph, trained.weights, example.feeds, node.name).output)
        value, gradient = upstream(graph, trained.weights, example.feeds, run, (node.name,), scalar)
        text = f"{node.name}({','.join(map(str, index))}), {what}"
    if gradient is None:
        raise CnncError.of("E010", f"--backward: L = {text} does not depend on {run.node.name}")
    return f"{text} = {value:.4g}", gradient


def _loss(trained: TrainedNetwork, graph: Graph, example: Example, label: int | None) -> Any:
    """The loss of the train section where its target is known, else None: the largest score is differentiated."""
    from cnnc.recipe.recipe import Recipe
    from cnnc.recipe.statements import Data
    from cnnc.training.example_loss import example_loss

    recipe = trained.network.recipe
    if recipe is None and label is not None:  # the default loss
        recipe = Recipe(Data.make(name="npz"))
    of_input = recipe is not None and all(loss.of_input for loss in recipe.losses)
    if recipe is None or (label is None and example.targets is None and not of_input):
        return None
    return example_loss(graph, recipe, example.feeds, example.targets or (), label)
