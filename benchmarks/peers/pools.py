"""Loaders with threads of their own that read image files or tars of them: each returns an `Epoch` of the common job.

Each does what its manual shows as the fast way for the CPU. DALI, tf.data and TurboLoader decode only the crop.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from peers.common import MEAN, SHORTER, SIDE, STD, Epoch, Job, centre, images_of, normalised, v2_transform

from ffprep.inspect.timing.runners import random_crop

QUEUE = 3
"""Batches that DALI makes ahead."""


def dali(folder: str, **job: Any) -> Epoch:
    """DALI on the CPU: crop decoding, resize, mirror and normalise, handed over by its PyTorch iterator.

    Two views are cropped from an image that is decoded whole.
    """
    wanted = Job(**job)
    from nvidia.dali import fn, pipeline_def, types
    from nvidia.dali.plugin.base_iterator import LastBatchPolicy
    from nvidia.dali.plugin.pytorch import DALIGenericIterator

    area, ratio = tuple(wanted.scale), (3 / 4, 4 / 3)
    decoding: dict[str, Any] = {"device": "cpu", "use_fast_idct": True}
    training = wanted.kind != "validation"

    def planes(images: Any, **options: Any) -> Any:
        return fn.crop_mirror_normalize(
            images,
            dtype=types.FLOAT,
            output_layout="CHW",
            mean=[255 * v for v in MEAN],
            std=[255 * v for v in STD],
            mirror=fn.random.coin_flip(probability=0.5) if training else 0,
            **options,
        )

    @pipeline_def(
        batch_size=wanted.batch_size,
        num_threads=max(1, wanted.num_workers),
        device_id=None,
        prefetch_queue_depth=QUEUE,
        seed=0,
    )
    def pipeline() -> Any:
        encoded, labels = fn.readers.file(
            file_root=folder, random_shuffle=training, initial_fill=1024, name="files", dont_use_mmap=False
        )
        if wanted.kind == "train":
            images = fn.decoders.image_random_crop(
                encoded, random_area=area, random_aspect_ratio=ratio, num_attempts=10, **decoding
            )
            images = fn.resize(images, size=(SIDE, SIDE), interp_type=types.INTERP_LINEAR, antialias=True)
            return planes(images), labels
        if wanted.kind == "validation":  # the square that is left of the image in the end, decoded alone
            side = fn.reductions.min(fn.peek_image_shape(encoded)[:2]) * (SIDE / SHORTER)
            side = fn.cast(fn.cast(side + 0.5, dtype=types.INT32), dtype=types.FLOAT)
            images = fn.decoders.image_crop(encoded, crop_w=side, crop_h=side, **decoding)
            images = fn.resize(images, size=(SIDE, SIDE), interp_type=types.INTERP_LINEAR, antialias=True)
            return planes(images), labels
        images = fn.decoders.image(encoded, **decoding)
        options = {"size": (SIDE, SIDE), "random_area": area, "random_aspect_ratio": ratio, "antialias": True}
        views = [planes(fn.random_resized_crop(images, **options)) for _ in range(2)]
        return (*views, labels)

    names = ["images", "second", "labels"] if wanted.kind == "views" else ["images", "labels"]
    loader = DALIGenericIterator(pipeline(), names, reader_name="files", last_batch_policy=LastBatchPolicy.PARTIAL)

    def endless() -> Iterator[Any]:
        while True:
            for (batch,) in loader:
                yield (batch["images"], batch["second"]) if wanted.kind == "views" else batch["images"]
            loader.reset()

    source, count = endless(), len(images_of(folder))

    def batches() -> Iterator[Any]:
        seen = 0
        while seen < count:
            batch = next(source)
            seen += len(batch[0] if isinstance(batch, tuple) else batch)
            yield batch

    def prepare() -> None:  # it goes on working until its queue is full: between two passes that would be for nothing
        for _ in range(QUEUE):
            next(source)

    return Epoch(batches, wanted, prepare)


def tf_data(folder: str, **job: Any) -> Epoch:
    """tf.data: the crop decoded by ``decode_and_crop_jpeg``, resized with antialiasing, in a pool of threads."""
    wanted = Job(**job)
    import tensorflow as tf

    workers = max(1, wanted.num_workers)
    tf.config.threading.set_intra_op_parallelism_threads(workers)
    tf.config.threading.set_inter_op_parallelism_threads(workers)
    files = images_of(folder)
    training = wanted.kind != "validation"
    decoding = {"channels": 3, "dct_method": "INTEGER_FAST", "fancy_upscaling": False}

    def window(shape: Any) -> Any:
        if not training:
            side = tf.cast(tf.round(tf.cast(tf.minimum(shape[0], shape[1]), tf.float32) * SIDE / SHORTER), tf.int32)
            return tf.stack([(shape[0] - side) // 2, (shape[1] - side) // 2, side, side])
        begin, size, _ = tf.image.sample_distorted_bounding_box(
            shape,
            tf.zeros((1, 0, 4)),
            aspect_ratio_range=(3 / 4, 4 / 3),
            area_range=tuple(wanted.scale),
            max_attempts=10,
            use_image_if_no_bounding_boxes=True,
        )
        return tf.concat((begin[:2], size[:2]), 0)

    def finished(image: Any) -> Any:
        image = tf.image.resize(image, (SIDE, SIDE), antialias=True)
        if training:
            image = tf.image.random_flip_left_right(image)
        image = (image - [255 * v for v in MEAN]) / [255 * v for v in STD]
        return tf.transpose(image, (2, 0, 1))

    def one(path: Any, label: Any) -> Any:
        data = tf.io.read_file(path)
        if wanted.kind == "views":  # one decoding of the whole image costs less than two of crops
            image = tf.image.decode_jpeg(data, **decoding)
            places = [window(tf.shape(image)) for _ in range(2)]
            return tf.stack([finished(image[y : y + h, x : x + w]) for y, x, h, w in map(tf.unstack, places)]), label
        place = window(tf.image.extract_jpeg_shape(data))
        image = tf.image.decode_and_crop_jpeg(data, place, **decoding)
        return finished(image), label

    dataset = tf.data.Dataset.from_tensor_slices(([str(path) for path, _ in files], [label for _, label in files]))
    options = tf.data.Options()
    options.threading.private_threadpool_size = workers
    options.deterministic = not training
    options.autotune.enabled = False  # it has nothing to tune here, and its thread would delay the end of each epoch
    if training:
        dataset = dataset.shuffle(len(files))
    dataset = dataset.map(one, num_parallel_calls=workers).batch(wanted.batch_size)
    dataset = dataset.prefetch(2).with_options(options)
    return Epoch(lambda: (images for images, _ in dataset.as_numpy_iterator()), wanted)


def spdl(folder: str, **job: Any) -> Epoch:
    """SPDL: FFmpeg decodes, crops and scales in a pool of threads; normalised by torch on the whole batch."""
    wanted = Job(**job)
    wanted.only("train", "validation")
    import numpy as np
    import spdl.io
    import torch
    from spdl.pipeline import PipelineBuilder

    torch.set_num_threads(1)
    workers = max(1, wanted.num_workers)
    rng = np.random.default_rng(0)
    files = [str(path) for path, _ in images_of(folder)]
    mean = 255 * torch.tensor(MEAN).view(3, 1, 1)
    std = 255 * torch.tensor(STD).view(3, 1, 1)

    def decode(path: str) -> Any:
        packets = spdl.io.demux_image(Path(path).read_bytes())
        width, height = packets.codec.width, packets.codec.height
        if wanted.kind == "validation":
            x, y, w = centre(width, height)
            h, flip = w, ""
        else:
            x, y, w, h = random_crop(rng, width, height, wanted.scale)
            flip = "hflip," if rng.random() < 0.5 else ""
        steps = f"crop={w}:{h}:{x}:{y},scale={SIDE}:{SIDE}:flags=bilinear,{flip}format=pix_fmts=rgb24"
        return spdl.io.decode_packets(packets, filter_desc=steps)

    def together(frames: Any) -> Any:
        images = spdl.io.to_torch(spdl.io.convert_frames(frames)).permute(0, 3, 1, 2)
        return images.to(torch.float32, memory_format=torch.contiguous_format).sub_(mean).div_(std)

    def batches() -> Iterator[Any]:
        order = np.arange(len(files)) if wanted.kind == "validation" else rng.permutation(len(files))
        pipeline = (
            PipelineBuilder()
            .add_source(files[i] for i in order)
            .pipe(decode, concurrency=workers)
            .aggregate(wanted.batch_size)
            .pipe(together)
            .add_sink(3)
            .build(num_threads=workers)
        )
        with pipeline.auto_stop():
            yield from pipeline

    return Epoch(batches, wanted)


def datago(folder: str, **job: Any) -> Epoch:
    """datago: its threads decode whole images, which torchvision's v2 transforms crop one by one."""
    wanted = Job(**job)
    import torch
    from datago import DatagoClient

    torch.set_num_threads(1)
    transform = v2_transform(wanted)
    count = len(images_of(folder))
    config = {
        "source_type": "file",
        "source_config": {"root_path": folder, "random_sampling": True, "rank": 0, "world_size": 1},
        "limit": count,
        "samples_buffer_size": wanted.batch_size,
        "image_format": "numpy",
    }

    def batches() -> Iterator[Any]:
        client = DatagoClient(json.dumps(config))
        client.start()
        images = []
        try:
            while (sample := client.get_sample()) is not None:
                array = torch.from_numpy(sample.image.to_numpy_array())
                pixels = array.permute(2, 0, 1) if array.ndim == 3 else array[None]
                images.append(transform(pixels.expand(3, -1, -1)))  # grey images have one channel
                if len(images) == wanted.batch_size:
                    yield normalised(torch.stack(images))
                    images = []
            if images:
                yield normalised(torch.stack(images))
        finally:
            client.stop()

    return Epoch(batches, wanted)


