"""`data images "photos" masks="masks"`: images for segmentation, each with a mask that holds the class of each pixel.

    photos/a.jpg        masks/a.png             the same path, whatever the suffix
    photos/b/c.jpg      masks/b/c_mask.png      with an ending such as _mask
    photos/train/a.jpg  masks/train/a.png       shares are the folders train and test, else drawn

In: a `Request` with both paths, and the types of the network's input and output. Out: a `Dataset` of images (N, C, H, W) and label
maps (N, H, W) of int64, in the size of the output; for a loss on values, such as bce, maps (N, 1, H, W) of 0 and 1. Masks
hold indices of classes, or colours that `colours=` lists; `mask_file` decodes them. Where masks hold only 0 and 255, 255 is
class 1. A label that the loss ignores stays as it is. Images without mask, masks without image, and files that cannot be
read are left out and reported.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnc.core.listing import listed
from cnnc.core.tensor import format_shape
from cnnc.data import Request
from cnnc.data.beside_images import find_beside, name_within
from cnnc.data.dataset import Dataset, SelectedExamples, Split, display_name
from cnnc.data.file_finder import without_suffix
from cnnc.data.file_tree import FileTree, bad_file, locate, open_tree
from cnnc.data.image_column import load_images
from cnnc.data.image_decoder import LARGEST, Scan, Shape, ignore_pillow_warnings, ruled_files
from cnnc.data.image_file import NotAnImage, require_pillow
from cnnc.data.images import REPORT_FROM, image_shape, read_facts, report_conversions, report_skipped
from cnnc.data.mask_file import MaskFiles, NotAMask, most_common_colours
from cnnc.data.shares import image_dataset, share_numbers_of
from cnnc.diagnostics import CnncError

MASK_ENDINGS = (
    "_mask",
    "_masks",
    "_label",
    "_labels",
    "_seg",
    "_segmentation",
    "_gt",
    "_trimap",
    "_l",
    "-mask",
    "-label",
)
"""Endings of the names of masks, in any case, which their images lack."""

_BATCH = 256
_SHOWN = 3
_WHITE = 255


def read(request: Request) -> Dataset:
    """Reads images and masks. Raises CnncError E602, E603, and E906 without Pillow."""
    path = locate(request, "images", "photos")
    shape, mask_shape = image_shape(request), _mask_shape(request)
    require_pillow()
    tree = open_tree(path)
    masks, folder, within = _mask_tree(request, tree)
    pairs = _pairs(tree, masks, folder, within)
    source = f"{path} and {masks.display_name(folder) if folder else masks.path}"
    unpaired = dict.fromkeys(pairs.images_alone, "no mask has its name")
    unpaired |= dict.fromkeys(pairs.masks_alone, "no image has its name")
    if not pairs.images:
        example = next(iter(unpaired), "none")
        raise bad_file(source, f"no image and mask have the same name; found {example}", _NAMES)
    _report_unpaired(request, source, pairs)
    if len(pairs.images) >= REPORT_FROM:
        request.report(f"{source}: decoding {len(pairs.images):,} images and masks")
    images, image_scan = load_images(ruled_files(tree, request), pairs.images, shape)
    files = MaskFiles(masks, request.colours, request.ignore)
    label_maps, mask_scan = load_images(files, pairs.masks, mask_shape)
    _require_masks(files, pairs.masks, mask_shape, mask_scan)
    good = np.setdiff1d(np.arange(len(pairs.images)), [*image_scan.skipped, *mask_scan.skipped])
    if not len(good):
        reason = next(iter({**image_scan.skipped, **mask_scan.skipped}.values()))
        raise bad_file(source, f"no image with its mask can be read; the first: {reason}")
    report_skipped(request, path, pairs.images, image_scan.skipped)
    report_skipped(request, masks.path, pairs.masks, mask_scan.skipped)
    report_conversions(request, path, image_scan, shape)
    if mask_scan.resized:
        request.report(f"{source}: resized {mask_scan.resized:,} masks to {_size(mask_shape)} by nearest neighbour")
    chosen = SelectedExamples(label_maps, good)
    counts = _pixel_counts(chosen)
    classes, table = _meaning(request, source, counts, chosen)
    _report_pixels(request, source, classes, counts, table)
    target = MaskColumn(chosen, table)
    examples = Split.of(SelectedExamples(images, good), target)
    facts = read_facts(source, pairs.images, image_scan, ())
    skipped = {pairs.masks[n]: reason for n, reason in mask_scan.skipped.items()}
    facts = replace(facts, skipped={**unpaired, **facts.skipped, **skipped})
    shares = _shares([pairs.images[n] for n in good])
    return image_dataset(request, source, classes, examples, None, shares, facts)


class MaskColumn:
    """Label maps (N, H, W) of int64, or maps (N, 1, H, W) of float32, made of the decoded masks when they are read.

    `table` holds the label, or the number, that each of the 256 values of a decoded mask stands for.
    """

    def __init__(self, masks: SelectedExamples, table: NDArray[Any]) -> None:
        self._masks = masks
        self._table = table
        count, channels, *size = masks.shape
        self.dtype = table.dtype
        self.shape = (count, *size) if self._has_labels else (count, channels, *size)

    @property
    def _has_labels(self) -> bool:
        return self._table.dtype == np.int64

    def __len__(self) -> int:
        return len(self._masks)

    def __getitem__(self, chosen: Any) -> NDArray[Any]:
        return self._converted(self._masks[chosen])

    def batches(self, parts: Sequence[Any]) -> Iterator[NDArray[Any]]:
        """The masks at each of the parts; the next ones are decoded meanwhile."""
        for values in self._masks.batches(parts):
            yield self._converted(values)

    def display_name(self, n: int) -> str:
        """The file of mask `n`."""
        return display_name(self._masks, n)

    def _converted(self, values: NDArray[Any]) -> NDArray[Any]:
        labels: NDArray[Any] = self._table[values]
        return labels[..., 0, :, :] if self._has_labels else labels


# ---- files


_NAMES = "a mask has the path of its image within its folder, whatever the suffix; its name may end in _mask"


def _mask_shape(request: Request) -> Shape:
    """The shape of a decoded mask: the size of the output. Raises CnncError E602 where that is not a map."""
    output = request.output
    if output is None or output.rank != 2:
        found = format_shape(output.shape) if output is not None else "unknown"
        raise CnncError.of("E602", f"masks have a label at each pixel; the network's output is {found}")
    return 1, output.spatial[0], output.spatial[1]


def _size(shape: Shape) -> str:
    return f"{shape[2]}x{shape[1]}"


def _mask_tree(request: Request, tree: FileTree) -> tuple[FileTree, str, str | None]:
    """The files of masks, the folder of them that holds the masks ("" for all), and that folder's name inside the images,
    None where it lies elsewhere. Raises CnncError E603."""
    assert request.masks is not None
    found = find_beside(request, tree, "masks", request.masks)
    if isinstance(found, str):
        return tree, found, found
    if found.is_file() and found.suffix.lower() != ".zip":
        raise bad_file(found, "expected a folder or .zip of masks, found a file", "name the folder with masks=")
    return open_tree(found), "", name_within(tree, found)


class _Pairs(NamedTuple):
    """Images and their masks in the same order, and the images and masks without partner."""

    images: list[str]
    masks: list[str]
    images_alone: list[str]
    masks_alone: list[str]


def _pairs(tree: FileTree, masks: FileTree, folder: str, within: str | None) -> _Pairs:
    """Matches images and masks by their paths without suffix, else by their names alone where these are unique."""
    below = f"{folder}/" if folder else ""
    mask_names = [name for name in masks.files if name.startswith(below)]
    if within == "":  # side by side in one folder
        mask_names = [name for name in mask_names if _without_ending(name) != without_suffix(name).lower()]
        image_names = sorted(set(tree.files) - set(mask_names))
    else:
        image_names = [name for name in tree.files if within is None or not name.startswith(f"{within}/")]
    image_top = _common_folder(image_names)
    mask_top = _common_folder(mask_names)
    by_path = {_without_ending(name[len(mask_top) :]): name for name in mask_names}
    by_path |= {without_suffix(name[len(mask_top) :]).lower(): name for name in mask_names}
    by_name = _unique_names(mask_names)
    images_by_name = _unique_names(image_names)
    pairs = _Pairs([], [], [], [])
    for name in image_names:
        key = without_suffix(name[len(image_top) :]).lower()
        last = key.rpartition("/")[2]
        mask = by_path.get(key) or (by_name.get(last) if images_by_name.get(last) else None)
        if mask:
            pairs.images.append(name)
            pairs.masks.append(mask)
        else:
            pairs.images_alone.append(name)
    pairs.masks_alone.extend(sorted(set(mask_names) - set(pairs.masks)))
    return pairs


def _without_ending(name: str) -> str:
    """The path of a mask without suffix and ending, in lower case: `b/c` of `b/c_mask.png`."""
    stem = without_suffix(name).lower()
    return next((stem[: -len(ending)] for ending in MASK_ENDINGS if stem.endswith(ending)), stem)


def _unique_names(names: Sequence[str]) -> dict[str, str]:
    """The files by their names without folder, suffix and ending; "" where several have the same."""
    found: dict[str, str] = {}
    for name in names:
        key = _without_ending(name).rpartition("/")[2]
        found[key] = "" if key in found else name
    return found


def _common_folder(names: Sequence[str]) -> str:
    """The folder that holds all files, with a slash at its end; "" where they lie in several."""
    tops = {name.rpartition("/")[0] for name in names}
    if len(tops) == 1 and (top := tops.pop()):
        return f"{top}/"
    firsts = {name.partition("/")[0] if "/" in name else "" for name in names}
    if len(firsts) != 1 or firsts == {""}:
        return ""
    first = f"{firsts.pop()}/"
    return first + _common_folder([name[len(first) :] for name in names])


def _report_unpaired(request: Request, source: str, pairs: _Pairs) -> None:
    for alone, kind, other in ((pairs.images_alone, "image", "mask"), (pairs.masks_alone, "mask", "image")):
        if alone:
            what = f"{kind}{'s' * (len(alone) > 1)} without {other}"
            request.report(f"{source}: not read: {len(alone):,} {what}: {listed(alone, _SHOWN)}")


def _shares(names: Sequence[str]) -> NDArray[np.int64] | None:
    """The share of each image by its folder, None where they are in no folders such as train and test."""
    top = _common_folder(names)
    return share_numbers_of([name[len(top) :].partition("/")[0] for name in names])


# ---- what masks hold


def _require_masks(files: MaskFiles, names: Sequence[str], shape: Shape, scan: Scan) -> None:
    """Raises CnncError E602 for the first image that is readable and not a mask."""
    for n in sorted(scan.skipped):
        try:
            with ignore_pillow_warnings():
                files.decode(files.read(names[n], LARGEST), shape)
        except NotAMask as error:
            raise bad_file(files.display_name(names[n]), str(error), _help(files, names, n)) from error
        except (NotAnImage, CnncError):
            continue


def _help(files: MaskFiles, names: Sequence[str], first: int) -> str:
    """What to write for coloured masks: the colours that occur, where they are few."""
    sample = [names[first], *names[:: max(1, len(names) // 50)]]
    colours = most_common_colours(files, sample)
    if not colours:
        return "save masks as PNG, one number or one colour for each class; JPEG changes colours"
    listed = ", ".join(f'"{colour}"' for colour in colours)
    return f"list the colours in the order of the classes, for example `colours=[{listed}]`"


def _pixel_counts(masks: SelectedExamples) -> NDArray[np.int64]:
    """How many pixels have each of the 256 values."""
    counts = np.zeros(256, np.int64)
    for values in masks.batches([slice(n, n + _BATCH) for n in range(0, len(masks), _BATCH)]):
        counts += np.bincount(values.reshape(-1), minlength=256)
    return counts


def _meaning(
    request: Request, source: str, counts: NDArray[np.int64], masks: SelectedExamples
) -> tuple[tuple[str, ...], NDArray[Any]]:
    """The classes, and what each value of a decoded mask stands for. Raises CnncError E602."""
    values = [int(v) for v in np.flatnonzero(counts) if v != request.ignore]
    black_and_white = not request.colours and _WHITE in values and set(values) <= {0, _WHITE}
    table = np.arange(256, dtype=np.int64)
    if black_and_white and request.ignore != _WHITE:
        table[_WHITE] = 1
        values = sorted({min(v, 1) for v in values})
        request.report(f"{source}: the masks hold 0 and 255; 255 is class 1")
    if not request.classes:
        if request.target_values and max(values, default=0) > 1:
            raise _bad_label(request, source, masks, [v for v in values if v > 1], 2)
        return (), table.astype(np.float32)
    beyond = [v for v in values if v >= request.classes]
    if beyond:
        raise _bad_label(request, source, masks, beyond, request.classes)
    return request.class_names or tuple(str(n) for n in range(request.classes)), table


def _bad_label(
    request: Request, source: str, masks: SelectedExamples, values: Sequence[int], classes: int
) -> CnncError:
    """The E602 for labels that are no class of the network."""
    where = next((display_name(masks, n) for n in range(len(masks)) if (masks[n] == values[0]).any()), source)
    message = f"found the label{'s' * (len(values) > 1)} {listed(map(str, values), 8)}; "
    if not request.classes:
        return bad_file(where, f"{message}a loss on values takes masks of 0 and 1, or of 0 and 255")
    message += f"the network's output has {classes} classes, from 0"
    if values == [_WHITE]:
        help = "if these pixels do not count, write `loss cross_entropy ignore=255`"
    else:
        help = 'list the values as colours in the order of the classes, such as colours=["#000000", "#808080"] for 0 and 128'
    return bad_file(where, message, help)


def _report_pixels(
    request: Request, source: str, classes: Sequence[str], counts: NDArray[np.int64], table: NDArray[Any]
) -> None:
    """Reports the part of the pixels that each class has: `masks: 3 classes: 0 91.2 %, 1 8.1 %, 2 0.7 %`."""
    by_label = np.bincount(table.astype(np.int64), counts, minlength=256)
    total = max(1, int(counts.sum()))
    names = classes or ("0", "1")
    parts = [f"{name} {by_label[n] / total:.1%}" for n, name in enumerate(names[:10])]
    parts += ["..."] if len(names) > 10 else []
    if request.ignore is not None and by_label[request.ignore]:
        parts.append(f"ignored {by_label[request.ignore] / total:.1%}")
    request.report(f"{source}: pixels per class: {', '.join(parts)}")
