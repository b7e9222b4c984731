"""What workers are told about an output that follows an image: records of ``abi.TARGET``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep import abi
from ffprep.beton.reader import Reader
from ffprep.fields import ArrayImageField, NDArrayField, RGBImageField
from ffprep.fields.dense import BoxesDecoder, BoxValuesDecoder, KeypointsDecoder, MaskDecoder
from ffprep.fields.dense.decoders import FORMATS
from ffprep.kernels.jit import entry_address
from ffprep.loader.engine.targets.masks import make_mask
from ffprep.loader.engine.targets.points import make_boxes, make_keypoints, make_values
from ffprep.loader.engine.targets.shared import SIGNATURE
from ffprep.loader.files import Files
from ffprep.loader.plan.outputs import NativeOp, Rows, Target
from ffprep.transforms.image.following import build_followers

ENTRIES: dict[type[Any], Callable[..., int]] = {
    MaskDecoder: make_mask,
    BoxesDecoder: make_boxes,
    BoxValuesDecoder: make_values,
    KeypointsDecoder: make_keypoints,
}

TasksOf = Callable[[NativeOp], tuple[npt.NDArray[np.void], list[Any]]]
"""Returns the tasks of an operation, one for each file, and the owners of their memory."""


def fill_targets(
    tasks: npt.NDArray[np.void], op: NativeOp, files: Files, spec: npt.NDArray[np.void], tasks_of: TasksOf
) -> list[Any]:
    """Write down what an output follows.

    Parameters
    ----------
    tasks : array of ``abi.TASK``, shape (files,)
    op : NativeOp
        Of kind ``target``.
    files : Files
    spec : array of one ``abi.IMAGE_SPEC``
        Of the image that is followed.
    tasks_of : callable
        Gives the tasks of another operation.

    Returns
    -------
    list
        Owners of the memory that the tasks point into.
    """
    assert op.target is not None
    records, kept = _records(op.target, op, files, spec)
    if isinstance(files.fields[op.target.field], ArrayImageField):
        noted, owners = tasks_of(NativeOp("ragged", op.target.field, [((1,), np.dtype(np.uint8))]))
        kept += [noted, *owners]
        for record, task in zip(records, np.split(noted, len(noted)), strict=True):
            record["leader"] = task.ctypes.data
    tasks["target"] = [record.ctypes.data for record in records]
    if op.target.boxes is None:
        return kept
    source, decoder = op.target.boxes
    rows: list[Rows] = [((1, 4), np.dtype("<f4")), ((), np.dtype(np.int64))]
    boxes = NativeOp("target", source, rows, target=op.target.of_boxes(decoder))
    noted, owners = tasks_of(boxes)
    own = noted.copy()
    kept += [own, *owners, *fill_targets(own, boxes, files, spec, tasks_of)]
    for record, task in zip(records, np.split(own, len(own)), strict=True):
        record["boxes"] = task.ctypes.data
    return kept


def recorded_sizes(reader: Reader, target: Target) -> tuple[npt.NDArray[Any], int]:
    """Return records that begin with mode, width and height of images, and the bytes from one sample's to the next."""
    own = reader.fields[target.field]
    if isinstance(own, RGBImageField):
        column = reader.column(target.field)
        return column, column.strides[0]
    record = np.zeros(5, np.uint8)
    if isinstance(own, NDArrayField):
        record[1:] = np.frombuffer(np.array(target.sides[::-1], "<u2").tobytes(), np.uint8)
    return record, 0


def _records(
    target: Target, op: NativeOp, files: Files, spec: npt.NDArray[np.void]
) -> tuple[list[npt.NDArray[np.void]], list[Any]]:
    """Return a record for each file, and the owners of the memory that they point into."""
    decoder, form = target.decoder, target.form
    record = np.zeros(1, abi.TARGET)
    kept: list[Any] = [spec]
    masks = isinstance(decoder, MaskDecoder)
    dtype = str(getattr(files.fields[op.field], "dtype", "uint8")) if masks else "uint8"
    what = "labels" if masks else "points"
    steps, largest, work, owners = build_followers(form, what, dtype, decoder.fill if masks else 0)
    kept += owners
    record["entry"] = entry_address(ENTRIES[type(decoder)], SIGNATURE)
    record["spec"], record["steps"], record["count"] = spec.ctypes.data, steps.ctypes.data, len(steps)
    record["out_h"], record["out_w"], record["work"] = form.height, form.width, -(-work // 64) * 64
    if masks:
        item = np.dtype(dtype).itemsize
        record["item"], record["scratch"] = item, -(-item * largest // 64) * 64
        record["fill"] = decoder.fill
    elif isinstance(decoder, BoxesDecoder):
        record["stored"], record["format"] = FORMATS.index(decoder.stored), FORMATS.index(decoder.format)
        record["min_size"], record["min_area"] = decoder.min_size, decoder.min_area
    elif isinstance(decoder, KeypointsDecoder):
        swaps = np.array(decoder.swap, np.int64).reshape(-1, 2)
        record["columns"], record["swaps"], record["swap_count"] = op.rows[0][0][1], swaps.ctypes.data, len(swaps)
        kept.append(swaps)
    records = []
    for reader in files.readers:
        own = record.copy()
        column, own["meta_stride"] = recorded_sizes(reader, target)
        own["meta"] = column.ctypes.data
        records.append(own)
        kept += [own, column]
    return records, kept
