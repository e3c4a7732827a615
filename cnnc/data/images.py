"""`data images "photos"`: a folder or .zip of image files, one folder per class.

    photos/cat/1.jpg  photos/dog/1.jpg                        a random part becomes the test split
    photos/train/cat/1.jpg  photos/test/cat/1.jpg             given shares: train or training; val, valid or validation;
                                                              test or testing; in any case
    photos/1.jpg                                              where nothing needs labels, as for an autoencoder

In: a `Request` with the path and the type of the network's input. Out: a `Dataset` of uint8 images (N, C, H, W) in the
size of that input, grey or RGB by its channels. Classes are the names of the folders, sorted. Subfolders of a class
belong to the class; a single folder around everything is skipped. Formats are PNG, JPEG, BMP, GIF, TIFF, WebP and PPM,
whatever the file names. All files are decoded once at the start; files that are not images, or damaged, are skipped and
reported, and a class without any image is an E602. Folders that hold the same subfolders are shares, never classes. If all images fit into memory they stay there, else each is decoded
again when it is read. Examples are in the order of the file names.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnc.core.listing import listed
from cnnc.core.tensor import format_shape
from cnnc.data import Request
from cnnc.data.dataset import Dataset, ReadFacts, Split
from cnnc.data.file_tree import FileTree, bad_file, locate, open_tree
from cnnc.data.image_column import load_images
from cnnc.data.image_decoder import Scan, Shape, ruled_files
from cnnc.data.image_file import FROM_16_BITS, FROM_FLOATS, FROM_FRACTIONS, require_pillow
from cnnc.data.shares import SHARES, TRAINING, named_shares, share_of, shares_of
from cnnc.data.splits import report_classes, require_classes
from cnnc.diagnostics import CnncError

_SHOWN = 3
_LABELS = 'labels in a table need `labels="labels.csv"`, and masks `masks="masks"`'
REPORT_FROM = 2000
"""Decoding this many files takes long enough to be announced."""


def read(request: Request) -> Dataset:
    """Reads the images of a folder or .zip. Raises CnncError E602, E603, and E906 without Pillow."""
    path = locate(request, "images", "photos")
    shape = image_shape(request)
    require_pillow()
    tree = open_tree(path)
    layout = folder_layout(tree, needs_classes=bool(request.classes or request.target_values))
    for folder in layout.unread:
        request.report(f"{tree.display_name(folder)} is not read: training reads {layout.train}")
    classes = tuple(layout.classes)
    require_examples(tree, layout, classes, layout.labels[layout.shares == 0], {})
    require_classes(request, classes, path)
    if len(layout.names) >= REPORT_FROM:
        request.report(f"{path}: decoding {len(layout.names):,} files")
    images, scan = load_images(ruled_files(tree, request), layout.names, shape)
    decodable = np.setdiff1d(np.arange(len(layout.names)), list(scan.skipped))
    labels, shares = layout.labels[decodable], layout.shares[decodable]
    require_examples(tree, layout, classes, labels[shares == 0], scan.skipped)
    report_skipped(request, path, layout.names, scan.skipped)
    report_unread(request, tree, layout)
    report_conversions(request, path, scan, shape)
    if layout.has_classes:
        report_classes(request, path, classes, labels)
    else:
        help = "" if request.output else f", as `loss mse target=input` takes them; {_LABELS}"
        request.report(f"{path}: no folders of classes: {_count(len(labels))} without labels{help}")
        classes = ()
    all_images = Split((images,), (layout.labels,) if classes else ()).select(decodable)
    facts = read_facts(path, layout.names, scan, unread_files(tree, layout))
    for n, given in layout.given.items():
        if not np.any(shares == n):
            raise bad_file(tree.display_name(given), f"expected {SHARES[n]} images, found none")
    divided = shares_of(request, path, classes, all_images, labels if classes else None, shares)
    return divided.data_set("images", classes, facts)


def image_files(request: Request) -> tuple[FileTree, tuple[str, ...]]:
    """The files that `read` would decode, and their names. Raises CnncError E602, E603, and E906 without Pillow."""
    require_pillow()
    tree = open_tree(locate(request, "images", "photos"))
    return tree, folder_layout(tree, needs_classes=False).names


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


class FolderLayout(NamedTuple):
    """All files in order, training first; `labels` and `shares`, indices into `SHARES`, describe each. `unclassified` counts the others.

    `classes` maps class names to folders; `train` is the folder of training, `given` maps the indices of the other shares to theirs;
    `unread` are folders that are not read. Images without folders of classes have one class, named "".
    """

    names: tuple[str, ...]
    labels: NDArray[np.int64]
    shares: NDArray[np.int64]
    classes: dict[str, str]
    train: str
    given: dict[int, str]
    unread: tuple[str, ...]
    unclassified: int

    @property
    def has_classes(self) -> bool:
        return "" not in self.classes


def folder_layout(tree: FileTree, item: str = "image", needs_classes: bool = True) -> FolderLayout:
    """Finds the classes and their files, each an `item`. Raises CnncError E602 where there are none but `needs_classes`."""
    within = _folders(tree)
    root = _root(within)
    folders = within[root]
    found = _share_folders(tree, within, folders, needs_classes)
    train, inner = root, dict[str, str]()
    unread: tuple[str, ...] = ()
    if TRAINING in found:
        unread = tuple(folders[name] for name in folders if name not in found.values())
        inner = {share: _within_itself(within, folders[name]) for share, name in found.items()}
        train = inner[TRAINING]
    if not within[train] and tree.files and not needs_classes:
        within = {**within, **{folder: {"": folder} for folder in (train, *inner.values()) if not within[folder]}}
    classes = within[train]
    if not classes:
        message = f"expected one folder of {item}s per class, found none"
        raise bad_file(tree.display_name(train), message, _LABELS if item == "image" else "")
    _require_classes(tree, within, classes)
    given = {n: inner[share] for n, share in enumerate(SHARES) if n and share in found}
    class_index = {name: n for n, name in enumerate(classes)}
    names: list[str] = []
    labels: list[int] = []
    shares: list[int] = []
    for n, share in {0: train, **given}.items():
        unknown = next((name for name in within[share] if name not in class_index), None)
        if unknown is not None:
            message = f"the class {unknown} is not in {tree.display_name(train)}"
            raise bad_file(tree.display_name(within[share][unknown]), message)
        for name, folder in within[share].items():
            files = files_below(tree, folder)
            names += files
            labels += [class_index[name]] * len(files)
            shares += [n] * len(files)
    unclassified = len(tree.files) - len(names) - sum(len(files_below(tree, folder)) for folder in unread)
    arrays = np.array(labels, np.int64), np.array(shares, np.int64)
    return FolderLayout(tuple(names), *arrays, classes, train, given, unread, unclassified)


def _share_folders(
    tree: FileTree, within: dict[str, dict[str, str]], folders: dict[str, str], needs_classes: bool
) -> dict[str, str]:
    """The shares that folders side by side are, with the names of these folders; {} where the folders are classes.

    Raises CnncError E602 where they can be neither.
    """
    with_subfolders = [name for name in folders if within[folders[name]]]
    found = named_shares(with_subfolders)
    if TRAINING in found:
        return found
    if TRAINING in named_shares(list(folders)) and all(share_of(name) for name in folders):
        if not needs_classes and not with_subfolders:
            return named_shares(list(folders))
        train = named_shares(list(folders))[TRAINING]
        message = "is a share, and expected one folder of images per class in it, found none"
        raise bad_file(tree.display_name(folders[train]), message, _LABELS)
    inner = {name: _within_itself(within, folder) for name, folder in folders.items()}
    repeating = _repeating(within, inner)
    if not repeating:
        return {}
    words = {name: {share_of(word) for word in re.split(r"[\W\d_]+", name)} - {None} for name in with_subfolders}
    by_share = {share: name for name, shares in words.items() if len(shares) == 1 for share in shares if share}
    if TRAINING in by_share and len(by_share) == len(with_subfolders):
        return by_share
    first, second = repeating
    same = ", ".join(sorted({*within[inner[first]]} & {*within[inner[second]]})[:_SHOWN])
    message = f"{first} and {second} both hold the folders {same}, so they are not classes"
    help = "name the folders of shares train, validation and test, or put the images of each class into one folder"
    raise bad_file(tree.display_name(""), message, help)


def _repeating(within: dict[str, dict[str, str]], folders: Mapping[str, str]) -> tuple[str, str] | None:
    """Two folders that hold two or more subfolders of the same names, as shares do and classes do not."""
    holders: dict[str, list[str]] = {}
    for name, folder in folders.items():
        for inner in within[folder]:
            holders.setdefault(inner.lower(), []).append(name)
    pairs = Counter((names[0], names[1]) for names in holders.values() if len(names) > 1)
    return next((pair for pair, count in pairs.items() if count > 1), None)


def _require_classes(tree: FileTree, within: dict[str, dict[str, str]], classes: dict[str, str]) -> None:
    """Raises CnncError E602 where folders that should be classes hold the same subfolders."""
    repeating = _repeating(within, classes)
    if repeating:
        first, second = repeating
        same = ", ".join(sorted({*within[classes[first]]} & {*within[classes[second]]})[:_SHOWN])
        message = f"{first} and {second} both hold the folders {same}, so they are not classes"
        help = "put the images of each class into one folder"
        raise bad_file(tree.display_name(classes[first].rpartition("/")[0]), message, help)


def _within_itself(within: dict[str, dict[str, str]], folder: str) -> str:
    """The folder, or the only one in it if it has the same name, as some archives unpack to `train/train`."""
    name = folder.rpartition("/")[2]
    while list(within[folder]) == [name] and within[within[folder][name]]:
        folder = within[folder][name]
    return folder


def _root(within: dict[str, dict[str, str]]) -> str:
    """The folder that holds the classes, or the shares: the outermost folder with siblings."""
    root = ""
    while len(within[root]) == 1:
        ((name, folder),) = within[root].items()
        if share_of(name) or not within[folder]:
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
    if not folder:
        return tree.files
    begin, end = bisect_left(tree.files, f"{folder}/"), bisect_left(tree.files, f"{folder}0")  # 0 follows / in ASCII
    return tree.files[begin:end]


def require_examples(
    tree: FileTree,
    layout: FolderLayout,
    classes: Sequence[str],
    labels: NDArray[np.int64],
    skipped: Mapping[int, str],
    item: str = "image",
) -> None:
    """Raises CnncError E602 where a class has no training example."""
    for label, count in enumerate(np.bincount(labels, minlength=len(classes))):
        if not count:
            folder = layout.classes[classes[label]]
            first = next(
                (n for n in sorted(skipped) if layout.names[n].startswith(f"{folder}/" if folder else "")), None
            )
            why = "" if first is None else f" ({PurePosixPath(layout.names[first]).name}: {skipped[first]})"
            raise bad_file(tree.display_name(folder), f"expected at least one {item}, found none{why}")


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
    """Reports the files that are no examples, by their indices, with the reasons."""
    if skipped:
        shown = listed((f"{names[n]} ({skipped[n]})" for n in sorted(skipped)), _SHOWN)
        request.report(f"{path}: skipped {len(skipped):,} of {len(names):,} files: {shown}")


def report_conversions(request: Request, path: object, scan: Scan, shape: Shape) -> None:
    """Reports how many images were resized to the shape of the input, and how many were converted otherwise.

    Raises CnncError E602 where floats have no common scale.
    """
    if scan.resized:
        request.report(f"{path}: resized {_count(scan.resized)} to {format_shape(shape)}")
    for conversion, count in scan.conversions.items():
        if count:
            request.report(f"{path}: {conversion} in {_count(count)}")
    if scan.values is None:
        if request.value_range is not None:
            request.report(f"{path}: range= has no effect: all images have 8 bits")
        return
    low, high = scan.values
    written = f"`range=[{low:.6g}, {high:.6g}]`"
    counts = [scan.conversions[conversion] for conversion in (FROM_FRACTIONS, FROM_FLOATS)]
    if all(counts):
        problem = f"{_count(counts[0])} hold fractions up to 1, and {_count(counts[1])} larger values"
        raise bad_file(str(path), problem, f"give all the same scale: {written}")
    bits = next((bits for bits in (8, 10, 12, 14) if high < 2**bits), 16)
    if any("clipped" in conversion for conversion, count in scan.conversions.items() if count):
        request.report(f"{path}: values reach from {low:,.6g} to {high:,.6g}: {written} clips none")
    elif scan.conversions[FROM_16_BITS] and bits < 16:
        request.report(f"{path}: values reach {high:,.0f} of 65,535: `range=[0, {2**bits - 1}]` uses all of the scale")


def _count(images: int) -> str:
    return f"{images:,} image{'s' * (images != 1)}"


def unread_files(tree: FileTree, layout: FolderLayout) -> list[str]:
    """The folders that are not read, the files in no class, and how many files are hidden."""
    read = {*layout.names, *(name for folder in layout.unread for name in files_below(tree, folder))}
    hidden = [f"{tree.hidden:,} hidden file{'s' * (tree.hidden != 1)}"] if tree.hidden else []
    return [*(f"{folder}/" for folder in layout.unread), *(name for name in tree.files if name not in read), *hidden]


def report_unread(request: Request, tree: FileTree, layout: FolderLayout) -> None:
    if layout.unclassified or tree.hidden:
        counts = [f"{layout.unclassified:,} in no class"] if layout.unclassified else []
        counts += [f"{tree.hidden:,} hidden"] if tree.hidden else []
        request.report(f"{tree.path}: not read: {', '.join(counts)}")
