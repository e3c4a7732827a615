"""`data images "photos"`: a folder or .zip of image files, one folder per class.

    photos/cat/1.jpg  photos/dog/1.jpg                        a random part becomes the test split
    photos/train/cat/1.jpg  photos/test/cat/1.jpg             a given test split (test, testing, val, valid or validation)

In: a `Request` with the path and the type of the network's input. Out: a `Dataset` of uint8 images (N, C, H, W) in the
size of that input, grey or RGB by its channels. Classes are the names of the folders, sorted; those of splits may be in any case. Subfolders of a class
belong to the class; a single folder around everything is skipped. Formats are PNG, JPEG, BMP, GIF, TIFF, WebP and PPM,
whatever the file names. All files are decoded once at the start; files that are not images, or damaged, are skipped and
reported, and a class without any image is an E602. If all images fit into memory they stay there, else each is decoded
again when it is read. Examples are in the order of the file names.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnc.core.tensor import format_shape
from cnnc.data import Request
from cnnc.data.dataset import Dataset, ReadFacts, Split
from cnnc.data.file_tree import FileTree, bad_file, locate, open_tree
from cnnc.data.image_column import load_images
from cnnc.data.image_decoder import Scan, Shape
from cnnc.data.image_file import require_pillow
from cnnc.data.splits import report_classes, report_split, require_classes, split_off_test
from cnnc.diagnostics import CnncError

TRAIN_NAMES = ("train", "training")
TEST_NAMES = ("test", "testing", "val", "valid", "validation")
"""Names of folders that are splits, in any case, in order of preference."""

_SHOWN = 3
REPORT_FROM = 2000
"""Decoding this many files takes long enough to be announced."""


def read(request: Request) -> Dataset:
    """Reads the images of a folder or .zip. Raises CnncError E602, E603, and E906 without Pillow."""
    path = locate(request, "images", "photos")
    shape = image_shape(request)
    require_pillow()
    tree = open_tree(path)
    layout = _layout(tree)
    for folder in layout.unread:
        request.report(f"{tree.display_name(folder)} is not read: training reads {layout.train}")
    classes = tuple(layout.classes)
    _require_images(tree, layout, classes, layout.labels[~layout.testing], {})
    require_classes(request, classes, path)
    if len(layout.names) >= REPORT_FROM:
        request.report(f"{path}: decoding {len(layout.names):,} files")
    images, scan = load_images(tree, layout.names, shape)
    decodable = np.setdiff1d(np.arange(len(layout.names)), list(scan.skipped))
    labels, testing = layout.labels[decodable], layout.testing[decodable]
    _require_images(tree, layout, classes, labels[~testing], scan.skipped)
    report_skipped(request, path, layout.names, scan.skipped)
    _report_unread(request, tree, layout)
    report_conversions(request, path, scan, shape)
    report_classes(request, path, classes, labels)
    all_images = Split.of(images, layout.labels).select(decodable)
    facts = read_facts(path, layout.names, scan, _unread(tree, layout))
    if testing.any():
        train, test = (all_images.select(np.flatnonzero(chosen)) for chosen in (~testing, testing))
        data = Dataset("images", classes, train, test, facts=facts)
        report_split(request, path, data)
        return data
    if layout.test is not None:
        raise bad_file(tree.display_name(layout.test), "expected test images, found none")
    train, test = split_off_test(request, path, all_images, labels)
    return Dataset("images", classes, train, test, facts=facts)


def image_files(request: Request) -> tuple[FileTree, tuple[str, ...]]:
    """The files that `read` would decode, and their names. Raises CnncError E602, E603, and E906 without Pillow."""
    require_pillow()
    tree = open_tree(locate(request, "images", "photos"))
    return tree, _layout(tree).names


def image_shape(request: Request) -> Shape:
    """The shape of the network's input. Raises CnncError E602 where it is not an image."""
    shapes = [entry.shape for entry in request.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 3 or shapes[0][0] not in (1, 3):
        found = " and ".join(map(format_shape, shapes)) or "nothing"
        raise CnncError.of(
            "E602",
            f"the network's input is {found}, which is not an image",
            help="images are grey or RGB, such as `input 1x28x28` or `input 3x64x64`; for other data write `data npz`",
        )
    channels, height, width = shapes[0]
    return channels, height, width


# ---- files and classes


class _Layout(NamedTuple):
    """All files in order, training before test; `labels` and `testing` describe each. `unclassified` counts the others.

    `classes` maps class names to folders; `train` and `test` are folders; `unread` are folders that are not read.
    """

    names: tuple[str, ...]
    labels: NDArray[np.int64]
    testing: NDArray[np.bool_]
    classes: dict[str, str]
    train: str
    test: str | None
    unread: tuple[str, ...]
    unclassified: int


def _layout(tree: FileTree) -> _Layout:
    """Finds the classes and their files. Raises CnncError E602 where there are none."""
    within = _folders(tree)
    root = _root(within)
    folders = within[root]
    with_subfolders = [name for name in folders if within[folders[name]]]
    train_name = split_named(TRAIN_NAMES, with_subfolders)
    if train_name:
        test_name = split_named(TEST_NAMES, with_subfolders)
        train, test = folders[train_name], folders[test_name] if test_name else None
        unread = tuple(folders[name] for name in folders if name not in (train_name, test_name))
    else:
        train, test, unread = root, None, ()
    classes = within[train]
    if not classes:
        raise bad_file(tree.display_name(train), "expected one folder of images per class, found none")
    tests = within[test] if test is not None else {}
    unknown = next((name for name in tests if name not in classes), None)
    if unknown is not None:
        raise bad_file(tree.display_name(tests[unknown]), f"the class {unknown} is not in {tree.display_name(train)}")
    names: list[str] = []
    labels: list[int] = []
    class_index = {name: n for n, name in enumerate(classes)}
    for name, folder in (*classes.items(), *tests.items()):
        files = files_below(tree, folder)
        names += files
        labels += [class_index[name]] * len(files)
    in_train = sum(len(files_below(tree, folder)) for folder in classes.values())
    testing = np.arange(len(names)) >= in_train
    unclassified = len(tree.files) - len(names) - sum(len(files_below(tree, folder)) for folder in unread)
    return _Layout(tuple(names), np.array(labels, np.int64), testing, classes, train, test, unread, unclassified)


def split_named(names: Sequence[str], folders: Sequence[str]) -> str | None:
    """The first of the folders that has the first of these names in any case; None where no folder has one."""
    return next((folder for name in names for folder in folders if folder.lower() == name), None)


def _root(within: dict[str, dict[str, str]]) -> str:
    """The folder that holds the classes, or train and test: the outermost folder with siblings."""
    root = ""
    while len(within[root]) == 1:
        ((name, folder),) = within[root].items()
        if name.lower() in (*TRAIN_NAMES, *TEST_NAMES) or not within[folder]:
            break
        root = folder
    return root


def _folders(tree: FileTree) -> dict[str, dict[str, str]]:
    """The subfolders of each folder, sorted: their names and their paths."""
    subfolders: dict[str, dict[str, str]] = {folder: {} for folder in ("", *tree.folders)}
    for folder in tree.folders:
        above, _, name = folder.rpartition("/")
        subfolders[above][name] = folder
    return {folder: dict(sorted(inner.items())) for folder, inner in subfolders.items()}


def files_below(tree: FileTree, folder: str) -> tuple[str, ...]:
    """The files below a folder, at any depth, in order of their names."""
    begin, end = bisect_left(tree.files, f"{folder}/"), bisect_left(tree.files, f"{folder}0")  # 0 follows / in ASCII
    return tree.files[begin:end]


def _require_images(
    tree: FileTree, layout: _Layout, classes: Sequence[str], labels: NDArray[np.int64], skipped: dict[int, str]
) -> None:
    """Raises CnncError E602 where a class has no training image."""
    for label, count in enumerate(np.bincount(labels, minlength=len(classes))):
        if not count:
            folder = layout.classes[classes[label]]
            first = next((n for n in sorted(skipped) if layout.names[n].startswith(f"{folder}/")), None)
            why = "" if first is None else f" ({PurePosixPath(layout.names[first]).name}: {skipped[first]})"
            raise bad_file(tree.display_name(folder), f"expected at least one image, found none{why}")


def read_facts(source: object, names: Sequence[str], scan: Scan, unread: Sequence[str]) -> ReadFacts:
    """What was read of files with these names, and what was found."""
    return ReadFacts(
        str(source),
        unread,
        {names[n]: scan.skipped[n] for n in sorted(scan.skipped)},
        scan.sizes,
        scan.modes,
        scan.resized,
        {conversion: count for conversion, count in scan.conversions.items() if count},
    )


def report_skipped(request: Request, path: object, names: Sequence[str], skipped: Mapping[int, str]) -> None:
    """Reports the files that are not images, by their indices, with the reasons."""
    if skipped:
        named = [f"{names[n]} ({skipped[n]})" for n in sorted(skipped)[:_SHOWN]]
        more = f", and {len(skipped) - _SHOWN:,} more" if len(skipped) > _SHOWN else ""
        request.report(f"{path}: skipped {len(skipped):,} of {len(names):,} files: {', '.join(named)}{more}")


def report_conversions(request: Request, path: object, scan: Scan, shape: Shape) -> None:
    """Reports how many images were resized to the shape of the input, and how many were converted otherwise."""
    if scan.resized:
        request.report(f"{path}: resized {scan.resized:,} images to {format_shape(shape)}")
    for conversion, count in scan.conversions.items():
        if count:
            request.report(f"{path}: {conversion} in {count:,} images")


def _unread(tree: FileTree, layout: _Layout) -> list[str]:
    """The folders that are not read, the files in no class, and how many files are hidden."""
    read = {*layout.names, *(name for folder in layout.unread for name in files_below(tree, folder))}
    hidden = [f"{tree.hidden:,} hidden file{'s' * (tree.hidden != 1)}"] if tree.hidden else []
    return [*(f"{folder}/" for folder in layout.unread), *(name for name in tree.files if name not in read), *hidden]


def _report_unread(request: Request, tree: FileTree, layout: _Layout) -> None:
    if layout.unclassified or tree.hidden:
        counts = [f"{layout.unclassified:,} in no class"] if layout.unclassified else []
        counts += [f"{tree.hidden:,} hidden"] if tree.hidden else []
        request.report(f"{tree.path}: not read: {', '.join(counts)}")
