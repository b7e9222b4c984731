"""Blocks of tokens for torchtitan: a loader of its kind, whose place is in torchtitan's checkpoints.

In a torchtitan configuration, name `BlocksLoader.Config` as the data loader, with the file as `dataset_path`. Blocks
need one token more than the sequence length: ffprep convert openwebtext --block 2049.

python examples/integrations/torchtitan_tokens.py blocks.beton
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torchtitan.components.dataloader import BaseDataLoader

from ffprep.presets import text_blocks


class BlocksLoader(BaseDataLoader):
    """Yields ({"input": tokens}, the tokens that follow) without end; `state_dict` is that of the loader."""

    @dataclass(kw_only=True, slots=True)
    class Config(BaseDataLoader.Config):
        seed: int = 0

    def __init__(
        self, config: Config, *, dp_rank: int, dp_world_size: int, local_batch_size: int, seq_len: int, **_: Any
    ) -> None:
        self.loader = text_blocks(
            str(config.dataset_path), local_batch_size, seed=config.seed, block=seq_len + 1, rank=dp_rank,
            world_size=dp_world_size,
        )  # fmt: skip

    def __iter__(self) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
        for blocks, *_ in self.loader.forever():
            yield {"input": blocks[:, :-1]}, blocks[:, 1:]

    def state_dict(self) -> dict[str, Any]:
        return self.loader.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if state_dict:
            self.loader.load_state_dict(state_dict)


def main(path: str, seq_len: int = 31) -> None:
    made: dict[str, Any] = {"dp_rank": 0, "dp_world_size": 1, "local_batch_size": 4, "seq_len": seq_len}
    config = BlocksLoader.Config(dataset_path=path)
    loader, again = BlocksLoader(config, **made), BlocksLoader(config, **made)
    batches = iter(loader)
    for _ in range(3):
        next(batches)
    again.load_state_dict(loader.state_dict())
    inputs, labels = next(batches)
    same = bool((next(iter(again))[0]["input"] == inputs["input"]).all())
    print(f"inputs {tuple(inputs['input'].shape)}, labels {tuple(labels.shape)}; resumed at the same block: {same}")


if __name__ == "__main__":
    main(sys.argv[1])
