"""With a seek index beside the file, batches come from the pieces of each JPEG that a crop needs, and are the same."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import xxhash
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from ffprep import Loader, OrderOption
from ffprep.beton.reader import Reader
from ffprep.beton.seek_index import ENTRY, HEAD, HEAD_SIZE, SeekIndex, beside, find_index
from ffprep.beton.writing.writer import Writer
from ffprep.convert.indexing import make_index
from ffprep.errors import DecodeError, IndexMismatchError, OptionError
from ffprep.fields import IntField, RGBImageField, Shared
from ffprep.fields.decoders import RandomResizedCropRGBImageDecoder, ResizeRGBImageDecoder
from ffprep.jpeg import rewrite
from ffprep.transforms import RandomHorizontalFlip

CROP = [RandomResizedCropRGBImageDecoder((40, 48), scale=(0.05, 1.0)), RandomHorizontalFlip()]


def batches(path: Path, decoder: Any = None, **options: Any) -> np.ndarray:
    pipelines = {"image": CROP if decoder is None else [decoder], "label": None}
    arguments: dict[str, Any] = {"num_workers": 2, "order": OrderOption.RANDOM, "seed": 7, "drop_last": False}
    with Loader(path, 8, pipelines=pipelines, **{**arguments, **options}) as loader:
        return np.concatenate([rows.copy() for epoch in range(2) for (rows,) in loader])


@pytest.fixture
def photographs(tmp_path: Path, demo_data: Path, make: SimpleNamespace) -> Path:
    """Six photographs and eight other images: progressive, with restart markers, raw, tiny."""
    streams = [p.read_bytes() for p in sorted((demo_data / "imagenet").rglob("*.JPEG"))]
    noise = make.noise_image(1, 90, 130)
    streams += [
        make.encode_jpeg(noise, progressive=True),
        rewrite(make.encode_jpeg(noise), 4),
        make.encode_jpeg(make.noise_image(2, 1, 1)),
        *(make.encode_jpeg(make.noise_image(3 + s, 200, 90), subsampling=s) for s in range(3)),
    ]
    payloads = [make.stored_jpeg(stream) for stream in streams]
    payloads += [RGBImageField().encode(noise), make.stored_jpeg(make.encode_jpeg(noise[:, :, 0], quality=40))]
    path: Path = make.write_images(tmp_path / "x.beton", payloads)
    return path


@pytest.mark.parametrize("decoder", [None, ResizeRGBImageDecoder((32, 32))])
def test_batches_are_the_same(photographs: Path, decoder: Any) -> None:
    plain = batches(photographs, decoder)
    report = make_index(photographs)
    assert (report.jpegs, report.indexed, report.restarts, report.other, report.damaged) == (13, 11, 1, 1, [])
    assert np.array_equal(batches(photographs, decoder, index=True), plain)
    assert np.array_equal(batches(photographs, decoder), plain)
    assert np.array_equal(batches(photographs, decoder, index=False), plain)
    elsewhere = photographs.with_name("elsewhere")
    beside(photographs).rename(elsewhere)
    assert np.array_equal(batches(photographs, decoder, index=elsewhere), plain)
    given: dict[str, Any] = {"pipelines": {"image": CROP}}
    with Loader(photographs, 8, **given) as without, Loader(photographs, 8, index=str(elsewhere), **given) as loader:
        assert without.reader.seek_index is None
        assert loader.reader.seek_index is not None and len(loader.reader.seek_index) == 13


@given(
    st.integers(0, 2**31), st.integers(1, 400), st.integers(1, 300), st.integers(0, 2), st.integers(1, 100), st.data()
)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_picture_and_interval(
    tmp_path: Path,
    make: SimpleNamespace,
    seed: int,
    width: int,
    height: int,
    sampling: int,
    quality: int,
    draw: st.DataObject,
) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    smooth = make.noise_image(seed % 1000, height, width)
    streams = [make.encode_jpeg(image, quality=quality, subsampling=sampling) for image in (pixels, smooth)]
    path = make.write_images(tmp_path / "any.beton", [make.stored_jpeg(stream) for stream in streams] * 4)
    make_index(path, interval=draw.draw(st.sampled_from([None, 1, 3, 16, 1000])), overwrite=True)
    assert np.array_equal(batches(path, seed=seed), batches(path, seed=seed, index=False))


def test_samples_that_share_an_image(tmp_path: Path, demo_data: Path) -> None:
    """One entry for each distinct JPEG, and every sample finds its own."""
    streams = [p.read_bytes() for p in sorted((demo_data / "imagenet").rglob("*.JPEG"))]
    fields = {"image": RGBImageField(jpeg="keep"), "label": IntField()}
    path = tmp_path / "pairs.beton"
    chosen = [0, 0, 3, 1, 1, 1, 5, 3, 2, 4, 4, 0]
    with Writer(path, fields, len(chosen)) as writer:
        for i, image in enumerate(chosen):
            writer.write([fields["image"].encode_any(Shared(image, streams[image])), fields["label"].encode(i)])
    plain = batches(path)
    assert make_index(path).jpegs == 6
    assert np.array_equal(batches(path, index=True), plain)
    with Reader(path) as reader:
        index = SeekIndex(beside(path), reader)
        start, size = index.addresses(reader, "image")
        same = np.array(chosen)[:, None] == np.array(chosen)
        assert np.array_equal(start[:, None] == start, same) and (size > 0).all()


def test_stale_and_foreign_indexes(photographs: Path, make: SimpleNamespace) -> None:
    """Not used: a warning, or an error to those who insisted."""
    make_index(photographs)
    other = make.write_images(
        photographs.with_name("other.beton"), [make.stored_jpeg(make.encode_jpeg(np.zeros((9, 9, 3), np.uint8)))] * 9
    )
    beside(other).write_bytes(beside(photographs).read_bytes())
    with pytest.warns(RuntimeWarning, match=r"other\.beton\.index: it was not made from .*ffprep index"):
        loaded = batches(other)
    assert np.array_equal(loaded, batches(other, index=False))
    for insist in (True, beside(photographs)):
        with pytest.raises(IndexMismatchError, match="not made from"):
            Loader(other, 8, index=insist)
    with pytest.raises(OptionError, match="no such seek index"):
        Loader(other, 8, index=photographs.with_name("none"))
    with pytest.raises(OptionError, match=r"other\.beton\.index: it was not made from .*--overwrite replaces it"):
        make_index(other)
    assert make_index(other, overwrite=True).indexed == 9
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        batches(other)


def forge(data: bytearray) -> bytes:
    """Make both checksums of an index file right again."""
    count = HEAD.unpack(data[: HEAD.size])[5]
    end = HEAD_SIZE + (count + 1) * ENTRY.itemsize
    data[56:64] = xxhash.xxh3_64_intdigest(data[HEAD_SIZE:end]).to_bytes(8, "little")
    data[64:72] = xxhash.xxh3_64_intdigest(data[:64]).to_bytes(8, "little")
    return bytes(data)


def test_any_changed_byte_is_noticed_or_harmless(photographs: Path) -> None:
    """Head and table have checksums; each index has its own, and the stream is decoded without it if it is wrong."""
    plain = batches(photographs, index=False)
    make_index(photographs)
    path, good = beside(photographs), beside(photographs).read_bytes()
    with Reader(photographs) as reader:
        table_end = HEAD_SIZE + 14 * ENTRY.itemsize
        for at in range(table_end):
            data = bytearray(good)
            data[at] ^= 1 << at % 8
            path.write_bytes(data)
            with pytest.raises(IndexMismatchError):
                find_index(reader, True)
        for cut in (0, 1, HEAD_SIZE - 1, HEAD_SIZE, HEAD_SIZE + 20, table_end, len(good) - 1):
            path.write_bytes(good[:cut])
            with pytest.raises(IndexMismatchError):
                find_index(reader, True)
    data = bytearray(good)
    data[table_end:] = bytes(byte ^ 0x40 for byte in data[table_end:])
    path.write_bytes(data)
    assert np.array_equal(batches(photographs, index=True), plain)


@given(st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_forged_tables(photographs: Path, draw: st.DataObject) -> None:
    """A table with right checksums that points elsewhere is refused, or its indexes do not fit and are left alone."""
    path = beside(photographs)
    if not path.exists():
        make_index(photographs)
        path.with_name("good").write_bytes(path.read_bytes())
    data = bytearray(path.with_name("good").read_bytes())
    table_end = HEAD_SIZE + 14 * ENTRY.itemsize
    for _ in range(draw.draw(st.integers(1, 3))):
        at = draw.draw(st.sampled_from([16, 24, *range(HEAD_SIZE, table_end, 8)]))
        near = int.from_bytes(data[at : at + 8], "little") + draw.draw(st.integers(-3, 3))
        value = draw.draw(st.sampled_from([near, 0, len(data), 2**63, 2**64 - 1, draw.draw(st.integers(0, 2**64 - 1))]))
        data[at : at + 8] = (value % 2**64).to_bytes(8, "little")
    path.write_bytes(data)
    with Reader(photographs) as reader:
        try:
            path.write_bytes(forge(data))
            index = SeekIndex(path, reader)
        except (IndexMismatchError, ValueError):
            return
        start, size = index.addresses(reader, "image")
        begin = index.data.ctypes.data
        inside = (start >= begin) & (start + size <= begin + len(index.data))
        assert (inside | ((start == 0) & (size == 0))).all()
    assert np.array_equal(batches(photographs, index=True), batches(photographs, index=False))


def test_bad_images_fail_as_they_do_without(tmp_path: Path, make: SimpleNamespace) -> None:
    good = make.encode_jpeg(make.noise_image(4, 120, 120))
    damaged = bytearray(good)
    damaged[len(good) // 2 :] = bytes(len(good) - len(good) // 2)
    path = make.write_images(tmp_path / "bad.beton", [make.stored_jpeg(good), make.stored_jpeg(bytes(damaged))] * 4)
    report = make_index(path)
    assert (report.indexed, len(report.damaged)) == (4, 4)
    assert "do not decode" in str(report) and "byte" in report.damaged[0]
    whole = ResizeRGBImageDecoder((32, 32))
    for index in (True, False):
        with pytest.raises(DecodeError, match="sample 1"):
            batches(path, whole, index=index, order=OrderOption.SEQUENTIAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.array_equal(*(batches(path, whole, index=i, on_error="skip") for i in (True, False)))


def test_filter_keeps_the_choice(photographs: Path) -> None:
    make_index(photographs)
    pipelines = {"image": CROP}
    loader = Loader(photographs, 4, pipelines=pipelines, index=False, seed=1)
    with loader, loader.filter("label", lambda label: int(label) % 2 == 0) as kept:
        assert kept.reader.seek_index is None
        assert torch.is_tensor(next(iter(kept))[1])


def test_damage_to_the_stream_after_indexing(tmp_path: Path, make: SimpleNamespace) -> None:
    """Where the index finds a fault, the stream itself decides; nothing is made up."""
    stream = io.BytesIO()
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (300, 300, 3)).astype(np.uint8)).save(stream, "JPEG", quality=95)
    path = make.write_images(tmp_path / "x.beton", [make.stored_jpeg(stream.getvalue())] * 3)
    make_index(path)
    data = bytearray(path.read_bytes())
    with Reader(path) as reader:
        offset, size = (int(part[1]) for part in reader.extents("image"))
    data[offset + size // 2 : offset + size // 2 + 40] = bytes(40)
    path.write_bytes(data)
    whole = ResizeRGBImageDecoder((32, 32))
    for index in (True, False):
        with pytest.raises(DecodeError, match="sample 1"):
            batches(path, whole, index=index, order=OrderOption.SEQUENTIAL)
