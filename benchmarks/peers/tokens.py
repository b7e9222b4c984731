"""Loaders of blocks of tokens from one flat file of uint16, as int64 batches of (512, 192), in random order.

Each runner returns a callable that goes through a part of an epoch and returns the number of tokens.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

BLOCK, BATCH = 192, 512
Round = Callable[[], int]


def flat_file(path: Path, tokens: int) -> None:
    """Write tokens that are drawn at random: what they are is of no matter to a loader."""
    import numpy as np

    np.random.default_rng(0).integers(4, 50_000, tokens, dtype=np.uint16).tofile(path)


def beton_file(flat: Path, out: Path) -> None:
    """Convert the flat file by ``ffprep convert tokens``."""
    command = [sys.executable, "-m", "ffprep", "convert", "tokens", "--source", str(flat), "--out", str(out), "--quiet"]
    subprocess.run([*command, "--vocabulary", "fairseq"], check=True, capture_output=True)


class _Counted:
    """A round of so many batches; `first` is the moment at which it had the first one."""

    def __init__(self, batches: Callable[[], Iterator[Any]], limit: int) -> None:
        self.batches, self.limit = batches, limit
        self.first: float | None = None

    def __call__(self) -> int:
        count = 0
        for tokens in islice(self.batches(), self.limit):
            int(tokens[0, 0])  # a value of each batch, as for images
            count += int(tokens.shape[0]) * int(tokens.shape[1])
            if self.first is None:
                self.first = time.time()
        return count


def ffprep(path: str, limit: int, num_workers: int = 1) -> Round:
    """ffprep's preset ``text_blocks``."""
    from ffprep.presets import text_blocks

    loader = text_blocks(path, batch_size=BATCH, num_workers=num_workers, seed=0)
    return _Counted(lambda: (tokens for (tokens,) in loader), limit)


def get_batch(flat: str, limit: int) -> Round:
    """nanoGPT's ``get_batch``, of the inputs alone: blocks from anywhere, widened one by one, stacked."""
    import numpy as np
    import torch

    torch.set_num_threads(1)

    def batches() -> Iterator[Any]:
        while True:
            data = np.memmap(flat, np.uint16, "r")  # for each batch anew, as nanoGPT does it
            starts = torch.randint(len(data) - BLOCK, (BATCH,)).tolist()
            yield torch.stack([torch.from_numpy(data[i : i + BLOCK].astype(np.int64)) for i in starts])

    return _Counted(batches, limit)


def turboloader(flat: str, limit: int) -> Round:
    """TurboLoader's TokenDataLoader, of the inputs alone; windows from anywhere."""
    from turboloader import TokenDataLoader

    loader = TokenDataLoader(flat, BLOCK, BATCH, steps_per_epoch=limit, return_targets=False)
    epochs = iter(range(1 << 30))

    def batches() -> Iterator[Any]:
        loader.set_epoch(next(epochs))
        for batch in loader:
            yield batch[0] if isinstance(batch, tuple) else batch

    return _Counted(batches, limit)


def _tokens(part: tuple[str, int, int]) -> Any:
    import numpy as np
    import torch

    flat, first, count = part
    return torch.from_numpy(np.fromfile(flat, np.uint16, count, offset=2 * first).astype(np.int32))


def litdata(flat: str, limit: int, num_workers: int = 0) -> Round:
    """LitData's TokensLoader on chunks that ``optimize`` wrote of the file, as int32 (its manual's type)."""
    import litdata as package
    import torch

    torch.set_num_threads(1)
    out = f"{flat}.litdata"
    total, each = Path(flat).stat().st_size // 2, BLOCK * 4096
    shutil.rmtree(out, ignore_errors=True)
    package.optimize(
        _tokens,
        [(flat, first, min(each, total - first)) for first in range(0, total, each)],
        out,
        chunk_size=BLOCK * 8192,
        item_loader=package.TokensLoader(BLOCK),
        num_workers=1,
        verbose=False,
    )
    dataset = package.StreamingDataset(out, item_loader=package.TokensLoader(BLOCK), shuffle=True, drop_last=False)
    loader = package.StreamingDataLoader(dataset, batch_size=BATCH, num_workers=num_workers)
    return _Counted(lambda: (tokens.to(torch.int64) for tokens in loader), limit)


def fairseq(flat: str, limit: int) -> Round:
    """fairseq's TokenBlockDataset on its own memory-mapped form."""
    import numpy as np
    import torch
    from fairseq.data import TokenBlockDataset, data_utils, indexed_dataset

    out = f"{flat}.fairseq"
    if not Path(f"{out}.idx").exists():
        builder = indexed_dataset.MMapIndexedDatasetBuilder(f"{out}.bin", dtype=np.uint16)
        data = np.fromfile(flat, np.uint16).astype(np.int32)
        for first in range(0, len(data), 1024):
            builder.add_item(torch.from_numpy(data[first : first + 1024]))
        builder.finalize(f"{out}.idx")
    stored = indexed_dataset.MMapIndexedDataset(out)
    rng = np.random.default_rng(0)
    blocks = TokenBlockDataset(stored, stored.sizes, BLOCK, pad=1, eos=2, break_mode="none")

    def batches() -> Iterator[Any]:
        order = rng.permutation(len(blocks))
        for first in range(0, len(order) - BATCH, BATCH):
            yield data_utils.collate_tokens([blocks[int(i)] for i in order[first : first + BATCH]], 1)

    return _Counted(batches, limit)
