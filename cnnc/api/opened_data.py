"""Data that training would read: those of a network, or by their kind and path.

In: a network, or the words of `cnnc data`. Out: `OpenedData`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cnnc.core.arrays import Array
from cnnc.core.tensor import TensorType, format_shape
from cnnc.data import KNOWN, Request, load
from cnnc.data.dataset import Dataset, Split
from cnnc.diagnostics import CnncError, Source
from cnnc.language import syntax
from cnnc.recipe.augmentation import Augment
from cnnc.recipe.recipe import Recipe, require_recipe

if TYPE_CHECKING:
    from cnnc.network import Network

Report = Callable[[str], None]

IMAGES = "images and shards"


@dataclass(frozen=True, eq=False)
class OpenedData:
    """A data set and its shares, and what a network file says about them; `title` names both in a heading."""

    title: str
    dataset: Dataset
    training: Split
    validation: Split
    network: str | None = None
    input_names: tuple[str, ...] = ()
    losses: tuple[Mapping[str, str], ...] = ()
    ignored_label: int | None = None
    augmentation: Augment | None = None
    seed: int = 0

    @property
    def shares(self) -> dict[str, Split]:
        """The shares by name; training comes first."""
        return {"training": self.training, "validation": self.validation, "test": self.dataset.test}


def require_no(value: object, option: str, subject: str = "a network FILE", help: str = "") -> None:
    """Raises CnncError E010 for an option that applies to the other kind of source."""
    if value:
        raise CnncError.of("E010", f"{option} applies to {subject}", help=help or f"leave {option} out")


def open_network_data(network: Network, data: Path | Mapping[str, Array] | None, report: Report) -> OpenedData:
    """What training of a network would read, from the folder of the data sets or from arrays. Raises CnncError as training would."""
    from cnnc.training.loop import open_data, training_and_validation

    recipe = require_recipe(network.recipe, network.name)
    dataset = open_data(network, data, report)
    training, validation = training_and_validation(dataset, recipe.data.val, recipe.seed)
    if not len(training):
        raise CnncError.of("E607", f"{dataset.name}: no example is left to train on", help="use a smaller val=")
    losses = tuple(
        {"loss": loss.kind, "compares_with": "the input" if loss.of_input else loss.compares_with}
        for loss in recipe.losses
    )
    return OpenedData(
        f"{network.name} ({dataset.name})",
        dataset,
        training,
        validation,
        network.name,
        tuple(node.name for node in network.require_graph().inputs),
        losses,
        recipe.losses[0].ignored_label,
        recipe.augment,
        recipe.seed,
    )


def open_kind(
    kind: str, path: str | None, folder: Path | None, size: str | None, settings: Sequence[str], report: Report
) -> OpenedData:
    """What training on `data KIND "PATH"` would read, in the default shares; settings add to this statement, and may name a loss."""
    from cnnc.training.loop import training_and_validation

    recipe = _recipe(kind, settings)
    for name in ("labels", "masks"):
        if getattr(recipe.data, name) is not None:
            message = f"{name}= needs a network file, whose input and output say what the images and targets become"
            help = f"write `train {{ data images {json.dumps(path)} {name}=... }}` into a network file, and `cnnc data FILE`"
            raise CnncError.of("E010", message, help=help)
    options = recipe.data.reader_options
    if recipe.losses[0].compares_with == "values" and not recipe.losses[0].of_input:
        options["target_values"] = len(recipe.data.label or ()) or 1
    if kind in KNOWN:
        require_no(size, "--input", IMAGES)
        dataset = load(kind, Path(path) if path is not None else folder, report)
    else:
        inputs = _inputs(kind, Request(folder=folder, path=path), size, report)
        fractions = {"test": recipe.data.test, "seed": recipe.seed}
        dataset = load(kind, folder, report, path=path, inputs=inputs, **fractions, **options)
    training, validation = training_and_validation(dataset, recipe.data.val, recipe.seed)
    return OpenedData(path or kind, dataset, training, validation)


def _recipe(kind: str, settings: Sequence[str]) -> Recipe:
    """The train section `data KIND "path"` with settings such as `train.data.label=last`. Raises CnncError."""
    from cnnc.language.expressions import Scope
    from cnnc.language.lower import TrainSection
    from cnnc.language.parse import parse, parse_settings
    from cnnc.recipe.reading import read

    expressions = parse_settings(settings)
    other = next((name for name in expressions if not name.startswith("train.")), None)
    if other is not None:
        help = "write, for example, `--set train.data.label=last`"
        raise CnncError.of("E010", f"--set {other} applies to a network FILE", help=help)
    where = "" if kind in KNOWN else ' "path"'
    file, _ = parse(Source("the data", f"train {{ data {kind}{where} }}"))
    (statement,) = file.statements
    assert isinstance(statement, syntax.Call)
    train = {name.removeprefix("train."): value for name, value in expressions.items()}
    recipe, diagnostics = read(TrainSection(statement, Scope()), None, train)
    if recipe is None:
        raise CnncError(*(d for d in diagnostics if d.severity == "error"))
    return recipe


def _inputs(kind: str, request: Request, size: str | None, report: Report) -> tuple[TensorType, ...]:
    """The input to which images are resized; () for other data. Raises CnncError E010, E602, E603, E906."""
    if kind not in ("images", "shards"):
        require_no(size, "--input", IMAGES)
        return ()
    if size is not None:
        return (TensorType(_parsed_shape(size)),)
    from cnnc.data import images, shards
    from cnnc.data.natural_shape import natural_shape

    files, keys = images.image_files(request) if kind == "images" else shards.image_files(request)
    shape = natural_shape(files, keys)
    if shape is None:
        return (TensorType((3, 1, 1)),)  # the reader says which files are not images
    report(f"images are resized to {format_shape(shape)}, the most frequent size; --input sets another")
    return (TensorType(shape),)


def _parsed_shape(text: str) -> tuple[int, ...]:
    """The shape `3x64x64`. Raises CnncError E010."""
    match = re.fullmatch(r"([13])x([1-9]\d{0,3})x([1-9]\d{0,3})", text, re.ASCII)
    if match is None:
        message = f"--input {text}: expected channels (1 or 3), height and width"
        raise CnncError.of("E010", message, help="write, for example, `--input 3x64x64`")
    return tuple(map(int, match.groups()))
