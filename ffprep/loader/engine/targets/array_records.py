"""What workers are told about images that are stored as arrays: records of ``abi.ARRAY_VIEW``."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep import abi
from ffprep.fields import ArrayImageField
from ffprep.fields.dense.images import RESULTS
from ffprep.kernels.jit import entry_address
from ffprep.kernels.resample.weights import FILTERS
from ffprep.loader.engine.targets.arrays import make_array
from ffprep.loader.engine.targets.shared import SIGNATURE
from ffprep.loader.files import Files
from ffprep.loader.plan.outputs import ArrayView, NativeOp


def fill_arrays(
    tasks: npt.NDArray[np.void], view: ArrayView, op: NativeOp, files: Files, spec: npt.NDArray[np.void]
) -> list[Any]:
    """Write down what is shown of arrays; return the owners of the memory that the tasks point into.

    Parameters
    ----------
    tasks : array of ``abi.TASK``, shape (files,)
    view : ArrayView
    op : NativeOp
    files : Files
    spec : array of one ``abi.IMAGE_SPEC``
        Crop, flip, size and filter.
    """
    own: Any = files.fields[op.field]
    decoder, form = view.decoder, view.form
    scale = np.broadcast_to(1.0 / decoder.std, form.channels)
    colour = np.ascontiguousarray(np.stack([scale, -decoder.mean * scale], 1))
    if decoder.interpolation in FILTERS:
        spec["filter"] = FILTERS[decoder.interpolation]
    record = np.zeros(1, abi.ARRAY_VIEW)
    record["entry"] = entry_address(make_array, SIGNATURE)
    record["spec"], record["colour"] = spec.ctypes.data, colour.ctypes.data
    record["channels"], record["planar"] = form.channels, int(form.planar)
    record["stored"], record["element"] = RESULTS.index(np.dtype(own.dtype).name), RESULTS.index(form.dtype)
    record["image_filter"] = int(decoder.interpolation != "nearest")
    if not isinstance(own, ArrayImageField):
        planes = len(own.shape) == 3 and decoder.planes
        record["planes"] = int(planes)
        record["height"], record["width"] = own.shape[1:] if planes else own.shape[:2]
    kept: list[Any] = [spec, colour]
    for reader, task in zip(files.readers, tasks, strict=True):
        mine = record.copy()
        if view.image is not None:
            column = reader.column(view.image)
            mine["meta"], mine["meta_stride"] = column.ctypes.data, column.strides[0]
            kept.append(column)
        task["target"] = mine.ctypes.data
        kept.append(mine)
    return kept
