"""`data images "photos"`: a folder or .zip of pictures, a folder a class.

    photos/cat/1.jpg  photos/dog/1.jpg                        a share is held back for the test
    photos/train/cat/1.jpg  photos/test/cat/1.jpg             the data have a test set (test, val, valid, validation)

In: a `Request` with the path and the type of the network's input. Out: a `Dataset` of uint8 pictures in the size of
that input, grey or RGB by its channels. Classes are the names of the folders, sorted; folders within a class are part
of it; a single folder around all is stepped into. Pictures are PNG, JPEG, BMP, GIF, TIFF, WebP or PPM, whatever their
names. All of them are decoded once at the start, in threads, so that what is no picture, or a broken one, is skipped
and told then; a class left without any is an E602. Where all of them fit into `MEMORY` bytes they stay there, else
each is decoded again whenever it is asked for. The order is that of the names.
"""

from __future__ import annotations

import os
import warnings
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnc.core.tensor import format_shape
from cnnc.data import Request
from cnnc.data.dataset import Dataset, Split
from cnnc.data.image_file import NoPicture, decode, require
from cnnc.data.sources import Tree, bad, locate, open_tree
from cnnc.data.splits import check_classes, share_out, tell_classes, tell_split
from cnnc.diagnostics import CnncError

MEMORY = 2**29
"""The bytes of decoded pictures that are kept."""

LARGEST = 2**27
"""The most bytes that the file of one picture may have."""

THREADS = max(1, min(8, os.cpu_count() or 1))

TEST_NAMES = ("test", "val", "valid", "validation")

_CHUNK = 1024
_NAMED = 3
_LONG = 2000

Shape = tuple[int, int, int]


def read(request: Request) -> Dataset:
    """The pictures of a folder or .zip. Raises E602, E603, and E906 without Pillow."""
    place = locate(request, "images", "photos")
    shape = _shape(request)
    require()
    tree = open_tree(place)
    layout = _layout(tree)
    for folder in layout.unread:
        request.report(f"{tree.where(folder)} is not read: it stands beside {layout.train}")
    classes = tuple(layout.classes)
    _require_each(tree, layout, classes, layout.labels[~layout.testing], {})
    check_classes(request, classes, place)
    pictures, skipped = _load(tree, layout.names, shape, request)
    kept = [n for n in range(len(layout.names)) if n not in skipped]
    labels, testing = layout.labels[kept], layout.testing[kept]
    _require_each(tree, layout, classes, labels[~testing], skipped)
    _tell_skipped(request, tree, layout, skipped)
    if pictures.resized:
        request.report(f"{place}: {pictures.resized:,} pictures are brought to {format_shape(shape)}")
    tell_classes(request, place, classes, labels)
    whole = Split.of(pictures, labels)
    if testing.any():
        data = Dataset("images", classes, whole.part(np.flatnonzero(~testing)), whole.part(np.flatnonzero(testing)))
        tell_split(request, place, data)
        return data
    if layout.test is not None:
        raise bad(tree.where(layout.test), "expected pictures to test on, found none")
    return Dataset("images", classes, *share_out(request, place, whole, labels))


