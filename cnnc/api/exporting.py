"""Export of networks with weights: `export`; the training of a checkpoint for the model's metadata, and calibration examples.

In: a run, a checkpoint or a model. Out: an ONNX file, verified tensor by tensor, as `Exported`.

    export("runs/lenet5", "lenet5.onnx").verification.worst
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from cnnc.api.arguments import checked
from cnnc.api.arrays import Data, data_source
from cnnc.api.model import Model
from cnnc.api.result import Result
from cnnc.core.arrays import Array
from cnnc.data import ignore_report
from cnnc.data.dataset import InputNames
from cnnc.network import Network
from cnnc.onnx.emit.model import DEFAULT_OPSET
from cnnc.onnx.export import Exported, Options
from cnnc.onnx.export import export as export_network
from cnnc.onnx.quantize.examples import CalibrationExamples
from cnnc.recipe.metrics import metric_named
from cnnc.training import checkpoint as checkpoints
from cnnc.training.checkpoint import Checkpoint
from cnnc.training.loop import open_data, training_and_validation


@checked('cnnc.export("runs/lenet5", "lenet5.onnx")')
def export(
    model: Model | Result | Path | str,
    out: Path | str,
    *,
    last: bool = False,
    outputs: Sequence[str] = (),
    opset: int = DEFAULT_OPSET,
    precision: Literal["float32", "float16", "int8"] = "float32",
    target: Literal["", "mcu"] = "",
    external: bool = False,
    options: Options | None = None,
    data: Data | None = None,
    at: Mapping[str, int] | None = None,
) -> Exported:
    """Exports weights to an ONNX file, which is written only after it is verified against the network.

    `model` is a model, a result, or the path of a run or checkpoint, of which the best weights are taken, or the `last`; a
    network file has initial weights. With the names of layers as `outputs`, exports the part of the network that computes
    these. `opset`, `precision`, the `target` (`mcu`: what C code generators for microcontrollers support) and `external`
    (weights in a second file) say how it is written; `options` replace these four. int8 and float16 are calibrated and
    measured on the run's data set, in the folder `data`, or on the examples that it holds, in the forms that `cnnc.train`
    takes. `at` fixes sizes that are symbols. Inputs and outputs of the model are (N, *shape), channels first.

    Raises CnncError: E606 where there is no checkpoint, E605 where it is damaged, E901 where it cannot be read, those of
    the data set (E601 to E603) for int8 and float16, E801 where verification fails, E802 and E803 where a precision loses too
    much, E804 to E809 for what cannot be exported, E902 where the file cannot be written, E010 for an unknown output.

    >>> import cnnc
    >>> exported = cnnc.export(cnnc.Model(cnnc.check("input 1x8x8; conv 4 k=3; relu; fc 10")), "small.onnx")
    >>> exported.path.name, exported.opset, len(exported.verification.layers)
    ('small.onnx', 17, 3)
    """
    options = options or Options(opset, (), external, target, precision)
    saved, folder = _saved(model, last)
    return export_checkpoint(saved, folder, Path(out), outputs, options, data_source(data), at)


def _saved(model: Model | Result | Path | str, last: bool) -> tuple[Checkpoint, Path | None]:
    """The weights as a checkpoint, and the folder of their run, if it has one."""
    if isinstance(model, Result):
        model = model.folder
    if not isinstance(model, Model):
        path = Path(model)
        if path.suffix != ".cnn" or path.is_dir():
            path = checkpoints.find(path, "last" if last else "best")
            return checkpoints.load(path), path.parent
        model = Model.load(path)
    return model.checkpoint(), None


def export_checkpoint(
    saved: Checkpoint,
    folder: Path | None,
    out: Path,
    outputs: Sequence[str],
    options: Options,
    data: Path | Mapping[str, Array] | None,
    at: Mapping[str, int] | None,
) -> Exported:
    """Exports the weights of a checkpoint; `folder` is that of its run, if it has one. Raises CnncError as `export`."""
    saved.slots.clear()  # an optimizer's state can be twice as large as the weights
    network = saved.network(at)
    examples = None
    if options.precision != "float32":
        saved.require_its_data(data)
        examples = calibration_examples(network, data, saved)
    return export_network(
        network,
        saved.weights,
        out,
        outputs=outputs,
        classes=saved.classes,
        vocabulary=saved.vocabulary,
        columns=saved.columns,
        trained=training_summary(saved, folder),
        origin=saved.origin,
        options=options,
        examples=examples,
    )


def calibration_examples(
    network: Network, data: Path | Mapping[str, Array] | None, trained: InputNames | None = None
) -> CalibrationExamples | None:
    """The examples of a network's data set, split as in its training, so that calibration uses training data only.

    `data` is the folder of the data sets, or arrays in place of one; `trained` has the vocabulary and columns of a trained
    network. None without a train section, as in an imported network. Raises CnncError E601 to E603.

        options = Options(precision="int8")
        export_network(network, weights, Path("a.onnx"), options=options, examples=calibration_examples(network, None))
    """
    recipe = network.recipe
    if recipe is None:
        return None
    dataset = open_data(network, data, ignore_report, trained)
    train, validation = training_and_validation(dataset, recipe.data.val, recipe.seed)
    return CalibrationExamples.of(train, validation, dataset.test, recipe.seed)


def training_summary(saved: Checkpoint, folder: Path | None) -> dict[str, Any] | None:
    """The training of a checkpoint for the model's metadata: epochs, best score, and the test score of these weights.

    `folder` is the run folder, which holds test.json. None where the checkpoint was not trained; `test` is None where
    these weights were not tested.

        training_summary(saved, Path("runs/lenet5"))["best_epoch"]
    """
    p, recipe = saved.progress, saved.network().recipe
    if recipe is None or not p.epoch:
        return None
    test = checkpoints.test_score(folder) if folder is not None else {}
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
