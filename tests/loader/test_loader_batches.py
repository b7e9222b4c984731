"""Batches hold what the file holds, for every field, and the same for any number of threads."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from ffprep import Loader, OrderOption
from ffprep.beton.reader import Reader
from ffprep.errors import OptionError
from ffprep.fields.decoders import (
    BytesDecoder,
    CenterCropRGBImageDecoder,
    IntDecoder,
    JSONDecoder,
    NDArrayDecoder,
    RandomResizedCropRGBImageDecoder,
    ResizeCenterCropRGBImageDecoder,
    ResizeRGBImageDecoder,
)
from ffprep.jpeg import decode_rgb
from ffprep.kernels.resample.render import packed_desc, render
from ffprep.pipeline import PipelineSpec
from ffprep.transforms import (
    Convert,
    NormalizeImage,
    RandomHorizontalFlip,
    Squeeze,
    ToDevice,
    ToTensor,
    ToTorchImage,
)

PLAIN = 103
MEAN = np.array([0.485, 0.456, 0.406]) * 255
STD = np.array([0.229, 0.224, 0.225]) * 255


def test_default_pipelines_give_every_field(plain_beton: Path, make: SimpleNamespace) -> None:
    longest = max(len(make.plain_values(i)[3]) for i in range(PLAIN))
    seen = 0
    with Loader(plain_beton, 10, num_workers=2, drop_last=False) as loader:
        assert len(loader) == 11
        for numbers, floats, arrays, strings, documents in loader:
            assert numbers.dtype == torch.int64 and numbers.shape[1:] == (1,)
            assert floats.dtype == torch.float64 and arrays.dtype == torch.uint16
            assert strings.dtype == torch.uint8 and strings.shape[1:] == (longest,)
            for row in range(len(numbers)):
                number, real, array, string, document = make.plain_values(seen)
                assert numbers[row].item() == number and floats[row].item() == real
                assert np.array_equal(arrays[row].numpy(), array)
                assert bytes(strings[row].numpy()) == string.ljust(longest, b"\0")
                from ffprep.fields import JSONField

                assert JSONField.unpack(documents[row].numpy()) == document
                seen += 1
    assert seen == PLAIN


def test_ragged_bytes_and_json(plain_beton: Path, make: SimpleNamespace) -> None:
    pipelines: dict[str, Any] = {
        "number": None,
        "float": None,
        "array": [NDArrayDecoder()],
        "bytes": [BytesDecoder(max_length=9, fill=7, lengths=True), ToTensor()],
        "json": [JSONDecoder()],
    }
    order = OrderOption.RANDOM
    with Loader(plain_beton, 8, num_workers=2, order=order, seed=3, pipelines=pipelines) as loader:
        ids = loader._order.ids(0, np.arange(PLAIN))
        done = 0
        for arrays, (data, lengths), documents in loader:
            assert isinstance(arrays, np.ndarray) and lengths.dtype == torch.int64
            for row in range(8):
                _, _, array, string, document = make.plain_values(int(ids[done]))
                assert np.array_equal(arrays[row], array)
                assert lengths[row] == min(9, len(string))
                assert bytes(data[row].numpy()) == string[:9].ljust(9, b"\7")
                assert documents[row] == document
                done += 1
        assert done == PLAIN // 8 * 8


def pixels(reader: Reader, i: int) -> np.ndarray:
    value = reader.value("image", i)
    return decode_rgb(value) if isinstance(value, bytes) else value


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    error = float(np.mean((a.astype(np.float64) - b) ** 2))
    return 99.0 if error == 0 else 10 * np.log10(255**2 / error)


@pytest.mark.parametrize(
    ("decoder", "box"),
    [
        (ResizeRGBImageDecoder((48, 56), exact=True), lambda h, w: (0, 0, h, w)),
        (CenterCropRGBImageDecoder(40, 0.8, exact=True), lambda h, w: center(h, w, 0.8)),
        (ResizeRGBImageDecoder(32, interpolation="bicubic", exact=True), lambda h, w: (0, 0, h, w)),
        (ResizeRGBImageDecoder(32, interpolation="area", exact=True), lambda h, w: (0, 0, h, w)),
    ],
)
def test_images_are_the_resized_pixels(image_beton: Path, decoder: Any, box: Any) -> None:
    reader = Reader(image_beton)
    pipelines = {"image": [decoder], "label": None}
    with Loader(image_beton, 5, num_workers=2, pipelines=pipelines, drop_last=False) as loader:
        images = np.concatenate([batch[0] for batch in loader])
    assert images.dtype == np.uint8 and len(images) == reader.num_samples
    for i in range(reader.num_samples):
        source = pixels(reader, i)
        wanted = render(packed_desc(source), box(*source.shape[:2]), decoder.output_size, filter=decoder.interpolation)
        assert psnr(images[i], wanted) > 38, i


def center(h: int, w: int, ratio: float) -> tuple[int, int, int, int]:
    side = int(ratio * min(h, w))
    return (h - side) // 2, (w - side) // 2, side, side


def test_resize_and_center_crop_show_what_torchvision_shows(image_beton: Path) -> None:
    pipelines = {"image": [ResizeCenterCropRGBImageDecoder(40, 48, exact=True)], "label": None}
    reader = Reader(image_beton)
    with Loader(image_beton, 37, num_workers=1, pipelines=pipelines) as loader:
        (images,) = next(iter(loader))
    for i in range(6):
        source = torch.from_numpy(pixels(reader, i)).permute(2, 0, 1)[None].float()
        h, w = source.shape[2:]
        size = (48, int(48 * w / h)) if h <= w else (int(48 * h / w), 48)
        resized = torch.nn.functional.interpolate(source, size, mode="bilinear", antialias=True)[0]
        top, left = round((size[0] - 40) / 2), round((size[1] - 40) / 2)
        wanted = resized[:, top : top + 40, left : left + 40].permute(1, 2, 0).numpy()
        assert psnr(images[i], wanted) > 38, i


TRAIN = [RandomResizedCropRGBImageDecoder(32), RandomHorizontalFlip()]


def load(path: Path, tail: list[Any], **options: Any) -> list[Any]:
    arguments = {"num_workers": 2, "order": OrderOption.RANDOM, "seed": 5, "drop_last": False, **options}
    with Loader(path, 8, pipelines={"image": [*TRAIN, *tail]}, **arguments) as loader:
        return [tuple(part.clone() if hasattr(part, "clone") else part.copy() for part in b) for b in loader]


def test_fused_forms_agree(image_beton: Path) -> None:
    plain = [b[0].astype(np.float64) for b in load(image_beton, [])]
    wanted = [torch.from_numpy((x - MEAN) / STD) for x in plain]
    for dtype, tolerance in ((np.float32, 0.02), (np.float16, 0.03), (torch.bfloat16, 0.04)):
        normal = NormalizeImage(MEAN, STD, dtype)
        hwc = [b[0] for b in load(image_beton, [normal, ToTensor()])]
        last = [b[0] for b in load(image_beton, [normal, ToTensor(), ToTorchImage()])]
        planes = [b[0] for b in load(image_beton, [normal, ToTensor(), ToTorchImage(channels_last=False)])]
        moved = [b[0] for b in load(image_beton, [ToTensor(), ToDevice("cpu"), ToTorchImage(), normal])]
        for a, b, c, d, want in zip(hwc, last, planes, moved, wanted, strict=True):
            assert c.is_contiguous() and b.is_contiguous(memory_format=torch.channels_last)
            assert b.dtype == c.dtype == d.dtype == a.dtype
            assert torch.equal(b, c) and torch.equal(b, d) and torch.equal(a.permute(0, 3, 1, 2), b)
            assert (a.double() - want).abs().max() < 0.51 / STD.min() + tolerance
    halves = load(image_beton, [Convert(np.float16), ToTensor(), ToTorchImage()])
    for (half, _), want in zip(halves, plain, strict=True):
        assert half.dtype == torch.float16
        assert (half.permute(0, 2, 3, 1).double() - torch.from_numpy(want)).abs().max() <= 0.51 + 0.07


def same(a: list[Any], b: list[Any]) -> bool:
    return len(a) == len(b) and all(
        all(torch.equal(torch.as_tensor(x), torch.as_tensor(y)) for x, y in zip(m, n, strict=True))
        for m, n in zip(a, b, strict=True)
    )


def test_batches_do_not_depend_on_threads_or_lead(image_beton: Path) -> None:
    tail = [NormalizeImage(MEAN, STD, np.float32), ToTensor(), ToTorchImage()]
    wanted = load(image_beton, tail, num_workers=1)
    for workers, ahead in ((2, 3), (4, 1), (4, 8), (1, 0)):
        assert same(load(image_beton, tail, num_workers=workers, batches_ahead=ahead), wanted)
    assert not same(load(image_beton, tail, seed=6), wanted)


def test_epochs_differ_and_repeat(image_beton: Path) -> None:
    with Loader(image_beton, 8, num_workers=2, seed=1, pipelines={"image": TRAIN}) as loader:
        first, second = [b[0].copy() for b in loader], [b[0].copy() for b in loader]
        loader.next_epoch = 0
        again = [b[0].copy() for b in loader]
    assert not any(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_a_batch_is_never_overwritten(image_beton: Path) -> None:
    pipelines = {"image": [RandomResizedCropRGBImageDecoder(160), ToTensor()]}
    with Loader(image_beton, 4, num_workers=2, pipelines=pipelines, seed=2) as loader:
        kept = list(loader)  # stock ffcv repeats the last five batches here
        copies = [b[0].clone() for b in kept]
        later = list(loader)
        assert all(torch.equal(b[0], c) for b, c in zip(kept, copies, strict=True))
        pointers = [b[0].data_ptr() for b in kept + later]
        assert len(set(pointers)) == len(pointers)
        assert [b[1].flatten().tolist() for b in kept] == [list(range(k, k + 4)) for k in range(0, 36, 4)]


def test_memory_goes_round_when_batches_are_dropped(image_beton: Path) -> None:
    pipelines = {"image": [ResizeRGBImageDecoder(160), ToTensor()]}
    pointers = set()
    with Loader(image_beton, 4, num_workers=2, pipelines=pipelines, batches_ahead=1) as loader:
        for _ in range(5):
            for images, _ in loader:
                pointers.add(images.data_ptr())
    assert len(pointers) <= 5


def test_two_views_of_a_field(image_beton: Path) -> None:
    crop = RandomResizedCropRGBImageDecoder(24)
    flip = RandomHorizontalFlip()
    pipelines = {
        "image": [crop, flip, ToTensor()],
        "second": PipelineSpec("image", transforms=[crop, flip, ToTensor()]),
        "third": PipelineSpec("image", decoder=ResizeRGBImageDecoder(8), transforms=[ToTensor()]),
        "label": [IntDecoder(), ToTensor(), Squeeze()],
    }
    with Loader(image_beton, 37, num_workers=2, pipelines=pipelines, seed=0) as loader:
        [(one, label, two, three)] = list(loader)
    assert label.shape == (37,) and three.shape == (37, 8, 8, 3)
    assert not torch.equal(one, two)
    different = [not torch.equal(a, b) for a, b in zip(one, two, strict=True)]
    assert sum(different) > 30


def test_a_pipeline_can_go_on_from_another(image_beton: Path) -> None:
    flip = RandomHorizontalFlip()
    pipelines = {
        "image": [RandomResizedCropRGBImageDecoder(24), flip, NormalizeImage(MEAN, STD, np.float32), ToTensor()],
        "bare": PipelineSpec(flip, transforms=[ToTensor()]),
        "label": None,
    }
    with Loader(image_beton, 37, num_workers=2, pipelines=pipelines, seed=0) as loader:
        [(normal, bare)] = list(loader)
    restored = normal.double() * torch.from_numpy(STD) + torch.from_numpy(MEAN)
    assert bare.dtype == torch.uint8
    assert (restored - bare).abs().max() < 0.51


def test_progressive_resizing_by_changing_the_decoder(image_beton: Path) -> None:
    decoder = RandomResizedCropRGBImageDecoder((16, 16))
    with Loader(image_beton, 8, num_workers=2, pipelines={"image": [decoder, ToTensor()]}) as loader:
        assert next(iter(loader))[0].shape == (8, 16, 16, 3)
        decoder.output_size = (24, 20)
        assert next(iter(loader))[0].shape == (8, 24, 20, 3)


def test_images_of_one_size_need_no_decoder(tmp_path: Path, make: SimpleNamespace) -> None:
    images = [make.noise_image(i, 37, 45) for i in range(6)]
    path = make.write_images(
        tmp_path / "one.beton", [make.stored_jpeg(make.encode_jpeg(x, quality=95)) for x in images]
    )
    with Loader(path, 6, num_workers=1) as loader:
        [(loaded, _)] = list(loader)
    assert loaded.shape == (6, 37, 45, 3)
    reader = Reader(path)
    for i in range(6):
        assert np.abs(loaded[i].numpy().astype(int) - pixels(reader, i)).max() <= 2


def test_images_of_many_sizes_need_one(image_beton: Path) -> None:
    with pytest.raises(OptionError, match=r"differ in size, from 20x33 to .*ResizeRGBImageDecoder"):
        Loader(image_beton, 4)
