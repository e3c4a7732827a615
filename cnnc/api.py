"""Training, evaluation and export as Python functions, which the commands call too.

In: networks, runs, paths. Out: results, or a CnncError. Nothing is printed.

    result = train(load("models/digits.cnn"))
    exported = export(result.run.folder, "digits.onnx")
    evaluation = evaluate_model(open_model(Path("digits.onnx")), None, print)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple

from cnnc.core.arrays import Array
from cnnc.data import ignore_report
from cnnc.data.dataset import Dataset
from cnnc.diagnostics import CnncError
from cnnc.network import Network, check
from cnnc.onnx.emit.model import DEFAULT_OPSET
from cnnc.onnx.export import Exported, Options
from cnnc.onnx.export import export as export_network
from cnnc.onnx.metadata import positive_sizes
from cnnc.onnx.quantize.examples import CalibrationExamples
from cnnc.onnx.run.batched_run import run_batched
from cnnc.onnx.run.session import Session
from cnnc.recipe.metrics import metric_named
from cnnc.recipe.recipe import require_recipe
from cnnc.reference.parallel.threads import one_blas_thread
from cnnc.report.closing import Closing
from cnnc.training import checkpoint as checkpoints
from cnnc.training.checkpoint import Checkpoint
from cnnc.training.closing import closing_of_score
from cnnc.training.loop import open_data, start, training_and_validation
from cnnc.training.loop import train as run_training
from cnnc.training.objective import Feeds, Objective, Runner, Score
from cnnc.training.run import Callback, Result
from cnnc.training.run_folder import new_folder


def train(
    network: Network, run: Path | str | None = None, data: Path | str | None = None, callback: Callback | None = None
) -> Result:
    """Trains a network by its train section, and returns the finished run.

    `run` is a new run folder (default: runs/NAME, or the first of runs/NAME-2, ... that does not exist), `data` the
    folder of the data sets, `callback` what training reports to. `result.run.weights` are arrays by `layer.parameter`,
    shaped as in ONNX; a convolution's weight is (O, C/groups, kh, kw).

    Raises CnncError: the network's own errors, E010 where `run` already holds a run, E509 without a train section, E601 to
    E603 where the data set is unknown, invalid or missing, E607 or E610 where it does not fit the network, E701 where
    training diverges, E704 where a worker process dies, E902 where a file cannot be written, E907 where another process
    trains in `run`.

        result = cnnc.train(cnnc.load("lenet5.cnn", ["train.epochs=2"]))
        print(result.run.folder, result.test)
    """
    dataset = open_data(network, None if data is None else Path(data), ignore_report)
    folder = Path("runs") / Path(network.source.name).stem.strip("<>") if run is None else Path(run)
    new = start(network, dataset, folder)
    with new_folder(new, ignore_report, numbered=run is None):
        return run_training(new, callback)


def export(
    run: Path | str,
    out: Path | str,
    *,
    last: bool = False,
    outputs: Sequence[str] = (),
    opset: int = DEFAULT_OPSET,
    options: Options | None = None,
    data: Path | str | None = None,
    at: Mapping[str, int] | None = None,
) -> Exported:
    """Exports the best (or last) weights of a run to an ONNX file, which is written only after it is verified.

    `run` is a run folder or a checkpoint. With the names of layers as `outputs`, exports the part of the network that
    computes these. `options` replace `opset` and set the rest; int8 and float16 are calibrated and measured on the run's
    data set, in the folder `data`. `at` fixes sizes that are symbols. Inputs and outputs of the model are (N, *shape),
    channels first.

    Raises CnncError: E606 where there is no checkpoint, E605 where it is damaged, E901 where it cannot be read, those of
    the data set (E601 to E603) for int8 and float16, and as `cnnc.onnx.export.export` does (E010, E801 to E809, E902).

        exported = cnnc.export("runs/lenet5", "lenet5.onnx", opset=21)
        print(exported.path, exported.size)
    """
    path = checkpoints.find(Path(run), "last" if last else "best")
    saved = checkpoints.load(path)
    saved.slots.clear()  # an optimizer's state can be twice as large as the weights
    options = options or Options(opset)
    network = saved.network(at)
    return export_network(
        network,
        saved.weights,
        Path(out),
        outputs=outputs,
        classes=saved.classes,
        vocabulary=saved.vocabulary,
        trained=training_summary(saved, path.parent),
        origin=saved.origin,
        options=options,
        examples=calibration_examples(network, data, saved.vocabulary) if options.precision != "float32" else None,
    )


def calibration_examples(
    network: Network, data: Path | str | None, vocabulary: Sequence[str] = ()
) -> CalibrationExamples | None:
    """The examples of a network's data set, split as in its training, so that calibration uses training data only.

    `data` is the folder of the data sets, `vocabulary` that of a trained network. None without a train section, as in an
    imported network. Raises CnncError E601 to E603.

        options = Options(precision="int8")
        export_network(network, weights, Path("a.onnx"), options=options, examples=calibration_examples(network, None))
    """
    recipe = network.recipe
    if recipe is None:
        return None
    folder = None if data is None else Path(data)
    dataset = open_data(network, folder, ignore_report, vocabulary)
    train, validation = training_and_validation(dataset, recipe.data.val, recipe.seed)
    return CalibrationExamples.of(train, validation, dataset.test, recipe.seed)


class Evaluation(NamedTuple):
    """The score of a model or run on the test data.

    `data` is the name of the data set. `confusion` is for a classifier its confusion matrix (C, C), rows by label and
    columns by prediction; else empty. `classes` are empty where the targets are not labels. `closing` is what follows from it.
    """

    data: str
    score: Score
    classes: tuple[str, ...]
    confusion: list[list[int]]
    closing: Closing


def evaluate_run(run: Path, data: Path | None, report: Callable[[str], None]) -> Evaluation:
    """Scores the best weights of a run on its test data, computed with NumPy.

    `data` is the folder of the data sets, `report` receives lines about what was read. Raises CnncError: E605, E606 or
    E901 for the checkpoint, E601 to E603 for the data set, E610 where both do not fit.

        evaluate_run(Path("runs/lenet5"), None, print).score.accuracy
    """
    saved = checkpoints.load(checkpoints.find(run, "best"))
    network = saved.network()
    dataset = open_data(network, data, report, saved.vocabulary)
    objective = objective_of(network, dataset)
    return _evaluate(objective, objective.network(saved.weights), dataset, quote(str(run)))


def evaluate_model(session: Session, data: Path | None, report: Callable[[str], None]) -> Evaluation:
    """Scores a model, computed with onnxruntime, by the train section of the source that it carries.

    Loss and metrics are computed from the model's outputs by the same code as in `evaluate_run`. Raises CnncError: E611
    for a model without its source, E509 for a source without a train section, E601 to E603 for the data set, E609 where
    its classes or the model's outputs differ from those of the training, E610 where it does not fit, E604 where
    onnxruntime fails.

        evaluate_model(open_model(Path("lenet5.onnx")), None, print).score.accuracy
    """
    facts = session.facts
    network = trained_network(session)
    dataset = open_data(network, data, report, facts.vocabulary)
    if facts.classes and dataset.classes and facts.classes != dataset.classes:
        of_data, of_model = (", ".join(names[:10]) for names in (dataset.classes, facts.classes))
        raise CnncError.of("E609", f"the classes of the data are {of_data}; those of {session.name} are {of_model}")
    objective = objective_of(network, dataset)

    def run(feeds: Feeds) -> dict[str, Array]:
        return run_batched(session, {name: feeds[name] for name in session.inputs})

    return _evaluate(objective, objective.model(run, session.outputs), dataset, quote(session.name))


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
    return Evaluation(objective.recipe.data.name, score, dataset.classes, matrix, closing)


def training_summary(saved: Checkpoint, folder: Path) -> dict[str, Any] | None:
    """The training of a checkpoint for the model's metadata: epochs, best score, and the test score of these weights.

    `folder` is the run folder, which holds test.json. None where the checkpoint was not trained; `test` is None where
    these weights were not tested.

        training_summary(saved, Path("runs/lenet5"))["best_epoch"]
    """
    p, recipe = saved.progress, saved.network().recipe
    if recipe is None or not p.epoch:
        return None
    test = checkpoints.test_score(folder)
    is_tested = p.step == 0 and p.epoch == p.best_epoch + 1 == test.pop("epoch", 0)
    return {
        "epochs": p.epoch,
        "best_epoch": p.best_epoch + 1,
        "metric": recipe.metric,
        "best": -p.best_rank if metric_named(recipe.metric).less_is_better else p.best_rank,
        "best_loss": p.best_loss,
        "judged_by": "validation" if recipe.data.val else "training",
        "test": test if is_tested else None,
        "versions": saved.versions,
        "threads": saved.threads,
        **({"sizes": saved.sizes} if saved.sizes else {}),
    }
