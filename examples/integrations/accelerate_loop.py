"""Hugging Face Accelerate with ffprep's loaders, and checkpoints that hold the place in the epoch.

pip install accelerate
accelerate launch examples/integrations/accelerate_loop.py train.beton
"""

from __future__ import annotations

import sys
import tempfile

import torch
from accelerate import Accelerator

from ffprep.presets import imagenet_train


def main(path: str, size: int = 32, batch_size: int = 16) -> None:
    accelerator = Accelerator()
    loader = imagenet_train(
        path, batch_size, seed=0, size=size, device=accelerator.device, rank=accelerator.process_index,
        world_size=accelerator.num_processes,
    )  # fmt: skip
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * size * size, 6))
    model, optimizer = accelerator.prepare(model, torch.optim.SGD(model.parameters(), 0.01))  # the loader stays out
    accelerator.register_for_checkpointing(loader)
    with tempfile.TemporaryDirectory() as folder:
        seen = []
        for step, (images, labels) in enumerate(loader, 1):
            loss = torch.nn.functional.cross_entropy(model(images), labels)
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
            seen.append(labels.tolist())
            if step == 2:
                accelerator.save_state(folder)
        accelerator.load_state(folder)
        rest = [labels.tolist() for _, labels in loader]
    accelerator.print(f"loss {loss.item():.3f}; after the checkpoint the same batches: {rest == seen[2:]}")


if __name__ == "__main__":
    main(sys.argv[1])
