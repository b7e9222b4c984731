"""Loaders that read image files or tars of them: each function returns an `Epoch` of the common job.

Each does what its manual shows as the fast way for the CPU. DALI, tf.data and TurboLoader decode only the crop.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from peers.common import MEAN, SIDE, STD, Epoch, images_of, torch_loader, v2_transform

from ffprep.inspect.timing.runners import random_crop


class _Files:
    """A map-style data set of image files: `decode` makes an image of a path, `transform` a tensor of the image."""

    def __init__(self, folder: str, decode: Any, transform: Any) -> None:
        self.files, self.decode, self.transform = images_of(folder), decode, transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        path, label = self.files[index]
        return self.transform(self.decode(str(path))), label


def pillow(
    folder: str, batch_size: int = 64, num_workers: int = 1, scale: Sequence[float] = (0.08, 1.0), touch: str = "value"
) -> Epoch:
    """Pillow and torchvision's classic transforms in torch's DataLoader: torchvision's ImageFolder as most use it."""
    from PIL import Image
    from torchvision import transforms

    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(SIDE, scale=tuple(scale)),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    dataset = _Files(folder, lambda path: Image.open(path).convert("RGB"), transform)
    return torch_loader(dataset, batch_size, num_workers, touch, shuffle=True)


def torchvision_v2(
    folder: str, batch_size: int = 64, num_workers: int = 1, scale: Sequence[float] = (0.08, 1.0), touch: str = "value"
) -> Epoch:
    """torchvision's decoder (libjpeg-turbo) and v2 transforms on uint8 tensors in torch's DataLoader."""
    from torchvision.io import ImageReadMode, decode_jpeg, read_file

    dataset = _Files(folder, lambda path: decode_jpeg(read_file(path), ImageReadMode.RGB), v2_transform(scale))
    return torch_loader(dataset, batch_size, num_workers, touch, shuffle=True)


def torchcodec(
    folder: str, batch_size: int = 64, num_workers: int = 1, scale: Sequence[float] = (0.08, 1.0), touch: str = "value"
) -> Epoch:
    """torchcodec's image decoder with torchvision's v2 transforms in torch's DataLoader."""
    from torchcodec.decoders import decode_image

    def decode(path: str) -> Any:
        image = decode_image(path)
        return image if image.shape[0] == 3 else image[:1].expand(3, -1, -1)

    return torch_loader(_Files(folder, decode, v2_transform(scale)), batch_size, num_workers, touch, shuffle=True)


def kornia(
    folder: str, batch_size: int = 64, num_workers: int = 1, scale: Sequence[float] = (0.08, 1.0), touch: str = "value"
) -> Epoch:
    """kornia-rs: its libjpeg-turbo decoder and its resize on the crop, in torch's DataLoader."""
    import kornia_rs
    import numpy as np
    import torch

    rng = np.random.default_rng(0)
    mean, std = np.float32(MEAN) * 255, np.float32(STD) * 255

    def decode(path: str) -> Any:
        return kornia_rs.io.decode_image_jpegturbo(Path(path).read_bytes(), "rgb")

    def transform(image: Any) -> Any:
        x, y, w, h = random_crop(rng, image.shape[1], image.shape[0], scale)
        image = kornia_rs.imgproc.resize(np.ascontiguousarray(image[y : y + h, x : x + w]), (SIDE, SIDE), "bilinear")
        if rng.random() < 0.5:
            image = image[:, ::-1]
        return torch.from_numpy(np.ascontiguousarray(((image - mean) / std).transpose(2, 0, 1)))

    return torch_loader(_Files(folder, decode, transform), batch_size, num_workers, touch, shuffle=True)


