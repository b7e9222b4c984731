"""Several files in one loader: numbering, shares, ranks, resuming, damaged samples, disagreements."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from ffprep import Loader, OrderOption
from ffprep.beton.reader import Reader
from ffprep.beton.writing.writer import Writer
from ffprep.errors import DecodeError, OptionError
from ffprep.fields import FloatField, IntField, NDArrayField
from ffprep.fields.decoders import (
    FileDecoder,
    IntDecoder,
    RandomResizedCropRGBImageDecoder,
    SampleDecoder,
    SimpleRGBImageDecoder,
)
from ffprep.loader import watch
from ffprep.transforms import RandomHorizontalFlip, Squeeze, ToTensor

ORDERS = list(OrderOption)
SIZES = (9, 5, 14)
STARTS = np.cumsum([0, *SIZES])


@pytest.fixture(scope="module")
def trio(tmp_path_factory: pytest.TempPathFactory, make: SimpleNamespace) -> list[Path]:
    folder = tmp_path_factory.mktemp("trio")
    paths = []
    for f, size in enumerate(SIZES):
        images = [make.noise_image(100 * f + i, 20 + i, 40 - i) for i in range(size)]
        payloads = [make.stored_jpeg(make.encode_jpeg(image)) for image in images]
        paths.append(make.write_images(folder / f"part{f}.beton", payloads))
    return paths


def open_mix(paths: list[Path], **options: Any) -> Loader:
    pipelines = {
        "image": [RandomResizedCropRGBImageDecoder(8), RandomHorizontalFlip(), ToTensor()],
        "label": [IntDecoder(), ToTensor(), Squeeze()],
        "file": [FileDecoder(), ToTensor()],
        "sample": [SampleDecoder(), ToTensor()],
    }
    arguments = {
        "num_workers": 2,
        "seed": 4,
        "order": OrderOption.RANDOM,
        "drop_last": False,
        "window_pages": 2,
        **options,
    }
    return Loader(paths, arguments.pop("batch_size", 6), pipelines=pipelines, **arguments)


def equal(a: list[Any], b: list[Any]) -> bool:
    return len(a) == len(b) and all(
        torch.equal(x, y) for m, n in zip(a, b, strict=True) for x, y in zip(m, n, strict=True)
    )


def joined(batches: list[Any]) -> list[np.ndarray]:
    return [torch.cat([batch[i] for batch in batches]).numpy() for i in range(4)]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("os_cache", [True, False])
def test_files_follow_one_another(trio: list[Path], order: OrderOption, os_cache: bool) -> None:
    with open_mix(trio, order=order, os_cache=os_cache, window_pages=1) as loader:
        assert len(loader.indices) == sum(SIZES) and len(loader) == 5
        _, labels, files, samples = joined(list(loader))
    assert sorted(samples) == list(range(sum(SIZES)))
    assert (labels == samples - STARTS[files]).all()
    assert (files == np.searchsorted(STARTS, samples, side="right") - 1).all()
    if order is OrderOption.SEQUENTIAL:
        assert samples.tolist() == list(range(sum(SIZES)))


def test_the_first_file_is_as_if_it_were_alone(trio: list[Path]) -> None:
    only = list(range(SIZES[0]))
    with (
        open_mix(trio, indices=only, order=OrderOption.SEQUENTIAL) as both,
        open_mix(trio[:1], order=OrderOption.SEQUENTIAL) as alone,
        open_mix(trio[0], order=OrderOption.SEQUENTIAL) as plain,  # type: ignore[arg-type]
    ):
        batches = list(alone)
        assert equal(list(both), batches) and equal(list(plain), batches)
        assert alone.reader.num_samples == SIZES[0]
        with pytest.raises(OptionError, match=r"part0.beton and 2 more has several readers"):
            _ = both.reader


MIXES: list[dict[str, Any]] = [
    {},
    {"weights": [1, 1, 1]},
    {"weights": [0.2, 0.7, 0.1], "epoch_samples": 31},
    {"weights": "balanced"},
    {"epoch_samples": 40},
]


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("order", ORDERS)
def test_threads_ranks_and_places_make_no_difference(trio: list[Path], order: OrderOption, mix: dict[str, Any]) -> None:
    with open_mix(trio, order=order, num_workers=1, **mix) as loader:
        list(loader)
        whole = list(loader)
    for threads in (2, 4):
        with open_mix(trio, order=order, num_workers=threads, os_cache=False, **mix) as loader:
            loader.set_epoch(1)
            assert equal(list(loader), whole)
    for world in (2, 3):
        parts = []
        for rank in range(world):
            with open_mix(trio, order=order, rank=rank, world_size=world, batch_size=6 // world, **mix) as loader:
                loader.set_epoch(1)
                parts.append(list(loader))
        for step, batch in enumerate(whole):
            for rank in range(world):
                rows = [member[rank::world] for member in batch]
                if len(rows[0]):
                    assert equal([parts[rank][step]], [rows])
    total = len(joined(whole)[0])
    for stop in range(len(whole) + 1):
        with open_mix(trio, order=order, **mix) as loader:
            loader.set_epoch(1)
            iterator = iter(loader)
            for _ in range(stop):
                next(iterator)
            state = loader.state_dict()
        rest: dict[int, list[Any]] = {}
        for rank in range(2):
            with open_mix(trio, order=order, seed=9, rank=rank, world_size=2, batch_size=2, **mix) as loader:
                loader.load_state_dict(state)
                for step, rows in enumerate(loader):
                    for i in range(len(rows[0])):
                        rest[step * 4 + rank + 2 * i] = [member[i : i + 1] for member in rows]
        if stop < len(whole):
            assert len(rest) == total - 6 * stop
            again = [np.concatenate([rest[i][m].numpy() for i in sorted(rest)]) for m in range(4)]
            assert all((a == b).all() for a, b in zip(again, joined(whole[stop:]), strict=True))


def test_a_small_file_wraps_around_and_is_cropped_anew(trio: list[Path]) -> None:
    with open_mix(trio, weights=[0, 1, 0], epoch_samples=15) as loader:
        images, labels, files, _ = joined(list(loader))
    assert (files == 1).all()
    assert [sorted(labels[i : i + 5]) for i in (0, 5, 10)] == [[0, 1, 2, 3, 4]] * 3
    assert len({labels[i : i + 5].tobytes() for i in (0, 5, 10)}) == 3
    for label in range(5):
        assert len(np.unique(images[labels == label].reshape(3, -1), axis=0)) == 3


def test_counts_are_exact_and_the_next_epoch_goes_on(trio: list[Path]) -> None:
    with open_mix(trio, weights=[1, 1, 1], epoch_samples=15) as loader:
        epochs = [joined(list(loader)) for _ in range(3)]
    for _, _, files, _ in epochs:
        assert np.bincount(files).tolist() == [5, 5, 5]
    large = np.concatenate([samples[files == 2] for _, _, files, samples in epochs])
    assert sorted(large[:14]) == list(range(14, 28))


def test_balanced_goes_by_images(tmp_path: Path, make: SimpleNamespace) -> None:
    payloads = [make.stored_jpeg(make.encode_jpeg(make.noise_image(i, 20, 20))) for i in range(4)]
    paths = []
    for number, each in enumerate((5, 1)):
        fields = {"image": make.image_field(), "label": IntField()}
        paths.append(tmp_path / f"{number}.beton")
        with Writer(paths[-1], fields, 4 * each) as writer:
            for i in range(4 * each):
                image = replace(payloads[i // each], key=i // each)
                writer.write([image, fields["label"].encode(i)])
    with open_mix(paths, weights="balanced") as loader:
        assert len(joined(list(loader))[0]) == 8
        assert np.bincount(joined(list(loader))[2]).tolist() == [4, 4]
    with open_mix(paths, weights="equal") as loader:
        assert np.bincount(joined(list(loader))[2]).tolist() == [12, 12]


def test_indices_are_global(trio: list[Path]) -> None:
    chosen = [27, 3, 11, 0, 13]
    with open_mix(trio, indices=chosen, order=OrderOption.SEQUENTIAL) as loader:
        _, labels, files, samples = joined(list(loader))
    assert samples.tolist() == chosen
    assert labels.tolist() == [13, 3, 2, 0, 4] and files.tolist() == [2, 0, 1, 0, 1]
    with open_mix(trio, indices=chosen, weights=[1, 1, 1], epoch_samples=9) as loader:
        assert np.bincount(joined(list(loader))[3], minlength=28)[chosen].tolist() in (
            [3, 1, 1, 2, 2],
            [3, 1, 2, 2, 1],
            [3, 2, 1, 1, 2],
            [3, 2, 2, 1, 1],
        )


def test_filter(trio: list[Path]) -> None:
    with open_mix(trio, weights=[1, 1, 1], epoch_samples=12) as loader:
        chosen = loader.filter("label", lambda label: int(label) % 2 == 1)
        assert chosen.indices.tolist() == [1, 3, 5, 7, 10, 12, *range(15, 28, 2)]
        _, labels, files, _ = joined(list(chosen))
        assert (labels % 2 == 1).all() and np.bincount(files).tolist() == [4, 4, 4]
        chosen.close()
        with pytest.raises(OptionError, match=r"part0.beton: .* give it the weight 0"):
            loader.filter("file", lambda file: int(file) == 1)
    with open_mix(trio) as loader, loader.filter("file", lambda file: int(file) == 1) as second:
        assert second.indices.tolist() == list(range(9, 14))


def damage(path: Path, copy: Path, sample: int) -> Path:
    copy.write_bytes(path.read_bytes())
    with copy.open("r+b") as file:
        file.seek(int(Reader(path).extents("image")[0][sample]))
        file.write(b"\0" * 64)
    return copy


def test_errors_name_the_file_and_its_sample(trio: list[Path], tmp_path: Path) -> None:
    paths = [trio[0], trio[1], damage(trio[2], tmp_path / "bad.beton", 3)]
    with (
        open_mix(paths, order=OrderOption.SEQUENTIAL) as loader,
        pytest.raises(DecodeError, match=r"/bad\.beton: sample 3, field 'image'"),
    ):
        list(loader)
    with open_mix(trio) as loader:
        wanted = {int(s): x for batch in loader for x, s in zip(batch[0], batch[3], strict=True)}
    with open_mix(paths, on_error="skip") as loader, pytest.warns(RuntimeWarning, match=r"bad\.beton: sample 3"):
        batches = list(loader)
    got = {int(s): x for batch in batches for x, s in zip(batch[0], batch[3], strict=True)}
    assert sorted(got) == [s for s in range(28) if s != 17]
    assert all(torch.equal(x, wanted[s]) for s, x in got.items())


def write(path: Path, fields: dict[str, Any], values: list[Any]) -> Path:
    with Writer(path, fields, 2) as writer:
        for _ in range(2):
            writer.write([field.encode(value) for field, value in zip(fields.values(), values, strict=True)])
    return path


def test_fields_must_agree(tmp_path: Path) -> None:
    array = np.zeros(3, np.float32)
    a = write(tmp_path / "a", {"x": IntField(), "v": NDArrayField(np.dtype("<f4"), (3,))}, [1, array])
    b = write(tmp_path / "b", {"x": FloatField(), "v": NDArrayField(np.dtype("<f4"), (3,))}, [1, array])
    c = write(tmp_path / "c", {"x": IntField(), "v": NDArrayField(np.dtype("<f4"), (4,))}, [1, np.zeros(4, np.float32)])
    d = write(tmp_path / "d", {"x": IntField()}, [1])
    with pytest.raises(OptionError, match=r"field 'x' is IntField in .*/a and FloatField in .*/b"):
        Loader([a, b], 2, 1)
    with pytest.raises(OptionError, match=r"float32\(3,\) in .*/a and NDArrayField float32\(4,\) in .*/c"):
        Loader([a, c], 2, 1)
    for pair in ([a, d], [d, a]):
        with pytest.raises(OptionError, match=r"/a has a field 'v' and .*/d has none; .*pipelines=\{'v': None\}"):
            Loader(pair, 2, 1)
    with Loader([a, d], 4, 1, pipelines={"v": None}) as loader:
        assert [batch[0].flatten().tolist() for batch in loader] == [[1, 1, 1, 1]]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"weights": [1, 2]}, "2 weights for 3 files"),
        ({"weights": [0, 0, 0]}, "one above"),
        ({"weights": "fair"}, "'balanced' or 'equal'"),
        ({"epoch_samples": 0}, "epoch_samples is 0"),
        ({"weights": [1, 1, 1], "indices": [0, 1]}, r"part1.beton: no sample of it is in indices"),
        ({"index": "some.index"}, "index is one path"),
        ({"weights": [1, 1, 1], "order": type("O", (), {"sample_order": lambda self, epoch: [0]})()}, "OrderOption"),
    ],
)
def test_mistakes(trio: list[Path], options: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        open_mix(trio, **options)


def test_more_mistakes(trio: list[Path], plain_beton: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no file is given"):
        Loader([], 2)
    with pytest.raises(FileNotFoundError):
        Loader([trio[0], tmp_path / "none.beton"], 2)
    with pytest.raises(OptionError, match="differ in size"):
        Loader(trio, 2, pipelines={"image": [SimpleRGBImageDecoder()]})
    with pytest.raises(OptionError, match="no field 'image' to balance by"):
        Loader([plain_beton, plain_beton], 2, weights="balanced")


def test_states_of_other_files_are_refused(trio: list[Path]) -> None:
    with open_mix(trio, weights=[1, 1, 1]) as loader:
        state = loader.state_dict()
    with open_mix(trio, weights=[1, 1, 2]) as loader, pytest.raises(OptionError, match="files or shares"):
        loader.load_state_dict(state)
    with open_mix([trio[1], trio[0], trio[2]], weights=[1, 1, 1]) as loader:
        with pytest.raises(OptionError, match="files or shares"):
            loader.load_state_dict(state)
        assert loader.state_dict()["parts"] == [5, 9, 14, 10, 9, 9]


def test_bytes_of_several_files_have_one_length(tmp_path: Path) -> None:
    from ffprep.fields import BytesField

    paths = []
    for number, text in enumerate((b"ab", b"abcdef")):
        paths.append(write(tmp_path / str(number), {"b": BytesField()}, [text]))
    with Loader(paths, 4, 1) as loader:
        [(rows,)] = list(loader)
    assert rows.shape == (4, 6) and bytes(rows[0].tolist()) == b"ab\0\0\0\0"


def test_presets_take_several_files(trio: list[Path]) -> None:
    from ffprep.presets import imagenet_train, imagenet_val

    with imagenet_train(trio, 7, 2, 0, size=16, weights="equal") as train:
        assert train.files.num_samples == 28 and sum(len(labels) for _, labels in train) == 28
    with imagenet_val(trio, 7, 2, size=16) as val:
        labels = torch.cat([labels for _, labels in val])
    assert labels.tolist() == [*range(9), *range(5), *range(14)]


def test_each_file_has_its_seek_index(trio: list[Path], tmp_path: Path) -> None:
    from ffprep.convert.indexing import make_index

    paths = [tmp_path / path.name for path in trio]
    for path, copy in zip(trio, paths, strict=True):
        copy.write_bytes(path.read_bytes())
    make_index(paths[1])
    with open_mix(trio) as plain, open_mix(paths) as indexed:
        assert [reader.seek_index is not None for reader in indexed.files.readers] == [False, True, False]
        assert equal(list(plain), list(indexed))
    with pytest.raises(Exception, match=r"part0\.beton"):
        open_mix(paths, index=True)


@pytest.mark.parametrize("order", [OrderOption.QUASI_RANDOM, OrderOption.SEQUENTIAL])
@pytest.mark.parametrize("mix", [{}, {"weights": [1, 1, 1]}, {"epoch_samples": 40}])
def test_what_is_read_ahead_are_the_pages_that_are_shown(
    trio: list[Path], order: OrderOption, mix: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ffprep.loader.order import pages as order_pages

    asked: list[tuple[int, int, set[int]]] = []

    class Noted:
        def __init__(self, readers: Any, edges: np.ndarray, pages: Any, first: int) -> None:
            assert edges[0] == 0 and edges[-1] == total and (np.diff(edges) > 0).all() and len(readers) == 3
            for start, stop in pairwise(edges):
                asked.append((int(start), int(stop), {int(page) for page in pages(int(start), int(stop))}))

        def published(self, position: int) -> None: ...

        def finished(self, position: int) -> None: ...

        def close(self) -> None: ...

    monkeypatch.setattr("ffprep.loader.order.sampling.ReadAhead", Noted)
    with open_mix(trio, order=order, os_cache=False, window_pages=1, **mix) as loader:
        total = len(loader._order)
        samples = joined(list(loader))[3]
        firsts = order_pages.first_pages(loader.files.readers)
        page_of = np.concatenate(
            [
                order_pages.pages_of(r, "image") + first
                for r, first in zip(loader.files.readers, firsts[:-1], strict=True)
            ]
        )
    assert len(asked) >= 1
    for start, stop, pages in asked:
        assert pages == set(page_of[samples[start:stop]].tolist())


def test_only_files_that_are_read_are_looked_at_and_not_again_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in (paths := [tmp_path / f"{n}.beton" for n in range(5)]):
        with Writer(path, {"n": IntField()}, 1) as writer:
            writer.write([IntField().encode(4)])
    with Loader(paths, 1, 1) as loader:
        assert len(list(loader)) == 5
        looked: list[str] = []
        identity, now = watch._identity, 1e9

        def noted(path: str) -> tuple[int, int, int, int]:
            looked.append(path)
            return identity(path)

        monkeypatch.setattr(watch, "_identity", noted)
        monkeypatch.setattr(watch, "time", SimpleNamespace(monotonic=lambda: now))
        loader.batch([0, 4])
        assert set(looked) == {str(paths[0]), str(paths[4])}
        looked.clear()
        for _ in range(3):
            loader.files.look(np.array([0, 1]))
        assert looked == [str(paths[1])]  # the first was looked at for the batch
        now += watch.PAUSE
        loader.files.look(np.array([0, 1]))
        assert looked == [str(paths[1]), str(paths[0]), str(paths[1])]
