"""How many different images a file holds when several samples may share one."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from ffprep.beton.opening.tables import BetonTables


def count_images(file: BetonTables, samples: npt.NDArray[np.int64] | None = None, field: str = "image") -> int:
    """Count the different images of a file, or of some of its samples.

    Samples that point at the same bytes have the same image. When the samples of one image lie in different pages, the
    writer stores the image in each of them: equal bytes with the same ``image_id`` count as one image.

    Parameters
    ----------
    file : BetonTables
    samples : ndarray of int64, optional
        Numbers of samples; by default all.
    field : str
        Name of the image field.
    """
    offsets, sizes = file.extents(field)
    numbers = np.arange(file.num_samples) if samples is None else samples
    _, first = np.unique(offsets[numbers], return_index=True)
    numbers = numbers[first]
    if "image_id" not in file.fields or len(numbers) == file.num_samples:
        return len(numbers)
    both = np.stack([np.asarray(file.column("image_id"))[numbers].astype(np.int64), sizes[numbers].astype(np.int64)])
    _, place, counts = np.unique(both, axis=1, return_inverse=True, return_counts=True)
    again = counts[place.reshape(-1)] > 1
    different: set[tuple[Any, ...]] = {
        (*both[:, i].tolist(), xxhash.xxh3_128_digest(file.payload(field, int(numbers[i])).tobytes()))
        for i in np.flatnonzero(again)
    }
    return int((~again).sum()) + len(different)
