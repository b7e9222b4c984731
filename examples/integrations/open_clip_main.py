"""open_clip's own training on a .beton file of images with captions.

ffprep convert cc3m --shards 'cc3m/*.tar' --keep-text --out pairs.beton
python examples/integrations/open_clip_main.py --train-data pairs.beton --model ViT-B-32 --batch-size 256 --epochs 32

Captions are stored as text and tokenized by open_clip, for whatever model is trained.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import open_clip
import open_clip_train.main
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip_train.data import DataInfo
from torch import Tensor

from ffprep import Loader
from ffprep.presets import image_text_train


class Batches:
    """What open_clip asks of a loader: (images, tokens), how many, and whom to tell the epoch."""

    def __init__(self, loader: Loader, tokenizer: Callable[[list[str]], Tensor]) -> None:
        self.loader, self.tokenizer = loader, tokenizer
        self.num_batches, self.num_samples = len(loader), len(loader.indices)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for images, _tokens, _lengths, *rest in self.loader:
            yield images, self.tokenizer(next(member for member in rest if isinstance(member, list)))

    def set_value(self, epoch: int) -> None:
        self.loader.set_epoch(epoch)


def get_data(args: Any, preprocess_fns: Any, epoch: int = 0, tokenizer: Any = None) -> dict[str, DataInfo]:
    size = open_clip.get_model_config(args.model)["vision_cfg"]["image_size"]
    loader = image_text_train(
        args.train_data, args.batch_size, args.workers, args.seed, size=size, mean=OPENAI_DATASET_MEAN,
        std=OPENAI_DATASET_STD, interpolation="bicubic", text=True, rank=args.rank, world_size=args.world_size,
    )  # fmt: skip
    batches = Batches(loader, tokenizer)
    return {"train": DataInfo(dataloader=batches, shared_epoch=batches)}


if __name__ == "__main__":
    open_clip_train.main.get_data = get_data
    open_clip_train.main.main(sys.argv[1:])
