"""From a plan to the numbers and addresses that worker threads understand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.beton.reader import Reader
from ffprep.common.seeds import signed
from ffprep.errors import OptionError
from ffprep.fields.decoders import ImageDecoder
from ffprep.kernels.image.job import S_AUGMENT, S_FORMAT, S_NEXT, S_PITCH, S_STREAM, image_spec
from ffprep.kernels.resample.render import streaming_pays
from ffprep.loader.block_reader import BlockReader
from ffprep.loader.engine import rows
from ffprep.loader.engine.buffers import BufferPool
from ffprep.loader.engine.pool import Program
from ffprep.loader.files import Files
from ffprep.loader.plan.captions import STREAM, caption_form
from ffprep.loader.plan.outputs import CaptionChoice, NativeOp
from ffprep.pipeline.form import ImageForm

KINDS = {
    "value": rows.KIND_VALUE,
    "array": rows.KIND_ARRAY,
    "tokens": rows.KIND_TOKENS,
    "captions": rows.KIND_CAPTIONS,
    "ragged": rows.KIND_RAGGED,
    "image": rows.KIND_IMAGE,
}
CHOICES = {"all": rows.CHOOSE_ALL, "first": rows.CHOOSE_FIRST, "random": rows.CHOOSE_RANDOM}
FORMAT_NAMES = {"uint8": "u8", "float32": "f32", "float16": "f16", "bfloat16": "bf16"}
LARGEST_BATCH = 1 << 40


@dataclass(frozen=True)
class Compiled:
    """A program and what belongs to it.

    Attributes
    ----------
    program : Program
    ops : list of NativeOp
    kept : list
        What the program's addresses point into.
    """

    program: Program
    ops: list[NativeOp]
    kept: list[Any]

    def arrays(self, buffers: Sequence[BufferPool], batch_size: int) -> list[list[npt.NDArray[Any]]]:
        """Take memory for a batch: for each operation, from its pool, the arrays it fills."""
        return [
            [pool.take((batch_size, *shape), dtype) for shape, dtype in op.rows]
            for op, pool in zip(self.ops, buffers, strict=True)
        ]


def compile_program(ops: Sequence[NativeOp], files: Files, batch_size: int, seed: int, epoch: int) -> Compiled:
    """Translate operations for the workers.

    Parameters
    ----------
    ops : sequence of NativeOp
    files : Files
    batch_size : int
    seed, epoch : int
        Key of the random draws.
    """
    program = Program.empty(
        max(1, len(ops)), files.starts
    )  # one that copies nothing where operations of users do it all
    kept: list[Any] = [files.starts]
    shown: dict[str, int] = {}
    for o, op in enumerate(ops):
        shape, dtype = op.rows[0]
        row_bytes = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        if row_bytes * batch_size > LARGEST_BATCH:
            raise OptionError(
                f"a batch of {batch_size} rows of field {op.field!r} would take {row_bytes * batch_size} bytes; "
                "use a smaller batch_size, or a max_length for bytes"
            )
        for f, reader in enumerate(files.readers):
            line = program.ops[f, o]
            line[rows.O_KIND] = KINDS[op.kind]
            line[rows.O_ROW_BYTES] = row_bytes
            line[rows.O_ELEMENT] = dtype.itemsize
            line[rows.O_FILL] = int.from_bytes(op.fill.ljust(8, b"\0"), "little", signed=True)
            kept += _fill_line(line, op, reader)
            if op.captions is not None:
                kept += _fill_captions(line, op.captions, op.field, reader, seed, epoch)
        if op.image is not None:
            form, decoder, stream = op.image
            parts = image_numbers(form, decoder, stream, row_bytes * batch_size, seed, epoch)
            program.spec[o], program.reals[o], program.colour[o] = parts
            if form.ops:
                from ffprep.transforms.image import build_program

                augmentation, parts_of_it = build_program(form)
                program.spec[o, S_AUGMENT] = address(augmentation)
                program.spec[o, S_PITCH] = row_bytes
                kept += [augmentation, *parts_of_it]
            if op.field in shown:
                program.spec[shown[op.field], S_NEXT] = o
                program.ops[:, o, rows.O_KIND] = rows.KIND_VIEW
            shown[op.field] = o
    return Compiled(program, list(ops), kept)


def _fill_line(line: npt.NDArray[np.int64], op: NativeOp, reader: Reader) -> list[Any]:
    """Write down where a file keeps a field; return what the addresses point into."""
    column = reader.column(op.field)
    line[rows.O_META] = address(column)
    line[rows.O_META_STRIDE] = column.strides[0]
    kept: list[Any] = [column]
    if reader.fields[op.field].pointer is None:
        return kept
    line[rows.O_DATA], line[rows.O_DATA_SIZE] = address(reader.data), reader.data.size
    kept.append(reader.data)
    if op.kind == "tokens":
        per_sample, starts = token_rows(reader, op.field)
        line[rows.O_ROWS_EACH], line[rows.O_OFFSETS] = per_sample, address(starts)
        return [*kept, starts]
    offsets, sizes = (np.ascontiguousarray(part) for part in reader.extents(op.field))
    line[rows.O_OFFSETS], line[rows.O_SIZES] = address(offsets), address(sizes)
    kept += [offsets, sizes]
    if op.image is not None and reader.seek_index is not None:
        places, lengths = reader.seek_index.addresses(reader, op.field)
        line[rows.O_INDEX], line[rows.O_INDEX_SIZES] = address(places), address(lengths)
        kept += [reader.seek_index.data, places, lengths]
    return kept


def _fill_captions(
    line: npt.NDArray[np.int64], choice: CaptionChoice, name: str, reader: Reader, seed: int, epoch: int
) -> list[Any]:
    """Write down the form of a file's captions, and which of them to take."""
    stored, width, size, _ = caption_form(reader.fields[name], choice.tokens)
    line[rows.O_ROWS_EACH], line[rows.O_WIDTH], line[rows.O_SOURCE] = stored, width, size
    line[rows.O_COLUMNS] = choice.columns
    line[rows.O_CHOOSE] = CHOICES[choice.which]
    line[rows.O_SEED], line[rows.O_EPOCH] = signed(seed), epoch
    line[rows.O_STREAM] = STREAM
    if stored == 1 or "captions" not in reader.fields:
        return []
    counts = reader.column("captions")
    line[rows.O_COUNTS], line[rows.O_COUNTS_STRIDE] = address(counts), counts.strides[0]
    return [counts]


