"""A network with weights, as a value: `Model`.

In: a network and arrays by `layer.parameter`; or a run, a checkpoint, a network file or an ONNX model. Out: outputs, activations
and gradients of arrays, computed with NumPy.

    model = Model.load("runs/lenet5")
    model(images)["softmax1"]       # (N, 10)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnc.api.arguments import checked
from cnnc.api.subject import is_model, read_subject
from cnnc.core.arrays import Weights
from cnnc.core.files import with_suffix
from cnnc.core.versions import versions
from cnnc.data.prediction_inputs import read_arrays
from cnnc.diagnostics import CnncError
from cnnc.graph.graph import Graph
from cnnc.network import Network, load
from cnnc.recipe.losses import Loss
from cnnc.reference.as_in_inference import as_in_inference, gradients_of_parameters
from cnnc.reference.attribution import batch_size
from cnnc.reference.engine import backward, forward
from cnnc.reference.layout import to_channels_first, to_channels_last
from cnnc.reference.parallel.threads import one_blas_thread, thread_count
from cnnc.training import checkpoint as checkpoints
from cnnc.training.checkpoint import Checkpoint, Progress
from cnnc.training.example_loss import example_loss
from cnnc.training.initial_weights import Initial
from cnnc.training.trained import TrainedNetwork, input_specs, of_checkpoint, require_no_settings, untrained

Values = NDArray[Any]


class LossGradients(NamedTuple):
    """The mean loss of a batch, and its gradients: those of weights by `layer.parameter`, those of inputs (N, *shape) by name."""

    loss: float
    weights: dict[str, Values]
    inputs: dict[str, Values]


class Model:
    """A network with weights. `model(x)` computes its outputs, `layers` all activations, `gradients` those of the loss.

    `network` is the network, `weights` are arrays by `layer.parameter`, shaped as in ONNX: a convolution's weight is
    (O, C/groups, kh, kw). `classes`, `vocabulary` and `columns` are those of its training, empty where they are not known.

    >>> import cnnc
    >>> model = cnnc.Model(cnnc.check("input 1x8x8; conv 4 k=3; relu; fc 10; softmax"))
    >>> sorted(model.weights)
    ['conv1.bias', 'conv1.weight', 'fc1.bias', 'fc1.weight']
    """

    @checked('cnnc.Model(cnnc.load("lenet5.cnn"))', "cnnc.Model.")
    def __init__(
        self,
        network: Network | Path | str,
        weights: Mapping[str, Values] | None = None,
        *,
        classes: Sequence[str] = (),
        vocabulary: Sequence[str] = (),
        columns: Sequence[str] = (),
    ) -> None:
        """A model of a network, or of a network file; without `weights`, with those that training begins with.

        Raises CnncError with the errors of the network, E605 where names or shapes of weights do not fit.
        """
        network = network if isinstance(network, Network) else load(network)
        trained = untrained(network)
        if weights is not None:
            _require_fit(network, weights)
            arrays = {name: np.asarray(weights[name], np.float32) for name in trained.weights}
            trained = trained._replace(weights=arrays, untrained="")
        self._trained = trained._replace(classes=tuple(classes), vocabulary=tuple(vocabulary), columns=tuple(columns))
        self._state = Progress(best_rank=0.0)
        self._origin: Mapping[str, str] = {}
        self._dataset = ""

    @classmethod
    @checked('cnnc.Model.load("runs/lenet5")', "cnnc.Model.")
    def load(cls, path: Path | str, *, last: bool = False, settings: Sequence[str] = ()) -> Model:
        """The model of a run folder (the best weights, or the `last`), a checkpoint, a network file or an ONNX model.

        `settings` are `NAME=VALUE` as for `--set`, for a network file. Raises CnncError E605 or E606 for what is not a model,
        E901 for what cannot be read, and those of the network or of the import.

        >>> import cnnc
        >>> network = cnnc.check("input 4; fc 2")
        >>> path = cnnc.Model(network).save("small.safetensors")
        >>> cnnc.Model.load(path)
        <Model small: 10 parameters, input1 4 -> fc1 2>
        """
        path = Path(path)
        if is_model(path) or (path.suffix == ".cnn" and not path.is_dir()):
            return cls.of(read_subject(path, settings, last))
        require_no_settings(settings, "a run keeps the settings it was trained with")
        return cls.of_checkpoint(checkpoints.load(checkpoints.find(path, "last" if last else "best")))

    @classmethod
    def of(cls, trained: TrainedNetwork, origin: Mapping[str, str] = MappingProxyType({})) -> Model:
        """The model of a network with weights, as the modules of cnnc pass it; `origin` is that of a checkpoint."""
        model = cls.__new__(cls)
        model._trained, model._state, model._origin, model._dataset = trained, Progress(best_rank=0.0), origin, ""
        return model

    @classmethod
    def of_checkpoint(cls, saved: Checkpoint) -> Model:
        """The model of a checkpoint, without the state of its optimizer."""
        model = cls.of(of_checkpoint(saved), saved.origin)
        model._state, model._dataset = saved.progress, saved.dataset
        return model

    def require_its_data(self, data: object) -> None:
        """Raises CnncError E603 where the model was trained on arrays, and `data` holds none."""
        self.checkpoint().require_its_data(data)

    @property
    def network(self) -> Network:
        """The network."""
        return self._trained.network

    @property
    def graph(self) -> Graph:
        """The graph of the network."""
        return self._trained.graph

    @property
    def weights(self) -> Weights:
        """The weights and buffers by `layer.parameter`; changing an array changes the model."""
        return self._trained.weights

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of their labels."""
        return self._trained.classes

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The words that the inputs number: the integer i + 2 stands for word i."""
        return self._trained.vocabulary

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns of a table whose values the input takes, in its order."""
        return self._trained.columns

    @property
    def trained(self) -> TrainedNetwork:
        """The network with its weights, as the modules of cnnc pass it."""
        return self._trained

    @checked("model(images)", "model.")
    def __call__(self, *arrays: Values, **named: Values) -> dict[str, Values]:
        """The outputs (N, *shape) by name, channels first, as in inference.

        `arrays` are the inputs in their order, or by name: (N, *shape), or one example without the batch axis. uint8 is
        scaled to 0..1, and the axis of a single channel may be left out. Raises CnncError E608 for an array that does not
        fit, E602 for a size that is not legal.

        >>> import cnnc, numpy as np
        >>> model = cnnc.Model(cnnc.check("input 1x8x8; conv 4 k=3; relu; fc 10; softmax"))
        >>> model(np.zeros((5, 1, 8, 8), np.float32))["softmax1"].shape
        (5, 10)
        """
        feeds = self.feeds(*arrays, **named)
        graph = self._trained.graph_for(feeds)
        count, step = len(next(iter(feeds.values()))), batch_size(graph)
        parts: list[dict[str, Values]] = []
        with one_blas_thread(), np.errstate(all="ignore"):
            for first in range(0, count, step):
                part = {name: array[first : first + step] for name, array in feeds.items()}
                values = forward(graph, self.weights, part).values
                parts.append({name: to_channels_first(values[name]) for name in graph.outputs})
        return {name: np.concatenate([part[name] for part in parts]) for name in graph.outputs}

    @checked("model.layers(images)", "model.")
    def layers(self, *arrays: Values, **named: Values) -> dict[str, Values]:
        """The output (N, *shape) of every layer by name, channels first; inputs as for `model(x)`.

        Raises CnncError as `model(x)` does.

        >>> import cnnc, numpy as np
        >>> model = cnnc.Model(cnnc.check("input 1x8x8; conv 4 k=3; relu; fc 10"))
        >>> {name: values.shape for name, values in model.layers(np.zeros((8, 8), np.uint8)).items()}
        {'input1': (1, 1, 8, 8), 'conv1': (1, 4, 6, 6), 'relu1': (1, 4, 6, 6), 'fc1': (1, 10)}
        """
        feeds = self.feeds(*arrays, **named)
        graph = self._trained.graph_for(feeds)
        with one_blas_thread(), np.errstate(all="ignore"):
            values = forward(graph, self.weights, feeds, keep_all=True).values
        return {node.name: to_channels_first(values[node.name]) for node in graph.nodes}

    @checked("model.gradients(images, labels)", "model.")
    def gradients(
        self,
        x: Values | Mapping[str, Values],
        target: Values | Sequence[Values] | None = None,
        *,
        seeds: Mapping[str, Values] | None = None,
    ) -> LossGradients:
        """The gradients of the mean loss of the train section, by weights and by inputs of floats, as in inference.

        `x` is the input, or the inputs by name, as for `model(x)`; `target` holds what the loss compares with: labels (N,),
        label maps (N, *spatial), or values (N, *shape); an array for each loss; None where it compares with the input.
        With `seeds`, gradients (N, *shape) of some layers by name, these are propagated instead, and the loss is 0. As in
        inference: no dropout, and batch norm with its running statistics.

        Raises CnncError E509 without a train section, E610 where a target does not fit, E010 for an unknown layer, E608, E602.

        >>> import cnnc, numpy as np
        >>> network = cnnc.check('input 4; fc 2; train { data npz "own.npz"; loss cross_entropy }')
        >>> loss, weights, inputs = cnnc.Model(network).gradients(np.ones((3, 4), np.float32), np.array([0, 1, 1]))
        >>> weights["fc1.weight"].shape, inputs["input1"].shape
        ((2, 4), (3, 4))
        """
        feeds = self.feeds(**x) if isinstance(x, Mapping) else self.feeds(x)
        graph = self._trained.graph_for(feeds)
        fixed, weights = as_in_inference(graph, self.weights)
        with one_blas_thread(), np.errstate(all="ignore"):
            if seeds is not None:
                trace = forward(fixed, weights, feeds, outputs=_known(graph, seeds), training=True)
                loss, upstream = 0.0, _seeded(trace.values, seeds)
            else:
                objective = self._loss(graph, feeds, target)
                trace = forward(fixed, weights, feeds, outputs=objective.outputs, training=True)
                loss, upstream = objective(trace)
            of_weights, of_inputs = backward(fixed, weights, trace, upstream, needs_input_gradients=True)
        return LossGradients(loss, gradients_of_parameters(graph, self.weights, of_weights), of_inputs)

    def _loss(self, graph: Graph, feeds: Mapping[str, Values], target: Values | Sequence[Values] | None) -> Any:
        """The loss on a batch. Raises CnncError E509, E610."""
        from cnnc.recipe.recipe import require_recipe

        recipe = require_recipe(self.network.recipe, self.network.name)
        columns = () if target is None else (target,) if isinstance(target, np.ndarray) else tuple(target)
        count = len(next(iter(feeds.values())))
        losses = [loss for loss in recipe.losses if not loss.of_input]
        if len(columns) != len(losses):
            kinds = ", ".join(loss.kind for loss in losses) or "none"
            message = (
                f"the loss compares with {len(losses)} target{'s' * (len(losses) != 1)} ({kinds}); found {len(columns)}"
            )
            raise CnncError.of("E610", message, help="give one array for each loss: model.gradients(x, labels)")
        targets = tuple(_target(column, loss, graph, count) for column, loss in zip(columns, losses, strict=True))
        return example_loss(graph, recipe, feeds, targets)

    def feeds(self, *arrays: Values, **named: Values) -> dict[str, Values]:
        """The inputs as batches (N, *shape) by name, checked and converted as `model(x)` takes them. Raises CnncError E608."""
        return read_arrays(arrays, named, input_specs(self._trained)).feeds

    @checked('model.save("lenet5.safetensors")', "model.")
    def save(self, path: Path | str) -> Path:
        """Writes a checkpoint (.safetensors), which every command and `Model.load` read; returns its path.

        `cnnc.export(model, "x.onnx")` writes an ONNX model. Raises CnncError E902 where the file cannot be written, E010 for
        another suffix.

        >>> import cnnc
        >>> cnnc.Model(cnnc.check("input 4; fc 2")).save("small.safetensors").name
        'small.safetensors'
        """
        path = Path(path)
        if path.suffix != ".safetensors":
            help = f"write {str(with_suffix(path, '.safetensors'))!r}" + (
                f", or cnnc.export(model, {str(path)!r})" if path.suffix == ".onnx" else ""
            )
            raise CnncError.of("E010", f"a checkpoint is a .safetensors file, not {path}", help=help)
        checkpoints.save(path, self.checkpoint(path.with_suffix(".cnn").name))
        return path

    def checkpoint(self, file: str = "") -> Checkpoint:
        """The model as a checkpoint; a source in a string gets the name `file`, by default that of the network."""
        network = self.network
        is_string = network.source.name.startswith("<")
        sizes = dict(network.survey.reference) if network.survey is not None else {}
        return Checkpoint(
            (file or f"{network.name}.cnn") if is_string else network.source.name,
            network.source.text,
            network.settings,
            self.classes,
            self.vocabulary,
            {name: np.asarray(array, np.float32) for name, array in self.weights.items()},
            {},
            self._state,
            versions(),
            thread_count(),
            dict(network.includes),
            sizes,
            dict(self._origin),
            dataset=self._dataset,
            columns=self.columns,
        )

    def __repr__(self) -> str:
        graph = self.graph
        inputs = ", ".join(f"{node.name} {node.type}" for node in graph.inputs)
        outputs = ", ".join(f"{name} {graph.by_name[name].type}" for name in graph.outputs)
        return f"<Model {graph.name}: {graph.total_parameters:,} parameters, {inputs} -> {outputs}>"

    def _repr_html_(self) -> str:
        """The table of the network, as a notebook shows it."""
        return self.network._repr_html_()


