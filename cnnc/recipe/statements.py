"""The statements of the train section that have no kinds: data, batch, epochs, seed, clip, stop."""

from __future__ import annotations

from typing import Any

from cnnc.core.arguments import (
    Choice,
    Colour,
    Colours,
    Columns,
    NumberRange,
    OptionalFlag,
    Real,
    String,
    Strings,
    Whole,
    arg,
)
from cnnc.data.catalog import MAX_RATE, MAX_SECONDS, OPTIONS, RATE, READ_FROM_FILES
from cnnc.recipe.declaration import TrainStatement, register


@register
class Data(TrainStatement):
    """The data set to train on.

    By name: digits (comes with cnnc), mnist, fashion_mnist, cifar10. Your own files, with a path in quotes, relative to the
    current folder, to --data or to CNNC_DATA:

    - images: a folder or .zip, photos/cat/1.jpg; with shares, photos/train/cat/1.jpg, photos/val/... and photos/test/...;
      for `target=input` also photos/1.jpg.
    - shards: tar archives of images and labels, "train-{000..099}.tar".
    - series: a table, .csv or .tsv; each line has a label or numbers to predict, and the values of the input.
    - text: a .tsv; each line has a label, a tab, and a sentence.
    - audio: a folder or .zip of recordings, words/yes/1.wav, with shares as those of images.
    - npz: arrays x and y, or named as the inputs and outputs; with shares, x_val, y_val, x_test and y_test.

    Shares that the files do not give are drawn. Images are turned as EXIF says, stretched to the input, grey or RGB by its channels,
    and scaled to 0 to 1. `cnnc data` shows all this without training; docs/data.md explains each kind.
    """

    keyword = "data"
    example = "data digits val=0.2"

    name: str = arg(String(), positional=True, help="the name of the data set")
    path: str | None = arg(
        String(bare=False), positional=True, default=None, help="file or folder, for data sets of your own"
    )
    val: float = arg(
        Real(0, 1, open_above=True),
        default=0.1,
        help="fraction of the training data that is held back for validation if the files give no validation share",
    )
    test: float = arg(
        Real(0, 1, open_below=True, open_above=True),
        default=0.1,
        help="fraction that is held back for testing if the data set has no test set",
    )
    sampling: str | None = arg(
        Choice(("balanced",)),
        default=None,
        help="which examples an epoch takes: balanced takes each class equally often, as many in all as there are (default:"
        " each example once)",
    )
    label: tuple[str | int, ...] | None = arg(
        Columns(),
        default=None,
        help="of a table, the column of the label: its name, its number from 1, first or last; a list of columns for several targets",
    )
    index: tuple[str | int, ...] | None = arg(
        Columns(), default=None, help="of a table, columns that are not read, such as row numbers, names and timestamps"
    )
    header: bool | None = arg(
        OptionalFlag(), default=None, help="of a table, whether the first line names the columns (default auto)"
    )
    decimal: str | None = arg(
        Choice(("point", "comma")), default=None, help="of a table, the decimal mark (default: as the numbers show)"
    )
    background: str | None = arg(
        Colour(),
        default=None,
        help="of images, the colour below transparent pixels (default: white; black below an image that is white itself)",
    )
    range: tuple[float, float] | None = arg(
        NumberRange(),
        default=None,
        help="of images of 16 bits or floats, the values that become 0 and 255 (default: 0 and 65535; floats 0 and 1, or 0 and 255)",
    )
    labels: str | None = arg(
        String(bare=False),
        default=None,
        help="with images: the .csv or .tsv file that names the image or images of each example, and its label or targets",
    )
    masks: str | None = arg(
        String(bare=False),
        default=None,
        help="with images: the folder of masks, images of the same names that hold the class of each pixel",
    )
    colours: tuple[str, ...] | None = arg(
        Colours(), default=None, help="with masks: the colours of the masks in the order of their classes"
    )
    classes: tuple[str, ...] | None = arg(
        Strings(), default=None, help="with masks: the names of the classes in the order of their numbers"
    )

    rate: int | None = arg(
        Whole(1, MAX_RATE),
        default=None,
        unit="Hz",
        help="sample rate of recordings, to which others are resampled (default: 16000)",
    )
    seconds: float | None = arg(
        Real(0, MAX_SECONDS, open_below=True),
        default=None,
        unit="seconds",
        help="duration of each recording (default: that of the network's input, its samples divided by the rate)",
    )

    @property
    def is_npz(self) -> bool:
        """Whether the data are arrays of any number and shape: `npz`, or `series` of a .npz file."""
        return self.name == "npz" or (self.name == "series" and (self.path or "").lower().endswith(".npz"))

    @property
    def has_labels_only(self) -> bool:
        """Whether each example has one label: not in arrays, with a table of labels, or with masks."""
        return not (self.is_npz or self.labels is not None or self.masks is not None)

    @property
    def may_have_values(self) -> bool:
        """Whether the targets may be numbers: arrays, or columns of a table; masks of two classes are 0 and 1."""
        return self.is_npz or self.name == "series" or self.labels is not None or self.masks is not None

    @property
    def options(self) -> dict[str, Any]:
        """The arguments that only some kinds of data take, where they are given; of recordings also the default rate."""
        given = {name: getattr(self, name) for name in OPTIONS}
        said = {name: value for name, value in given.items() if value is not None}
        return {**said, "rate": self.sample_rate} if self.name == "audio" else said

    @property
    def reader_options(self) -> dict[str, Any]:
        """The arguments that only some kinds of data take, where they are given, as the fields of `cnnc.data.Request`."""
        given = {_FIELDS.get(name, name): getattr(self, name) for name in OPTIONS}
        return {field: value for field, value in given.items() if value is not None}

    @property
    def sample_rate(self) -> int:
        """The sample rate of recordings in Hz."""
        return self.rate or RATE

    @property
    def samples(self) -> int | None:
        """The number of samples in a recording of the duration that is given; None where none is."""
        return None if self.seconds is None else max(1, round(self.seconds * self.sample_rate))

    @property
    def item(self) -> str:
        """What one example is called."""
        if self.labels is not None:
            return "example"  # of one image or of several
        return READ_FROM_FILES[self.name].item if self.name in READ_FROM_FILES else "image"


