"""Export: from a network and its weights to a verified ONNX file.

The steps are passes, emission, verification, conversion to a lower precision (if asked for), and writing.

Input: a `Network`, weights, a path, `Options`; optionally the names of the layers that become the outputs. Output: the
complete file, and `Exported`. A model that fails verification or loses too much in a lower precision is never written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import onnx

from cnnc.core.arrays import Array, Weights
from cnnc.core.files import write_atomic
from cnnc.core.versions import versions
from cnnc.diagnostics import CnncError
from cnnc.graph.graph import Graph
from cnnc.graph.needs import require_inference
from cnnc.network import Network
from cnnc.onnx.emit import microcontrollers as mcu
from cnnc.onnx.emit import staging
from cnnc.onnx.emit.emitter import BATCH
from cnnc.onnx.emit.model import DEFAULT_OPSET, OLDEST_OPSET, emit, newest_opset, require_opset
from cnnc.onnx.emit.passes import PASSES, Pass, run_passes, select_passes
from cnnc.onnx.emit.size_family import build_size_family, verification_sizes
from cnnc.onnx.emit.verify import (
    LARGE_MACS,
    Comparison,
    Verification,
    combined,
    sample_count,
    sample_feeds,
    verify_model,
)
from cnnc.onnx.metadata import metadata
from cnnc.onnx.quantize.examples import CalibrationExamples, Precision, Quality
from cnnc.onnx.run.segments import RunnableModel
from cnnc.onnx.run.session import Session
from cnnc.onnx.source_map import with_relative_sources
from cnnc.reference.parallel.threads import one_blas_thread

_WEIGHTS_IN_MEMORY = 3  # in the network, in the model, and in onnxruntime


class Options(NamedTuple):
    """How a model is written.

    `without` names passes to skip. `external` stores the weights in a second file. `target="mcu"` restricts the model to
    what C code generators for microcontrollers support, with a batch size of 1. `precision` is the element type of weights
    and activations.
    """

    opset: int = DEFAULT_OPSET
    without: tuple[str, ...] = ()
    external: bool = False
    target: str = ""
    precision: Precision = "float32"


class Exported(NamedTuple):
    """What was written and how it was verified.

    `data` is the external weight file, if any; `size` is the size of both files in bytes. `quality` says what a lower
    precision cost, `footprint` what memory a microcontroller needs; `sizes` are those of all symbols where `at` fixes some.
    """

    path: Path
    verification: Verification
    size: int
    opset: int
    ir: int
    data: Path | None = None
    quality: Quality | None = None
    footprint: mcu.Footprint | None = None
    sizes: Mapping[str, int] = {}


def export(
    network: Network,
    weights: Weights,
    path: Path,
    *,
    outputs: Sequence[str] = (),
    classes: Sequence[str] = (),
    vocabulary: Sequence[str] = (),
    columns: Sequence[str] = (),
    trained: Mapping[str, Any] | None = None,
    origin: Mapping[str, str] | None = None,
    opset: int = DEFAULT_OPSET,
    options: Options | None = None,
    examples: CalibrationExamples | None = None,
) -> Exported:
    """Writes the model of a network, or of the part that the layers `outputs` need.

    `weights` are arrays by `layer.parameter`, as in a checkpoint. Inputs and outputs of the model are (N, *shape), channels
    first. `classes`, `vocabulary`, `columns`, `trained` (a summary of the training) and `origin` (the model that the weights were
    imported from) go into the metadata. `examples` have the network's inputs and targets; float16 and int8 are measured on
    them, and int8 is calibrated on them.

    Raises CnncError: E010 for an unknown output or pass, E604 if onnxruntime cannot run the model, E801 if verification
    fails, E802 and E803 if float16 or int8 loses too much, E804 to E809 for a network or options that cannot be exported,
    E902 if the file cannot be written, E913 where it takes more memory than the caller allows.
    """
    options = options or Options(opset)
    full_network, network = network, network.part(outputs)
    graph = network.require_graph()
    require_inference(graph, graph.name, sample_count(graph), copies=_WEIGHTS_IN_MEMORY)
    require_opset(options.opset)
    passes = select_passes(options.without)
    if path.is_dir():
        raise CnncError.of("E902", f"cannot write {path}: it is a folder", help=f"name a file: {path / 'model.onnx'}")
    separate_weights = _has_separate_weights(weights, options)
    facts = metadata(
        full_network,
        graph,
        versions(),
        classes=classes,
        vocabulary=vocabulary,
        columns=columns,
        trained=trained,
        origin=origin,
    )
    content: dict[str, Array] = {}
    model = _emit(network, weights, facts, options, passes, content)
    footprint = None
    if options.target == "mcu":
        mcu.require_supported(network, model)
        footprint = mcu.measure_footprint(network, model)
    with one_blas_thread(), _way_out_on_failure(network, weights, options):
        comparisons = _compare_tensors(network, weights, RunnableModel(model, content, network.name))
        with staging.staged(model, content, path, separate_weights) as staged:
            content.clear()  # the file has them, and onnxruntime copies them
            session = Session(staged.model, network.name, "cpu", runs_once=True)
            verification = combined([comparison.compare_outputs(session) for comparison in comparisons])
            del session
            verification.require_within_tolerance(graph)
            if options.precision == "float32":
                size, data = staged.size, staged.commit()
                return Exported(
                    path,
                    verification,
                    size,
                    options.opset,
                    model.ir_version,
                    data,
                    footprint=footprint,
                    sizes=network.fixed_sizes,
                )
            model = onnx.load(staged.model)
        examples = examples.for_graph(full_network, graph) if examples is not None else None
        model, quality = _lower_precision(model, network, options, examples)
        if footprint is not None:
            footprint = mcu.measure_footprint(network, model)
    data = model.SerializeToString(deterministic=True)
    stale = staging.weight_files(path)
    write_atomic(path, data)
    staging.remove_files(stale)
    return Exported(
        path, verification, len(data), options.opset, model.ir_version, None, quality, footprint, network.fixed_sizes
    )


def _has_separate_weights(weights: Weights, options: Options) -> bool:
    """Whether the weights go into a second file. Raises CnncError E809 if the precision allows only one."""
    separate = options.external or staging.exceeds_limit(weights)
    if separate and options.precision != "float32":
        message = f"a model in {options.precision} stores its weights in one file"
        raise CnncError.of("E809", message, help="leave --external out")
    return separate


def _emit(
    network: Network,
    weights: Weights,
    facts: Mapping[str, str],
    options: Options,
    passes: Sequence[Pass],
    content: dict[str, Array],
) -> onnx.ModelProto:
    """The model of the network's graph after the passes; `content` receives its large tensors."""
    smaller, folded = run_passes(network.require_graph(), weights, passes)
    family = build_size_family(network, smaller, lambda other: run_passes(other, weights, passes)[0])
    if options.target == "mcu":
        mcu.require_fixed_sizes(network, family is not None)
    batch = 1 if options.target == "mcu" else BATCH
    located = with_relative_sources(network, smaller)
    return emit(located, folded, facts, options.opset, family=family, batch=batch, content=content)


