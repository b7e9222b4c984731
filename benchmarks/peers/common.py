"""What the runners of all peers share: the job, how a batch is consumed, and what is written down of its values.

The job of every image loader is one: random resized crop to 224 (area `scale`, ratio 3/4 to 4/3), flip by chance,
normalised with ImageNet's mean and standard deviation, float32 batches of (N, 3, 224, 224).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
SIDE = 224


class Epoch:
    """One pass over a loader; the first one also looks at the values.

    Parameters
    ----------
    batches : Callable[[], Iterable[Any]]
        Begins a pass over the batches: arrays or tensors of (N, 3, 224, 224).
    touch : {"value", "all"}
        What the consumer reads of a batch: one value, as if a copy to a device were all it did, or all of them.
    """

    def __init__(self, batches: Callable[[], Iterable[Any]], touch: str = "value") -> None:
        self.batches = batches
        self.touch = touch
        self.summary: dict[str, Any] = {}
        """Of the first pass: shape, type and layout of a batch; mean and standard deviation of each channel."""

    def __call__(self) -> int:
        if not self.summary:
            return self._first()
        samples = 0
        for images in self.batches():
            float(images.sum() if self.touch == "all" else images[0, 0, 0, 0])
            samples += len(images)
        return samples

    def _first(self) -> int:
        import numpy as np

        samples, total, squares = 0, np.zeros(3), np.zeros(3)
        for images in self.batches():
            array = np.asarray(images)
            if array.shape[1:] != (3, SIDE, SIDE) or array.dtype != np.float32:
                raise ValueError(f"a batch of shape {array.shape} and type {array.dtype}, not float32 (N, 3, 224, 224)")
            total += array.sum((0, 2, 3), dtype=np.float64)
            squares += np.square(array, dtype=np.float64).sum((0, 2, 3))
            samples += len(array)
        mean = total / (samples * SIDE * SIDE)
        spread = np.sqrt(squares / (samples * SIDE * SIDE) - mean * mean)
        self.summary = {"samples": samples, "mean": mean.round(4).tolist(), "std": spread.round(4).tolist()}
        self.summary["contiguous"] = bool(array.flags["C_CONTIGUOUS"])
        return samples


def images_of(folder: str) -> list[tuple[Path, int]]:
    """Return the images of an ImageFolder with their classes, in the order of their names."""
    classes = sorted(path for path in Path(folder).iterdir() if path.is_dir())
    return [(path, number) for number, name in enumerate(classes) for path in sorted(name.iterdir())]


def v2_transform(scale: Sequence[float]) -> Callable[[Any], Any]:
    """Return torchvision's v2 transforms for the job, on a uint8 tensor of (3, H, W)."""
    import torch
    from torchvision.transforms import v2

    return v2.Compose(
        [
            v2.RandomResizedCrop(SIDE, scale=tuple(scale), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )


class FromBytes:
    """torchvision's decoder and v2 transforms on the bytes of a JPEG, for data sets that store those."""

    def __init__(self, scale: Sequence[float]) -> None:
        self.transform = v2_transform(scale)

    def __call__(self, data: Any) -> Any:
        import torch
        from torchvision.io import ImageReadMode, decode_jpeg

        return self.transform(decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8), ImageReadMode.RGB))


def torch_loader(dataset: Any, batch_size: int, num_workers: int, touch: str, **options: Any) -> Epoch:
    """Torch's DataLoader over (image, label) pairs, with a process for each worker."""
    import torch

    torch.set_num_threads(1)
    loader: Any = torch.utils.data.DataLoader(
        dataset,
        batch_size=batch_size,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        worker_init_fn=one_thread,
        **options,
    )
    return Epoch(lambda: (images for images, _ in loader), touch)


def one_thread(_: int) -> None:
    """Keep a worker process to one thread, as the manuals of torch's DataLoader users advise."""
    import torch

    torch.set_num_threads(1)
