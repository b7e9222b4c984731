"""Resuming is exact at every batch; ranks share one global order; subsets stay subsets."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from ffprep import Loader, OrderOption
from ffprep.errors import FfprepError, OptionError
from ffprep.fields.decoders import IntDecoder, RandomResizedCropRGBImageDecoder
from ffprep.transforms import RandomHorizontalFlip, Squeeze, ToTensor

ORDERS = list(OrderOption)


def open_images(path: Path, **options: Any) -> Loader:
    pipelines = {
        "image": [RandomResizedCropRGBImageDecoder(16), RandomHorizontalFlip(), ToTensor()],
        "label": [IntDecoder(), ToTensor(), Squeeze()],
    }
    arguments = {"num_workers": 2, "seed": 4, "order": OrderOption.RANDOM, **options}
    return Loader(path, arguments.pop("batch_size", 5), pipelines=pipelines, **arguments)


def equal(a: list[Any], b: list[Any]) -> bool:
    return len(a) == len(b) and all(
        torch.equal(x, y) for m, n in zip(a, b, strict=True) for x, y in zip(m, n, strict=True)
    )


@pytest.mark.parametrize("order", ORDERS)
def test_resume_at_every_batch(image_beton: Path, order: OrderOption) -> None:
    with open_images(image_beton, order=order, drop_last=False) as loader:
        list(loader)
        whole = list(loader)
        following = list(loader)
    assert len(whole) == 8
    for stop in range(9):
        with open_images(image_beton, order=order, drop_last=False, num_workers=1) as loader:
            loader.set_epoch(1)
            iterator = iter(loader)
            for _ in range(stop):
                next(iterator)
            state = loader.state_dict()
            assert state["epoch"] == loader.epoch == 1
        with open_images(image_beton, order=order, drop_last=False, seed=99, batches_ahead=1 + stop % 3) as again:
            again.load_state_dict(state)
            assert again.state_dict() == state
            again.set_epoch(1)  # what trainers call before each epoch: the place is kept
            assert equal(list(again), whole[stop:])
            assert equal(list(again), following)


def test_state_is_integers_and_moves_with_what_was_handed_out(image_beton: Path) -> None:
    import json

    with open_images(image_beton) as loader:
        assert loader.state_dict()["position"] == 0
        for number, _ in enumerate(loader):
            state = loader.state_dict()
            assert (state["epoch"], state["position"]) == (0, 5 * (number + 1))
        state = loader.state_dict()
        assert (state["epoch"], state["position"]) == (1, 0)
        assert json.loads(json.dumps(state)) == state


def test_after_the_last_batch_both_kinds_of_loop_go_on(image_beton: Path) -> None:
    with open_images(image_beton) as loader:
        epochs = [list(loader) for _ in range(3)]
        loader.next_epoch = 1
        iterator = iter(loader)
        for _ in range(7):
            next(iterator)
        state = loader.state_dict()  # all batches are taken, and the end is not yet noticed
        assert (state["epoch"], state["position"]) == (1, 35)
        assert list(iterator) == []
        whole = loader.state_dict()
        assert (whole["epoch"], whole["position"]) == (2, 0)
    with open_images(image_beton, drop_last=False) as loader:
        iterator = iter(loader)
        for _ in range(8):
            next(iterator)
        state = loader.state_dict()
        assert (state["epoch"], state["position"]) == (0, 37)
    with open_images(image_beton) as again:
        again.load_state_dict(state)
        assert again.state_dict() == state and again.epoch == again.next_epoch == 1
        assert equal(list(again), epochs[1])  # a trainer that asks for another epoch
        again.load_state_dict(state)
        for epoch in range(2):  # a loop that counts for itself, and was in epoch 0
            again.set_epoch(epoch)
            assert equal(list(again), epochs[1] if epoch else [])
        again.load_state_dict(state)
        again.set_epoch(2)
        assert equal(list(again), epochs[2])


def test_trainers_find_the_convention(plain_beton: Path) -> None:
    stateful = pytest.importorskip("torchdata.stateful_dataloader.stateful")
    with Loader(plain_beton, 4, 1) as loader:
        assert isinstance(loader, stateful.Stateful)


def test_an_iterator_that_only_looks_begins_nothing(image_beton: Path) -> None:
    # Lightning makes one to see whether it can
    with open_images(image_beton) as loader:
        whole, following = list(loader), list(loader)
        loader.next_epoch = 0
        iter(loader)
        assert equal(list(loader), whole) and equal(list(loader), following)
        loader.next_epoch = 0
        iterator = iter(loader)
        next(iterator), next(iterator)
        state = loader.state_dict()
    with open_images(image_beton) as again:
        again.load_state_dict(state)
        iter(again)
        assert again.state_dict() == state
        assert equal(list(again), whole[2:]) and equal(list(again), following)
        one, two = iter(again), iter(again)  # both alive: two epochs
        assert not equal(list(one), list(two))


def test_a_broken_off_epoch_can_be_gone_on_with(image_beton: Path) -> None:
    with open_images(image_beton) as loader:
        whole = list(loader)
    with open_images(image_beton) as loader:
        for number, _ in enumerate(loader):
            if number == 2:
                break
        loader.load_state_dict(loader.state_dict())
        assert equal(list(loader), whole[3:])


def test_state_fits_another_batch_size_and_world(image_beton: Path) -> None:
    with open_images(image_beton, batch_size=1) as loader:
        order = [int(labels) for _, labels in loader]
    with open_images(image_beton, batch_size=4) as loader:
        iterator = iter(loader)
        next(iterator), next(iterator)
        state = loader.state_dict()
    rest: list[tuple[int, int]] = []
    for rank in range(3):
        with open_images(image_beton, batch_size=2, rank=rank, world_size=3, drop_last=False) as loader:
            loader.load_state_dict(state)
            for step, (_, labels) in enumerate(loader):
                rest += [(step * 6 + rank + 3 * i, label) for i, label in enumerate(labels.flatten().tolist())]
    assert [label for _, label in sorted(rest)] == order[8:]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"samples": 36}, "36 samples"),
        ({"order": "SEQUENTIAL"}, "SEQUENTIAL order"),
        ({"version": 9}, "version 9"),
        ({"position": 38}, "position 38"),
        ({"epoch": None}, "no state"),
    ],
)
def test_states_of_something_else_are_refused(image_beton: Path, change: dict[str, Any], words: str) -> None:
    with open_images(image_beton) as loader, pytest.raises(OptionError, match=words):
        loader.load_state_dict({**loader.state_dict(), **change})


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("world", [1, 2, 3, 8])
@pytest.mark.parametrize("drop_last", [True, False])
def test_ranks_together_see_the_global_order(
    plain_beton: Path, order: OrderOption, world: int, drop_last: bool
) -> None:
    def ids(rank: int, size: int) -> list[list[int]]:
        only = {"float": None, "array": None, "bytes": None, "json": None}
        with Loader(
            plain_beton,
            24 // size,
            1,
            order=order,
            seed=2,
            rank=rank,
            world_size=size,
            pipelines=only,
            drop_last=drop_last,
        ) as loader:
            batches = [((rows.flatten() + 50) // 3).tolist() for (rows,) in loader]
            assert len(batches) == len(loader)
            return batches

    wanted = ids(0, 1)
    ranks = [ids(rank, world) for rank in range(world)]
    for step, batch in enumerate(wanted):
        parts = [mine[step] if step < len(mine) else [] for mine in ranks]
        merged = [parts[i % world][i // world] for i in range(sum(map(len, parts)))]
        assert merged == batch
    assert sum(len(b) for mine in ranks for b in mine) == (96 if drop_last else 103)


def test_distributed_without_a_seed_agrees_on_one(plain_beton: Path) -> None:
    with Loader(plain_beton, 4, 1, rank=0, world_size=2) as a, Loader(plain_beton, 4, 1, rank=1, world_size=2) as b:
        assert a.seed == b.seed == 0


def test_without_a_seed_numpys_generator_decides(plain_beton: Path) -> None:
    seeds = []
    for _ in range(2):
        np.random.seed(11)  # noqa: NPY002
        with Loader(plain_beton, 4, 1) as loader:
            seeds.append(loader.seed)
    assert seeds[0] == seeds[1]


def test_filter_respects_indices(plain_beton: Path) -> None:
    # stock ffcv returns samples 5 to 9 here
    with Loader(plain_beton, 3, 1, indices=range(10, 20), drop_last=False) as loader:
        chosen = loader.filter("number", lambda x: int(x) >= 15 * 3 - 50)
        assert chosen.indices.tolist() == [15, 16, 17, 18, 19]
        got = [int(n) for batch in chosen for n in batch[0]]
        assert got == [i * 3 - 50 for i in range(15, 20)]
        assert chosen.batch_size == 3 and not chosen.drop_last
        twice = chosen.filter("float", lambda x: float(x) < 17 / 7)
        assert twice.indices.tolist() == [15, 16]
        with pytest.raises(OptionError, match="no sample fulfils"):
            chosen.filter("number", lambda _: False)
        with pytest.raises(OptionError, match="no output 'nummer'; it has number"):
            chosen.filter("nummer", lambda _: True)
        chosen.close()
        twice.close()


def test_filter_keeps_the_other_arguments(image_beton: Path) -> None:
    with (
        open_images(image_beton, order=OrderOption.QUASI_RANDOM, window_pages=3) as loader,
        loader.filter("label", lambda x: int(x) % 2 == 0) as chosen,
    ):
        assert chosen.seed == loader.seed and chosen._window_pages == 3
        labels = torch.cat([b[1] for b in chosen]).tolist()
        assert len(labels) == 15 and all(x % 2 == 0 for x in labels)


def test_pipelines_are_left_alone(image_beton: Path) -> None:
    # stock ffcv takes the decoder out of the list it was given
    image = [RandomResizedCropRGBImageDecoder(16), ToTensor()]
    pipelines = {"image": image, "label": None}
    before = list(image)
    for _ in range(2):
        with Loader(image_beton, 4, 1, pipelines=pipelines) as loader:
            assert next(iter(loader))[0].shape == (4, 16, 16, 3)
    assert image == before and list(pipelines) == ["image", "label"]
    with Loader(image_beton, 4, 1, pipelines=pipelines) as loader:
        image.clear()
        assert next(iter(loader))[0].shape == (4, 16, 16, 3)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("os_cache", [True, False])
def test_indices_and_caches(image_beton: Path, order: OrderOption, os_cache: bool) -> None:
    chosen = [30, 2, 17, 5, 36, 11, 3]
    with open_images(
        image_beton, order=order, os_cache=os_cache, indices=chosen, batch_size=3, drop_last=False, window_pages=1
    ) as loader:
        for _ in range(2):
            labels = torch.cat([b[1].reshape(-1) for b in loader]).tolist()
            assert sorted(labels) == sorted(chosen)
            if order is OrderOption.SEQUENTIAL:
                assert labels == chosen
    results = []
    for cached in (True, False):
        with open_images(
            image_beton, order=order, os_cache=cached, indices=chosen, batch_size=3, window_pages=1
        ) as loader:
            results.append(list(loader))
    assert equal(*results)


def test_a_custom_order(plain_beton: Path) -> None:
    class Reversed:
        def __init__(self, loader: Loader) -> None:
            self.indices = loader.indices

        def sample_order(self, epoch: int) -> np.ndarray:
            return np.roll(self.indices[::-1], epoch)

    with Loader(plain_beton, 103, 1, order=Reversed) as loader:  # type: ignore[arg-type]
        for epoch in range(2):
            [batch] = list(loader)
            assert ((batch[0].flatten() + 50) // 3).tolist() == np.roll(np.arange(103)[::-1], epoch).tolist()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch_size": 104}, "103 samples do not fill one batch of 104; .*drop_last=False"),
        ({"batch_size": 60, "rank": 0, "world_size": 2}, "on each of 2 ranks"),
        ({"batch_size": 4, "indices": []}, "no samples"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": 2.5}, "batch_size is 2.5"),
        ({"batch_size": 4, "order": "random"}, "order is 'random'"),
        ({"batch_size": 4, "on_error": "ignore"}, "on_error is 'ignore'"),
        ({"batch_size": 4, "pipelines": {"imge": []}}, "'imge', but .* number, float, array, bytes, json"),
        ({"batch_size": 4, "pipelines": dict.fromkeys(["number", "float", "array", "bytes", "json"])}, "at least one"),
        ({"batch_size": 4, "pipelines": {"number": [RandomResizedCropRGBImageDecoder(8)]}}, "cannot read 'number'"),
        ({"batch_size": 4, "pipelines": {"number": 5}}, "must be a list"),
        ({"batch_size": 4, "pipelines": {"number": [IntDecoder(), "flip"]}}, "'flip', which is no transform"),
        ({"batch_size": 4, "pipelines": {"number": [IntDecoder(), ToTensor]}}, r"make an object of it: ToTensor\(\)"),
        ({"batch_size": 4, "pipelines": {"number": [IntDecoder(), IntDecoder()]}}, "must come first"),
    ],
)
def test_mistakes_are_named_at_once(plain_beton: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        Loader(plain_beton, num_workers=1, **options)


def test_use_after_close(plain_beton: Path) -> None:
    loader = Loader(plain_beton, 4, 1)
    iterator = iter(loader)
    batch = next(iterator)
    loader.close()
    assert list(iterator) == []
    assert batch[0].flatten().tolist() == [-50, -47, -44, -41]
    with pytest.raises(FfprepError, match="was closed"):
        iter(loader)


def test_two_loaders_and_two_iterators_side_by_side(image_beton: Path, make: SimpleNamespace) -> None:
    import threading

    with open_images(image_beton) as a, open_images(image_beton, seed=8) as b:
        wanted_a, wanted_b = list(a), list(b)
        a.next_epoch = b.next_epoch = 0
        mixed = list(zip(a, b, strict=True))
        assert equal([m[0] for m in mixed], wanted_a) and equal([m[1] for m in mixed], wanted_b)
        a.next_epoch = 0
        first = iter(a)
        a.next_epoch = 0
        pairs = list(zip(first, a, strict=True))
        assert equal([p[0] for p in pairs], wanted_a) and equal([p[1] for p in pairs], wanted_a)
        results: dict[int, list[Any]] = {}
        a.next_epoch = b.next_epoch = 0
        threads = [
            threading.Thread(target=lambda k=k, x=x: results.__setitem__(k, list(x))) for k, x in enumerate((a, b))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert equal(results[0], wanted_a) and equal(results[1], wanted_b)
