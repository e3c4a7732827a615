"""What training would see of a data set: its shares, inputs, targets, classes and duplicates, as plain data for JSON.

In: a `Dataset`, and its shares by name: training, validation, test. Every example is read once, batch by batch. Out: a
dict of numbers, texts and lists; docs/cli.md describes its keys. Inputs of bytes are measured as training scales them, from 0
to 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc.data.column_statistics import ColumnStatistics
from cnnc.data.dataset import Column, Dataset, Split, display_name
from cnnc.data.duplicates import Duplicates, ExampleDigests, ExampleId, find_duplicates
from cnnc.data.near_duplicates import Fingerprints, NearDuplicates, find_near
from cnnc.data.text import PADDING, UNKNOWN

_BATCH_BYTES = 2**24
_WHITE = 255.0

Facts = dict[str, Any]


def survey(
    data: Dataset, shares: Mapping[str, Split], input_names: Sequence[str] = (), ignored_label: int | None = None
) -> Facts:
    """Reads all examples of all shares. Raises CnncError E602 where a file has changed since it was opened."""
    measured = {name: _ShareSurvey(data, share, ignored_label) for name, share in shares.items()}
    training = next(iter(shares.values()))
    duplicates = find_duplicates([share.digests for share in measured.values()])
    near = None
    if all(Fingerprints.fit(share.inputs[0].shape[1:]) for share in shares.values()) and not data.vocabulary:
        near = find_near([share.fingerprints for share in measured.values()], duplicates.group_of)
    names = list(input_names) if len(input_names) == len(training.inputs) else _numbered("x", len(training.inputs))
    return {
        "data": data.name,
        "source": data.facts.source,
        "shares": {name: {"examples": len(share)} for name, share in shares.items()},
        "inputs": [_input_facts(measured, n, name, training.inputs[n]) for n, name in enumerate(names)],
        "vocabulary": len(data.vocabulary),
        "targets": [
            _target_facts(measured, n, name, training.targets[n], data.classes if n == 0 else ())
            for n, name in enumerate(_numbered("y", len(training.targets)))
        ],
        "files": {
            "sizes": dict(sorted(data.facts.sizes.items(), key=lambda item: -item[1])),
            "modes": dict(sorted(data.facts.modes.items(), key=lambda item: -item[1])),
            "resized": data.facts.resized,
            "conversions": dict(data.facts.conversions),
            "skipped": [{"file": file, "reason": reason} for file, reason in data.facts.skipped.items()],
            "unread": list(data.facts.unread),
        },
        "duplicates": {**_duplicate_facts(duplicates, shares, measured), "near": _near_facts(near, shares)},
    }


def _numbered(name: str, count: int) -> list[str]:
    return [name] if count == 1 else [f"{name}{n}" for n in range(1, count + 1)]


class _ShareSurvey:
    """One pass over a share: digests of the examples, and what each input and target column holds."""

    def __init__(self, data: Dataset, share: Split, ignored_label: int | None) -> None:
        self.digests = ExampleDigests()
        self.fingerprints = Fingerprints()
        has_images = Fingerprints.fit(share.inputs[0].shape[1:]) and not data.vocabulary
        self.inputs = [_measure(column, bool(data.vocabulary)) for column in share.inputs]
        self.targets = [_measure_target(column, len(data.classes), ignored_label) for column in share.targets]
        for inputs, targets in share.batches(list(_parts(share))):
            self.digests.add(inputs)
            if has_images:
                self.fingerprints.add(inputs[0])
            for measure, batch in zip([*self.inputs, *self.targets], [*inputs, *targets], strict=True):
                measure.add(batch)


def _parts(share: Split) -> Iterator[slice]:
    """Parts of a share that take little memory each."""
    size = sum(math.prod(c.shape[1:]) * c.dtype.itemsize for c in (*share.inputs, *share.targets))
    step = max(1, _BATCH_BYTES // max(1, size))
    return (slice(first, min(first + step, len(share))) for first in range(0, len(share), step))


# ---- what a column holds


class _Values:
    """Numbers: their statistics per channel; bytes divided by 255."""

    kind = "values"

    def __init__(self, column: Column) -> None:
        self._scale = _WHITE if column.dtype == np.uint8 else 1.0
        self._statistics = ColumnStatistics(column.shape[1] if len(column.shape) > 1 else 1)

    def add(self, batch: NDArray[Any]) -> None:
        self._statistics.add(batch if batch.ndim > 1 else batch[:, None])

    @property
    def facts(self) -> Facts:
        """Of an empty share, all numbers are null."""
        s = self._statistics
        if not s.count:
            return dict.fromkeys(("minimum", "maximum", "mean", "deviation"))
        whole = s.together()
        return {
            "minimum": float(whole.minimum[0]),
            "maximum": float(whole.maximum[0]),
            "mean": (s.mean / self._scale).tolist(),
            "deviation": (s.deviation / self._scale).tolist(),
            "overall_mean": float(whole.mean[0] / self._scale),
            "overall_deviation": float(whole.deviation[0] / self._scale),
        }


class _Words:
    """Words as integers: how many words sentences have, and how many of them are unknown."""

    kind = "words"

    def __init__(self) -> None:
        self._words = self._unknown = self._longest = self._examples = 0

    def add(self, batch: NDArray[Any]) -> None:
        lengths = (batch != PADDING).sum(axis=1)
        self._examples += len(batch)
        self._words += int(lengths.sum())
        self._longest = max(self._longest, int(lengths.max(initial=0)))
        self._unknown += int((batch == UNKNOWN).sum())

    @property
    def facts(self) -> Facts:
        """Words per sentence on average and at most, and the fraction of unknown words."""
        mean, unknown = self._words / max(1, self._examples), self._unknown / max(1, self._words)
        return {"mean_words": mean, "most_words": self._longest, "unknown": unknown}


class _Labels:
    """Labels, one for each example or for each position of a label map: how often each occurs."""

    def __init__(self, column: Column, classes: int, ignored: int | None) -> None:
        self.kind = "labels" if len(column.shape) == 1 else "label maps"
        self._ignored = ignored
        self.counts = np.zeros(classes, np.int64)
        self.ignored = 0
        self.of_each: list[NDArray[np.int64]] = []  # examples, where each has one label

    def add(self, batch: NDArray[Any]) -> None:
        labels = batch.reshape(-1)
        if self._ignored is not None:
            counted = labels[labels != self._ignored]
            self.ignored += len(labels) - len(counted)
        else:
            counted = labels
        counts = np.bincount(counted, minlength=len(self.counts))
        counts[: len(self.counts)] += self.counts
        self.counts = counts
        if self.kind == "labels":
            self.of_each.append(labels)

    @property
    def facts(self) -> Facts:
        """How many labels do not count."""
        return {"ignored": self.ignored}


def _measure(column: Column, words: bool) -> _Values | _Words:
    return _Words() if words and column.dtype == np.int64 else _Values(column)


def _measure_target(column: Column, classes: int, ignored: int | None) -> _Values | _Labels:
    return _Labels(column, classes, ignored) if column.dtype == np.int64 else _Values(column)


def _input_facts(shares: Mapping[str, _ShareSurvey], n: int, name: str, column: Column) -> Facts:
    """The input in training, and what the other shares hold of it."""
    return {
        "name": name,
        "kind": next(iter(shares.values())).inputs[n].kind,
        "shape": list(column.shape[1:]),
        "dtype": str(column.dtype),
        "shares": {share: surveyed.inputs[n].facts for share, surveyed in shares.items()},
    }


def _target_facts(
    shares: Mapping[str, _ShareSurvey], n: int, name: str, column: Column, classes: Sequence[str]
) -> Facts:
    measures = {share: surveyed.targets[n] for share, surveyed in shares.items()}
    counts = {share: measure.counts for share, measure in measures.items() if isinstance(measure, _Labels)}
    total = max((len(count) for count in counts.values()), default=0)
    names = [*classes, *map(str, range(len(classes), total))]
    return {
        "name": name,
        "kind": next(iter(measures.values())).kind,
        "shape": list(column.shape[1:]),
        "dtype": str(column.dtype),
        "shares": {share: measure.facts for share, measure in measures.items()},
        "classes": [
            {"name": names[k], **{share: int(count[k]) if k < len(count) else 0 for share, count in counts.items()}}
            for k in range(total)
        ],
    }


# ---- duplicates


def _duplicate_facts(found: Duplicates, shares: Mapping[str, Split], measured: Mapping[str, _ShareSurvey]) -> Facts:
    names = list(shares)
    return {
        "within": dict(zip(names, found.within, strict=True)),
        "across": [{"of": names[b], "also_in": names[a], "examples": count} for (a, b), count in found.across.items()],
        "different_labels": _with_different_labels(found.group_of, list(measured.values())),
        "groups": [[_example_facts(example, names, shares) for example in group] for group in found.groups],
    }


def _near_facts(found: NearDuplicates | None, shares: Mapping[str, Split]) -> Facts | None:
    """The images that look the same in two shares; None where the examples are no images, or very small ones."""
    if found is None:
        return None
    names = list(shares)
    pairs = [[*(_example_facts(example, names, shares) for example in pair[:2]), pair.likeness] for pair in found.pairs]
    across = [{"of": names[b], "also_in": names[a], "examples": count} for (a, b), count in found.across.items()]
    return {"across": across, "pairs": [{"examples": pair[:2], "likeness": pair[2]} for pair in pairs]}


def _with_different_labels(contents: NDArray[np.int64], shares: Sequence[_ShareSurvey]) -> int | None:
    """How many examples equal one that has another label; None where examples do not have one label each."""
    firsts = [share.targets[0] if share.targets else None for share in shares]
    parts: list[NDArray[np.int64]] = []
    for first in firsts:
        if not isinstance(first, _Labels) or first.kind != "labels":
            return None
        parts += first.of_each
    pairs = np.unique(np.stack([contents, np.concatenate(parts)]), axis=1)
    labels_of = np.bincount(pairs[0])
    return int((labels_of[contents] > 1).sum())


def _example_facts(example: ExampleId, names: Sequence[str], shares: Mapping[str, Split]) -> Facts:
    share = names[example.share]
    files = filter(None, (display_name(column, example.number) for column in shares[share].inputs))
    return {"share": share, "example": example.number, "file": " and ".join(files) or None}