_FIELDS = {"range": "value_range", "classes": "class_names"}
"""The fields of `cnnc.data.Request` for arguments of `data` that have another name there."""


class _Number(TrainStatement):
    """A statement of one number, which is all that the Recipe holds for it."""

    n: float

    @property
    def recipe_value(self) -> float:
        return self.n


@register
class Batch(_Number):
    """The number of examples in each training step."""

    keyword = "batch"
    example = "batch 64"

    n: int = arg(Whole(1), positional=True, unit="examples", help="the number of examples")


@register
class Epochs(_Number):
    """The number of passes over the training data."""

    keyword = "epochs"
    example = "epochs 20"

    n: int = arg(Whole(1), positional=True, unit="epochs", help="the number of epochs")


@register
class Seed(_Number):
    """The seed of every random choice; the same seed gives the same run."""

    keyword = "seed"
    example = "seed 7"

    n: int = arg(Whole(0), positional=True, help="the seed")


@register
class ClipNorm(_Number):
    """Scales all gradients down if their global norm exceeds N (Pascanu et al. 2013)."""

    keyword = "clip"
    example = "clip 1"

    n: float = arg(
        Real(0, open_below=True),
        positional=True,
        help="the largest global norm: the norm of all gradients as one vector",
    )


@register
class Stop(TrainStatement):
    """Ends training early, once validation no longer improves."""

    keyword = "stop"
    example = "stop patience=5"

    patience: int = arg(Whole(1), unit="epochs", help="number of epochs without improvement after which training ends")
