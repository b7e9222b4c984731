"""From a plan's operations to the program that worker threads carry out: tables of records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep import abi
from ffprep.beton.reader import Reader
from ffprep.common.seeds import signed
from ffprep.errors import OptionError
from ffprep.fields.decoders import ImageDecoder
from ffprep.jpeg import native
from ffprep.kernels.image.job import image_spec
from ffprep.kernels.resample.render import streaming_pays
from ffprep.loader.block_reader import BlockReader
from ffprep.loader.engine import rows
from ffprep.loader.engine.buffers import BufferPool, Lent
from ffprep.loader.engine.compiling import tell_when_compiling
from ffprep.loader.engine.targets.array_records import fill_arrays
from ffprep.loader.engine.targets.records import fill_targets
from ffprep.loader.files import Files
from ffprep.loader.plan.captions import STREAM, caption_form
from ffprep.loader.plan.outputs import CaptionChoice, NativeOp
from ffprep.pipeline.form import ImageForm
from ffprep.transforms.image import build_program

KINDS = {
    "value": rows.KIND_VALUE,
    "array": rows.KIND_ARRAY,
    "tokens": rows.KIND_TOKENS,
    "captions": rows.KIND_CAPTIONS,
    "ragged": rows.KIND_RAGGED,
    "image": rows.KIND_IMAGE,
    "target": rows.KIND_TARGET,
    "array_image": rows.KIND_TARGET,
}
CHOICES = {"all": rows.CHOOSE_ALL, "first": rows.CHOOSE_FIRST, "random": rows.CHOOSE_RANDOM}
FORMAT_NAMES = {"uint8": "u8", "float32": "f32", "float16": "f16", "bfloat16": "bf16"}
LARGEST_BATCH = 1 << 40


@dataclass(frozen=True)
class Program:
    """What worker threads do with each sample: the tables they read, and what these were made from.

    Attributes
    ----------
    starts : ndarray of int64, shape (files + 1,)
        Number of each file's first sample.
    tasks : ndarray of ``abi.TASK``, shape (files, operations)
    specs : ndarray of ``abi.IMAGE_SPEC``, shape (operations,)
        All zero for operations that are not on images.
    ops : list of NativeOp
        The operations.
    kept : list
        Owners of the memory that the tables' addresses point into.
    """

    starts: npt.NDArray[np.int64]
    tasks: npt.NDArray[np.void]
    specs: npt.NDArray[np.void]
    ops: list[NativeOp]
    kept: list[Any]

    def lend(self, buffers: Sequence[BufferPool], batch_size: int) -> list[list[Lent]]:
        """Return memory for a batch: for each operation the arrays that it fills, from its buffer pool, with addresses.

        Raises
        ------
        OptionError
            There is not that much memory.
        """
        return [_lent(op, pool, batch_size) for op, pool in zip(self.ops, buffers, strict=True)]


def _lent(op: NativeOp, pool: BufferPool, batch_size: int) -> list[Lent]:
    try:
        return [pool.lend((batch_size, *shape), dtype) for shape, dtype in op.rows]
    except (MemoryError, OSError, OverflowError, ValueError) as error:  # of numpy, or of mmap
        shapes = " and ".join(f"{(batch_size, *shape)} of {dtype}" for shape, dtype in op.rows)
        raise OptionError(
            f"field {op.field!r}: there is no memory for a batch of shape {shapes} ({error}); choose a smaller "
            "batch_size, or leave the field out with pipelines={...: None}"
        ) from error


def compile_program(ops: Sequence[NativeOp], files: Files, batch_size: int, seed: int, epoch: int) -> Program:
    """Translate operations into what the workers read.

    Parameters
    ----------
    ops : sequence of NativeOp
    files : Files
    batch_size : int
    seed, epoch : int
        Key of the random draws.
    """
    tell_when_compiling()
    count = max(1, len(ops))  # where the user's own operations do everything, one that copies nothing
    tasks = np.zeros((len(files.readers), count), abi.TASK)
    specs = np.zeros(count, abi.IMAGE_SPEC)
    kept: list[Any] = [files.starts]
    last_view: dict[str, int] = {}  # of each image field, the last operation that shows it
    for o, op in enumerate(ops):
        row_bytes = _row_bytes(op, batch_size)
        tasks[:, o], owners = _noted_tasks(op, files, row_bytes)
        kept += owners
        if op.captions is not None:
            for reader, task in zip(files.readers, tasks[:, o], strict=True):
                kept += _fill_captions(task, op.captions, op.field, reader, seed, epoch)
        if op.target is not None:
            followed = op.target
            spec = spec_of(followed.form, followed.image, followed.stream, 0, seed, epoch)
            kept += fill_targets(tasks[:, o], op, files, spec, lambda boxes: _noted_tasks(boxes, files, 0))
        if op.array is not None:
            spec = spec_of(replace(op.array.form, dtype="uint8"), op.array.view, op.array.stream, 0, seed, epoch)
            kept += fill_arrays(tasks[:, o], op.array, op, files, spec)
        if op.image is not None:
            form, decoder, stream = op.image
            spec = specs[o : o + 1]
            spec[:] = spec_of(form, decoder, stream, row_bytes * batch_size, seed, epoch)
            if form.ops:
                augmentation = build_program(form)
                augmentation[0]["stream"] = spec["stream"]
                spec["augment"] = address(augmentation[0])
                spec["pitch"] = row_bytes
                kept += augmentation
            if op.field in last_view:
                specs["next"][last_view[op.field]] = o
                tasks["kind"][:, o] = rows.KIND_VIEW
            last_view[op.field] = o
    return Program(files.starts, tasks, specs, list(ops), kept)


def _row_bytes(op: NativeOp, batch_size: int) -> int:
    shape, dtype = op.rows[0]
    size = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
    if size * batch_size > LARGEST_BATCH:
        raise OptionError(
            f"a batch of {batch_size} rows of field {op.field!r} would take {size * batch_size} bytes; "
            "use a smaller batch_size, or a max_length for bytes"
        )
    return size


def _noted_tasks(op: NativeOp, files: Files, row_bytes: int) -> tuple[npt.NDArray[np.void], list[Any]]:
    """Return an operation's task for each file, without what depends on the epoch, and the owners of its memory."""
    shown = (op.kind, op.field, op.rows[0][1].itemsize, op.fill, op.image is not None, row_bytes)
    if shown not in files.tables:
        tasks, owners = np.zeros(len(files.readers), abi.TASK), []
        for reader, task in zip(files.readers, tasks, strict=True):
            owners += _fill_task(task, op, reader, row_bytes, files)
        files.tables[shown] = tasks, owners
    tasks, owners = files.tables[shown]
    return tasks, owners


