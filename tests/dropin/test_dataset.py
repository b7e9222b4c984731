"""Samples one at a time are those of the loader, also from the worker processes of torch's DataLoader."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ffprep import Dataset, Loader
from ffprep.beton.writing.writer import Writer
from ffprep.errors import FfprepError, OptionError
from ffprep.fields import BytesField, FloatField, JSONField, NDArrayField
from ffprep.fields.decoders import (
    BytesDecoder,
    FloatDecoder,
    IntDecoder,
    RandomResizedCropRGBImageDecoder,
    ResizeRGBImageDecoder,
)
from ffprep.transforms import NormalizeImage, RandomHorizontalFlip, Squeeze, ToTensor, ToTorchImage

COUNT = 24


def pipelines() -> dict[str, Any]:
    normal = NormalizeImage([120.0, 110.0, 100.0], [60.0, 60.0, 60.0], np.float32)
    image = [RandomResizedCropRGBImageDecoder(32), RandomHorizontalFlip(), normal, ToTensor(), ToTorchImage()]
    return {"image": image, "label": [IntDecoder(), ToTensor(), Squeeze(1)]}


@pytest.fixture(scope="module")
def wanted(photographs: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """All samples of epoch 2, by a loader."""
    with Loader(photographs, COUNT, 2, pipelines=pipelines(), seed=7) as loader:
        loader.next_epoch = 2
        [batch] = loader
    return batch


def test_samples_are_the_loaders(photographs: Path, wanted: Any) -> None:
    dataset = Dataset(photographs, pipelines(), seed=7, epoch=2)
    assert len(dataset) == COUNT
    for i in (0, 5, 23):
        image, label = dataset[i]
        assert torch.equal(image, wanted[0][i]) and label == wanted[1][i]
    assert torch.equal(dataset[-1][0], wanted[0][23])
    rows = dataset.__getitems__([3, 9, 3])
    assert [torch.equal(row[0], wanted[0][i]) for row, i in zip(rows, (3, 9, 3), strict=True)] == [True] * 3
    images, labels = dataset.collate(rows)
    assert torch.equal(images[1], wanted[0][9]) and labels.tolist() == [3, 3, 3]
    assert images.data_ptr() == rows[0][0].data_ptr()  # no copy
    dataset.set_epoch(3)
    assert not torch.equal(dataset[0][0], wanted[0][0])
    assert len(list(dataset)) == COUNT


def test_indices(photographs: Path, wanted: Any) -> None:
    with Dataset(photographs, pipelines(), seed=7, epoch=2, indices=[20, 4]) as dataset:
        assert len(dataset) == 2 and torch.equal(dataset[0][0], wanted[0][20])
        for outside in (2, -3):
            with pytest.raises(IndexError, match=f"2 samples here, no sample {outside}"):
                dataset[outside]
    with pytest.raises(OptionError, match="indices holds 24"):
        Dataset(photographs, pipelines(), indices=[24])


@pytest.mark.parametrize("collate", [True, False])
def test_workers_that_are_forked(photographs: Path, wanted: Any, collate: bool) -> None:
    dataset = Dataset(photographs, pipelines(), seed=7, epoch=2)
    dataset[0]  # threads live when the workers are forked
    loader: Any = torch.utils.data.DataLoader(
        dataset,
        batch_size=7,
        num_workers=2,
        multiprocessing_context="fork",
        collate_fn=dataset.collate if collate else None,
    )
    batches = list(loader)
    assert [len(labels) for _, labels in batches] == [7, 7, 7, 3]
    for part in (0, 1):
        assert torch.equal(torch.cat([batch[part] for batch in batches]), wanted[part])


SPAWNED = """
import sys
import torch
from ffprep import Dataset
from ffprep.fields.decoders import ResizeRGBImageDecoder
from ffprep.transforms import ToTensor

if __name__ == "__main__":
    dataset = Dataset(sys.argv[1], {"image": [ResizeRGBImageDecoder(16), ToTensor()]})
    loader = torch.utils.data.DataLoader(
        dataset, 8, num_workers=1, multiprocessing_context="spawn", collate_fn=dataset.collate
    )
    print(sum(int(images.sum()) for images, _ in loader), sum(int(labels.sum()) for _, labels in loader))
"""


def test_workers_that_are_spawned(photographs: Path, tmp_path: Path) -> None:
    script = tmp_path / "spawned.py"
    script.write_text(SPAWNED)
    done = subprocess.run([sys.executable, str(script), str(photographs)], capture_output=True, text=True)
    with Loader(photographs, 8, 1, pipelines={"image": [ResizeRGBImageDecoder(16), ToTensor()]}) as loader:
        sums = [(int(images.sum()), int(labels.sum())) for images, labels in loader]
    assert done.stdout.split() == [str(sum(pixels)) for pixels in zip(*sums, strict=True)], done.stderr


def test_a_pickle_holds_options_only(photographs: Path, wanted: Any) -> None:
    dataset = Dataset(photographs, pipelines(), seed=7, epoch=2)
    data = pickle.dumps(dataset)
    assert len(data) < 5000
    assert torch.equal(pickle.loads(data)[5][0], wanted[0][5])
    assert repr(dataset) == f"<Dataset of {photographs}: 24 samples>"


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fields of every other kind."""
    fields = {
        "text": BytesField(),
        "facts": JSONField(),
        "score": FloatField(),
        "box": NDArrayField(np.dtype("f4"), (4,)),
    }
    path = tmp_path_factory.mktemp("values") / "values.beton"
    with Writer(path, fields, 5) as writer:
        for i in range(5):
            sample = (b"x" * i, {"i": i}, i / 2, np.full(4, i, np.float32))
            writer.write([field.encode(value) for field, value in zip(fields.values(), sample, strict=True)])
    return path


