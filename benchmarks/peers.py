"""Loaders that `benchmarks/loader.py --peers PYTHON` times beside: torchvision v2, DALI on the CPU, TurboLoader.

PYTHON is the interpreter of an environment of their own, since their requirements may contradict ffprep's:

    python -m venv peers
    peers/bin/pip install torch torchvision numpy Pillow nvidia-dali-cuda120 turboloader
    python benchmarks/loader.py --data FOLDER --peers peers/bin/python

Each does the work of the main row on the image files themselves, by the fastest way its manual shows for the CPU: DALI
decodes only the crop (``image_random_crop``), TurboLoader does too (``train_aug``).
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
Epoch = Callable[[], int]


def dali(folder: str, batch_size: int = 64, num_workers: int = 1) -> Epoch:
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
            encoded, device="cpu", random_area=(0.08, 1.0), random_aspect_ratio=(3 / 4, 4 / 3), num_attempts=10
        )
        images = fn.resize(images, size=(224, 224), interp_type=types.INTERP_LINEAR, antialias=True)
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

    def run() -> int:
        samples = 0
        for (batch,) in loader:
            float(batch["images"][0, 0, 0, 0])
            samples += len(batch["images"])
        loader.reset()
        return samples

    return run


def turboloader(folder: str, batch_size: int = 64, num_workers: int = 1) -> Epoch:
    """TurboLoader with ``train_aug`` on a tar of the files."""
    import turboloader as package

    archive = Path(folder).with_suffix(".tar")
    with tarfile.open(archive, "w", dereference=True) as tar:
        for path in sorted(Path(folder).glob("*/*")):
            tar.add(path, arcname=f"{path.parent.name}_{path.stem}.jpg")
    loader = package.DataLoader(
        str(archive),
        batch_size=batch_size,
        num_workers=num_workers,
        shuffle=True,
        image_size=224,
        output_format="pytorch",
        transform=package.ImageNetNormalize(),
        antialias=True,
        train_aug=True,
    )
    epochs = iter(range(1 << 30))

    def run() -> int:
        loader.set_epoch(next(epochs))
        samples = 0
        for images, _ in loader:
            assert images.shape[1:] == (3, 224, 224), images.shape
            float(images[0, 0, 0, 0])
            samples += len(images)
        return samples

    return run
