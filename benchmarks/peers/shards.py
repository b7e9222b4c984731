"""Libraries with a form of storage of their own: for each a writer (``*_write``) and a loader of what it wrote.

All store the JPEGs' bytes as they are. A writer's pass writes the whole data set anew, forces it to the disk as
ffprep's does, and returns the number of samples, so that `ffprep.inspect.timing.paired` times it like an epoch.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from peers.common import MEAN, SIDE, STD, Epoch, FromBytes, Job, centre, images_of, normalised, one_thread, torch_loader

from ffprep.inspect.timing.runners import random_crop


def _writing(folder: str, out: str, write: Callable[[list[tuple[Path, int]], Path], None]) -> Callable[[], int]:
    files = images_of(folder)

    def run() -> int:
        shutil.rmtree(out, ignore_errors=True)
        Path(out).mkdir(parents=True)
        write(files, Path(out))
        for path in Path(out).rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
        return len(files)

    return run


def _decoding(base: Any, job: Job) -> Any:
    """Derive a data set that decodes and crops the images of `base`, whose samples have an image and a label."""
    transform = FromBytes(job)

    class Images(base):  # type: ignore[misc]
        def __getitem__(self, at: Any) -> Any:
            sample = super().__getitem__(at)
            return transform(sample["image"]), sample["label"]

    return Images


def webdataset_write(folder: str, out: str, num_workers: int = 1) -> Callable[[], int]:
    """Tars of WebDataset, 100 MB each."""
    import webdataset

    def write(files: list[tuple[Path, int]], out: Path) -> None:
        with webdataset.ShardWriter(f"{out}/train-%05d.tar", maxsize=100e6, verbose=0) as sink:
            for number, (path, label) in enumerate(files):
                sink.write({"__key__": f"{number:08d}", "jpg": path.read_bytes(), "cls": label})

    return _writing(folder, out, write)


def webdataset(data: str, **job: Any) -> Epoch:
    """WebDataset: shuffled in a buffer, decoded by torchvision, batched in its worker processes."""
    wanted = Job(**job)
    import torch
    import webdataset as package

    torch.set_num_threads(1)
    shards = sorted(map(str, Path(data).glob("*.tar")))
    transform = FromBytes(wanted)
    training = wanted.kind != "validation"
    samples = package.WebDataset(
        shards,
        shardshuffle=len(shards) if training else False,
        empty_check=False,
        workersplitter=package.split_by_worker,
    )
    samples = (
        (samples.shuffle(1000) if training else samples)
        .to_tuple("jpg", "cls")
        .map_tuple(transform, int)
        .batched(wanted.batch_size)
    )
    loader = package.WebLoader(
        samples,
        batch_size=None,
        num_workers=wanted.num_workers,
        persistent_workers=wanted.num_workers > 0,
        worker_init_fn=one_thread,
    )
    return Epoch(lambda: (normalised(images) for images, _ in loader), wanted)


def streaming_write(folder: str, out: str, num_workers: int = 1) -> Callable[[], int]:
    """Shards of MosaicML Streaming (MDS), with the bytes of the JPEGs."""
    from streaming import MDSWriter

    def write(files: list[tuple[Path, int]], out: Path) -> None:
        with MDSWriter(out=str(out), columns={"image": "bytes", "label": "int"}) as sink:
            for path, label in files:
                sink.write({"image": path.read_bytes(), "label": label})

    return _writing(folder, out, write)


def streaming(data: str, **job: Any) -> Epoch:
    """MosaicML Streaming from local shards, decoded by torchvision in torch's DataLoader."""
    wanted = Job(**job)
    from streaming import StreamingDataset
    from streaming.base.util import clean_stale_shared_memory

    clean_stale_shared_memory()

    dataset = _decoding(StreamingDataset, wanted)(
        local=data, shuffle=wanted.kind != "validation", batch_size=wanted.batch_size
    )
    return torch_loader(dataset, wanted, normalised)


def litdata_write(folder: str, out: str, num_workers: int = 1) -> Callable[[], int]:
    """Chunks of LitData with the bytes of the JPEGs.

    Written by ``BinaryWriter``, as the workers of ``optimize`` do it: these take some seconds to start, however few
    images there are.
    """
    from litdata.streaming.writer import BinaryWriter

    def write(files: list[tuple[Path, int]], out: Path) -> None:
        writer = BinaryWriter(str(out), chunk_bytes="64MB")
        for number, (path, label) in enumerate(files):
            writer[number] = {"image": path.read_bytes(), "label": label}
        writer.done()
        writer.merge()

    return _writing(folder, out, write)


