"""Batches for numpy and JAX hold the same values as those for torch, and are made without it."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from ffprep import Dataset, Loader, OrderOption
from ffprep.errors import OptionError
from ffprep.fields.decoders import IntDecoder, RandomResizedCropRGBImageDecoder
from ffprep.transforms import (
    Mixup,
    MixupToOneHot,
    NormalizeImage,
    RandomErasing,
    RandomHorizontalFlip,
    RandomTranslate,
    Squeeze,
    ToDevice,
    ToTensor,
    ToTorchImage,
    View,
)

WITHOUT_TORCH = """
import sys
import numpy as np
from ffprep import Loader
from ffprep.presets import imagenet_train

with imagenet_train(sys.argv[1], 4, 1, size=16, framework="numpy", pad="mask", with_index=True) as loader:
    batch = next(iter(loader))
with Loader(sys.argv[1], 4, 1, pipelines={"image": None}, framework="numpy") as loader:
    batch += next(iter(loader))
assert all(type(member) is np.ndarray for member in batch)
assert "torch" not in sys.modules
"""


def pipelines(channels_last: bool, dtype: Any) -> dict[str, Any]:
    mix = Mixup(0.4)
    image = [
        RandomResizedCropRGBImageDecoder(16),
        RandomHorizontalFlip(),
        RandomErasing(0.5),
        NormalizeImage([120.0, 110.0, 100.0], [60.0, 60.0, 60.0], dtype),
        RandomTranslate(2),
        ToTensor(),
        ToTorchImage(channels_last),
        mix.images,
    ]
    return {"image": image, "label": [IntDecoder(), mix.labels, ToTensor(), MixupToOneHot(40)]}


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_arrays_hold_what_tensors_hold(image_beton: Path, channels_last: bool, dtype: Any) -> None:
    options: dict[str, Any] = {"order": OrderOption.RANDOM, "seed": 1, "pad": "mask"}
    given = pipelines(channels_last, dtype)
    with (
        Loader(image_beton, 10, 2, pipelines=given, **options) as one,
        Loader(image_beton, 10, 2, pipelines=given, framework="numpy", **options) as two,
    ):
        for tensors, arrays in zip(one, two, strict=True):
            assert all(isinstance(array, np.ndarray) for array in arrays)
            images, mixed = tensors[0].numpy(), arrays[0]
            assert images.dtype == mixed.dtype and images.shape == mixed.shape == (10, 3, 16, 16)
            # numpy's half-precision mixing may round to the other neighbour
            assert np.allclose(images, mixed, rtol=0, atol=0 if dtype is np.float32 else 2**-9)
            assert [(a.numpy() == b).all() for a, b in zip(tensors[1:], arrays[1:], strict=True)] == [True, True]


def test_torch_takes_arrays_by_dlpack_without_a_copy(image_beton: Path) -> None:
    with Loader(image_beton, 5, 1, pipelines={"image": None}, framework="numpy") as loader:
        (labels,) = next(iter(loader))
    tensor = torch.utils.dlpack.from_dlpack(labels)
    assert tensor.data_ptr() == labels.ctypes.data and tensor.flatten().tolist() == list(range(5))


def test_nothing_imports_torch(image_beton: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT_TORCH, str(image_beton)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


class JaxArray:
    """Stands for JAX's arrays."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.thread = values, threading.current_thread()


def test_jax_gets_every_array_ahead_of_the_training_thread(image_beton: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("jax.numpy")
    module.asarray = JaxArray  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "jax", ModuleType("jax"))
    monkeypatch.setitem(sys.modules, "jax.numpy", module)
    options: dict[str, Any] = {"pipelines": pipelines(True, np.float32), "seed": 1, "pad": "mask"}
    with Loader(image_beton, 10, 1, framework="numpy", **options) as one:
        arrays = next(iter(one))
    with Loader(image_beton, 10, 1, framework="jax", **options) as two:
        made = next(iter(two))
    assert len(made) == 3 and all(type(member) is JaxArray for member in made)
    assert [(a == b.values).all() for a, b in zip(arrays, made, strict=True)] == [True] * 3
    assert threading.current_thread() not in {member.thread for member in made}


def test_what_only_torch_has_is_refused(image_beton: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jax", None)
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    decoder = RandomResizedCropRGBImageDecoder(16)
    for wrong, said in (
        ({"framework": "jax"}, "pip install jax"),
        ({"framework": "tensorflow"}, "framework"),
        ({"framework": "numpy", "device": "cuda"}, "works on torch tensors"),
        ({"framework": "numpy", "pipelines": {"image": [decoder, torch.nn.Flatten()]}}, "works on torch tensors"),
        ({"framework": "numpy", "pipelines": {"image": [decoder, NormalizeImage([9.0], [9.0], "bfloat16")]}}, "ml_dt"),
    ):
        with pytest.raises(OptionError, match=said):
            Loader(image_beton, 4, 1, **{"pipelines": {"image": [decoder]}, **wrong})  # type: ignore[arg-type]


def test_harmless_entries_stay(image_beton: Path) -> None:
    label = [IntDecoder(), ToTensor(), ToDevice("cpu"), View("uint64"), Squeeze()]
    with Loader(image_beton, 4, 1, pipelines={"image": None, "label": label}, framework="numpy") as loader:
        (labels,) = next(iter(loader))
    assert labels.dtype == np.uint64 and labels.tolist() == [0, 1, 2, 3]


def test_samples_of_a_dataset(image_beton: Path) -> None:
    given = {"image": [RandomResizedCropRGBImageDecoder(16), ToTensor(), ToTorchImage()]}
    with Dataset(image_beton, given) as one, Dataset(image_beton, given, framework="numpy") as two:
        image, label = two[3]
        assert type(image) is np.ndarray and (one[3][0].numpy() == image).all() and label[0] == 3
