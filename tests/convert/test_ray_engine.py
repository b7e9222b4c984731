"""The Ray engine gives the bytes the local one gives."""

from __future__ import annotations

import errno
import os
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ffprep.convert.conversion import convert
from ffprep.errors import ConversionError
from ffprep.fields import BytesField, IntField
from ffprep.sources.reading.file_sets import FolderFiles, walk_images

ray = pytest.importorskip("ray")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    yield
    ray.shutdown()


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


def test_failure_on_a_node_names_the_sample(folder: Path, tmp_path: Path) -> None:
    source = folder_source(folder)
    gone = sorted(folder.iterdir())[30]
    gone.unlink()
    with pytest.raises(ConversionError, match=rf"{gone.name} \(sample 30\): .*{errno.ENOENT}"):
        convert(source, tmp_path / "a.beton", engine="ray", workers=2)
    report = convert(source, tmp_path / "a.beton", engine="ray", workers=2, resume=True, on_error="skip")
    assert (report.written, report.refused_count) == (47, 1)
