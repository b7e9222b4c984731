"""What Ray raises is one error that says what to do; with a stand-in for Ray, which takes minutes to fail."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray_stand_in import Numbers, RayTaskError, WorkerCrashedError, stand_in

from ffprep.beton.merge import merge
from ffprep.common.files.locking import open_locked
from ffprep.convert.clusters.parts import PartJob, write_part
from ffprep.convert.clusters.plans import plan_in
from ffprep.convert.conversion import convert
from ffprep.errors import ConversionError, OptionError, SourceError
from ffprep.fields import BytesField, IntField
from ffprep.fields.base import Shared


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    return stand_in(monkeypatch)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ffprep.convert.clusters.plans.FEWEST_SAMPLES", 16)


def failing(error: Exception) -> Callable[[Any], None]:
    def fail(part: int) -> None:
        if part == 2:
            raise error

    return fail


def test_a_task_that_kills_its_worker_each_time(ray: Any, tmp_path: Path) -> None:
    ray.fails = failing(WorkerCrashedError("The worker died unexpectedly.\nCheck the logs."))
    wanted = (
        r"^numbers: samples 32 to 47: Ray gave up their task \(WorkerCrashedError: The worker died unexpectedly\); "
        "the same command goes on from there$"
    )
    with pytest.raises(ConversionError, match=wanted):
        convert(Numbers(), tmp_path / "x.beton", engine="ray", workers=1)
    ray.fails = lambda part: None
    convert(Numbers(), tmp_path / "x.beton", engine="ray", workers=1)
    convert(Numbers(), tmp_path / "y.beton", workers=1)
    assert (tmp_path / "x.beton").read_bytes() == (tmp_path / "y.beton").read_bytes()


def test_an_error_of_ours_in_a_task_is_raised_as_it_is(ray: Any, tmp_path: Path) -> None:
    ray.fails = failing(RayTaskError(SourceError("x.tar: is gone")))
    with pytest.raises(SourceError, match=r"^x\.tar: is gone$"):
        convert(Numbers(), tmp_path / "x.beton", engine="ray", workers=1)


def test_another_error_in_a_task_is_one_line_that_names_its_samples(ray: Any, tmp_path: Path) -> None:
    ray.fails = failing(RayTaskError(MemoryError("no room\nfor more")))
    wanted = "^numbers: samples 32 to 47: MemoryError on a node: no room; the same command goes on from there$"
    with pytest.raises(ConversionError, match=wanted):
        convert(Numbers(), tmp_path / "x.beton", engine="ray", workers=1)


def test_a_killed_command_goes_on_with_its_parts(ray: Any, tmp_path: Path) -> None:
    out = tmp_path / "x.beton"

    def interrupt(part: int) -> None:
        if part == 3:
            raise KeyboardInterrupt

    ray.fails = interrupt
    with pytest.raises(KeyboardInterrupt, match="interrupted after 48 of 64 samples"):
        convert(Numbers(), out, engine="ray", workers=1)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("x.beton.ray/*/*.part")}
    assert len(before) == 3
    with pytest.raises(OptionError, match=r"x\.beton\.ray: parts of an unfinished conversion by --engine ray"):
        convert(Numbers(), out)
    ray.fails = lambda part: {path: path.stat().st_mtime_ns for path in before} == before or pytest.fail("made again")
    report = convert(Numbers(), out, engine="ray", workers=1)
    assert (report.written, report.converted) == (64, 16)
    convert(Numbers(), tmp_path / "y.beton", workers=1)
    assert out.read_bytes() == (tmp_path / "y.beton").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.beton", "y.beton"]
    assert convert(Numbers(), out, engine="ray").found


def test_a_part_that_a_lost_node_still_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ffprep.convert.clusters.parts.LOCKED_SECONDS", 0.0)
    job = PartJob(convert, Numbers(), tmp_path, "x.beton", 2, {})
    partial = job.path(1).with_name(job.path(1).name + ".partial")
    descriptor, held = open_locked(partial)
    assert write_part(job, 1)["read"] == 32
    held.release()
    os.close(descriptor)
    write_part(job, 0)
    merge([job.path(0), job.path(1)], tmp_path / "x.beton")
    convert(Numbers(), tmp_path / "y.beton", workers=1)
    assert (tmp_path / "x.beton").read_bytes() == (tmp_path / "y.beton").read_bytes()


def test_parts_that_another_command_writes_stay(ray: Any, tmp_path: Path) -> None:
    """It makes the finished file anew, as with --overwrite."""
    out = tmp_path / "x.beton"
    convert(Numbers(), out, workers=1)
    (tmp_path / "x.beton.ray").mkdir()
    (tmp_path / "x.beton.ray" / "parts.json").write_text("{}")
    descriptor, held = open_locked(tmp_path / "x.beton.ray" / "lock")
    for engine in ("local", "ray"):
        assert convert(Numbers(), out, engine=engine).found
        assert (tmp_path / "x.beton.ray" / "parts.json").exists()
        with pytest.raises(OptionError, match=r"x\.beton\.ray: another process is writing this file; wait for it"):
            convert(Numbers(), out, engine=engine, restart=True, overwrite=True)
    held.release()
    os.close(descriptor)
    assert convert(Numbers(), out).found and not (tmp_path / "x.beton.ray").exists()


@pytest.mark.parametrize("left", [("conversion.json", "lock", "0123456789abcdef"), ("conversion.json",), ("lock",), ()])
@pytest.mark.parametrize("engine", ["local", "ray"])
def test_what_a_command_left_that_was_killed_while_it_dropped_parts(
    ray: Any, tmp_path: Path, engine: str, left: tuple[str, ...]
) -> None:
    out, folder = tmp_path / "x.beton", tmp_path / "x.beton.ray"
    convert(Numbers(), out, workers=1)
    folder.mkdir()
    for name in left:
        (folder / name).mkdir() if name[0].isdigit() else (folder / name).write_text("{}")
    assert convert(Numbers(), out, engine=engine).found and list(tmp_path.iterdir()) == [out]


def test_a_folder_of_the_users_stays(ray: Any, tmp_path: Path) -> None:
    convert(Numbers(), tmp_path / "x.beton", workers=1)
    (tmp_path / "x.beton.ray").mkdir()
    (tmp_path / "x.beton.ray" / "mine").touch()
    assert convert(Numbers(), tmp_path / "x.beton").found and (tmp_path / "x.beton.ray" / "mine").exists()


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"parts": 0, "folder": "0123456789abcdef"}', '{"parts": 4, "folder": "../.."}']
)
def test_a_damaged_plan(ray: Any, tmp_path: Path, content: str) -> None:
    ray.fails = failing(RayTaskError(SourceError("x.tar: is gone")))
    with pytest.raises(SourceError):
        convert(Numbers(), tmp_path / "x.beton", engine="ray", workers=1)
    (tmp_path / "x.beton.ray" / "parts.json").write_text(content)
    with pytest.raises(OptionError, match=r"parts\.json: is damaged; --restart drops what is done and begins anew"):
        convert(Numbers(), tmp_path / "x.beton", engine="ray", workers=1)


def test_an_unfinished_local_conversion_is_not_begun_anew(ray: Any, tmp_path: Path) -> None:
    (tmp_path / "x.beton.partial").write_bytes(b"x")
    with pytest.raises(OptionError, match="an unfinished conversion by --engine local"):
        convert(Numbers(), tmp_path / "x.beton", engine="ray")
    convert(Numbers(), tmp_path / "x.beton", engine="ray", restart=True)
    assert [path.name for path in tmp_path.iterdir()] == ["x.beton"]


class Refusing(Numbers):
    """Numbers of which a run is refused."""

    def __init__(self, refused: range) -> None:
        super().__init__()
        self.refused = refused

    def sample(self, index: int) -> tuple[int]:
        if index in self.refused:
            raise SourceError("is gone")
        return (index,)


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("refused", [range(8, 28), range(14, 50), range(20), range(44, 64)])
def test_refused_samples_in_a_row_count_over_parts(
    ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: range, order: int
) -> None:
    ray.wait = lambda references, **_: (references[::order][:1], references[::order][1:])
    for module in ("conversion", "clusters.parts"):
        monkeypatch.setattr(f"ffprep.convert.{module}.FAILURES_IN_A_ROW", 20)
    options: dict[str, Any] = {"on_error": "skip", "engine": "ray", "workers": 4}
    with pytest.raises(ConversionError, match=r"[23]\d samples in a row cannot|the 20th sample in a row"):
        convert(Refusing(refused), tmp_path / "x.beton", **options)
    fewer = range(refused.start, refused.start + 19)
    for engine in ("ray", "local"):
        convert(Refusing(fewer), tmp_path / f"{engine}.beton", **{**options, "engine": engine})
    assert (tmp_path / "ray.beton").read_bytes() == (tmp_path / "local.beton").read_bytes()


def test_refused_samples_in_a_row_count_over_interruptions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ffprep.convert.conversion.FAILURES_IN_A_ROW", 20)
    source, broken = Refusing(range(10, 40)), False

    def sample(index: int) -> tuple[int]:
        if index == 25 and not broken:
            raise KeyboardInterrupt
        return Refusing.sample(source, index)

    source.sample = sample  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        convert(source, tmp_path / "x.beton", workers=1, on_error="skip", commit_samples=5)
    broken = True
    with pytest.raises(ConversionError, match=r"\(sample 29\): the 20th sample in a row"):
        convert(source, tmp_path / "x.beton", workers=1, on_error="skip")


@pytest.mark.parametrize(
    ("missing", "wanted"),
    [
        (
            "ffprep.common.workers.node_work",
            rf"node {socket.gethostname()} cannot import ffprep \(.*pip install 'ffprep\[all\]==",
        ),
        ("ffprep._version", rf"node {socket.gethostname()} has ffprep 0\.0\.1, and the command .*; install that for "),
    ],
)
def test_a_node_without_ffprep_or_with_another_one(
    ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str, wanted: str
) -> None:
    def found(name: str) -> Any:
        if name == missing == "ffprep._version":
            return SimpleNamespace(__version__="0.0.1")
        if name == missing:
            raise ModuleNotFoundError("No module named 'ffprep'")
        return sys.modules[name]

    monkeypatch.setattr("ffprep.common.workers.node_task.import_module", found)
    with pytest.raises(ConversionError, match=wanted) as error:
        convert(Numbers(), tmp_path / "x.beton", engine="ray")
    assert len(str(error.value).splitlines()) == 1


class Sometimes(Numbers):
    """Values of which few are shared: too few to be among those that are tried."""

    def __init__(self) -> None:
        super().__init__()
        self.fields = {"data": BytesField(), "number": IntField()}

    def sample(self, index: int) -> tuple[Any, int]:  # type: ignore[override]
        data = b"one" if index in (38, 39, 51) else b"%d" % index
        return (Shared("one", data) if data == b"one" else data), index


def test_shared_values_that_come_as_a_surprise(ray: Any, tmp_path: Path) -> None:
    (tmp_path / "plan").mkdir()
    assert plan_in(tmp_path / "plan", Sometimes(), 64).placed
    shutil.rmtree(tmp_path / "plan")
    convert(Sometimes(), tmp_path / "x.beton", engine="ray", workers=1)
    convert(Sometimes(), tmp_path / "y.beton", workers=1)
    assert (tmp_path / "x.beton").read_bytes() == (tmp_path / "y.beton").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.beton", "y.beton"]


def test_an_unfinished_file_of_another_process_is_not_dropped(ray: Any, tmp_path: Path) -> None:
    descriptor, held = open_locked(tmp_path / "x.beton.partial")
    with pytest.raises(OptionError, match="another process is writing this file"):
        convert(Numbers(), tmp_path / "x.beton", engine="ray", restart=True)
    held.release()
    os.close(descriptor)
    (tmp_path / "x.beton.journal").touch()
    convert(Numbers(), tmp_path / "x.beton", engine="ray", restart=True)
    assert [path.name for path in tmp_path.iterdir()] == ["x.beton"]