def _fill_task(task: np.void, op: NativeOp, reader: Reader, row_bytes: int, files: Files) -> list[Any]:
    """Write down what an operation does and where a file keeps its field; return the memory's owners."""
    task["kind"], task["row_bytes"], task["element"] = KINDS[op.kind], row_bytes, op.rows[0][1].itemsize
    task["fill"] = int.from_bytes(op.fill.ljust(8, b"\0"), "little", signed=True)
    column = reader.column(op.field)
    task["meta"], task["meta_stride"] = address(column), column.strides[0]
    kept: list[Any] = [column]
    if reader.fields[op.field].pointer is None:
        return kept
    task["data"], task["data_size"] = address(reader.data), reader.data.size
    kept += [reader.data, *_fill_checks(task, op.field, reader, files)]
    if op.kind == "tokens":
        task["rows_each"], starts = token_rows(reader, op.field)
        task["source"] = np.dtype(getattr(reader.fields[op.field], "dtype", None)).itemsize
        task["offsets"], task["offset_stride"] = address(starts), starts.strides[0]
        return [*kept, starts]
    offsets, sizes = reader.extents(op.field)
    task["offsets"], task["offset_stride"] = address(offsets), offsets.strides[0]
    task["sizes"], task["size_stride"] = address(sizes), sizes.strides[0]
    kept += [offsets, sizes]
    if op.image is not None and reader.seek_index is not None:
        places, lengths = reader.seek_index.addresses(reader, op.field)
        task["index"], task["index_sizes"] = address(places), address(lengths)
        kept += [reader.seek_index.data, places, lengths]
    return kept