def test_raw_values(values: Path, photographs: Path, small: Path, demo_data: Path) -> None:
    dataset = Dataset(values, raw=True)
    sample = dataset[3]
    assert sample["text"] == b"xxx" and sample["facts"] == {"i": 3} and sample["score"] == 1.5
    assert sample["box"].tolist() == [3.0] * 4
    picture = Dataset(photographs, raw=True)[1]["image"]
    assert isinstance(picture, Image.Image) and picture.format == "JPEG"
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "PNG")
    pixels = Dataset(small, raw=True)[1]["image"]
    assert pixels.size == (32, 32) and np.asarray(pixels)[0, 0].tolist() == [1, 0, 2]
    with pytest.raises(OptionError, match="raw samples go through no pipeline"):
        Dataset(small, {}, raw=True)


def test_members_of_every_kind(values: Path) -> None:
    given = {"text": [BytesDecoder(lengths=True), ToTensor()], "score": [FloatDecoder(), ToTensor()]}
    (data, length), facts, score, box = Dataset(values, given)[2]
    assert bytes(data[:length].numpy()) == b"xx" and score.tolist() == [1.0] and box.tolist() == [2.0] * 4
    assert JSONField.unpack(facts.numpy()) == {"i": 2}


def test_several_files(values: Path, tmp_path: Path) -> None:
    both = Dataset([values, values], raw=True)
    assert len(both) == 10 and both[7]["facts"] == {"i": 2}
    rows = Dataset([values, values], {"text": None, "facts": None, "score": [FloatDecoder()], "box": None})
    assert [float(row[0][0]) for row in rows] == [0, 0.5, 1, 1.5, 2] * 2


def test_tokens_become_text(vocabulary: Any, tmp_path: Path) -> None:
    path = tmp_path / "tokens.beton"
    field = NDArrayField(np.dtype("<u2"), (12,))
    words = ["A dog runs.", "Two cats sleep."]
    with Writer(path, {"tokens": field}, 2, manifest={"source": {"vocabulary": vocabulary.manifest()}}) as writer:
        for text in words:
            row = np.full(12, vocabulary.pad, np.uint16)
            ids = vocabulary.encode(text)
            row[: len(ids)] = ids
            writer.write([field.encode(row)])
    assert [sample["tokens"] for sample in Dataset(path, raw=True)] == words


def test_single_blocks_of_a_file_of_blocks(vocabulary: Any, tmp_path: Path) -> None:
    table, path = tmp_path / "texts.jsonl", tmp_path / "blocks.beton"
    table.write_text("\n".join(f'{{"text": "The number {i} is followed by {i + 1}."}}' for i in range(40)))
    words = ["convert", "text", "--files", str(table), "--layout", "blocks", "--block", "16", "--out", str(path)]
    subprocess.run([sys.executable, "-m", "ffprep", *words], check=True, capture_output=True)
    texts = [sample["tokens"] for sample in Dataset(path, raw=True)]
    assert "".join(texts).startswith("The number 0 is followed by 1.The number 1 is")
    dataset = Dataset(path)
    assert len(dataset) == len(texts) > 20
    assert vocabulary.decode(dataset[7][0].numpy()) == texts[7] and dataset[7][0].shape == (16,)


def test_a_loader_gives_any_batch(photographs: Path, wanted: Any) -> None:
    with Loader(photographs, 5, 2, pipelines=pipelines(), seed=7, pad="mask") as loader:
        under_way = iter(loader)
        first = next(under_way)
        images, labels, mask = loader.batch([9, 1], epoch=2)
        assert torch.equal(images, wanted[0][[9, 1]]) and torch.equal(labels, wanted[1][[9, 1]]) and mask.all()
        rest = list(under_way)
    assert len(rest) == 4 and len(first) == 3
    with Loader(photographs, 5, 2, pipelines=pipelines(), seed=7) as loader:
        with pytest.raises(OptionError, match="at least one sample"):
            loader.batch([])
        with pytest.raises(OptionError, match="indices holds 99"):
            loader.batch([99])
    with pytest.raises(FfprepError, match="closed"):
        loader.batch([0])


def test_an_iterator_dropped_unseen_begins_no_epoch(photographs: Path) -> None:
    with Loader(photographs, 5, 2, pipelines=pipelines(), seed=7) as loader:
        iter(loader)
        first = [labels.tolist() for _, labels in loader]
        loader.load_state_dict({**loader.state_dict(), "epoch": 0, "position": 10})
        iter(loader)
        iter(loader)
        assert [labels.tolist() for _, labels in loader] == first[2:]
        one = iter(loader)
        two = iter(loader)  # two that live are two epochs
        assert not torch.equal(next(one)[0], next(two)[0])
        assert loader.next_epoch == 3


def test_it_is_torchs_dataset_and_the_rest_of_ffprep_imports_no_torch(small: Path) -> None:
    with Dataset(small, raw=True) as dataset:
        assert isinstance(dataset, torch.utils.data.Dataset)
        joined = dataset + dataset  # torch's own operator
        assert len(joined) == 2 * len(dataset) and joined[len(dataset)] == dataset[0]
    code = "import sys, ffprep; ffprep.Loader; ffprep.DatasetWriter; assert not {'torch', 'numba'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert (
        subprocess.run([sys.executable, "-c", f"import sys; sys.modules['torch'] = None\n{RAW}", str(small)]).returncode
        == 0
    )


RAW = "import ffprep; assert ffprep.Dataset(sys.argv[1], raw=True)[0]"
