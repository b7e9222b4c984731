"""Padding gives every rank the same number of full batches, and the mask counts every sample exactly once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ffprep import Loader, OrderOption
from ffprep.errors import OptionError
from ffprep.fields.decoders import IntDecoder, ResizeRGBImageDecoder
from ffprep.loader.order.share import Share
from ffprep.transforms import Squeeze, ToTensor

NUMBERS = {"number": [IntDecoder(), ToTensor(), Squeeze()], "float": None, "array": None, "bytes": None, "json": None}


@given(st.integers(1, 200), st.integers(1, 9), st.integers(1, 30), st.integers(0, 100))
@settings(max_examples=200, deadline=None)
def test_padded_shares_are_even_and_cover_everything(n: int, world: int, batch: int, first: int) -> None:
    first = min(first, n)
    shares = [Share(batch, rank, world, padded=True) for rank in range(world)]
    counts = {share.batches(n, False, first) for share in shares}
    assert counts == {-(-(n - first) // (batch * world))}
    taken: list[int] = []
    for share in shares:
        for b in range(share.batches(n, False, first)):
            positions = share.positions(b, n, first)
            assert len(positions) == batch
            taken += positions.tolist()
    end = first + counts.pop() * batch * world
    assert sorted(taken) == list(range(first, end))
    assert shares[0].consumed(shares[0].batches(n, False, first), n, first) == n


def numbers(path: Path, batch: int, **options: Any) -> list[tuple[torch.Tensor, ...]]:
    with Loader(path, batch, 1, pipelines=NUMBERS, **{"order": OrderOption.RANDOM, "seed": 6, **options}) as loader:
        batches = list(loader)
        assert len(batches) == len(loader)
    return batches


@pytest.mark.parametrize("order", list(OrderOption))
@pytest.mark.parametrize("world", [1, 2, 3, 8])
def test_masked_rows_are_each_sample_once(plain_beton: Path, order: OrderOption, world: int) -> None:
    [(wanted,)] = numbers(plain_beton, 103, order=order)
    ranks = [numbers(plain_beton, 5, order=order, rank=rank, world_size=world, pad="mask") for rank in range(world)]
    assert {len(batches) for batches in ranks} == {-(-103 // (5 * world))}
    merged = []
    for parts in zip(*ranks, strict=True):
        assert all(len(rows) == len(mask) == 5 and mask.dtype == torch.bool for rows, mask in parts)
        rows = torch.stack([part[0] for part in parts], 1).flatten()
        masks = torch.stack([part[1] for part in parts], 1).flatten()
        merged.append(rows[masks])
    assert torch.cat(merged).tolist() == wanted.tolist()


def test_repeated_rows_are_the_first_again(plain_beton: Path) -> None:
    [(wanted,)] = numbers(plain_beton, 103)
    batches = numbers(plain_beton, 10, pad="repeat")
    assert torch.cat([batch for (batch,) in batches]).tolist() == [*wanted.tolist(), *wanted[:7].tolist()]
    [(few, mask)] = numbers(plain_beton, 9, indices=[4, 5], order=OrderOption.SEQUENTIAL, pad="mask")
    assert ((few + 50) // 3).tolist() == [4, 5, 4, 5, 4, 5, 4, 5, 4] and mask.tolist() == [True] * 2 + [False] * 7


def test_padding_resumes(plain_beton: Path) -> None:
    whole = numbers(plain_beton, 10, pad="mask")
    with Loader(plain_beton, 10, 1, pipelines=NUMBERS, seed=6, order=OrderOption.RANDOM, pad="mask") as loader:
        iterator = iter(loader)
        for done in range(1, 12):
            next(iterator)
            state = loader.state_dict()
            assert state["position"] == min(103, done * 10)
            with Loader(plain_beton, 10, 1, pipelines=NUMBERS, order=OrderOption.RANDOM, pad="mask", seed=0) as again:
                again.load_state_dict(state)
                again.set_epoch(0)
                rest = list(again)
            assert len(rest) == 11 - done
            for got, want in zip(rest, whole[done:], strict=True):
                assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))


def test_the_mask_covers_what_cannot_be_decoded(image_beton: Path, tmp_path: Path) -> None:
    from ffprep.beton.reader import Reader

    path = tmp_path / "bad.beton"
    path.write_bytes(image_beton.read_bytes())
    with path.open("r+b") as file:
        file.seek(int(Reader(image_beton).extents("image")[0][2]))
        file.write(b"\0" * 64)
    pipelines = {"image": [ResizeRGBImageDecoder(8), ToTensor()], "label": [IntDecoder(), ToTensor(), Squeeze()]}
    options: dict[str, Any] = {"pipelines": pipelines, "pad": "mask", "on_error": "skip", "indices": [1, 2, 3]}
    with Loader(path, 4, 2, **options) as loader, pytest.warns(RuntimeWarning, match="sample 2"):
        [(images, labels, mask)] = list(loader)
    assert labels.tolist() == [1, 2, 3, 1] and mask.tolist() == [True, False, True, False]
    assert images[1].sum() == 0 and all(image.sum() > 0 for image in images[[0, 2, 3]])
    options |= {"indices": [2], "world_size": 1, "rank": 0}
    with Loader(path, 2, 2, **options) as loader, pytest.warns(RuntimeWarning, match="sample 2"):
        [(_, _, mask)] = list(loader)  # a batch of nothing else is a step of an evaluation all the same
    assert mask.tolist() == [False, False]


def test_filter_looks_at_each_sample_once(plain_beton: Path) -> None:
    with (
        Loader(plain_beton, 10, 1, pipelines=NUMBERS, pad="mask") as loader,
        loader.filter("number", lambda x: int(x) >= 250) as chosen,
    ):
        assert chosen.indices.tolist() == [100, 101, 102] and chosen.pad == "mask"
        [(rows, mask)] = list(chosen)
    assert int(mask.sum()) == 3 and np.unique(rows).tolist() == [250, 253, 256]


def test_a_wrong_word_is_refused(plain_beton: Path) -> None:
    with pytest.raises(OptionError, match="pad is 'zeros'"):
        Loader(plain_beton, 4, pad="zeros")