def dali(
    folder: str, batch_size: int = 64, num_workers: int = 1, scale: Sequence[float] = (0.08, 1.0), touch: str = "value"
) -> Epoch:
    """DALI on the CPU: crop decoding, resize, mirror and normalise, handed over by its PyTorch iterator."""
    from nvidia.dali import fn, pipeline_def, types
    from nvidia.dali.plugin.base_iterator import LastBatchPolicy
    from nvidia.dali.plugin.pytorch import DALIGenericIterator

    @pipeline_def(batch_size=batch_size, num_threads=num_workers, device_id=None, prefetch_queue_depth=3, seed=0)
    def training() -> Any:
        encoded, labels = fn.readers.file(
            file_root=folder, random_shuffle=True, initial_fill=1024, name="files", dont_use_mmap=False
        )
        images = fn.decoders.image_random_crop(
            encoded, device="cpu", random_area=tuple(scale), random_aspect_ratio=(3 / 4, 4 / 3), num_attempts=10
        )
        images = fn.resize(images, size=(SIDE, SIDE), interp_type=types.INTERP_LINEAR, antialias=True)
        images = fn.crop_mirror_normalize(
            images,
            dtype=types.FLOAT,
            output_layout="CHW",
            mean=[255 * v for v in MEAN],
            std=[255 * v for v in STD],
            mirror=fn.random.coin_flip(probability=0.5),
        )
        return images, labels

    loader = DALIGenericIterator(
        training(), ["images", "labels"], reader_name="files", last_batch_policy=LastBatchPolicy.PARTIAL
    )

    def batches() -> Iterator[Any]:
        for (batch,) in loader:
            yield batch["images"]
        loader.reset()

    return Epoch(batches, touch)


def tf_data(
    folder: str, batch_size: int = 64, num_workers: int = 1, scale: Sequence[float] = (0.08, 1.0), touch: str = "value"
) -> Epoch:
    """tf.data: the crop decoded by ``decode_and_crop_jpeg``, resized with antialiasing, in a pool of threads."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(num_workers)
    tf.config.threading.set_inter_op_parallelism_threads(num_workers)
    files = images_of(folder)

    def job(path: Any, label: Any) -> Any:
        data = tf.io.read_file(path)
        begin, size, _ = tf.image.sample_distorted_bounding_box(
            tf.image.extract_jpeg_shape(data),
            tf.zeros((1, 0, 4)),
            aspect_ratio_range=(3 / 4, 4 / 3),
            area_range=tuple(scale),
            max_attempts=10,
            use_image_if_no_bounding_boxes=True,
        )
        window = tf.concat((begin[:2], size[:2]), 0)
        image = tf.image.decode_and_crop_jpeg(data, window, channels=3, dct_method="INTEGER_FAST")
        image = tf.image.resize(image, (SIDE, SIDE), antialias=True)
        image = tf.image.random_flip_left_right(image)
        image = (image - [255 * v for v in MEAN]) / [255 * v for v in STD]
        return tf.transpose(image, (2, 0, 1)), label

    dataset = tf.data.Dataset.from_tensor_slices(([str(path) for path, _ in files], [label for _, label in files]))
    options = tf.data.Options()
    options.threading.private_threadpool_size = num_workers
    options.deterministic = False
    dataset = dataset.shuffle(len(files)).map(job, num_parallel_calls=num_workers).batch(batch_size)
    dataset = dataset.prefetch(2).with_options(options)
    return Epoch(lambda: (images for images, _ in dataset.as_numpy_iterator()), touch)


def spdl(
    folder: str, batch_size: int = 64, num_workers: int = 1, scale: Sequence[float] = (0.08, 1.0), touch: str = "value"
) -> Epoch:
    """SPDL: FFmpeg decodes, crops and scales in a pool of threads; normalised by torch on the whole batch."""
    import numpy as np
    import spdl.io
    import torch
    from spdl.pipeline import PipelineBuilder

    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    files = [str(path) for path, _ in images_of(folder)]
    mean = 255 * torch.tensor(MEAN).view(3, 1, 1)
    std = 255 * torch.tensor(STD).view(3, 1, 1)

    def decode(path: str) -> Any:
        packets = spdl.io.demux_image(Path(path).read_bytes())
        x, y, w, h = random_crop(rng, packets.codec.width, packets.codec.height, scale)
        flip = "hflip," if rng.random() < 0.5 else ""
        steps = f"crop={w}:{h}:{x}:{y},scale={SIDE}:{SIDE}:flags=bilinear,{flip}format=pix_fmts=rgb24"
        return spdl.io.decode_packets(packets, filter_desc=steps)

    def together(frames: Any) -> Any:
        images = spdl.io.to_torch(spdl.io.convert_frames(frames)).permute(0, 3, 1, 2)
        return images.to(torch.float32, memory_format=torch.contiguous_format).sub_(mean).div_(std)

    def batches() -> Iterator[Any]:
        order = rng.permutation(len(files))
        pipeline = (
            PipelineBuilder()
            .add_source(files[i] for i in order)
            .pipe(decode, concurrency=num_workers)
            .aggregate(batch_size)
            .pipe(together)
            .add_sink(3)
            .build(num_threads=num_workers)
        )
        with pipeline.auto_stop():
            yield from pipeline

    return Epoch(batches, touch)


def datago(
    folder: str, batch_size: int = 64, num_workers: int = 1, scale: Sequence[float] = (0.08, 1.0), touch: str = "value"
) -> Epoch:
    """datago: its threads decode whole images, which torchvision's v2 transforms crop one by one."""
    import torch
    from datago import DatagoClient

    torch.set_num_threads(1)
    transform = v2_transform(scale)
    count = len(images_of(folder))
    config = {
        "source_type": "file",
        "source_config": {"root_path": folder, "random_sampling": True, "rank": 0, "world_size": 1},
        "limit": count,
        "samples_buffer_size": batch_size,
        "image_format": "numpy",
    }

    def batches() -> Iterator[Any]:
        client = DatagoClient(json.dumps(config))
        client.start()
        images = []
        try:
            while (sample := client.get_sample()) is not None:
                array = torch.from_numpy(sample.image.to_numpy_array().copy())
                images.append(transform(array.permute(2, 0, 1) if array.ndim == 3 else array.expand(3, -1, -1)))
                if len(images) == batch_size:
                    yield torch.stack(images)
                    images = []
            if images:
                yield torch.stack(images)
        finally:
            client.stop()

    return Epoch(batches, touch)