def _shape(request: Request) -> Shape:
    shapes = [entry.shape for entry in request.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 3 or shapes[0][0] not in (1, 3):
        found = " and ".join(map(format_shape, shapes)) or "nothing"
        raise CnncError.of(
            "E602",
            f"the network takes {found}, which is no picture",
            help="pictures are grey or RGB, as in `input 1x28x28` or `input 3x64x64`; for other data use npz",
        )
    channels, height, width = shapes[0]
    return channels, height, width


# ---- which file is of which class


class _Layout(NamedTuple):
    """All files in order: training, then test; `odd` are those in no class."""

    names: tuple[str, ...]
    labels: NDArray[np.int64]
    testing: NDArray[np.bool_]
    classes: dict[str, str]
    train: str
    test: str | None
    unread: tuple[str, ...]
    odd: int


def _layout(tree: Tree) -> _Layout:
    """Raises E602 where there are no classes."""
    within = _folders(tree)
    root = _root(within)
    folders = within[root]
    parted = [name for name in folders if within[folders[name]]]
    test_name = next((name for name in TEST_NAMES if name in parted), None)
    if "train" in parted:
        train, test = folders["train"], folders[test_name] if test_name else None
        unread = tuple(folders[name] for name in folders if name not in ("train", test_name))
    else:
        train, test, unread = root, None, ()
    classes = within[train]
    if not classes:
        raise bad(tree.where(train), "expected a folder for each class with its pictures in it, found none")
    tests = within[test] if test is not None else {}
    unknown = next((name for name in tests if name not in classes), None)
    if unknown is not None:
        raise bad(tree.where(tests[unknown]), f"the class {unknown} is not in {tree.where(train)}")
    names: list[str] = []
    labels: list[int] = []
    place = {name: n for n, name in enumerate(classes)}
    for name, folder in (*classes.items(), *tests.items()):
        files = below(tree, folder)
        names += files
        labels += [place[name]] * len(files)
    in_train = sum(len(below(tree, folder)) for folder in classes.values())
    testing = np.arange(len(names)) >= in_train
    odd = len(tree.files) - len(names) - sum(len(below(tree, folder)) for folder in unread)
    return _Layout(tuple(names), np.array(labels, np.int64), testing, classes, train, test, unread, odd)


def _root(within: dict[str, dict[str, str]]) -> str:
    """The folder that holds the classes, or train and test: the outermost that is not alone."""
    root = ""
    while len(within[root]) == 1:
        ((name, folder),) = within[root].items()
        if name in ("train", *TEST_NAMES) or not within[folder]:
            break
        root = folder
    return root


def _folders(tree: Tree) -> dict[str, dict[str, str]]:
    """For each folder those in it: their names, and from the top, sorted."""
    found: dict[str, dict[str, str]] = {folder: {} for folder in ("", *tree.folders)}
    for folder in tree.folders:
        above, _, name = folder.rpartition("/")
        found[above][name] = folder
    return {folder: dict(sorted(inner.items())) for folder, inner in found.items()}


def below(tree: Tree, folder: str) -> tuple[str, ...]:
    """The files below a folder, at any depth, in order."""
    return tree.files[bisect_left(tree.files, f"{folder}/") : bisect_left(tree.files, f"{folder}0")]  # 0 follows /


def _require_each(
    tree: Tree, layout: _Layout, classes: Sequence[str], labels: NDArray[np.int64], skipped: dict[int, str]
) -> None:
    """Raises E602 where a class has no picture to train on."""
    for label, count in enumerate(np.bincount(labels, minlength=len(classes))):
        if not count:
            folder = layout.classes[classes[label]]
            first = next((n for n in sorted(skipped) if layout.names[n].startswith(f"{folder}/")), None)
            why = "" if first is None else f" ({PurePosixPath(layout.names[first]).name}: {skipped[first]})"
            raise bad(tree.where(folder), f"expected at least one picture, found none{why}")


def _tell_skipped(request: Request, tree: Tree, layout: _Layout, skipped: dict[int, str]) -> None:
    if skipped:
        named = [f"{layout.names[n]} ({skipped[n]})" for n in sorted(skipped)[:_NAMED]]
        more = f", and {len(skipped) - _NAMED:,} more" if len(skipped) > _NAMED else ""
        request.report(
            f"{tree.place}: skipped {len(skipped):,} of {len(layout.names):,} files: {', '.join(named)}{more}"
        )
    if layout.odd or tree.hidden:
        found = [f"{layout.odd:,} in no class"] * bool(layout.odd) + [f"{tree.hidden:,} hidden"] * bool(tree.hidden)
        request.report(f"{tree.place}: not read: {', '.join(found)}")


# ---- pictures as a column


class Pictures:
    """Pictures (N, C, H, W), uint8: in memory, or decoded in threads when they are asked for."""

    def __init__(self, tree: Tree, names: Sequence[str], shape: Shape, kept: NDArray[np.uint8] | None = None) -> None:
        self._tree = tree
        self._names = names
        self._kept = kept
        self._pool: ThreadPoolExecutor | None = None
        self.shape = (len(names), *shape)
        self.dtype = np.dtype(np.uint8)
        self.resized = 0

    @property
    def in_memory(self) -> bool:
        return self._kept is not None

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, chosen: Any) -> NDArray[Any]:
        """Raises E602 where a file has changed since it was first read, and is no picture now."""
        if self._kept is not None:
            found: NDArray[Any] = self._kept[chosen]
            return found
        places = np.arange(len(self))[chosen]
        made = np.empty((places.size, *self.shape[1:]), np.uint8)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="pictures")
        with quiet():
            list(self._pool.map(partial(self._put, made), range(len(made)), places.reshape(-1).tolist()))
        return made.reshape(*places.shape, *self.shape[1:])

    def _put(self, made: NDArray[np.uint8], n: int, place: int) -> None:
        name = self._names[place]
        try:
            made[n] = decode(self._tree.read(name, LARGEST), self.shape[1:])[0]
        except NoPicture as error:
            raise bad(self._tree.where(name), f"is no picture any more: {error}") from error


def _load(tree: Tree, names: Sequence[str], shape: Shape, request: Request) -> tuple[Pictures, dict[int, str]]:
    """All pictures, and for each file that is none its place and why."""
    if len(names) >= _LONG:
        request.report(f"{tree.place}: decoding {len(names):,} pictures")
    keep = len(names) * int(np.prod(shape)) <= MEMORY
    whole = np.empty((len(names), *shape), np.uint8) if keep else None
    skipped: dict[int, str] = {}
    resized = 0
    with quiet():
        for n, pixels, outcome in decode_all(tree, names, shape):
            if pixels is None:
                skipped[n] = str(outcome)
                continue
            resized += outcome != (shape[2], shape[1])
            if whole is not None:
                whole[n] = pixels
    good = [n for n in range(len(names)) if n not in skipped]
    if whole is not None and skipped:
        whole = whole[good]
    pictures = Pictures(tree, [names[n] for n in good], shape, whole)
    pictures.resized = resized
    return pictures, skipped


Outcome = tuple[int, NDArray[np.uint8] | None, "tuple[int, int] | str"]


def decode_all(tree: Tree, names: Sequence[str], shape: Shape) -> Iterator[Outcome]:
    """Each file in order, decoded in threads: its place, and its pixels and own size, or None and why.

    To be called within `quiet`.
    """

    def one(n: int) -> Outcome:
        try:
            return n, *decode(tree.read(names[n], LARGEST), shape)
        except NoPicture as error:
            return n, None, str(error)
        except CnncError as error:  # the message names the file, as does who tells this
            return n, None, error.diagnostics[0].message.removeprefix(f"{tree.where(names[n])}: ")

    with ThreadPoolExecutor(THREADS, thread_name_prefix="pictures") as pool:
        for start in range(0, len(names), _CHUNK):  # a few at a time: what waits takes memory
            yield from pool.map(one, range(start, min(start + _CHUNK, len(names))))


@contextmanager
def quiet() -> Iterator[None]:
    """Pillow's warnings (broken EXIF, many pixels) are not for the user: what matters is checked or told.

    Entered by the calling thread alone, as the filters are those of all threads.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
