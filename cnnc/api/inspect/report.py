"""The report of `cnnc inspect`: the sections that are asked for, and the document that they make.

In: `InspectOptions` and a network with weights. Out: a `Document`.

    subject = read_subject(Path("runs/lenet5"))
    inspection_report(InspectOptions(Path("runs/lenet5"), mistakes=True), subject).sections
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from warnings import catch_warnings, simplefilter

from cnnc.api.inspect.data import Inspection, open_inspection
from cnnc.api.inspect.options import InspectOptions
from cnnc.core.tensor import format_shape
from cnnc.graph.graph import Graph
from cnnc.training.trained import TrainedNetwork
from cnnc.view.document import Document, Section, Table


def inspection_report(options: InspectOptions, subject: TrainedNetwork) -> Document:
    """The report. Raises CnncError E010 for options that do not fit the network, and those of the data and the inputs."""
    with catch_warnings():
        simplefilter("ignore", RuntimeWarning)  # NumPy's, in any thread: the sections say what is NaN or infinite
        _require_options(options, subject.graph)
        inspection = open_inspection(options, subject)
        for note in filter(None, (example.note for example in inspection.examples)):
            options.report(note)
        sections = [section for part in _parts(options) for section in part(inspection)]
    subject = inspection.subject
    return document_of(subject, options.source, sections)


def _require_options(options: InspectOptions, graph: Graph) -> None:
    """Checks, before any data are read, what the options name. Raises CnncError E010."""
    if options.maximize or options.deconv:
        from cnnc.api.inspect.channel import require_channels, require_one_input, require_patches

        for text in options.maximize:
            require_one_input(graph, require_channels(graph, text, "--maximize").layer, "--maximize")
        for text in options.deconv:
            require_patches(graph, require_channels(graph, text, "--deconv"))
    if options.label is not None:
        from cnnc.api.inspect.why import require_label

        require_label(graph, options.label)
    if options.shift is not None:
        from cnnc.api.inspect.shift import require_shifts

        require_shifts(graph, options.shift)


Part = Callable[[Inspection], Iterator[Section]]


def _parts(options: InspectOptions) -> Iterator[Part]:
    """The functions that compute the sections which the command line asks for, in their order on the page."""
    from cnnc.api.inspect.learned import histograms, kernels, maps

    yield kernels
    if options.images or options.sentences or options.example is not None:
        yield maps
    if options.why:
        from cnnc.api.inspect.why import why

        yield why
    if options.maximize:
        from cnnc.api.inspect.maximize import maximize

        yield maximize
    if options.deconv:
        from cnnc.api.inspect.deconv import deconv

        yield deconv
    if options.mistakes:
        from cnnc.api.inspect.mistakes import mistakes

        yield mistakes
    if options.shift is not None:
        from cnnc.api.inspect.shift import shift

        yield shift
    yield histograms


def _network(subject: TrainedNetwork) -> Section:
    """The drawing of the network, and the table of its layers."""
    from cnnc.view.diagram.diagram import diagram_of, usual_depth
    from cnnc.view.diagram.drawn import diagram_drawing

    graph = subject.graph
    drawing = diagram_drawing(diagram_of(graph, usual_depth(graph)))
    rows = tuple(
        (
            node.name,
            f"{node.op.keyword} {node.op.brief()}".strip(),
            ", ".join(node.inputs),
            format_shape(node.type.shape),
            f"{sum(p.size for p in graph.parameters(node) if p.trainable):,}",
            f"{graph.macs(node):,}",
        )
        for node in graph.nodes
    )
    heads = ("layer", "operation", "reads", "output", "parameters", "multiply-adds")
    table = Table(heads, rows, (False, False, False, True, True, True))
    return Section("network", "Network", (), (drawing, table))


def document_of(subject: TrainedNetwork, source: Path, sections: Sequence[Section]) -> Document:
    """The document of sections, which begins with the network itself."""
    graph, recipe = subject.graph, subject.network.recipe
    name = subject.network.name
    facts = [
        ("source", source.name or str(source)),
        ("layers", f"{len(graph.nodes):,}"),
        ("parameters", f"{graph.total_parameters:,}"),
        ("input", ", ".join(f"{node.name} {format_shape(node.type.shape)}" for node in graph.inputs)),
        ("output", ", ".join(f"{each} {format_shape(graph.by_name[each].type.shape)}" for each in graph.outputs)),
    ]
    if recipe is not None:
        facts.append(("data", " ".join(filter(None, [recipe.data.name, recipe.data.path]))))
    if len(subject.classes) == graph.by_name[graph.outputs[0]].type.channels:
        facts.append(("classes", ", ".join(subject.classes[:20]) + (", …" if len(subject.classes) > 20 else "")))
    if subject.untrained:
        facts.append(("weights", subject.untrained))
    title = f"{name}: what it has learned" if not subject.untrained else f"{name}: untrained"
    text = "Made by cnnc inspect. Everything is in this file; it loads nothing."
    return Document(title, text, tuple(facts), (_network(subject), *sections))
