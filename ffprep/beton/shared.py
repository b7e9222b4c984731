"""How many different images a file holds, though several samples may share one."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from ffprep.beton.reader import Reader


def count_images(reader: Reader, samples: npt.NDArray[np.int64] | None = None, field: str = "image") -> int:
    """Count the different images of a file, or of some of its samples.

    Samples that point at the same bytes have the same image. Where samples of one image lie in different pages, the
    writer stores it in each: bytes that are equal and have one ``image_id`` are one image.

    Parameters
    ----------
    reader : Reader
    samples : ndarray of int64, optional
    field : str
    """
    offsets, sizes = reader.extents(field)
    numbers = np.arange(reader.num_samples) if samples is None else samples
    _, first = np.unique(offsets[numbers], return_index=True)
    numbers = numbers[first]
    if "image_id" not in reader.fields or len(numbers) == reader.num_samples:
        return len(numbers)
    both = np.stack([np.asarray(reader.column("image_id"))[numbers].astype(np.int64), sizes[numbers].astype(np.int64)])
    _, place, counts = np.unique(both, axis=1, return_inverse=True, return_counts=True)
    again = counts[place.reshape(-1)] > 1
    different: set[tuple[Any, ...]] = {
        (*both[:, i].tolist(), xxhash.xxh3_128_digest(reader.payload(field, int(numbers[i])).tobytes()))
        for i in np.flatnonzero(again)
    }
    return int((~again).sum()) + len(different)
