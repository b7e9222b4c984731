"""Which page of its file each sample lies in; what QUASI_RANDOM shuffles and what is read ahead follows from it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from ffprep.beton.reader import Reader
from ffprep.loader.engine.readahead import first_pages
from ffprep.loader.files import Files, Ids

SAMPLES_PER_PAGE_BITS = 12
"""Samples without payloads have no page: 2 to the power of this many consecutive ones count as a page."""


def has_payload(reader: Reader, name: str) -> bool:
    """Return whether a file keeps the values of a field in its pages."""
    return name in reader.fields and reader.fields[name].pointer is not None


def payload_fields(sources: Collection[str], files: Files) -> list[str]:
    """Return those of the fields that at least one file keeps in its pages."""
    return [
        name for name in files.fields if name in sources and any(has_payload(reader, name) for reader in files.readers)
    ]


def pages_of(reader: Reader, name: str) -> Ids:
    """Return the page of one file in which each payload begins: int64, shape (samples of the file,)."""
    shift = np.uint64(reader.page_size.bit_length() - 1)
    pages: Ids = (reader.extents(name)[0] >> shift).astype(np.int64)
    return pages


def payload_pages(files: Files, name: str) -> Ids:
    """Return the page of each sample's payload: int64, shape (samples of all files,).

    Pages are numbered over all files, see `first_pages`; samples of files without such a payload have -1.
    """
    return np.concatenate(
        [
            pages_of(reader, name) + first if has_payload(reader, name) else np.full(reader.num_samples, -1, np.int64)
            for reader, first in zip(files.readers, first_pages(files.readers)[:-1], strict=True)
        ]
    )


def main_pages(files: Files, payloads: Sequence[str]) -> Ids:
    """Return the page of each sample's payload in the field that takes most room: int64, shape (samples of all files,).

    A sample that lacks this field is placed by the next largest that it has. Samples without any payload are given
    made-up pages after all others.
    """

    def size(name: str) -> float:
        readers = [reader for reader in files.readers if has_payload(reader, name)]
        return sum(float(reader.extents(name)[1].sum(dtype=np.float64)) for reader in readers)

    main = np.full(files.num_samples, -1, np.int64)
    for name in sorted(payloads, key=size, reverse=True):
        main = np.where(main < 0, payload_pages(files, name), main)
    if (main < 0).any():
        last = int(first_pages(files.readers)[-1])
        main = np.where(main < 0, last + (np.arange(len(main)) >> SAMPLES_PER_PAGE_BITS), main)
    return main
