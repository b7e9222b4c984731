"""What the tests of ranks run: real processes, each a rank of a gloo group. Forked, so that torch is imported once."""

from __future__ import annotations

import json
import os
import signal
import sys
import warnings
import zlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from ffprep import Loader, OrderOption
from ffprep.fields.decoders import IntDecoder, RandomResizedCropRGBImageDecoder
from ffprep.transforms import RandomHorizontalFlip, Squeeze, ToTensor

WORLDS = (1, 2, 3, 8)
STEP = 24


def open_loader(path: Path, batch_size: int, **options: Any) -> Loader:
    """Crops of 16 pixels, flips, labels."""
    pipelines = {
        "image": [RandomResizedCropRGBImageDecoder(16), RandomHorizontalFlip(), ToTensor()],
        "label": [IntDecoder(), ToTensor(), Squeeze()],
    }
    return Loader(path, batch_size, 1, pipelines=pipelines, **{"seed": 11, "drop_last": False, **options})


def rows(batch: Any) -> list[tuple[int, int]]:
    """Label and checksum of the pixels of each row."""
    images, labels = batch[:2]
    return [(int(label), zlib.crc32(image.numpy().tobytes())) for image, label in zip(images, labels, strict=True)]


def group(folder: Path, rank: int, world: int) -> None:
    """Join the group."""
    file = f"file://{folder}/group-{world}"
    dist.init_process_group("gloo", init_method=file, rank=rank, world_size=world, timeout=timedelta(seconds=120))


def orders(path: Path, folder: Path, rank: int, world: int) -> None:
    """Load two epochs in every order, then evaluate together, with a collective operation in every step."""
    group(folder, rank, world)
    found: dict[str, Any] = {}
    for order in OrderOption:
        options: dict[str, Any] = {"window_pages": 2, "os_cache": order is not OrderOption.QUASI_RANDOM}
        with open_loader(path, STEP // world, order=order, distributed=True, **options) as loader:
            found[order.name] = [[rows(batch) for batch in loader] for _ in range(2)]
    counted = torch.zeros(64, dtype=torch.int64)
    steps = 0
    with open_loader(path, 4, distributed=True, pad="mask") as loader:
        for _, labels, mask in loader:
            seen = torch.zeros(64, dtype=torch.int64).index_add_(0, labels, mask.long())
            dist.all_reduce(seen)  # hangs, and times out, where ranks have different numbers of batches
            counted += seen
            steps += 1
    found["evaluation"] = {"counted": counted.tolist(), "steps": steps}
    dist.barrier()
    dist.destroy_process_group()
    (folder / f"{world}-{rank}.json").write_text(json.dumps(found))


def killed(path: Path, folder: Path, rank: int, world: int) -> None:
    """Save after each batch; rank 1 dies in the middle of its third."""
    done: list[Any] = []
    with open_loader(path, 2, order=OrderOption.RANDOM, rank=rank, world_size=world) as loader:
        for number, batch in enumerate(loader):
            if rank == 1 and number == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            done.append(rows(batch))
            (folder / f"saved-{rank}.json").write_text(json.dumps({"rows": done, "state": loader.state_dict()}))


def launch(job: Callable[[Path, Path, int, int], None], path: Path, folder: Path, world: int) -> list[int]:
    """Run a job on every rank; return their exit statuses."""
    children = []
    for rank in range(world):
        child = os.fork()
        if child == 0:
            try:
                job(path, folder, rank, world)
            except BaseException as error:
                print(f"rank {rank} of {world}: {error!r}", file=sys.stderr, flush=True)
                os._exit(1)
            os._exit(0)
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


if __name__ == "__main__":
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    path, folder = Path(sys.argv[2]), Path(sys.argv[3])
    if sys.argv[1] == "orders":
        print(json.dumps([launch(orders, path, folder, world) for world in WORLDS]))
    else:
        print(json.dumps(launch(killed, path, folder, 2)))
