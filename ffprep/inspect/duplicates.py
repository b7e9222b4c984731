"""Exact duplicates within and between files: of stored images, of decoded pictures, of texts.

Each image or text becomes a key of 16 bytes; sorting the keys brings equal ones together. Keys of stored images are the
checksums in the file and their sizes, so that only images which look alike are read. Memory is about 40 bytes for each
image or text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from ffprep.beton.checksums import open_checked, payload_sums, row_sums
from ffprep.beton.reader import Reader
from ffprep.beton.sets import SetFile, check_same_tokens, source_of
from ffprep.common.formatting import one_line
from ffprep.common.workers.cpus import usable_cpus
from ffprep.common.workers.ordered import ordered_map, threads
from ffprep.errors import OptionError
from ffprep.inspect.pixels import decoded_image
from ffprep.text.blocks.blocks import open_blocks, source_facts

LISTED = 1000
"""Groups whose samples are named, at most."""

_UNIT = 64  # samples of a thread's task
_SHOWN = 10  # samples of a group that are named
_ROWS = 4096  # blocks read at a time

Keys = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Found:
    """One of several equal images or texts.

    Attributes
    ----------
    file : str
    sample : int
    name : str
        The sample's name in its source, if the file has names.
    label : int or None
    """

    file: str
    sample: int
    name: str
    label: int | None


@dataclass
class Duplicates:
    """What is there more than once.

    Attributes
    ----------
    by : str
        "bytes", "pixels" or "text".
    files : list of str
        The arguments.
    items : list of int
        Images or texts of each, those that samples share counted once.
    different : int
        How many of them are different.
    within : list of int
        For each argument, how many of its images or texts are there once more in itself.
    between : list of (int, int, int)
        Two arguments, and how many different images or texts are in both.
    groups : int
        Images or texts that are there more than once.
    labels_differ : int
        Groups whose samples have different labels.
    listed : list of list of Found
        The first groups, at most `LISTED` of them, each with its first samples.
    """

    by: str
    files: list[str]
    items: list[int]
    different: int
    within: list[int]
    between: list[tuple[int, int, int]]
    groups: int = 0
    labels_differ: int = 0
    listed: list[list[Found]] = field(default_factory=list)


@dataclass(frozen=True)
class _Items:
    """The images or texts of one file: their keys, and the sample of each."""

    keys: Keys
    samples: npt.NDArray[np.int64]


def find_duplicates(sets: Sequence[Sequence[SetFile]], by: str | None = None, workers: int | None = None) -> Duplicates:
    """Find what several arguments, each a file or the files of a set, hold more than once.

    Parameters
    ----------
    sets : sequence of sequences of SetFile
    by : {"bytes", "pixels", "text"}, optional
        What has to be equal: the images as stored; the pictures, decoded; the tokens of captions, rows and blocks. By
        default the images, and the tokens where there are none.
    workers : int, optional
        Threads; by default as many as there are CPUs that this process may use.

    Raises
    ------
    OptionError
        A file has no images, or no text; or the files number their tokens differently.
    BetonError
        A file cannot be used.
    """
    workers = workers or usable_cpus()
    files = [file for files in sets for file in files]
    owner = np.repeat(np.arange(len(sets)), [len(files) for files in sets])
    if by is None:
        with open_checked(files[0]) as reader:
            by = "bytes" if _image_field(reader) else "text"
    if by == "text":
        check_same_tokens(_sources(files))
    items = []
    for file in files:
        with open_checked(file) as reader:
            items.append(_items(reader, by, workers))
    counts = [len(one.keys) for one in items]
    starts = np.concatenate([[0], np.cumsum(counts)])
    keys = np.concatenate([one.keys for one in items])
    samples = np.concatenate([one.samples for one in items])
    del items
    found = Duplicates(
        by,
        [_name(files) for files in sets],
        np.bincount(owner, counts, len(sets)).astype(int).tolist(),
        0,
        [0] * len(sets),
        [],
    )
    order, groups = _equal(keys)
    details = _Details(files, starts, samples)
    if by == "bytes":
        order, groups = details.confirmed(order, workers)
    owners = owner[np.searchsorted(starts, order, "right") - 1]
    if by != "text":
        again = details.stored_again(order, groups)
        found.items = (np.array(found.items) - np.bincount(owners[again], minlength=len(sets))).tolist()
        order, groups, owners = (part[~again] for part in (order, groups, owners))
    several = np.bincount(groups, minlength=1)[groups] > 1
    order, groups, owners = (part[several] for part in (order, groups, owners))
    return _counted(found, order, _by_appearance(order, groups), details.labels(order), owners, details)


def _by_appearance(items: npt.NDArray[np.int64], groups: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Groups numbered from 0 in the order of their first items; those of a group stay together."""
    _, first, place = np.unique(groups, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(items[first])] = np.arange(len(first))
    return rank[place.reshape(-1)]


