"""Align images and captions, as CLIP does, on pairs: one caption of each image, another one in every epoch.

ffprep convert coco --images DIR --annotations JSON --grouped --out coco.beton
python examples/image_text_contrastive.py --data coco.beton
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import demo_data
import torch
from models import ImageEncoder, TextEncoder
from torch import Tensor, nn

from ffprep.presets import image_text_train

VOCABULARY = 50_262


class Model(nn.Module):
    def __init__(self, longest: int) -> None:
        super().__init__()
        self.image, self.text = ImageEncoder(), TextEncoder(VOCABULARY, longest)
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, images: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        weight = mask.unsqueeze(2).float()
        words = (self.text(tokens, mask) * weight).sum(1) / weight.sum(1)
        seen = nn.functional.normalize(self.image(images), dim=1)
        read = nn.functional.normalize(words, dim=1)
        return self.scale.exp() * seen @ read.T


def contrastive_loss(similarity: Tensor, image_ids: Tensor) -> Tensor:
    """Cross-entropy both ways; captions of the same image all count as right."""
    same = (image_ids[:, None] == image_ids[None]).float()
    target = same / same.sum(1, keepdim=True)
    rows = nn.functional.cross_entropy(similarity, target)
    return (rows + nn.functional.cross_entropy(similarity.T, target)) / 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="made from the demo photographs by default")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=10)
    parser.add_argument("--size", type=int, default=64)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = options.data or demo_data.pairs(Path(folder))
        with image_text_train(data, options.batch_size, seed=0, size=options.size, mask=True) as loader:
            tokens = loader.batch([0])[1]
            torch.manual_seed(0)
            model = Model(tokens.shape[1])
            optimizer = torch.optim.AdamW(model.parameters(), 5e-4)
            for epoch in range(options.epochs):
                losses = []
                for images, tokens, _lengths, image_ids, mask in loader:
                    loss = contrastive_loss(model(images, tokens, mask), image_ids)
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    losses.append(loss.item())
                print(f"epoch {epoch}: loss {sum(losses) / len(losses):.3f}")


if __name__ == "__main__":
    main()