def _fill_checks(task: np.void, name: str, reader: Reader, files: Files) -> list[Any]:
    """Write down the checksums that a file's payloads are compared with; return the memory's owners."""
    sums = files.checks.sums_of(reader, name)
    if sums is None:
        return []
    task["check"] = native.entry("ffp_check_payload")
    task["sums"], task["sum_stride"] = address(sums.sums), sums.sums.strides[0]
    task["states"] = 0 if files.checks.mode == "always" else address(sums.states)
    task["check_offsets"], task["check_offset_stride"] = address(sums.offset), sums.offset.strides[0]
    task["check_sizes"], task["check_size_stride"] = address(sums.size), sums.size.strides[0]
    task["check_rows"] = reader.blocks.per_sample if isinstance(reader, BlockReader) else 1
    return [sums]


def _fill_captions(task: np.void, choice: CaptionChoice, name: str, reader: Reader, seed: int, epoch: int) -> list[Any]:
    """Write down the form of a file's captions, and which of them to take; return the memory's owners."""
    stored, width, size, _ = caption_form(reader.fields[name], choice.tokens)
    task["rows_each"], task["width"], task["source"] = stored, width, size
    task["columns"], task["choose"] = choice.columns, CHOICES[choice.which]
    task["seed"], task["epoch"], task["stream"] = signed(seed), epoch, STREAM
    if stored == 1 or "captions" not in reader.fields:
        return []
    counts = reader.column("captions")
    task["counts"], task["counts_stride"] = address(counts), counts.strides[0]
    return [counts]


def token_rows(reader: Reader, field: str) -> tuple[int, npt.NDArray[np.uint64]]:
    """Return how many rows of tokens lie together, and the offset of the first of each such group (uint64)."""
    if isinstance(reader, BlockReader):
        return reader.groups(field)
    return 1, np.ascontiguousarray(reader.extents(field)[0])


def address(array: npt.NDArray[Any]) -> int:
    """Return the address of an array's first element."""
    return int(array.ctypes.data)


def spec_of(
    form: ImageForm, decoder: ImageDecoder, stream: int, batch_bytes: int, seed: int, epoch: int
) -> npt.NDArray[np.void]:
    """Return what the kernels need to make images of a form, as an array of one ``abi.IMAGE_SPEC``.

    Parameters
    ----------
    form : ImageForm
    decoder : ImageDecoder
    stream : int
        Stream of the random crop.
    batch_bytes : int
        Size of a batch, which decides whether to write past the cache.
    seed, epoch : int
        Key of the random draws.
    """
    crop = decoder.crop()
    numbers: dict[str, Any] = {}
    if crop.kind == "random":
        numbers = {"scale": crop.numbers[:2], "ratio": crop.numbers[2:]}
    elif crop.kind == "center":
        numbers = {"center": crop.numbers[0]}
    elif crop.kind == "resize_center":
        numbers = {"short": int(crop.numbers[0])}
    elif crop.numbers:
        numbers = {"scale": crop.numbers}
    layout = "grey" if form.channels == 1 else "chw" if form.planar else "hwc"
    if form.mean is not None and form.std is not None:
        numbers |= {"mean": form.mean, "std": form.std}
    spec = image_spec(
        form.rendered_size,
        crop=crop.kind,
        filter=decoder.interpolation,
        format=f"{FORMAT_NAMES[form.dtype]}_{layout}",
        flip=form.flip or 0.0,
        reduce=not decoder.exact,
        luma=form.luma,
        seed=seed,
        epoch=epoch,
        crop_op=stream,
        flip_op=form.flip_stream,
        **numbers,
    )
    spec["stream"] = int(streaming_pays(int(spec["format"][0]), batch_bytes))
    return spec
