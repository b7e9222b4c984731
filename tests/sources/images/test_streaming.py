"""``ffprep convert images --streaming``: data sets of the hub, played by a local one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dense_trees import facts_of, ffprep, picture, values_of

datasets = pytest.importorskip("datasets")

NAMES = ["cat", "dog", "eel"]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Eleven rows of parquet, under the name ``owner/pets``."""
    features = datasets.Features(
        {"picture": datasets.Image(), "kind": datasets.ClassLabel(names=NAMES), "word": datasets.Value("string"),
         "meta": {"score": datasets.Value("float32")}}
    )  # fmt: skip
    rows = {
        "picture": [{"bytes": picture((30 + i, 20)), "path": None} for i in range(11)],
        "kind": [i % 3 for i in range(11)],
        "word": [NAMES[i % 3].upper() for i in range(11)],
        "meta": [{"score": i / 2} for i in range(11)],
    }
    folder = tmp_path / "hub" / "data"
    folder.mkdir(parents=True)
    datasets.Dataset.from_dict(rows, features=features).to_parquet(folder / "train-00000-of-00001.parquet")
    for name in ("load_dataset", "load_dataset_builder"):
        real = getattr(datasets, name)

        def local(source: str, real: Any = real, **options: Any) -> Any:
            if source != "owner/pets":
                raise ConnectionError("Couldn't reach the Hub\nlong explanation")
            return real(str(tmp_path / "hub"), **options)

        monkeypatch.setattr(datasets, name, local)

    class Info:  # what the hub says of a data set's size
        def __init__(self, info: Any) -> None:
            self.splits = info.splits or {"train": datasets.SplitInfo("train", num_examples=11)}

    builder = datasets.load_dataset_builder
    monkeypatch.setattr(
        datasets, "load_dataset_builder", lambda source: type("Builder", (), {"info": Info(builder(source).info)})()
    )
    return tmp_path


def convert(out: Path, *more: object, source: object = "owner/pets") -> Any:
    return ffprep("convert", "images", "--source", source, "--out", out, "--streaming", "--quiet", *more)


def test_streamed_rows_are_those_of_the_copy(hub: Path) -> None:
    fields = ("--field", "score=float:meta.score", "--caption", "word")
    done = convert(hub / "a.beton", *fields)
    assert done.exit_code == 0, done.output
    copy = ("--source", hub / "hub" / "data" / "train-00000-of-00001.parquet", "--split", "train")
    done = ffprep("convert", "images", *copy, "--out", hub / "b.beton", "--quiet", *fields)
    assert done.exit_code == 0, done.output
    one, two = values_of(hub / "a.beton"), values_of(hub / "b.beton")
    assert len(one) == 11 and [row["label"] for row in one] == [i % 3 for i in range(11)]
    for a, b in zip(one, two, strict=True):
        assert a["image"] == b["image"] and a["label"] == b["label"] and a["score"] == b["score"]
        assert bytes(a["caption"]) == bytes(b["caption"])
    facts = facts_of(hub / "a.beton")
    assert facts["classes"] == NAMES and facts["origin"] == "owner/pets" and facts["split"] == "train"


def test_filters_and_labels_that_are_names(hub: Path) -> None:
    done = convert(hub / "a.beton", "--filter", "kind in ('cat', 'eel') and meta.score >= 1")
    assert done.exit_code == 0, done.output
    kept = [i for i in range(11) if i % 3 != 1 and i >= 2]
    assert [row["label"] for row in values_of(hub / "a.beton")] == [i % 3 for i in kept]
    upper = [word for name in NAMES for word in ("--labels", name.upper())]
    done = convert(hub / "b.beton", "--label", "word", *upper)
    assert done.exit_code == 0, done.output
    assert [row["label"] for row in values_of(hub / "b.beton")] == [i % 3 for i in range(11)]
    refused = convert(hub / "c.beton", "--label", "word")
    assert refused.exit_code == 1 and "need --labels or --classes" in refused.output


@pytest.mark.parametrize("more", [(), ("--filter", "kind != 'dog'")])
def test_a_stream_goes_on_from_any_sample(hub: Path, more: tuple[str, ...]) -> None:
    from ffprep.fields import RGBImageField
    from ffprep.sources.images.opening import ImagesChoice, open_streamed

    source = open_streamed(ImagesChoice("owner/pets", streaming=True, filters=tuple(more[1:])), RGBImageField("jpg"))
    every = list(source.stream(0))
    for start in (1, 3, len(every)):
        assert list(source.stream(start)) == every[start:]


def test_what_cannot_be_streamed_is_said(hub: Path) -> None:
    for done, said in (
        (convert(hub / "a.beton", source=hub), "is here; it is for data sets of the Hugging Face hub"),
        (convert(hub / "a.beton", source="owner/other"), "Couldn't reach the Hub"),
        (convert(hub / "a.beton", "--val-share", 0.5), "chooses among all samples"),
        (convert(hub / "a.beton", "--split", "test"), "has the splits train, none of them 'test'"),
        (convert(hub / "a.beton", "--image", "none"), "no column 'none'"),
        (convert(hub / "a.beton", "--labels", "x"), "states the classes of 'kind' itself"),
    ):
        assert done.exit_code in (1, 2) and said in done.output, done.output
        assert not (hub / "a.beton").exists()