def turboloader_tar(folder: str, out: str) -> int:
    """Put the images into the tar that TurboLoader reads, and return how many they are."""
    files = images_of(folder)
    with tarfile.open(out, "w", dereference=True) as tar:
        for path, label in files:
            tar.add(path, arcname=f"{label:05d}_{path.stem}.jpg")
    return len(files)


def turboloader(
    folder: str, batch_size: int = 64, num_workers: int = 1, scale: Sequence[float] = (0.08, 1.0), touch: str = "value"
) -> Epoch:
    """TurboLoader with ``train_aug`` on a tar of the files. Its crops are 0.08 to 1 of the area, and nothing else."""
    import turboloader as package

    if tuple(scale) != (0.08, 1.0):
        raise ValueError("train_aug of TurboLoader 2.39 crops 0.08 to 1 of the area")
    archive = str(Path(folder).with_suffix(".tar"))
    turboloader_tar(folder, archive)
    loader = package.DataLoader(
        archive,
        batch_size=batch_size,
        num_workers=num_workers,
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

    return Epoch(batches, touch)


def turboloader_raw(
    folder: str, batch_size: int = 64, num_workers: int = 1, scale: Sequence[float] = (0.08, 1.0), touch: str = "value"
) -> Epoch:
    """TurboLoader on a ``.tbl`` of pictures resized to 256x256 beforehand, cropped as they are served."""
    import turboloader as package

    archive, table = (str(Path(folder).with_suffix(suffix)) for suffix in (".tar", ".tbl"))
    turboloader_tar(folder, archive)
    package.preprocess_to_tbl(archive, table, image_size=256)
    loader = package.TblRawImageLoader(
        table, batch_size, hflip_prob=0.5, train_aug=True, scale=tuple(scale), image_size=SIDE
    )
    epochs = iter(range(1 << 30))

    def batches() -> Iterator[Any]:
        loader.set_epoch(next(epochs))
        yield from (images for images, _ in loader)

    return Epoch(batches, touch)