def turboloader_tar(folder: str, out: str) -> int:
    """Put the images into the tar that TurboLoader reads, and return how many they are."""
    files = images_of(folder)
    with tarfile.open(out, "w", dereference=True) as tar:
        for path, label in files:
            tar.add(path, arcname=f"{label:05d}_{path.stem}.jpg")
    return len(files)


def turboloader(folder: str, **job: Any) -> Epoch:
    """TurboLoader with ``train_aug`` on a tar of the files. Its crops are 0.08 to 1 of the area, and nothing else."""
    wanted = Job(**job)
    wanted.only("train")
    import turboloader as package

    if tuple(wanted.scale) != (0.08, 1.0):
        raise ValueError("train_aug of TurboLoader 2.39 crops 0.08 to 1 of the area")
    archive = str(Path(folder).with_suffix(".tar"))
    turboloader_tar(folder, archive)
    loader = package.DataLoader(
        archive,
        batch_size=wanted.batch_size,
        num_workers=max(1, wanted.num_workers),
        shuffle=True,
        image_size=SIDE,
        output_format="pytorch",
        transform=package.ImageNetNormalize(),
        antialias=True,
        train_aug=True,
    )
    epochs = iter(range(1 << 30))

    def batches() -> Iterator[Any]:
        loader.set_epoch(next(epochs))
        yield from (images for images, _ in loader)

    return Epoch(batches, wanted)


def turboloader_raw(folder: str, **job: Any) -> Epoch:
    """TurboLoader on a ``.tbl`` of pictures resized to 256x256 beforehand, cropped as they are served."""
    wanted = Job(**job)
    wanted.only("train")
    import turboloader as package

    archive, table = (str(Path(folder).with_suffix(suffix)) for suffix in (".tar", ".tbl"))
    turboloader_tar(folder, archive)
    package.preprocess_to_tbl(archive, table, image_size=256)
    loader = package.TblRawImageLoader(
        table, wanted.batch_size, hflip_prob=0.5, train_aug=True, scale=tuple(wanted.scale), image_size=SIDE
    )
    epochs = iter(range(1 << 30))

    def batches() -> Iterator[Any]:
        loader.set_epoch(next(epochs))
        yield from (images for images, _ in loader)

    return Epoch(batches, wanted)
