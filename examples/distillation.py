"""Distil teachers of images and of text into one student, on images alone, text alone, and images with captions.

The student learns the features that its teachers give for what it sees itself: the crops are the same ones, since both
get the same batch. Each data set has a loader of its own; all are alive at once and used in turn.

    python examples/distillation.py --images imagenet.beton --pairs coco.beton --blocks owt.beton
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import demo_data
import torch
from models import ImageEncoder, TextEncoder
from torch import Tensor, nn

from ffprep.presets import image_text_train, imagenet_train, text_blocks

VOCABULARY = 50_262


class Student(nn.Module):
    """One transformer for the patches of images and the tokens of texts."""

    def __init__(self, longest: int, patch: int = 16, features: int = 64) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, features, patch, stride=patch)
        self.body = TextEncoder(VOCABULARY, longest, features)

    def image(self, images: Tensor) -> Tensor:
        return self.body.layers(self.patches(images).flatten(2).transpose(1, 2)).mean(1)

    def text(self, tokens: Tensor) -> Tensor:
        return self.body(tokens).mean(1)


def endless(loader: Any) -> Iterator[Any]:
    """Batches of one epoch after the other."""
    while True:
        yield from loader


def distance(student: Tensor, teacher: Tensor) -> Tensor:
    return nn.functional.smooth_l1_loss(student, nn.functional.layer_norm(teacher, teacher.shape[-1:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="made from the demo data by default, as the others")
    parser.add_argument("--pairs", type=Path)
    parser.add_argument("--blocks", type=Path)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--size", type=int, default=64)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder)
        size, batch = options.size, options.batch_size
        images = imagenet_train(options.images or demo_data.images(made, 48), batch, seed=0, size=size)
        pairs = image_text_train(options.pairs or demo_data.pairs(made), batch, seed=0, size=size, scale=(0.9, 1.0))
        blocks = text_blocks(options.blocks or demo_data.blocks(made), batch, seed=0)
        longest = max(pairs.batch([0])[1].shape[1], blocks.batch([0])[0].shape[1])
        torch.manual_seed(0)
        image_teacher, text_teacher = ImageEncoder().eval(), TextEncoder(VOCABULARY, longest).eval()  # yours, trained
        student = Student(longest)
        optimizer = torch.optim.AdamW(student.parameters(), 1e-3)
        sources = zip(endless(images), endless(pairs), endless(blocks), strict=True)
        for step, ((pictures, _), (seen, caption, *_), (text,)) in enumerate(sources, 1):
            with torch.no_grad():
                wanted = image_teacher(pictures), image_teacher(seen), text_teacher(caption), text_teacher(text)
            got = student.image(pictures), student.image(seen), student.text(caption), student.text(text)
            teachers = wanted[0], wanted[1], wanted[2].mean(1), wanted[3].mean(1)
            losses = [distance(mine, theirs) for mine, theirs in zip(got, teachers, strict=True)]
            optimizer.zero_grad()
            sum(losses, torch.zeros(())).backward()
            optimizer.step()
            if step % 4 == 0:
                image, pair_image, pair_text, block = (loss.item() for loss in losses)
                print(f"step {step}: images {image:.3f}, pairs {pair_image:.3f} {pair_text:.3f}, text {block:.3f}")
            if step == options.steps:
                break
        for loader in (images, pairs, blocks):
            loader.close()


if __name__ == "__main__":
    main()