def _target(column: Values, loss: Loss, graph: Graph, count: int) -> Values:
    """The target of a loss, in its element type. Raises CnncError E610 for one that does not fit."""
    if column.ndim == 0 or len(column) != count:
        found = f"{len(column)} examples" if column.ndim else "one number"
        raise CnncError.of("E610", f"the target of {loss.kind} holds {found}, the input {count}")
    if column.dtype.kind not in "biuf":
        raise CnncError.of("E610", f"{loss.kind} compares with numbers, found {column.dtype}")
    if loss.compares_with != "labels":
        return column if column.dtype == np.uint8 else column.astype(np.float32)
    if column.dtype.kind not in "iub":
        raise CnncError.of("E610", f"{loss.kind} compares with labels, found {column.dtype}", help="give whole numbers")
    labels: Values = column.astype(np.int64)
    classes = graph.by_name[loss.on or graph.outputs[0]].type.channels
    wrong = labels[(labels < 0) | (labels >= classes)]
    wrong = wrong[wrong != loss.ignored_label] if loss.ignored_label is not None else wrong
    if len(wrong):
        help = f"labels are numbered from 0 to {classes - 1}"
        raise CnncError.of(
            "E610", f"found the label {wrong[0]}; {loss.on or graph.outputs[0]} has {classes} classes", help=help
        )
    return labels


