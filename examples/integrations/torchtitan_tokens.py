"""Blocks of tokens for torchtitan: a loader of its kind, whose place is in torchtitan's checkpoints.

pip install torchtitan
python examples/integrations/torchtitan_tokens.py blocks.beton     # its small Llama for three steps, on the CPU

The model "llama3_beton" is registered when this file is imported, so that torchtitan's own training takes it:

torchrun -m torchtitan.train --experimental.custom_import torchtitan_tokens --model.name llama3_beton \
    --training.dataset_path blocks.beton --training.seq_len 2048 ...

Blocks need one token more than the sequence length: ffprep convert openwebtext --block 2049.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import torch.distributed.checkpoint
from torch import Tensor
from torchtitan.components.dataloader import BaseDataLoader
from torchtitan.config import JobConfig
from torchtitan.protocols.train_spec import get_train_spec, register_train_spec

from ffprep.presets import text_blocks


class BlocksLoader(BaseDataLoader):
    """Yields ({"input": tokens}, the tokens that follow) without end; the state is that of ffprep's loader."""

    def __init__(self, dp_world_size: int, dp_rank: int, job_config: JobConfig, **_: Any) -> None:
        wanted = job_config.training
        self.loader = text_blocks(
            str(wanted.dataset_path), wanted.local_batch_size, seed=job_config.debug.seed or 0,
            block=wanted.seq_len + 1, rank=dp_rank, world_size=dp_world_size,
        )  # fmt: skip

    def __iter__(self) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
        for blocks, *_ in self.loader.forever():
            yield {"input": blocks[:, :-1]}, blocks[:, 1:]

    def state_dict(self) -> dict[str, Any]:
        return self.loader.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if state_dict:
            self.loader.load_state_dict(state_dict)


SPEC = dataclasses.replace(get_train_spec("llama3"), build_dataloader_fn=BlocksLoader)
register_train_spec("llama3_beton", SPEC)


def main(path: str, seq_len: int = 31) -> None:
    config = JobConfig()
    config.training.dataset_path, config.training.seq_len, config.training.local_batch_size = path, seq_len, 4
    loader, again = (SPEC.build_dataloader_fn(dp_world_size=1, dp_rank=0, job_config=config) for _ in range(2))
    model = SPEC.model_cls(dataclasses.replace(SPEC.model_args["debugmodel"], vocab_size=50304, max_seq_len=seq_len))
    with torch.no_grad():
        model.init_weights()
    optimizer, loss_of = torch.optim.AdamW(model.parameters(), 1e-3), SPEC.build_loss_fn(config)
    batches = iter(loader)
    for step, (inputs, labels) in zip(range(3), batches, strict=False):
        loss = loss_of(model(inputs["input"]), labels) / labels.numel()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(f"step {step + 1}: loss {loss.item():.3f}")
    with tempfile.TemporaryDirectory() as folder:  # as torchtitan's checkpoints do
        torch.distributed.checkpoint.save({"dataloader": loader}, checkpoint_id=folder, no_dist=True)
        torch.distributed.checkpoint.load({"dataloader": again}, checkpoint_id=folder, no_dist=True)
    same = bool((next(iter(again))[0]["input"] == next(batches)[0]["input"]).all())
    print(f"inputs {tuple(inputs['input'].shape)}, labels {tuple(labels.shape)}; resumed at the same block: {same}")


if __name__ == "__main__":
    main(sys.argv[1])