def _sources(files: Sequence[SetFile]) -> Iterator[tuple[Any, Any]]:
    for file in files:
        with open_checked(file) as reader:
            yield file.path, source_of(reader.manifest)


def _name(files: Sequence[SetFile]) -> str:
    if files[0].index is not None:
        return str(files[0].index)
    return str(files[0].path) + (f" and {len(files) - 1} more" if len(files) > 1 else "")


def _image_field(reader: Reader) -> str | None:
    names = [name for name, one in reader.fields.items() if one.type_id == 2]
    return "image" if "image" in names else names[0] if names else None


def _items(reader: Reader, by: str, workers: int) -> _Items:
    if by == "text":
        return _texts(reader)
    name = _image_field(reader)
    if name is None:
        raise OptionError(f"{reader.path}: has no images; --by text compares its texts")
    offsets, sizes = reader.extents(name)
    _, samples = np.unique(offsets, return_index=True)
    samples = np.sort(samples)
    rows = row_sums(reader) if by == "bytes" else None
    if rows is not None:
        return _Items(np.stack([payload_sums(reader, name, rows).sums[samples], sizes[samples]], 1), samples)

    def key(sample: int) -> tuple[int, int]:
        if by == "bytes":
            payload = reader.payload(name, sample)
            return xxhash.xxh3_64_intdigest(payload.data), len(payload)
        pixels = decoded_image(reader, name, sample)
        return _halves(np.ascontiguousarray(pixels).data, pixels.shape)

    return _Items(_in_threads(key, samples, workers), samples)


def _texts(reader: Reader) -> _Items:
    if "tokens" not in reader.fields:
        raise OptionError(f"{reader.path}: has no texts as tokens; --by bytes or pixels compares its images")
    keys: list[tuple[int, int]] = []
    samples: list[int] = []
    if "blocks" in source_facts(reader) or "length" not in reader.fields:
        blocks = open_blocks(reader)
        for start in range(0, blocks.count, _ROWS):
            rows = blocks.rows(np.arange(start, min(start + _ROWS, blocks.count)))
            keys += [_halves(row.astype("<u4").data, ()) for row in rows]
        numbers = np.arange(blocks.count) // blocks.per_sample
        return _Items(np.array(keys, np.uint64).reshape(-1, 2), numbers)
    for sample in range(reader.num_samples):
        tokens, lengths = reader.value("tokens", sample), np.atleast_1d(reader.value("length", sample))
        for row, length in zip(np.atleast_2d(tokens), lengths.tolist(), strict=False):
            if length:
                keys.append(_halves(np.asarray(row)[:length].astype("<u4").data, ()))
                samples.append(sample)
    return _Items(np.array(keys, np.uint64).reshape(-1, 2), np.array(samples, np.int64))


def _halves(data: memoryview, shape: tuple[int, ...]) -> tuple[int, int]:
    """The 128-bit digest of data of some shape."""
    digest = xxhash.xxh3_128(data)
    digest.update(repr(shape).encode())
    whole = digest.intdigest()
    return whole >> 64, whole & (1 << 64) - 1


def _digest(reader: Reader, name: str, sample: int) -> tuple[int, int]:
    return _halves(reader.payload(name, sample).data, ())


def _in_threads(key: Callable[[int], tuple[int, int]], samples: npt.NDArray[np.int64], workers: int) -> Keys:
    def some(start: int) -> list[tuple[int, int]]:
        return [key(sample) for sample in samples[start : start + _UNIT].tolist()]

    found: list[tuple[int, int]] = []
    for unit in ordered_map(
        threads(some, workers, name="ffprep-duplicates"), range(0, len(samples), _UNIT), 2 * workers
    ):
        found += unit
    return np.array(found, np.uint64).reshape(-1, 2)


def _equal(keys: Keys) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The items whose key is there more than once, equal ones together and in order, and the number of each's group."""
    order = np.lexsort((keys[:, 1], keys[:, 0]))
    same = (keys[order[1:]] == keys[order[:-1]]).all(1)
    inside = np.zeros(len(order), np.bool_)
    inside[1:] |= same
    inside[:-1] |= same
    group = np.cumsum(np.concatenate([[True], ~same]))[: len(order)]
    return order[inside], group[inside]


