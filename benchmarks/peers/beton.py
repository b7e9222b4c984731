"""ffprep's loader and stock ffcv's, on .beton files."""

from __future__ import annotations

from typing import Any

from peers.common import MEAN, SHORTER, SIDE, STD, Epoch, Job

from ffprep.inspect.timing.runners import imagenet_loader, stock_loader


def ffprep(path: str, index: bool | None = None, windows: bool = False, os_cache: bool = True, **job: Any) -> Epoch:
    """ffprep's presets; two views are two pipelines on one field, which decode an image once for both.

    For files larger than memory: with `windows` it goes through the file by windows of pages and reads these itself;
    without `os_cache` in random order it asks the system for no more than the next batches need.
    """
    wanted = Job(**job)
    if wanted.kind == "views":
        loader = _two_views(path, wanted)
        return Epoch(lambda: ((one, two) for one, two in loader), wanted)
    options: dict[str, Any] = {"batch_size": wanted.batch_size, "num_workers": wanted.num_workers}
    options |= {"validation": True, "crop": "center"} if wanted.kind == "validation" else {"scale": wanted.scale}
    if index is not None:
        options["index"] = index
    if windows:
        from ffprep import OrderOption

        options |= {"order": OrderOption.QUASI_RANDOM, "os_cache": False}
    elif not os_cache:
        options["os_cache"] = False
    loader = imagenet_loader(path, **options)
    return Epoch(lambda: (images for images, *_ in loader), wanted)


def _two_views(path: str, job: Job) -> Any:
    """Return ffprep's loader of two views of each image."""
    from ffprep import Loader, OrderOption
    from ffprep.fields.decoders import RandomResizedCropRGBImageDecoder
    from ffprep.pipeline import PipelineSpec
    from ffprep.presets import image_pipeline

    def view() -> list[Any]:
        decoder = RandomResizedCropRGBImageDecoder((SIDE, SIDE), scale=(job.scale[0], job.scale[1]))
        return image_pipeline(decoder, flip=0.5)

    return Loader(
        path,
        job.batch_size,
        job.num_workers,
        order=OrderOption.RANDOM,
        seed=0,
        drop_last=False,
        pipelines={"image": view(), "second": PipelineSpec("image", transforms=view()), "label": None},
    )


def ffcv(path: str, decoders: str = "stock", windows: bool = False, **job: Any) -> Epoch:
    """Stock ffcv's loader, with its own decoder or with ffprep's (``decoders="ffprep+all"``).

    With `windows` it has the settings that its manual gives for files larger than memory.
    """
    wanted = Job(**job)
    if wanted.kind != "train" or windows:
        return _other_stock(path, wanted, windows)
    loader = stock_loader(
        path,
        batch_size=wanted.batch_size,
        num_workers=max(1, wanted.num_workers),
        scale=wanted.scale,
        decoders=decoders,
    )
    return Epoch(lambda: (images for images, *_ in loader), wanted)


def _other_stock(path: str, job: Job, windows: bool) -> Epoch:
    """Stock ffcv's own decoders for validation (the centre square of 224 / 256), for two views, or by windows."""
    import numpy as np
    from ffcv.fields.decoders import CenterCropRGBImageDecoder, RandomResizedCropRGBImageDecoder
    from ffcv.loader import Loader, OrderOption
    from ffcv.pipeline.pipeline_spec import PipelineSpec
    from ffcv.transforms import NormalizeImage, RandomHorizontalFlip, ToTensor, ToTorchImage

    validation, views = job.kind == "validation", job.kind == "views"
    order = OrderOption.QUASI_RANDOM if windows else OrderOption.RANDOM

    def steps() -> list[Any]:
        normalise = NormalizeImage(255 * np.array(MEAN), 255 * np.array(STD), np.float32)
        return [*([] if validation else [RandomHorizontalFlip()]), normalise, ToTensor(), ToTorchImage(False)]

    def decoder() -> Any:
        if validation:
            return CenterCropRGBImageDecoder((SIDE, SIDE), ratio=SIDE / SHORTER)
        return RandomResizedCropRGBImageDecoder((SIDE, SIDE), scale=tuple(job.scale))

    pipelines: dict[str, Any] = {"image": [decoder(), *steps()], "label": None}
    if views:
        pipelines["second"] = PipelineSpec("image", decoder=decoder(), transforms=steps())
    loader = Loader(
        path,
        batch_size=job.batch_size,
        num_workers=max(1, job.num_workers),
        os_cache=not windows,
        order=OrderOption.SEQUENTIAL if validation else order,
        drop_last=False,
        pipelines=pipelines,
    )
    if views:
        return Epoch(lambda: ((one, two) for one, two in loader), job)
    return Epoch(lambda: (images for images, *_ in loader), job)