def initial_of(model: Any, report: Callable[[str], None]) -> Initial:
    """The weights of a model, a result or a path, for a training to begin with. Raises CnncError as `Model.load` does."""
    found = as_model(model)
    where = str(model) if isinstance(model, Path | str) else found.network.name
    if found.trained.untrained:
        message = f"{where} has no weights: it is not trained"
        raise CnncError.of("E605", message, help="name a run, a checkpoint or a model")
    origin = dict(found.checkpoint().origin)
    return Initial(found.weights, where, origin, report, found.vocabulary, found.columns)


def as_model(model: Any) -> Model:
    """The model of a result, of a path, or itself. Raises CnncError as `Model.load` does."""
    if isinstance(model, Model):
        return model
    if isinstance(model, Path | str):
        return Model.load(model)
    found: Model = model.model
    return found


def _require_fit(network: Network, weights: Mapping[str, Values]) -> None:
    """Raises CnncError E605 where names or shapes of the weights are not those of the network, or elements are not numbers."""
    expected = {name: parameter.shape for name, parameter in network.require_graph().weights.items()}
    for name in sorted(expected.keys() | weights.keys()):
        if name not in expected or name not in weights:
            where = "the network has no such parameter" if name in weights else "no array is given for it"
            raise CnncError.of("E605", f"the weights do not fit the network: {name}: {where}")
        array = np.asarray(weights[name])
        if array.shape != expected[name] or array.dtype.kind not in "fiu":
            found = f"{'x'.join(map(str, array.shape)) or 'one number'} of {array.dtype}"
            shape = "x".join(map(str, expected[name])) or "one number"
            raise CnncError.of(
                "E605", f"the weights do not fit the network: {name} is {found}, expected {shape} of numbers"
            )


def _known(graph: Graph, seeds: Mapping[str, Values]) -> tuple[str, ...]:
    """The layers of the seeds. Raises CnncError E010."""
    for name in seeds:
        if name not in graph.by_name:
            raise CnncError.of(
                "E010", f"no layer is named {name}", help=f"layers: {', '.join(list(graph.by_name)[:12])}"
            )
    return tuple(seeds)


def _seeded(values: Mapping[str, Values], seeds: Mapping[str, Values]) -> dict[str, Values]:
    """The seeds, channels last. Raises CnncError E608 for another shape than that of the layer's output."""
    upstream = {}
    for name, seed in seeds.items():
        expected = to_channels_first(values[name]).shape
        if np.shape(seed) != expected:
            found, shape = ("x".join(map(str, each)) for each in (np.shape(seed), expected))
            raise CnncError.of("E608", f"the gradient of {name} is {found or 'one number'}, its output is {shape}")
        upstream[name] = to_channels_last(np.asarray(seed, values[name].dtype))
    return upstream
