"""Models small enough to train on a laptop's processor: the examples are about data."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ImageEncoder(nn.Sequential):
    """Images of any size to vectors, by a few convolutions."""

    def __init__(self, width: int = 32, features: int = 64) -> None:
        layers: list[nn.Module] = []
        channels = 3
        for stage in range(4):
            layers += [nn.Conv2d(channels, width << stage, 3, stride=2, padding=1), nn.GELU()]
            layers.append(nn.GroupNorm(8, width << stage))
            channels = width << stage
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, features))


class TextEncoder(nn.Module):
    """Tokens to one vector for each, by a small transformer."""

    def __init__(self, vocabulary: int, longest: int, features: int = 64, layers: int = 2) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, features)
        self.places = nn.Parameter(torch.randn(longest, features) / features**0.5)
        layer = nn.TransformerEncoderLayer(features, 4, 2 * features, dropout=0.0, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        x = self.words(tokens) + self.places[: tokens.shape[1]]
        return self.layers(x, src_key_padding_mask=None if mask is None else ~mask)
