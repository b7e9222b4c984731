"""The Ray engine gives the bytes the local one gives."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small_cluster import small_cluster

from ffprep.beton import Reader
from ffprep.common.workers import early
from ffprep.common.workers.cluster import Places, Tasks, getting_ready
from ffprep.convert.clusters.parts import PartJob, write_part
from ffprep.convert.conversion import convert
from ffprep.convert.corpus import convert_corpus
from ffprep.errors import ConversionError
from ffprep.fields import BytesField, IntField
from ffprep.sources.openwebtext import open_corpus
from ffprep.sources.reading.file_sets import FolderFiles, walk_images
from ffprep.text.tokens.vocabulary import open_vocabulary

ray = pytest.importorskip("ray")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    with small_cluster(ray):
        yield


def folder_source(root: Path) -> Any:
    """Files of a folder; its class is defined here so that Ray sends it to tasks by value."""

    class Source:
        name = "folder"

        def __init__(self) -> None:
            self.fields = {"data": BytesField(), "number": IntField()}
            self.files = FolderFiles(root, walk_images(root, "."))

        def __len__(self) -> int:
            return len(self.files.names)

        def sample(self, index: int) -> tuple[bytes, int]:
            return self.files.read(index), index

        def sample_name(self, index: int) -> str:
            return self.files.names[index]

        def manifest(self) -> dict[str, Any]:
            return {"dataset": "folder"}

    return Source()


@pytest.fixture
def folder(tmp_path: Path, demo_data: Path) -> Path:
    for number in range(8):
        for path in (demo_data / "imagenet").rglob("*.JPEG"):
            (tmp_path / "in").mkdir(exist_ok=True)
            shutil.copy(path, tmp_path / "in" / f"{number}_{path.name}")
    return tmp_path / "in"


def test_same_bytes_as_threads(folder: Path, tmp_path: Path) -> None:
    convert(folder_source(folder), tmp_path / "a.beton", workers=2)
    report = convert(folder_source(folder), tmp_path / "b.beton", workers=2, engine="ray")
    assert report.written == 48
    assert (tmp_path / "a.beton").read_bytes() == (tmp_path / "b.beton").read_bytes()


def test_nodes_that_get_ready_early(folder: Path, tmp_path: Path) -> None:
    address = ray.get_runtime_context().gcs_address
    early.begin(address)
    assert len(getting_ready) == 1 and ray.get(list(getting_ready)) == [None]
    convert(folder_source(folder), tmp_path / "b.beton", engine="ray", address=address)
    assert not getting_ready, "the nodes were waited for"
    early.end()
    assert ray.is_initialized(), "that connection was there before"
    convert(folder_source(folder), tmp_path / "a.beton", workers=2)
    assert (tmp_path / "a.beton").read_bytes() == (tmp_path / "b.beton").read_bytes()


def test_a_worker_gets_the_source_once(folder: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    inner = folder_source(folder)

    class Counted:
        name = "counted"
        fields = inner.fields
        sample, sample_name, manifest = inner.sample, inner.sample_name, inner.manifest

        def __len__(self) -> int:
            return 48

        def __reduce__(self) -> tuple[Any, ...]:
            return opened, (str(log),)

    def opened(name: str) -> Any:
        with Path(name).open("ab") as file:
            file.write(b"%d\n" % os.getpid())
        return inner

    convert(Counted(), tmp_path / "a.beton", workers=2, engine="ray")
    processes = log.read_bytes().split()
    assert processes and len(processes) == len(set(processes))


def test_parts_survive_a_process_that_dies(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ffprep.convert.clusters.plans.FEWEST_SAMPLES", 8)
    inner, died = folder_source(folder), tmp_path / "died"
    driver = os.getpid()

    class Deadly:
        name = "deadly"
        fields = inner.fields
        sample_name, manifest = inner.sample_name, inner.manifest

        def __len__(self) -> int:
            return 48

        def sample(self, index: int) -> Any:
            if index == 29 and os.getpid() != driver and not died.exists():
                died.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return inner.sample(index)

    convert(folder_source(folder), tmp_path / "a.beton", workers=2)
    report = convert(Deadly(), tmp_path / "b.beton", engine="ray")
    assert died.exists() and report.written == 48
    assert (tmp_path / "a.beton").read_bytes() == (tmp_path / "b.beton").read_bytes()
    assert not (tmp_path / "b.beton.ray").exists()


@pytest.mark.parametrize("style", ["ffcv", "any arguments"])
def test_a_field_of_the_users_own_script(folder: Path, tmp_path: Path, style: str) -> None:
    """Its class is sent by value, so that nothing that happened when it was made has happened there."""

    class Theirs(BytesField):
        def encode(self, destination: Any, value: Any, malloc: Any) -> None:  # type: ignore[override]
            super().encode(destination, value[::-1], malloc)  # type: ignore[call-arg]

    class Free(BytesField):
        def encode(self, value: Any, *arguments: Any, **options: Any) -> Any:
            return super().encode(value[::-1], *arguments, **options)

    source = folder_source(folder)
    source.fields = {**source.fields, "data": Theirs() if style == "ffcv" else Free()}
    for engine in ("local", "ray"):
        found = [convert(source, tmp_path / engine, workers=2, engine=engine).found for _ in range(2)]
        assert found == [False, True]
    assert (tmp_path / "local").read_bytes() == (tmp_path / "ray").read_bytes()
    with Reader(tmp_path / "ray", {"data": type(source.fields["data"])}) as reader:
        assert bytes(reader.value("data", 0))[::-1] == source.sample(0)[0]


def test_a_task_is_small_whatever_the_source_lists(tmp_path: Path) -> None:
    job = PartJob(convert, [f"a long name of a sample {number}" for number in range(100_000)], tmp_path, "x", 1, {})  # type: ignore[arg-type]
    tasks = Tasks(ray, write_part, job, Places("", tmp_path, ""))
    assert len(ray.cloudpickle.dumps(job)) > 1 << 20
    assert len(ray.cloudpickle.dumps(tasks.arguments(99_999))) < 1 << 12


@pytest.mark.parametrize("padded", [False, True])
def test_blocks_of_tokens_as_by_threads(tmp_path: Path, padded: bool) -> None:
    (tmp_path / "in").mkdir()
    for number in range(5):
        lines = (json.dumps({"text": f"text {number} " + "and so on " * line}) for line in range(30))
        (tmp_path / "in" / f"{number}.jsonl").write_text("\n".join(lines))
    corpus, vocabulary = open_corpus(str(tmp_path / "in")), open_vocabulary("gpt2")
    for name, engine in (("a", "local"), ("b", "ray")):
        convert_corpus(
            corpus,
            tmp_path / f"{name}.beton",
            vocabulary,
            block=8,
            padded=padded,
            engine=engine,
            inputs=[tmp_path / "in"],
        )
    assert (tmp_path / "a.beton").read_bytes() == (tmp_path / "b.beton").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.beton", "b.beton", "in"]


def test_failure_on_a_node_names_the_sample(folder: Path, tmp_path: Path) -> None:
    source = folder_source(folder)
    gone = sorted(folder.iterdir())[30]
    gone.unlink()
    with pytest.raises(ConversionError, match=rf"{gone.name} \(sample 30\): .*{errno.ENOENT}"):
        convert(source, tmp_path / "a.beton", engine="ray", workers=2)
    report = convert(source, tmp_path / "a.beton", engine="ray", workers=2, resume=True, on_error="skip")
    assert (report.written, report.refused_count) == (47, 1)
