"""A form's operations as the records that workers go by."""

from __future__ import annotations

from typing import Any

import numpy as np

from ffprep import abi
from ffprep.kernels.jit import entry_address
from ffprep.pipeline.form import ImageForm
from ffprep.transforms.image.pixels import element_table


def build_program(form: ImageForm) -> list[Any]:
    """Return the augmentation that does a form's operations, and the owners of the memory that it points into.

    The first member is an array of one ``abi.AUGMENTATION``.
    """
    from ffprep.kernels.image.job import RUN_SIGNATURE
    from ffprep.transforms.compiled.run import run_program

    steps = np.zeros(len(form.ops), abi.AUGMENTATION_STEP)
    kept: list[Any] = [steps]
    height, width = form.rendered_size
    largest, work = height * width, 0
    for step, (op, stream) in zip(steps, form.ops, strict=True):
        numbers = op.numbers(height, width, "uint8")
        step["entry"], step["stream"], step["numbers"] = op.entry(), stream, numbers.ctypes.data
        step["h"], step["w"] = height, width
        kept += [numbers, op]
        work = max(work, op.work(height, width))
        height, width = step["out_h"], step["out_w"] = op.size(height, width)
        step["moves"] = int(op.moves)
        largest = max(largest, height * width)
    table = element_table(form)
    buffer = -(-3 * largest // 64) * 64
    augmentation = np.zeros(1, abi.AUGMENTATION)
    augmentation["entry"] = entry_address(run_program, RUN_SIGNATURE)
    augmentation["scratch"] = 2 * buffer + work + 64
    augmentation["bytes"] = height * width * form.channels * table.itemsize
    augmentation["count"], augmentation["steps"] = len(form.ops), steps.ctypes.data
    augmentation["buffer"] = buffer
    augmentation["table"], augmentation["item"] = table.ctypes.data, table.itemsize
    augmentation["planar"], augmentation["grey"] = int(form.planar), int(form.channels == 1)
    augmentation["pixels"] = height * width
    return [augmentation, *kept, table]