def token_rows(reader: Reader, field: str) -> tuple[int, npt.NDArray[np.uint64]]:
    """Return how many rows lie together, and the offset of the first of each such group."""
    if isinstance(reader, BlockReader):
        return reader.groups(field)
    return 1, np.ascontiguousarray(reader.extents(field)[0])


def address(array: npt.NDArray[Any]) -> int:
    """Return the address of an array's first element."""
    return int(array.__array_interface__["data"][0])


def image_numbers(
    form: ImageForm, decoder: ImageDecoder, stream: int, batch_bytes: int, seed: int, epoch: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float32]]:
    """Return what ``ffprep.kernels.image.job`` needs to make images of a form."""
    crop = decoder.crop()
    numbers: dict[str, Any] = {}
    if crop.kind == "random":
        numbers = {"scale": crop.numbers[:2], "ratio": crop.numbers[2:]}
    elif crop.kind == "center":
        numbers = {"center": crop.numbers[0]}
    elif crop.kind == "resize_center":
        numbers = {"short": int(crop.numbers[0])}
    name = f"{FORMAT_NAMES[form.dtype]}_{'chw' if form.planar else 'hwc'}"
    if form.mean is not None and form.std is not None:
        numbers |= {"mean": form.mean, "std": form.std}
    spec, reals, colour = image_spec(
        form.rendered_size,
        crop=crop.kind,
        filter=decoder.interpolation,
        format=name,
        flip=form.flip or 0.0,
        reduce=not decoder.exact,
        seed=seed,
        epoch=epoch,
        crop_op=stream,
        flip_op=form.flip_stream,
        **numbers,
    )
    spec[S_STREAM] = int(streaming_pays(int(spec[S_FORMAT]), batch_bytes))
    return spec, reals, colour