def litdata(data: str, **job: Any) -> Epoch:
    """LitData's StreamingDataLoader, with torchvision's decoder."""
    wanted = Job(**job)
    import litdata as package
    import torch

    torch.set_num_threads(1)

    loader = package.StreamingDataLoader(
        _decoding(package.StreamingDataset, wanted)(data, shuffle=wanted.kind != "validation", drop_last=False),
        batch_size=wanted.batch_size,
        num_workers=wanted.num_workers,
        persistent_workers=wanted.num_workers > 0,
    )
    return Epoch(lambda: (normalised(images) for images, _ in loader), wanted)


def datasets_write(folder: str, out: str, num_workers: int = 1) -> Callable[[], int]:
    """A data set of Hugging Face datasets (Arrow files) with the bytes of the JPEGs."""
    from datasets import Dataset

    def write(files: list[tuple[Path, int]], out: Path) -> None:
        def rows() -> Iterator[dict[str, Any]]:
            for path, label in files:
                yield {"image": path.read_bytes(), "label": label}

        Dataset.from_generator(rows, cache_dir=str(out / "cache"), keep_in_memory=False).save_to_disk(
            str(out / "train")
        )
        shutil.rmtree(out / "cache")

    return _writing(folder, out, write)


def datasets(data: str, **job: Any) -> Epoch:
    """Hugging Face datasets from Arrow files, decoded by torchvision in torch's DataLoader."""
    wanted = Job(**job)
    from datasets import disable_progress_bars, load_from_disk

    disable_progress_bars()
    transform = FromBytes(wanted)

    def decoded(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        return {"image": [transform(data) for data in rows["image"]], "label": rows["label"]}

    rows = load_from_disk(str(Path(data) / "train")).with_transform(decoded)

    class Pairs:
        def __len__(self) -> int:
            return len(rows)

        def __getitems__(self, indices: list[int]) -> list[tuple[Any, int]]:
            found = rows[indices]
            return list(zip(found["image"], found["label"], strict=True))

    return torch_loader(Pairs(), wanted, normalised, shuffle=wanted.kind != "validation")


def grain_write(folder: str, out: str, num_workers: int = 1) -> Callable[[], int]:
    """One ArrayRecord file of JPEGs with a label's four bytes before each."""
    from array_record.python.array_record_module import ArrayRecordWriter

    def write(files: list[tuple[Path, int]], out: Path) -> None:
        sink = ArrayRecordWriter(str(out / "train.array_record"), "group_size:1")
        for path, label in files:
            sink.write(label.to_bytes(4, "little") + path.read_bytes())
        sink.close()

    return _writing(folder, out, write)


def grain(data: str, **job: Any) -> Epoch:
    """Grain on an ArrayRecord file: OpenCV decodes and resizes in its threads.

    ``mp_prefetch`` with one process took 1.7 times the processor time.
    """
    wanted = Job(**job)
    wanted.only("train", "validation", "views")
    import cv2
    import grain as package
    import numpy as np

    cv2.setNumThreads(1)
    scale = [np.float32(1 / (255 * one)) for one in STD]
    shift = [np.float32(-mean / std) for mean, std in zip(MEAN, STD, strict=True)]
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION  # as everybody else takes the pixels

    def view(image: Any, rng: Any) -> Any:
        if wanted.kind == "validation":
            x, y, w = centre(image.shape[1], image.shape[0])
            h = w
        else:
            x, y, w, h = random_crop(rng, image.shape[1], image.shape[0], wanted.scale)
        image = cv2.resize(image[y : y + h, x : x + w], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        if wanted.kind != "validation" and rng.random() < 0.5:
            image = cv2.flip(image, 1)
        out = np.empty((3, SIDE, SIDE), np.float32)
        for number, plane in enumerate(cv2.split(image)):  # whole planes: over pixels of three values NumPy is slow
            np.multiply(plane, scale[number], out=out[number])
            out[number] += shift[number]
        return out

    def one(record: bytes, rng: Any) -> Any:
        image = cv2.imdecode(np.frombuffer(record, np.uint8, offset=4), flags)
        return np.stack([view(image, rng), view(image, rng)]) if wanted.kind == "views" else view(image, rng)

    source = package.sources.ArrayRecordDataSource(str(Path(data) / "train.array_record"))
    workers = max(1, wanted.num_workers)
    threads = package.ReadOptions(num_threads=workers, prefetch_buffer_size=2 * wanted.batch_size)
    seeds = iter(range(1 << 30))

    def batches() -> Iterator[Any]:
        samples = package.MapDataset.source(source).seed(next(seeds))
        samples = (samples if wanted.kind == "validation" else samples.shuffle()).random_map(one)
        return iter(samples.to_iter_dataset(threads).batch(wanted.batch_size))

    return Epoch(batches, wanted)
