"""Scores of models and runs on test data: `evaluate`.

In: a model, a run or an ONNX file, and data. Out: `Evaluation`, with the confusion matrix of a classifier.

    evaluate("runs/lenet5").score.accuracy
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple

from cnnc.api.arguments import checked
from cnnc.api.arrays import Data, as_test, data_source
from cnnc.api.model import Model
from cnnc.api.progress import report_of
from cnnc.api.result import Result
from cnnc.core.arrays import Array
from cnnc.core.intervals import interval_text, wilson
from cnnc.data.arrays import NAME
from cnnc.data.dataset import Dataset
from cnnc.diagnostics import CnncError
from cnnc.graph.needs import require_inference
from cnnc.network import Network, check
from cnnc.onnx.metadata import positive_sizes
from cnnc.onnx.run.batched_run import count_correct, run_batched
from cnnc.onnx.run.provider import Provider
from cnnc.onnx.run.session import Session, open_model
from cnnc.recipe.metrics import decimals
from cnnc.recipe.recipe import require_recipe
from cnnc.reference.parallel.threads import one_blas_thread
from cnnc.report.closing import Closing, confusion_facts, next_steps, score_text
from cnnc.training import checkpoint as checkpoints
from cnnc.training.closing import closing_of_score
from cnnc.training.loop import open_data, training_and_validation
from cnnc.training.objective import EVAL_BATCH, Feeds, Objective, Runner, Score

Source = Path | Mapping[str, Array] | None
"""The folder of the data sets, or arrays in place of one."""


class Evaluation(NamedTuple):
    """The score of a model or run on the test data.

    `data` is the name of the data set. `confusion` is for a classifier its confusion matrix (C, C), rows by label and
    columns by prediction; else empty. `classes` are empty where the targets are not labels. `closing` is what follows
    from it, None for another data set (`on`); `provider` is that of onnxruntime, "" where NumPy computed.
    """

    data: str
    score: Score
    classes: tuple[str, ...]
    confusion: list[list[int]]
    closing: Closing | None = None
    provider: str = ""

    @property
    def class_names(self) -> list[str]:
        """A name for each row of the confusion matrix: the classes of the data, or numbers if there are none."""
        return list(self.closing.classes) if self.closing is not None else []

    @property
    def summary(self) -> str:
        """The metrics with the counts and the interval of an accuracy: `accuracy 98.33% (354 of 360), 95% interval ...`."""
        if self.closing is not None:
            return score_text(self.closing).removeprefix("test ")
        interval = interval_text(wilson(self.score.right, self.score.total))
        return f"{self.score} ({self.score.right:,} of {self.score.total:,}), 95% interval {interval}"

    def as_dict(self) -> dict[str, Any]:
        """The score as `cnnc eval --json` prints it, with the classes of a classifier and what stands out."""
        result: dict[str, Any] = {"data": self.data, **self.score.as_dict()}
        if self.closing is None:
            return result
        classes = confusion_facts(self.closing) if self.confusion else {}
        return {**result, **classes, "next_steps": [each._asdict() for each in next_steps(self.closing)]}

    def __repr__(self) -> str:
        return f"<Evaluation on {self.data}: {self.summary}, loss {decimals(self.score.loss)}>"

    def __str__(self) -> str:
        from cnnc.report.confusion import confusion_text

        first = f"{self.data}: test {self.summary}, loss {decimals(self.score.loss)}"
        return f"{first}\n\n{confusion_text(self.confusion, self.class_names)}" if self.confusion else first

    def _repr_html_(self) -> str:
        """The score and the confusion matrix, as a notebook shows them."""
        from cnnc.report.html import confusion_html

        matrix = confusion_html(self.confusion, self.class_names) if self.confusion else ""
        return f"<p>{escape(repr(self)[1:-1])}</p>{matrix}"


@checked('cnnc.evaluate("runs/lenet5")')
def evaluate(
    model: Model | Result | Path | str,
    data: Data | None = None,
    *,
    on: str | None = None,
    provider: Provider = "auto",
    progress: bool | Callable[[str], None] = True,
) -> Evaluation:
    """Scores a model on the test set of its data, with the loss and metrics of its train section.

    `model` is a model, a result, the path of a run or checkpoint, which NumPy computes, or that of an ONNX model, which
    onnxruntime computes on a `provider`. `data` is the folder of the data sets, or the test examples themselves, in the forms
    that `cnnc.train` takes; of arrays, all are test examples unless some are named so. `on` scores a classifier in an ONNX
    file on this data set instead of its own: the accuracy alone, and NaN for its loss.

    Raises CnncError: E605, E606 or E901 for what cannot be read, E611 for a model without its source, E509 for a source
    without a train section, E601 to E603 for the data set, E609 where its classes or the model's outputs differ from those
    of the training, E610 where both do not fit, E604 where onnxruntime fails, E010 for `on` with anything but an ONNX file.

    >>> import cnnc, numpy as np
    >>> network = cnnc.check('input 4; fc 2; softmax; train { data npz "own.npz" }')
    >>> cnnc.evaluate(cnnc.Model(network), (np.zeros((3, 4), "float32"), np.array([0, 0, 1])))
    <Evaluation on arrays: accuracy 66.67% (2 of 3), 95% interval 20.8% to 93.9%, loss 0.6931>
    """
    report, source = report_of(progress), as_test(data_source(data))
    if isinstance(model, Path | str) and is_onnx(Path(model)):
        session = open_model(Path(model), provider)
        report(f"running on {session.provider}")
        if on is not None:
            return _evaluate_on(session, source, on, report)
        return _evaluate_session(session, source, report)
    if on is not None:
        raise CnncError.of("E010", "`on` applies to ONNX models; a run is scored on the data that its network names")
    named = "RUN"  # what a command that a note names reads
    if isinstance(model, Path | str):
        named = str(model)
        model = Model.of_checkpoint(checkpoints.load(checkpoints.find(Path(model), "best")))
    elif isinstance(model, Result):
        named, model = str(model.folder), model.model
    return _evaluate_model(model, source, report, named)


def is_onnx(path: Path) -> bool:
    """Whether a path is to be opened as an ONNX model: any file but a checkpoint."""
    return not path.is_dir() and path.suffix != ".safetensors"


def _evaluate_model(model: Model, data: Source, report: Callable[[str], None], source: str) -> Evaluation:
    model.require_its_data(data)
    network = model.network
    batch = min(EVAL_BATCH, require_recipe(network.recipe, network.name).batch)
    require_inference(network.require_graph(), network.name, batch)
    dataset = _with_classes(open_data(network, data, report, model), model.classes)
    objective = objective_of(network, dataset)
    return _evaluate(objective, objective.network(model.weights), dataset, quote(source))


def _evaluate_session(session: Session, data: Source, report: Callable[[str], None]) -> Evaluation:
    """The score of a model by the train section of the source that it carries; loss and metrics come from its outputs."""
    facts = session.facts
    network = trained_network(session)
    dataset = _with_classes(open_data(network, data, report, facts), facts.classes)
    if facts.classes and dataset.classes and facts.classes != dataset.classes:
        of_data, of_model = (", ".join(names[:10]) for names in (dataset.classes, facts.classes))
        raise CnncError.of("E609", f"the classes of the data are {of_data}; those of {session.name} are {of_model}")
    objective = objective_of(network, dataset)

    def run(feeds: Feeds) -> dict[str, Array]:
        return run_batched(session, {name: feeds[name] for name in session.inputs})

    return _evaluate(objective, objective.model(run, session.outputs), dataset, quote(session.name))._replace(
        provider=session.provider
    )


def _evaluate_on(session: Session, data: Source, name: str, report: Callable[[str], None]) -> Evaluation:
    """The accuracy on a named data set. The model needs no metadata; its first output must be class scores."""
    from cnnc.data import load

    if isinstance(data, Mapping):
        raise CnncError.of("E010", "`on` names a data set, and `data` holds arrays", help="leave one of them out")
    dataset = load(name, data, report)
    counted = count_correct(session, dataset.test)
    return Evaluation(
        name, Score(counted.right, counted.total, float("nan")), dataset.classes, [], None, session.provider
    )


def _with_classes(dataset: Dataset, classes: tuple[str, ...]) -> Dataset:
    """The data with the names of the classes that the model knows, where arrays have only numbers."""
    is_numbered = dataset.name == NAME and len(dataset.classes) == len(classes)
    return dataclasses.replace(dataset, classes=classes) if is_numbered else dataset


def objective_of(network: Network, dataset: Dataset) -> Objective:
    """The losses and metrics of the network's train section, as its training on this data set has them.

    Raises CnncError E509 without a train section, E610 where the data does not fit.

        objective_of(network, dataset).recipe.losses
    """
    recipe = require_recipe(network.recipe, network.name)
    train, _ = training_and_validation(dataset, recipe.data.val, recipe.seed)
    return Objective(network.require_graph(), recipe, dataset, train)


def _evaluate(objective: Objective, run: Runner, dataset: Dataset, source: str) -> Evaluation:
    with one_blas_thread():
        score, matrix = objective.measure_classes(run, dataset.test)
    train, _ = training_and_validation(dataset, objective.recipe.data.val, objective.recipe.seed)
    closing = closing_of_score(objective, dataset, train, score, matrix, source)
    name = dataset.name if dataset.name == NAME else objective.recipe.data.name
    return Evaluation(name, score, dataset.classes, matrix, closing)


def trained_network(session: Session) -> Network:
    """The network of a model, checked again from the source that it carries.

    Raises CnncError E611 where it carries none, or one without the model's inputs.

        trained_network(open_model(Path("lenet5.onnx"))).summary()
    """
    facts = session.facts
    if not facts.source:
        raise CnncError.of("E611", f"{session.name} does not carry its source", help="name the data set: `--on mnist`")
    trained_at = positive_sizes(facts.trained.get("sizes"))
    network = check(
        facts.source, facts.file, facts.settings, facts.at, includes=facts.includes, preferred_sizes=trained_at
    )
    missing = [name for name in session.inputs if name not in network.require_graph().by_name]
    if missing:
        raise CnncError.of("E611", f"{session.name} has the input {missing[0]}, which its source lacks")
    return network