def _compare_tensors(network: Network, weights: Weights, model: RunnableModel) -> list[Comparison]:
    """Compares every tensor of the model with the network, at the sizes of `_feeds`. Raises CnncError E801, E604."""
    comparisons = []
    for graph, feeds in _feeds(network, model):
        comparison = Comparison(model, graph, weights, feeds)
        comparison.compare_tensors().require_within_tolerance(network.require_graph())
        comparisons.append(comparison)
    return comparisons


def _feeds(network: Network, model: RunnableModel) -> Iterator[tuple[Graph, dict[str, Array]]]:
    """The graph, and feeds of several samples for it; if sizes are symbolic, the graph at each of two sizes."""
    graph = network.require_graph()
    fixed = model.message.graph.input[0].type.tensor_type.shape.dim[0].dim_value
    for seed, sizes in enumerate(verification_sizes(network)):
        sized = network.graph_at(sizes) if sizes else graph
        yield sized, sample_feeds(sized, fixed or sample_count(sized), seed)


@contextmanager
def _way_out_on_failure(network: Network, weights: Weights, options: Options) -> Iterator[None]:
    """Adds to an error E801 which option writes a model that passes."""
    try:
        yield
    except CnncError as error:
        (diagnostic, *_) = error.diagnostics
        if diagnostic.code != "E801" or diagnostic.help:
            raise
        raise CnncError(diagnostic._replace(help=_way_out(network, weights, options))) from error


def _way_out(network: Network, weights: Weights, options: Options) -> str:
    """Help that works when followed: each option is tried. For a large network, where this takes minutes, none is."""
    passes = [name for name in PASSES if name not in options.without]
    opsets = [n for n in (newest_opset(), DEFAULT_OPSET, OLDEST_OPSET) if n != options.opset]
    choices = [(f"--no-pass {name}", options._replace(without=(*options.without, name))) for name in passes]
    choices += [(f"--opset {opset}", options._replace(opset=opset)) for opset in opsets]
    report = f"please report it with the source and this version of onnxruntime, {versions()['onnxruntime']}"
    if network.require_graph().total_macs > LARGE_MACS:
        return f"no file was written; `--no-pass {passes[0]}` or another opset may help; {report}"
    for option, other in choices:
        if _passes_verification(network, weights, other):
            return f"with `{option}` the model agrees with the network and is written; {report}"
    return f"no file was written, and no other opset helps; another version of onnxruntime may; {report}"


def _passes_verification(network: Network, weights: Weights, options: Options) -> bool:
    content: dict[str, Array] = {}
    try:
        model = _emit(network, weights, {}, options, select_passes(options.without), content)
        runnable = RunnableModel(model, content, network.name)
        feeds = _feeds(network, runnable)
        return all(verify_model(runnable, graph, weights, some).worst.passes for graph, some in feeds)
    except CnncError:
        return False


def _lower_precision(
    model: onnx.ModelProto, network: Network, options: Options, examples: CalibrationExamples | None
) -> tuple[onnx.ModelProto, Quality]:
    """The model in a lower precision. Raises CnncError E802, E803 if it loses too much, E808 if int8 has no examples."""
    if options.precision == "float16":
        from cnnc.onnx.quantize.float16 import to_float16  # loads parts of onnxruntime that nothing else needs

        return to_float16(model, network, examples)
    if examples is None:
        raise _no_calibration(network)
    from cnnc.onnx.quantize.int8 import to_int8

    return to_int8(model, network, examples, everywhere=options.target == "mcu")


def _no_calibration(network: Network) -> CnncError:
    """E808: int8 of a network without examples."""
    lack, help = "this network is untrained", "train it"
    if network.recipe is None:
        lack, help = f"{network.name} has no train section", "add one, train the network"
    message = f"int8 needs a data set to calibrate the ranges of activations on, and {lack}"
    help = f"{help}, and export its run: `cnnc export RUN --int8`"
    if network.recipe is None and not network.require_graph().starts_at_random:
        help = "add one that names the data (`train { data ... }`), and export the file again"
    return CnncError.of("E808", message, help=help)
