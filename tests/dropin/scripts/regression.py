# ruff: noqa: NPY002
"""Vectors in quasi-random order from pages read by the loader, and labels that an operation with indices corrupts."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch as ch
from ffcv.fields import FloatField, IntField, NDArrayField
from ffcv.fields.basics import FloatDecoder, IntDecoder
from ffcv.fields.decoders import NDArrayDecoder
from ffcv.loader import Loader, OrderOption
from ffcv.pipeline.compiler import Compiler
from ffcv.pipeline.operation import AllocationQuery, Operation
from ffcv.pipeline.state import State
from ffcv.transforms import Squeeze, ToTensor
from ffcv.writer import DatasetWriter


class Vectors:
    def __len__(self):
        return 300

    def __getitem__(self, i):
        return np.random.default_rng(i).normal(size=20).astype("float32"), float(i), i % 10


class AddNoise(ch.nn.Module):
    def forward(self, x):
        return x + ch.randn_like(x) * 0.0


class Corrupt(Operation):
    def generate_code(self):
        parallel_range = Compiler.get_iterator()

        def corrupt(labels, _, indices):
            for i in parallel_range(labels.shape[0]):
                np.random.seed(indices[i])
                if np.random.rand() < 0.2:
                    labels[i] = np.random.randint(low=0, high=10)
            return labels

        corrupt.is_parallel = True
        corrupt.with_indices = True
        return corrupt

    def declare_state_and_memory(self, previous_state: State):
        return previous_state, None


class Halves(Operation):
    def generate_code(self):
        parallel_range = Compiler.get_iterator()

        def halves(x, out):
            for i in parallel_range(x.shape[0]):
                out[i] = x[i, : x.shape[1] // 2] + x[i, x.shape[1] // 2 :]
            return out

        halves.is_parallel = True
        return halves

    def declare_state_and_memory(self, previous_state: State):
        shape = (previous_state.shape[0] // 2,)
        return replace(previous_state, shape=shape), AllocationQuery(shape, previous_state.dtype)


def main(folder):
    path = str(Path(folder) / "vectors.beton")
    fields = {
        "covariate": NDArrayField(shape=(20,), dtype=np.dtype("float32")),
        "number": FloatField(),
        "label": IntField(),
    }
    DatasetWriter(path, fields, num_workers=1).from_indexed_dataset(Vectors())
    found = {}
    loader = Loader(
        path,
        batch_size=50,
        num_workers=1,
        order=OrderOption.QUASI_RANDOM,
        os_cache=False,
        pipelines={
            "covariate": [NDArrayDecoder(), Halves(), ToTensor(), AddNoise()],
            "number": [FloatDecoder(), ToTensor(), Squeeze()],
            "label": [IntDecoder(), Corrupt(), ToTensor(), Squeeze()],
        },
    )
    parts = [[part.clone().numpy() for part in batch] for batch in loader]
    vectors, numbers, labels = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(numbers)
    found["vectors"], found["labels"] = vectors[order], labels[order]
    assert sorted(numbers) == list(range(300)) and not np.array_equal(numbers, np.arange(300))

    plain = Loader(path, batch_size=64, num_workers=1, drop_last=False, pipelines={"covariate": None})
    some = plain.filter("label", lambda label: label < 3)
    found["filtered"] = np.concatenate([numbers.clone().numpy() for numbers, _ in some])
    ten = Loader(path, batch_size=5, num_workers=1, indices=np.arange(10, 20), pipelines={"covariate": None})
    found["chosen"] = np.concatenate([numbers.clone().numpy() for numbers, _ in ten])
    np.savez(Path(folder) / "found.npz", **found)


if __name__ == "__main__":
    main(sys.argv[1])
