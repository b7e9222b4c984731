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
BLOCKS = 4
"""Blocks along a side of an image whose means are compared."""


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
    steps : sequence of float
        Seconds of a timed step for each image, in which an emulated accelerator works and the processor does not. Of
        several, the passes after the first one take one each, in turns.
    least : float
        Seconds that a pass takes at least: epochs are repeated until it has.
    looks : int
        How many passes the first one consists of, to learn by how much their values differ by chance.
    """

    kind: str = "train"
    scale: Sequence[float] = (0.08, 1.0)
    batch_size: int = 64
    num_workers: int = 1
    touch: str = "value"
    steps: Sequence[float] = ()
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
        self.passes = 0
        self.first: float | None = None
        """The moment of ``time.time`` at which the first batch was there."""
        self.summary: dict[str, Any] = {}
        """Of the first pass: see `Values.summary`."""

    def __call__(self) -> int:
        if not self.summary:
            return self._first()
        began = time.perf_counter()
        step = self.job.steps[self.passes % len(self.job.steps)] if self.job.steps else 0.0
        self.passes += 1
        samples = self._once(step)
        while time.perf_counter() - began < self.job.least:
            samples += self._once(step)
        return samples

    def _once(self, step: float) -> int:
        samples = 0
        for images in self.batches():
            some = images[0] if isinstance(images, tuple) else images
            if self.job.touch == "all":
                for view in images if isinstance(images, tuple) else (images,):
                    float(view.sum())
            else:
                float(some[0].ravel()[0] if hasattr(some[0], "ravel") else some[0])
            samples += len(some)
            if step:
                time.sleep(step * len(some))
        self._all_there(samples, self.summary["samples"])
        return samples

    def _all_there(self, samples: int, expected: int) -> None:
        """Refuse a pass in which images were skipped."""
        if samples != expected:
            raise ValueError(f"a pass delivered {samples:,} images, the first one {expected:,}")

    def _first(self) -> int:
        values = Values(self.job)
        for _ in range(self.job.looks):
            samples = 0
            for images in self.batches():
                if self.first is None:
                    self.first = time.time()
                views = images if isinstance(images, tuple) else (images,)
                samples += len(views[0])
                for view in views:
                    values.add(view)
            values.end(samples)
            self._all_there(samples, values.samples)
        self.summary = values.summary()
        return values.samples


class Values:
    """What is written down of the values of a loader's first passes, to compare them with another's."""

    def __init__(self, job: Job) -> None:
        import numpy as np

        self.job = job
        self.samples = self.crops = 0
        self.total, self.squares = np.zeros(3), np.zeros(3)
        self.means: list[Any] = []
        self.spreads: list[Any] = []
        self.blocks: list[list[float]] = []

    def add(self, view: Any) -> None:
        """Add a batch of images, one by one, so that this takes no memory worth mentioning."""
        import numpy as np

        array = np.asarray(view)
        expected = (2, 3, SIDE, SIDE) if self.job.kind == "views" and array.ndim == 5 else (3, SIDE, SIDE)
        if array.shape[1:] != expected or array.dtype != np.float32:
            raise ValueError(f"a batch of shape {array.shape} and type {array.dtype}, not as the job has it")
        for image in array.reshape(-1, 3, SIDE, SIDE):
            self.crops += 1
            self.total += image.sum((1, 2), dtype=np.float64)
            self.squares += np.square(image).sum((1, 2), dtype=np.float64)
            if self.job.kind == "validation" and not self.means:
                means = image.reshape(3, BLOCKS, SIDE // BLOCKS, BLOCKS, SIDE // BLOCKS).mean((2, 4))
                self.blocks.append(means.ravel().round(3).tolist())

    def end(self, samples: int) -> None:
        """End a pass of so many images."""
        import numpy as np

        pixels = max(1, self.crops) * SIDE * SIDE
        self.means.append(self.total / pixels)
        self.spreads.append(np.sqrt(self.squares / pixels - self.means[-1] * self.means[-1]))
        if not self.samples:
            self.samples, self.one = samples, self.crops
        self.crops, self.total, self.squares = 0, np.zeros(3), np.zeros(3)

    def summary(self) -> dict[str, Any]:
        """Return the values of all passes together.

        Returns
        -------
        dict
            ``samples``, ``crops``: of a pass. ``looks``: passes. ``mean``, ``std``: of each channel. ``spread``: the
            standard deviation that the means and standard deviations of single crops would have by chance, known from
            how those of the passes differ, if there were several. ``blocks``: of each image of validation the means of
            4 x 4 blocks, for every channel.
        """
        import numpy as np

        found: dict[str, Any] = {"samples": self.samples, "crops": self.one, "looks": len(self.means)}
        for what, values in (("mean", self.means), ("std", self.spreads)):
            found[what] = np.mean(values, 0).round(4).tolist()
        if len(self.means) > 1:
            spread = {
                what: float(np.std(values, 0, ddof=1).max() * np.sqrt(self.one))
                for what, values in (("mean", self.means), ("std", self.spreads))
            }
            found["spread"] = {what: round(value, 4) for what, value in spread.items()}
        if self.blocks:
            found["blocks"] = self.blocks
        return found


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
    """Return torchvision's v2 transforms for the job, on a uint8 tensor of (3, H, W); `normalised` does the rest."""
    from torchvision.transforms import v2

    if job.kind == "validation":
        return v2.Compose([v2.Resize(SHORTER, antialias=True), v2.CenterCrop(SIDE)])
    crop = v2.Compose([v2.RandomResizedCrop(SIDE, scale=tuple(job.scale), antialias=True), v2.RandomHorizontalFlip()])
    return TwoViews(crop) if job.kind == "views" else crop


def normalised(images: Any) -> Any:
    """Normalise a batch of uint8 images.

    The training process does it: a quarter of the bytes goes there from the workers, and whole batches take fewer
    operations, as in timm's ``PrefetchLoader``. It takes 0.9 of the processor time of ``v2.Normalize`` in the workers.
    """
    import torch

    mean, std = (255 * torch.tensor(one).view(3, 1, 1) for one in (MEAN, STD))
    return images.to(torch.float32).sub_(mean).div_(std)


class FromBytes:
    """torchvision's decoder and v2 transforms on the bytes of a JPEG, for data sets that store those."""

    def __init__(self, job: Job) -> None:
        self.transform = v2_transform(job)

    def __call__(self, data: Any) -> Any:
        import torch
        from torchvision.io import ImageReadMode, decode_jpeg

        return self.transform(decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8), ImageReadMode.RGB))


def torch_loader(dataset: Any, job: Job, finish: Callable[[Any], Any] = lambda images: images, **options: Any) -> Epoch:
    """Torch's DataLoader over (image, label) pairs, with a process for each worker; `finish` is given each batch."""
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
    return Epoch(lambda: (finish(images) for images, _ in loader), job)


def one_thread(_: int) -> None:
    """Keep a worker process to one thread, as the manuals of torch's DataLoader users advise."""
    import torch

    torch.set_num_threads(1)
