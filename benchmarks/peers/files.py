"""Decoders in torch's DataLoader, on image files: each function returns an `Epoch` of the common job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peers.common import (
    MEAN,
    SHORTER,
    SIDE,
    STD,
    Epoch,
    Job,
    TwoViews,
    centre,
    images_of,
    normalised,
    torch_loader,
    v2_transform,
)

from ffprep.inspect.timing.runners import random_crop


class _Files:
    """A map-style data set of image files: `decode` makes an image of a path, `transform` a tensor of the image."""

    def __init__(self, folder: str, decode: Any, transform: Any) -> None:
        self.files, self.decode, self.transform = images_of(folder), decode, transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        path, label = self.files[index]
        return self.transform(self.decode(str(path))), label


def pillow(folder: str, **job: Any) -> Epoch:
    """Pillow and torchvision's classic transforms in torch's DataLoader: torchvision's ImageFolder as most use it."""
    wanted = Job(**job)
    from PIL import Image
    from torchvision import transforms

    last = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    crop = [transforms.RandomResizedCrop(SIDE, scale=tuple(wanted.scale)), transforms.RandomHorizontalFlip()]
    if wanted.kind == "validation":
        crop = [transforms.Resize(SHORTER), transforms.CenterCrop(SIDE)]
    transform: Any = transforms.Compose([*crop, *last])
    if wanted.kind == "views":
        transform = TwoViews(transform)
    dataset = _Files(folder, lambda path: Image.open(path).convert("RGB"), transform)
    return torch_loader(dataset, wanted, shuffle=wanted.kind != "validation")


def torchvision_v2(folder: str, **job: Any) -> Epoch:
    """torchvision's decoder (libjpeg-turbo) and v2 transforms on uint8 tensors in torch's DataLoader."""
    wanted = Job(**job)
    from torchvision.io import ImageReadMode, decode_jpeg, read_file

    dataset = _Files(folder, lambda path: decode_jpeg(read_file(path), ImageReadMode.RGB), v2_transform(wanted))
    return torch_loader(dataset, wanted, normalised, shuffle=wanted.kind != "validation")


def torchcodec(folder: str, **job: Any) -> Epoch:
    """torchcodec's image decoder with torchvision's v2 transforms in torch's DataLoader."""
    wanted = Job(**job)
    from torchcodec.decoders import decode_image

    def decode(path: str) -> Any:
        image = decode_image(path)
        return image if image.shape[0] == 3 else image[:1].expand(3, -1, -1)

    dataset = _Files(folder, decode, v2_transform(wanted))
    return torch_loader(dataset, wanted, normalised, shuffle=wanted.kind != "validation")


def kornia(folder: str, **job: Any) -> Epoch:
    """kornia-rs: its libjpeg-turbo decoder and its fused resize, normalise and transpose, in torch's DataLoader."""
    wanted = Job(**job)
    import kornia_rs
    import numpy as np
    import torch

    rng = np.random.default_rng(0)

    def decode(path: str) -> Any:
        return kornia_rs.io.decode_image_jpegturbo(Path(path).read_bytes(), "rgb")

    def transform(image: Any) -> Any:
        if wanted.kind == "validation":
            x, y, w = centre(image.shape[1], image.shape[0])
            h = w
        else:
            x, y, w, h = random_crop(rng, image.shape[1], image.shape[0], wanted.scale)
        image = image[y : y + h, x : x + w]
        if wanted.kind != "validation" and rng.random() < 0.5:
            image = image[:, ::-1]
        fused = kornia_rs.pipeline.resize_normalize_to_tensor
        return torch.from_numpy(fused(np.ascontiguousarray(image), (SIDE, SIDE), MEAN, STD))

    job_transform = TwoViews(transform) if wanted.kind == "views" else transform
    return torch_loader(_Files(folder, decode, job_transform), wanted, shuffle=wanted.kind != "validation")
