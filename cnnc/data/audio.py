"""`data audio "words"`: a folder or .zip of recordings, one folder per class, with the same shares as `images`.

    words/yes/1.wav  words/no/1.wav                            a random part becomes the test share
    words/train/yes/1.wav  words/test/yes/1.wav                given shares (see shares.py)

In: a `Request` with the path, the sample rate and the type of the network's input, C x T. Out: a `Dataset` of float32 samples
(N, C, T) from -1 to 1. Without a network the channels are the most frequent ones, and rate and length too unless they are given. audio_file.py says
how a file becomes samples; what was changed is counted and reported. All files are decoded once at the start; files that are
not recordings, or damaged, are skipped and reported, and a class without any recording is an E602. If all recordings fit into
memory they stay there, else each is decoded again when it is read. Examples are in the order of the file names.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc.core.tensor import format_shape
from cnnc.data import Request
from cnnc.data.audio_file import (
    MAX_BYTES,
    MAX_SAMPLES,
    NotRecording,
    RecordingFacts,
    Samples,
    decode_recording,
    recording_facts,
    require_soundfile,
    seconds_text,
)
from cnnc.data.catalog import RATE
from cnnc.data.dataset import Dataset, ReadFacts, Split
from cnnc.data.decoders import worker_count
from cnnc.data.file_tree import FileTree, bad_file, locate, open_tree
from cnnc.data.image_column import largest_in_memory
from cnnc.data.image_decoder import batches_ahead
from cnnc.data.images import (
    REPORT_FROM,
    folder_layout,
    report_skipped,
    report_unread,
    require_examples,
    unread_files,
)
from cnnc.data.shares import SHARES, shares_of
from cnnc.data.splits import report_classes, require_classes
from cnnc.diagnostics import CnncError

ITEM = "recording"
_LONGEST = 60  # seconds of an example where no network says how long it is
_SAMPLE = 200  # files whose headers say the most frequent rate and length
_CHUNK = 256

Shape = tuple[int, int]


def read(request: Request) -> Dataset:
    """Reads the recordings of a folder or .zip. Raises CnncError E602, E603, and E906 without soundfile or soxr."""
    path = locate(request, "audio", "words")
    given_shape = _shape(request)
    require_soundfile()
    tree = open_tree(path)
    layout = folder_layout(tree, ITEM)
    for folder in layout.unread:
        request.report(f"{tree.display_name(folder)} is not read: training reads {layout.train}")
    classes = tuple(layout.classes)
    require_examples(tree, layout, classes, layout.labels[layout.shares == 0], {}, ITEM)
    require_classes(request, classes, path)
    rate, shape = request.rate or RATE, given_shape
    if shape is None:
        rate, shape = _without_network(request, tree, layout.names)
    if len(layout.names) >= REPORT_FROM:
        request.report(f"{path}: decoding {len(layout.names):,} files")
    column = RecordingColumn(tree, layout.names, rate, shape)
    found = column.load()
    skipped = {n: each for n, each in enumerate(found) if isinstance(each, str)}
    decodable = np.setdiff1d(np.arange(len(layout.names)), list(skipped))
    labels, shares = layout.labels[decodable], layout.shares[decodable]
    require_examples(tree, layout, classes, labels[shares == 0], skipped, ITEM)
    report_skipped(request, path, layout.names, skipped)
    report_unread(request, tree, layout)
    facts = _read_facts(str(path), layout.names, found, unread_files(tree, layout))
    for change, count in facts.conversions.items():
        request.report(f"{path}: {change} in {count:,} recordings")
    report_classes(request, path, classes, labels)
    everything = Split.of(column, layout.labels).select(decodable)
    for n, given in layout.given.items():
        if not np.any(shares == n):
            raise bad_file(tree.display_name(given), f"expected {SHARES[n]} recordings, found none")
    return shares_of(request, path, classes, everything, labels, shares).data_set("audio", classes, facts)


def _shape(request: Request) -> Shape | None:
    """The shape of the network's input, None without a network. Raises CnncError E602 where it is not a waveform."""
    shapes = [entry.shape for entry in request.inputs]
    if not shapes:
        return None
    if len(shapes) != 1 or len(shapes[0]) != 2:
        found = " and ".join(map(format_shape, shapes))
        help = "recordings are channels x samples, such as `input 1x16000`"
        raise CnncError.of("E602", f"the network's input is {found}, which is not a waveform", help=help)
    channels, length = shapes[0]
    return channels, length