@dataclass(frozen=True)
class _Details:
    """What is looked up of items that may be duplicates."""

    files: Sequence[SetFile]
    starts: npt.NDArray[np.int64]
    samples: npt.NDArray[np.int64]

    def by_file(self, items: npt.NDArray[np.int64]) -> Iterator[tuple[Reader, npt.NDArray[np.int64], Any]]:
        """Each file that has some of the items, open; their places among `items`; and their samples in the file."""
        for number, file in enumerate(self.files):
            places = np.flatnonzero((items >= self.starts[number]) & (items < self.starts[number + 1]))
            if len(places):
                with open_checked(file) as reader:
                    yield reader, places, self.samples[items[places]]

    def confirmed(
        self, items: npt.NDArray[np.int64], workers: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Items whose stored images are equal, too, by 128 bits of digest."""
        digests = np.zeros((len(items), 2), np.uint64)
        for reader, places, samples in self.by_file(items):
            name = _image_field(reader)
            assert name is not None
            digests[places] = _in_threads(partial(_digest, reader, name), samples, workers)
        kept, group = _equal(digests)
        return items[kept], group

    def labels(self, items: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The label of each item's sample; -1 where it has none."""
        labels = np.full(len(items), -1)
        for reader, places, samples in self.by_file(items):
            if "label" in reader.fields and reader.fields["label"].type_id == 1:
                labels[places] = np.asarray(reader.column("label"))[samples]
        return labels

    def stored_again(self, items: npt.NDArray[np.int64], groups: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which items are an image that its file stores in another place, too, for samples in other pages."""
        ids, known = np.zeros(len(items), np.int64), np.zeros(len(items), np.bool_)
        file = np.searchsorted(self.starts, items, "right")
        for reader, places, samples in self.by_file(items):
            if "image_id" in reader.fields and reader.fields["image_id"].type_id == 1:
                ids[places], known[places] = np.asarray(reader.column("image_id"))[samples], True
        unknown = np.where(known, 0, np.arange(len(items)) + 1)
        _, first = np.unique(np.stack([groups, file, ids, unknown]), axis=1, return_index=True)
        again = np.ones(len(items), np.bool_)
        again[first] = False
        return again

    def named(self, items: npt.NDArray[np.int64], labels: npt.NDArray[np.int64]) -> list[Found]:
        """Where items are."""
        found: dict[int, Found] = {}
        for reader, places, samples in self.by_file(items):
            for place, sample in zip(places.tolist(), samples.tolist(), strict=True):
                label = int(labels[place])
                found[place] = Found(
                    str(reader.path), sample, reader.sample_name(sample), label if label >= 0 else None
                )
        return [found[place] for place in range(len(items))]


def _counted(
    found: Duplicates,
    items: npt.NDArray[np.int64],
    groups: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int64],
    owner: npt.NDArray[np.int64],
    details: _Details,
) -> Duplicates:
    found.groups = int(groups.max()) + 1 if len(groups) else 0
    found.different = sum(found.items) - len(items) + found.groups
    held = np.unique(np.stack([groups, owner]), axis=1) if len(groups) else np.zeros((2, 0), np.int64)
    for number in range(len(found.files)):
        mine = owner == number
        found.within[number] = int(mine.sum()) - int((held[1] == number).sum())
        for other in range(number + 1, len(found.files)):
            shared = len(np.intersect1d(held[0][held[1] == number], held[0][held[1] == other]))
            found.between.append((number, other, shared))
    if len(groups):
        least, most = np.full(found.groups, np.iinfo(np.int64).max), np.full(found.groups, -1)
        labelled = labels >= 0
        np.minimum.at(least, groups[labelled], labels[labelled])
        np.maximum.at(most, groups[labelled], labels[labelled])
        found.labels_differ = int((least < most).sum())
        starts = np.flatnonzero(np.diff(groups, prepend=-1))
        rank = np.arange(len(groups)) - np.repeat(starts, np.diff(starts, append=len(groups)))
        shown = (groups < LISTED) & (rank < _SHOWN)
        found.listed = [[] for _ in range(min(found.groups, LISTED))]
        for group, one in zip(groups[shown].tolist(), details.named(items[shown], labels[shown]), strict=True):
            found.listed[group].append(one)
    return found


def render_duplicates(found: Duplicates, shown: int = 20) -> str:
    """Say what was found, and the first groups."""
    what = {
        "bytes": "images by their stored bytes",
        "pixels": "images by their pixels",
        "text": "texts by their tokens",
    }
    lines = [f"{what[found.by]}: {found.different:,} different ones of {sum(found.items):,}"]
    for name, items, again in zip(found.files, found.items, found.within, strict=True):
        lines.append(f"  {again:>12,}  of {items:,} once more within {one_line(name)}")
    for one, other, both in found.between:
        lines.append(f"  {both:>12,}  in {one_line(found.files[one])} and in {one_line(found.files[other])}")
    if found.labels_differ:
        lines.append(f"  {found.labels_differ:>12,}  with different labels")
    for group in found.listed[:shown]:
        lines.append("  " + "  =  ".join(map(_place, group)))
    if found.groups > shown:
        lines.append(f"  ... and {found.groups - shown:,} more; --form json lists up to {LISTED:,}")
    return "\n".join(lines)


def _place(one: Found) -> str:
    label = "" if one.label is None else f", label {one.label}"
    return f"{one_line(one.file)} {one.sample:,}" + (f" ({one.name}{label})" if one.name or label else "")
