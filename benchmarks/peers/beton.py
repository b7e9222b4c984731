"""ffprep's loader and stock ffcv's, on .beton files."""

from __future__ import annotations

from typing import Any

from peers.common import MEAN, SHORTER, SIDE, STD, Epoch, Job

from ffprep.inspect.timing.runners import imagenet_loader, stock_loader


def ffprep(path: str, index: bool | None = None, **job: Any) -> Epoch:
    """ffprep's presets; two views are two pipelines on one field, which decode an image once for both."""
    wanted = Job(**job)
    if wanted.kind == "views":
        loader = _two_views(path, wanted)
        return Epoch(lambda: ((one, two) for one, two in loader), wanted)
    options: dict[str, Any] = {"batch_size": wanted.batch_size, "num_workers": wanted.num_workers}
    options |= {"validation": True, "crop": "center"} if wanted.kind == "validation" else {"scale": wanted.scale}
    if index is not None:
        options["index"] = index
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


def ffcv(path: str, decoders: str = "stock", **job: Any) -> Epoch:
    """Stock ffcv's loader, with its own decoder or with ffprep's (``decoders="ffprep+all"``)."""
    wanted = Job(**job)
    if wanted.kind != "train":
        return _other_stock(path, wanted)
    loader = stock_loader(
        path,
        batch_size=wanted.batch_size,
        num_workers=max(1, wanted.num_workers),
        scale=wanted.scale,
        decoders=decoders,
    )
    return Epoch(lambda: (images for images, *_ in loader), wanted)


def _other_stock(path: str, job: Job) -> Epoch:
    """Stock ffcv's own decoders for validation (the centre square of 224 / 256), or for two views."""
    import numpy as np
    from ffcv.fields.decoders import CenterCropRGBImageDecoder, RandomResizedCropRGBImageDecoder
    from ffcv.loader import Loader, OrderOption
    from ffcv.pipeline.pipeline_spec import PipelineSpec
    from ffcv.transforms import NormalizeImage, RandomHorizontalFlip, ToTensor, ToTorchImage

    validation = job.kind == "validation"

    def steps() -> list[Any]:
        normalise = NormalizeImage(255 * np.array(MEAN), 255 * np.array(STD), np.float32)
        return [*([] if validation else [RandomHorizontalFlip()]), normalise, ToTensor(), ToTorchImage(False)]

    def decoder() -> Any:
        if validation:
            return CenterCropRGBImageDecoder((SIDE, SIDE), ratio=SIDE / SHORTER)
        return RandomResizedCropRGBImageDecoder((SIDE, SIDE), scale=tuple(job.scale))

    pipelines: dict[str, Any] = {"image": [decoder(), *steps()], "label": None}
    if not validation:
        pipelines["second"] = PipelineSpec("image", decoder=decoder(), transforms=steps())
    loader = Loader(
        path,
        batch_size=job.batch_size,
        num_workers=max(1, job.num_workers),
        os_cache=True,
        order=OrderOption.SEQUENTIAL if validation else OrderOption.RANDOM,
        drop_last=False,
        pipelines=pipelines,
    )
    if validation:
        return Epoch(lambda: (images for images, *_ in loader), job)
    return Epoch(lambda: ((one, two) for one, two in loader), job)
