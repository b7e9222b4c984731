"""Fields that are not images: metadata columns and stored bytes into batch arrays, every access bounded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ffprep.kernels.jit import kernel
from ffprep.kernels.memory import copy_bytes, fill_zero, put_u8

GATHER_OK, GATHER_OUTSIDE, GATHER_WRONG_SIZE = 0, 104, 105
"""Status codes: fine; the payload does not lie in the file; it has another size than the row."""


@kernel
def gather_rows(
    data_address: int,
    data_size: int,
    offsets: NDArray[np.uint64],
    sizes: NDArray[np.uint64],
    out_address: int,
    row_bytes: int,
    status: NDArray[np.int64],
) -> int:
    """Copy payloads of exactly `row_bytes` (ndarray fields, token blocks) into the rows of a batch.

    Parameters
    ----------
    data_address, data_size : int
        The file's bytes.
    offsets, sizes : uint64 arrays of shape (n,)
        Where each payload lies in the file and how many bytes it has.
    out_address : int
        Address of n rows of `row_bytes`.
    status : int64 array of shape (n,)
        Receives GATHER_OK, GATHER_OUTSIDE or GATHER_WRONG_SIZE.

    Returns
    -------
    int
        How many failed; their rows are zero.
    """
    failed = 0
    for i in range(offsets.size):
        out = out_address + i * row_bytes
        offset, size = np.uint64(offsets[i]), np.uint64(sizes[i])
        if size != np.uint64(row_bytes):
            status[i] = GATHER_WRONG_SIZE
        elif offset > np.uint64(data_size) or size > np.uint64(data_size) - offset:
            status[i] = GATHER_OUTSIDE
        else:
            status[i] = GATHER_OK
            copy_bytes(out, data_address + np.int64(offset), row_bytes)
        if status[i] != GATHER_OK:
            fill_zero(out, row_bytes)
            failed += 1
    return failed


@kernel
def gather_ragged(
    data_address: int,
    data_size: int,
    offsets: NDArray[np.uint64],
    sizes: NDArray[np.uint64],
    out_address: int,
    row_bytes: int,
    pad: NDArray[np.uint8],
    lengths: NDArray[np.int64],
    status: NDArray[np.int64],
) -> int:
    """Copy payloads of any size into rows of `row_bytes`: longer ones are cut, shorter ones padded.

    Parameters
    ----------
    pad : uint8 array
        Bytes of one padding element, repeated through the rest of a row from the payload's end on.
    lengths : int64 array of shape (n,)
        Receives the bytes copied.
    data_address, data_size, offsets, sizes, out_address, status
        As in :func:`gather_rows`; no size is wrong here.

    Returns
    -------
    int
        How many failed; their rows are all padding and their length is 0.
    """
    failed = 0
    for i in range(offsets.size):
        out = out_address + i * row_bytes
        offset, size = np.uint64(offsets[i]), np.uint64(sizes[i])
        count = np.int64(0)
        status[i] = GATHER_OK
        if offset > np.uint64(data_size) or size > np.uint64(data_size) - offset:
            status[i] = GATHER_OUTSIDE
            failed += 1
        else:
            count = np.int64(min(size, np.uint64(row_bytes)))
            copy_bytes(out, data_address + np.int64(offset), count)
        lengths[i] = count
        for j in range(count, row_bytes):
            put_u8(out + j, pad[(j - count) % pad.size])
    return failed


@kernel
def gather_values(
    column_address: int,
    column_rows: int,
    column_stride: int,
    rows: NDArray[np.int64],
    out_address: int,
    value_bytes: int,
) -> int:
    """Copy the fixed-size metadata of samples (floats, ints) into a batch.

    Parameters
    ----------
    column_address, column_rows, column_stride : int
        Address of the first sample's value, number of samples, bytes from one sample to the next.
    rows : int64 array of shape (n,)
        Samples to fetch.
    out_address : int
        Address of n values of `value_bytes`.

    Returns
    -------
    int
        How many of `rows` are outside 0..column_rows-1; their values are zero.
    """
    failed = 0
    for i in range(rows.size):
        out = out_address + i * value_bytes
        row = rows[i]
        if row < 0 or row >= column_rows:
            fill_zero(out, value_bytes)
            failed += 1
        else:
            copy_bytes(out, column_address + row * column_stride, value_bytes)
    return failed
