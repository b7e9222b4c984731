"""What the runners of all peers share: the job, how a batch is consumed, and what is written down of its values."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
SIDE = 224
SHORTER = 256


@dataclass(frozen=True)
class Job:
    """What every image loader of a part has to do; the same for all of them.

    Attributes
    ----------
    kind : {"train", "validation", "views"}
        ``train``: random resized crop to 224 (area `scale`, ratio 3/4 to 4/3), flip by chance. ``validation``: the
        shorter side to 256, the central 224. ``views``: two of the training crops of each image. Always normalised with
        ImageNet's mean and standard deviation, as float32 batches of (N, 3, 224, 224).
    scale : (float, float)
    batch_size, num_workers : int
    touch : {"value", "all"}
        What the consumer reads of a batch: one value, as if a copy to a device were all it did, or all of them.
    step : float
        Seconds of a timed step for each image, in which an emulated accelerator works and the processor does not.
    least : float
        Seconds that a pass takes at least: epochs are repeated until it has.
    looks : int
        How many epochs the first pass looks at, to learn by how much their means differ.
    """

    kind: str = "train"
    scale: Sequence[float] = (0.08, 1.0)
    batch_size: int = 64
    num_workers: int = 1
    touch: str = "value"
    step: float = 0.0
    least: float = 0.0
    looks: int = 1

    def only(self, *kinds: str) -> None:
        """Refuse another kind of job than these."""
        if self.kind not in kinds:
            raise ValueError(f"this job ({self.kind}) is not written for it")


class Epoch:
    """One pass over a loader; the first one also looks at the values.

    Parameters
    ----------
    batches : Callable[[], Iterable[Any]]
        Begins a pass over the batches: arrays or tensors of (N, 3, 224, 224), or of (N, 2, 3, 224, 224), or pairs of
        the former, for two views.
    job : Job
    prepare : Callable[[], None], optional
        Throws away what the loader has made since the last pass, before the next one is timed.
    """

    def __init__(
        self, batches: Callable[[], Iterable[Any]], job: Job, prepare: Callable[[], None] | None = None
    ) -> None:
        self.prepare = prepare
        self.batches = batches
        self.job = job
        self.summary: dict[str, Any] = {}
        """Of the first pass: samples; mean and standard deviation of each channel, and the standard error of these
        means if several epochs were looked at."""

    def __call__(self) -> int:
        if not self.summary:
            return self._first()
        began = time.perf_counter()
        samples = self._once()
        while time.perf_counter() - began < self.job.least:
            samples += self._once()
        return samples

    def _once(self) -> int:
        samples = 0
        for images in self.batches():
            some = images[0] if isinstance(images, tuple) else images
            if self.job.touch == "all":
                for view in images if isinstance(images, tuple) else (images,):
                    float(view.sum())
            else:
                float(some[0].ravel()[0] if hasattr(some[0], "ravel") else some[0])
            samples += len(some)
            if self.job.step:
                time.sleep(self.job.step * len(some))
        return samples

    def _first(self) -> int:
        import numpy as np

        means, spreads, samples = [], [], 0
        for _ in range(self.job.looks):
            samples, crops, total, squares = 0, 0, np.zeros(3), np.zeros(3)
            for images in self.batches():
                views = [np.asarray(view) for view in (images if isinstance(images, tuple) else (images,))]
                samples += len(views[0])
                for array in views:
                    expected = (2, 3, SIDE, SIDE) if self.job.kind == "views" and array.ndim == 5 else (3, SIDE, SIDE)
                    if array.shape[1:] != expected or array.dtype != np.float32:
                        raise ValueError(
                            f"a batch of shape {array.shape} and type {array.dtype}, not as the job has it"
                        )
                    pixels = array.reshape(-1, 3, SIDE * SIDE)
                    crops += len(pixels)
                    total += pixels.sum((0, 2), dtype=np.float64)
                    squares += np.square(pixels, dtype=np.float64).sum((0, 2))
            means.append(total / (crops * SIDE * SIDE))
            spreads.append(np.sqrt(squares / (crops * SIDE * SIDE) - means[-1] * means[-1]))
        mean, spread = np.mean(means, 0), np.mean(spreads, 0)
        self.summary = {"samples": samples, "crops": crops, "mean": mean.round(4).tolist()}
        self.summary["std"] = spread.round(4).tolist()
        if self.job.looks > 1:
            self.summary["error"] = float(max(np.std(means, 0, ddof=1).max(), np.std(spreads, 0, ddof=1).max()))
        return samples


def images_of(folder: str) -> list[tuple[Path, int]]:
    """Return the images of an ImageFolder with their classes, in the order of their names."""
    classes = sorted(path for path in Path(folder).iterdir() if path.is_dir())
    return [(path, number) for number, name in enumerate(classes) for path in sorted(name.iterdir())]


def centre(width: int, height: int) -> tuple[int, int, int]:
    """Return the square that is left of an image after 256 for its shorter side and the central 224: x, y, side."""
    side = round(min(width, height) * SIDE / SHORTER)
    return (width - side) // 2, (height - side) // 2, side


class TwoViews:
    """Two crops of an image, stacked."""

    def __init__(self, transform: Callable[[Any], Any]) -> None:
        self.transform = transform

    def __call__(self, image: Any) -> Any:
        import torch

        return torch.stack([self.transform(image), self.transform(image)])


def v2_transform(job: Job) -> Callable[[Any], Any]:
    """Return torchvision's v2 transforms for the job, on a uint8 tensor of (3, H, W)."""
    import torch
    from torchvision.transforms import v2

    last = [v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
    if job.kind == "validation":
        return v2.Compose([v2.Resize(SHORTER, antialias=True), v2.CenterCrop(SIDE), *last])
    crop = v2.Compose(
        [v2.RandomResizedCrop(SIDE, scale=tuple(job.scale), antialias=True), v2.RandomHorizontalFlip(), *last]
    )
    return TwoViews(crop) if job.kind == "views" else crop


class FromBytes:
    """torchvision's decoder and v2 transforms on the bytes of a JPEG, for data sets that store those."""

    def __init__(self, job: Job) -> None:
        self.transform = v2_transform(job)

    def __call__(self, data: Any) -> Any:
        import torch
        from torchvision.io import ImageReadMode, decode_jpeg

        return self.transform(decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8), ImageReadMode.RGB))


def torch_loader(dataset: Any, job: Job, **options: Any) -> Epoch:
    """Torch's DataLoader over (image, label) pairs, with a process for each worker."""
    import torch

    torch.set_num_threads(1)
    loader: Any = torch.utils.data.DataLoader(
        dataset,
        batch_size=job.batch_size,
        num_workers=job.num_workers,
        persistent_workers=job.num_workers > 0,
        worker_init_fn=one_thread,
        **options,
    )
    return Epoch(lambda: (images for images, _ in loader), job)


def one_thread(_: int) -> None:
    """Keep a worker process to one thread, as the manuals of torch's DataLoader users advise."""
    import torch

    torch.set_num_threads(1)