def _without_network(request: Request, tree: FileTree, names: Sequence[str]) -> tuple[int, Shape]:
    """The sample rate and shape that the request names, else those of most recordings of a sample. Raises CnncError E010."""
    headers = []
    for n in range(0, len(names), max(1, len(names) // _SAMPLE)):
        try:
            headers.append(recording_facts(tree.read(names[n], MAX_BYTES)))
        except (NotRecording, CnncError):
            continue
    if not headers:
        return RATE, (1, RATE)  # the reader says which files are not recordings
    rate = request.rate or Counter(header.rate for header in headers).most_common(1)[0][0]
    seconds = request.seconds
    if seconds is None:
        length = Counter(round(header.frames * rate / header.rate) for header in headers).most_common(1)[0][0]
        seconds = min(length / rate, _LONGEST)
    length = max(1, round(seconds * rate))
    channels = Counter(header.channels for header in headers).most_common(1)[0][0]
    if channels * length > MAX_SAMPLES:
        message = (
            f"seconds={seconds:g} at {rate} Hz is {channels * length:.3g} samples; at most {MAX_SAMPLES:,} are read"
        )
        raise CnncError.of("E010", message, help=f"write seconds={MAX_SAMPLES // channels // rate}")
    text = f"{format_shape((channels, length))}, {seconds_text(length, rate)} at {rate} Hz"
    given = {"rate": request.rate, "length": request.seconds}
    frequent = " and ".join(name for name, value in given.items() if not value)
    more = f", the most frequent {frequent}; a network file sets others" if frequent else ""
    request.report(f"recordings are read as {text}{more}")
    return rate, (channels, length)


def _read_facts(
    source: str, names: Sequence[str], found: Sequence[RecordingFacts | str], unread: Sequence[str]
) -> ReadFacts:
    read = [each for each in found if isinstance(each, RecordingFacts)]
    return ReadFacts(
        source,
        unread,
        {name: each for name, each in zip(names, found, strict=True) if isinstance(each, str)},
        Counter(each.seconds for each in read),
        Counter(each.format for each in read),
        conversions=Counter(change for each in read for change in each.changes),
    )


class RecordingColumn:
    """Recordings (N, C, T), float32: in memory after `load` if they fit, else decoded when they are read."""

    def __init__(self, tree: FileTree, names: Sequence[str], rate: int, shape: Shape) -> None:
        self._tree = tree
        self._names = names
        self._rate = rate
        self._decoded: Samples | None = None
        self.shape = (len(names), *shape)
        self.dtype = np.dtype(np.float32)

    def __len__(self) -> int:
        return len(self._names)

    @property
    def in_memory(self) -> Samples | None:
        """All recordings, where they are kept decoded in memory."""
        return self._decoded

    def display_name(self, n: int) -> str:
        """The file of recording `n` in messages."""
        return self._tree.display_name(self._names[n])

    def load(self) -> list[RecordingFacts | str]:
        """Decodes all files once: what was found in each, or why it is not a recording. Raises CnncError E906."""
        kept = None
        if 4 * prod(self.shape) <= largest_in_memory():
            kept = np.zeros(self.shape, np.float32)
        found: list[RecordingFacts | str] = []
        with ThreadPoolExecutor(max(1, worker_count()), thread_name_prefix="recordings") as threads:
            for first in range(0, len(self), _CHUNK):
                rows = range(first, min(first + _CHUNK, len(self)))
                for n, (samples, facts) in zip(rows, threads.map(self._decode, rows), strict=True):
                    found.append(facts)
                    if kept is not None and samples is not None:
                        kept[n] = samples
        self._decoded = kept
        return found

    def __getitem__(self, chosen: Any) -> NDArray[Any]:
        """Raises CnncError E602 where a file has changed since it was first read and is not a recording any more."""
        if self._decoded is not None:
            kept: NDArray[Any] = self._decoded[chosen]
            return kept
        rows = np.arange(len(self))[chosen]
        samples = np.empty((rows.size, *self.shape[1:]), np.float32)
        for row, n in zip(samples, rows.reshape(-1).tolist(), strict=True):
            row[...] = self._required(n)
        return samples.reshape(*rows.shape, *self.shape[1:])

    def batches(self, parts: Sequence[Any]) -> Iterator[NDArray[Any]]:
        """The recordings at each of the parts, in order; threads decode the next ones meanwhile."""
        workers = worker_count()
        if self._decoded is not None or not workers:
            yield from (self[part] for part in parts)
            return
        every = np.arange(len(self))
        largest = max((every[part].size for part in parts), default=0)
        most = batches_ahead(4 * largest * prod(self.shape[1:]))
        with ThreadPoolExecutor(workers, thread_name_prefix="recordings") as threads:
            ahead = deque([threads.submit(self._required, n) for n in every[part].tolist()] for part in parts[:most])
            for position in range(len(parts)):
                batch = np.stack([row.result() for row in ahead.popleft()])
                if position + most < len(parts):
                    rows = every[parts[position + most]].tolist()
                    ahead.append([threads.submit(self._required, n) for n in rows])
                yield batch

    def _decode(self, n: int) -> tuple[Samples | None, RecordingFacts | str]:
        """The samples of a file and its facts; None and the reason where it is not a recording."""
        name = self._tree.display_name(self._names[n])
        try:
            data = self._tree.read(self._names[n], MAX_BYTES)
        except CnncError as error:  # the caller names the file too
            return None, error.diagnostics[0].message.removeprefix(f"{name}: ")
        try:
            return decode_recording(data, self._rate, (self.shape[1], self.shape[2]))
        except NotRecording as error:
            return None, str(error)

    def _required(self, n: int) -> Samples:
        samples, facts = self._decode(n)
        if samples is None:
            raise bad_file(self.display_name(n), f"is not a recording any more: {facts}")
        return samples
