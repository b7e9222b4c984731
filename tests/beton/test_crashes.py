"""A writer may be killed at any moment and the disk may be full: the file is finished, or absent and resumable."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ffprep.beton import Reader, Writer
from ffprep.beton.verify import verify
from ffprep.errors import ConversionError, OptionError
from ffprep.fields import BytesField, IntField, RGBImageField, Shared

FIELDS = {"photo": BytesField(), "caption": BytesField(), "label": IntField(), "image": RGBImageField()}
COUNT = 40
OPTIONS: dict[str, Any] = {"page_size": 1 << 21, "manifest": {"source": "test"}, "commit_samples": 6}


def sample(index: int) -> list[Any]:
    """Four samples share a photo; some captions are empty; pages fill up."""
    import numpy as np

    photo = Shared(("photo", index // 4), bytes([index // 4]) * 400_000)
    image = np.full((2, 3 + index % 3, 3), index, np.uint8)
    values = (photo, b"c" * (index % 4), index, image)
    return [field.encode_any(value) for field, value in zip(FIELDS.values(), values, strict=True)]


def write_all(path: Path, *, resume: bool, each: Callable[[Writer], None] = lambda writer: None) -> None:
    with Writer(path, FIELDS, COUNT, resume=resume, keep=True, **OPTIONS) as writer:
        assert writer.state.get("done", 0) == writer.num_written
        for index in range(writer.num_written, COUNT):
            writer.write(sample(index), f"sample {index}")
            writer.state["done"] = writer.num_written
            each(writer)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "x.beton"
    write_all(path, resume=False)
    assert verify(path).ok
    return path.read_bytes()


class Killed(BaseException):
    pass


CALLS = ("pwrite", "pwritev", "fsync", "ftruncate", "replace", "unlink")


def die_at(call: int, how: Callable[[], None]) -> None:
    """Make the system call of that number, of those that change files, do something else."""
    left = [call]

    def wrap(name: str) -> None:
        real = getattr(os, name)

        def wrapped(*args: Any, **options: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                if name == "pwrite" and len(args[1]) > 1:
                    real(args[0], args[1][: len(args[1]) // 2], args[2])
                if name == "pwritev":
                    whole = b"".join(args[1])
                    real(args[0], [whole[: len(whole) // 2]], args[2])
                how()
            return real(*args, **options)

        setattr(os, name, wrapped)

    for name in CALLS:
        wrap(name)


def test_killed_at_every_call_and_resumed_to_the_same_bytes(tmp_path: Path, whole: bytes) -> None:
    """Each child is killed at one call that changes a file, half of a write done; the next one goes on."""
    call, path = 1, tmp_path / "x.beton"
    while True:
        child = os.fork()
        if child == 0:
            die_at(call, lambda: os.kill(os.getpid(), signal.SIGKILL))
            try:
                write_all(path, resume=True)
            finally:
                os._exit(0)
        status = os.waitpid(child, 0)[1]
        if not os.WIFSIGNALED(status):
            break
        if path.exists():
            assert path.read_bytes() == whole
            path.unlink()
        else:
            write_all(path, resume=True)
            assert path.read_bytes() == whole
            assert [entry.name for entry in tmp_path.iterdir()] == ["x.beton"]
            path.unlink()
        call += 1
    assert call > 30
    assert path.read_bytes() == whole


def test_killed_again_and_again(tmp_path: Path, whole: bytes) -> None:
    """Each run gets a little further than the one before, since it goes on from the last commit."""
    path = tmp_path / "x.beton"
    for _ in range(100):
        child = os.fork()
        if child == 0:
            die_at(24, lambda: os.kill(os.getpid(), signal.SIGKILL))
            try:
                write_all(path, resume=True)
            finally:
                os._exit(0)
        if not os.WIFSIGNALED(os.waitpid(child, 0)[1]):
            break
    assert path.read_bytes() == whole


@pytest.mark.parametrize("at", [0, 1, 5, 6, 7, 23, 39])
def test_resumed_after_an_exception(tmp_path: Path, whole: bytes, at: int) -> None:
    path = tmp_path / "x.beton"

    def fail(writer: Writer) -> None:
        if writer.num_written == at + 1:
            raise Killed

    with pytest.raises(Killed):
        write_all(path, resume=False, each=fail)
    assert not path.exists()
    with Writer(path, FIELDS, COUNT, resume=True, **OPTIONS) as writer:
        assert writer.num_written == at + 1
        raise_if_nothing_left = writer.num_written == COUNT
        for index in range(writer.num_written, COUNT):
            writer.write(sample(index), f"sample {index}")
    assert raise_if_nothing_left or path.read_bytes() == whole


def test_without_keeping_nothing_remains(tmp_path: Path) -> None:
    with pytest.raises(Killed), Writer(tmp_path / "x.beton", FIELDS, COUNT, **OPTIONS) as writer:
        for index in range(20):
            writer.write(sample(index))
        raise Killed
    assert list(tmp_path.iterdir()) == []


def test_a_disk_full_at_every_call_is_one_error(tmp_path: Path, whole: bytes) -> None:
    """A failing write leaves a file that is resumed to the same bytes; it never looks finished."""
    call, path, failures, number = 0, tmp_path / "x.beton", 0, errno.ENOSPC
    real = os.pwrite, os.pwritev, os.fsync
    while True:
        call += 1
        left = call

        def failing(real_call: Any) -> Any:
            def wrapped(*args: Any) -> Any:
                nonlocal left
                left -= 1
                if left == 0:
                    raise OSError(number, os.strerror(number))
                return real_call(*args)

            return wrapped

        os.pwrite, os.pwritev, os.fsync = map(failing, real)
        try:
            write_all(path, resume=False)
            break
        except (ConversionError, OSError) as error:
            failures += 1
            assert os.strerror(number) in str(error)
        finally:
            os.pwrite, os.pwritev, os.fsync = real
        if path.exists():
            path.unlink()
            continue
        write_all(path, resume=True)
        assert path.read_bytes() == whole
        path.unlink()
    assert failures > 20


def test_a_file_size_limit_is_one_error(tmp_path: Path) -> None:
    """The system's own refusal, in a process of its own."""
    script = "import test_crashes as t; from pathlib import Path; t.write_within_limit(Path(__import__('sys').argv[1]))"
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    run = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "x.beton")],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert run.returncode == 0, run.stderr
    assert "cannot write: File too large" in run.stdout
    assert list(tmp_path.iterdir()) == []


def write_within_limit(path: Path) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, 3_000_000))
    try:
        with Writer(path, FIELDS, COUNT, **OPTIONS) as writer:
            for index in range(COUNT):
                writer.write(sample(index))
    except ConversionError as error:
        print(error)


def interrupted(path: Path) -> None:
    with pytest.raises(Killed), Writer(path, FIELDS, COUNT, keep=True, **OPTIONS) as writer:
        for index in range(20):
            writer.write(sample(index))
        raise Killed


def test_another_conversion_is_not_continued(tmp_path: Path) -> None:
    path = tmp_path / "x.beton"
    interrupted(path)
    for changed in ({"manifest": {"source": "other"}}, {"page_size": 1 << 22}):
        with pytest.raises(OptionError, match="other data or options"):
            Writer(path, FIELDS, COUNT, resume=True, **{**OPTIONS, **changed})
    with pytest.raises(OptionError, match="other data or options"):
        Writer(path, FIELDS, COUNT + 1, resume=True, **OPTIONS)
    with pytest.raises(OptionError, match="other data or options"):
        Writer(path, {**FIELDS, "image": RGBImageField(jpeg="keep")}, COUNT, resume=True, **OPTIONS)
    with Writer(path, FIELDS, COUNT, resume=True, **OPTIONS) as writer:
        assert writer.num_written == 20


def test_a_damaged_journal_loses_commits_only(tmp_path: Path, whole: bytes) -> None:
    path, journal = tmp_path / "x.beton", tmp_path / "x.beton.journal"
    interrupted(path)
    content = journal.read_bytes()
    for cut in (30, 3, 0):
        journal.write_bytes(content[:cut])
        if cut < 24:
            with pytest.raises(OptionError, match=r"x\.beton\.partial: .*without a journal.*--restart"):
                Writer(path, FIELDS, COUNT, resume=True, **OPTIONS)
    for cut in (len(content) - 1, len(content) // 2, 30):
        journal.write_bytes(content[:cut])
        with pytest.raises(Killed), Writer(path, FIELDS, COUNT, resume=True, **OPTIONS) as writer:
            assert writer.num_written % 6 == 0 and writer.num_written < 20
            raise Killed
    with Writer(path, FIELDS, COUNT, resume=True, **OPTIONS) as writer:
        for index in range(writer.num_written, COUNT):
            writer.write(sample(index), f"sample {index}")
    assert path.read_bytes() == whole


@pytest.mark.parametrize("resume", [True, False])
def test_what_another_writer_left_is_dropped_only_on_request(tmp_path: Path, whole: bytes, resume: bool) -> None:
    path = tmp_path / "x.beton"
    interrupted(path)
    left = {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()}
    changed = {**OPTIONS, "manifest": {"source": "other", "more": 1}}
    with pytest.raises(
        OptionError, match=r'20 samples are done \(manifest\.more: was absent, is 1; .*"test", is "other"'
    ):
        Writer(path, FIELDS, COUNT, resume=resume, **changed)
    if not resume:
        with pytest.raises(OptionError, match=r"unfinished conversion of the same data, .*--restart"):
            Writer(path, FIELDS, COUNT, **OPTIONS)
    assert left == {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()}
    with Writer(path, FIELDS, COUNT, resume=resume, restart=True, **OPTIONS) as writer:
        assert writer.num_written == 0
        for index in range(COUNT):
            writer.write(sample(index), f"sample {index}")
    assert path.read_bytes() == whole


def test_an_unfinished_file_that_lost_its_end_or_its_journal_is_not_dropped(tmp_path: Path) -> None:
    path, partial, journal = (tmp_path / f"x.beton{end}" for end in ("", ".partial", ".journal"))
    interrupted(path)
    os.truncate(partial, 5000)
    with pytest.raises(OptionError, match=r"shorter than x\.beton\.journal says.*--restart"):
        Writer(path, FIELDS, COUNT, resume=True, **OPTIONS)
    for content in (b"FFPJRNL1" + bytes(100), b"another program's", None):
        journal.unlink() if content is None else journal.write_bytes(content)
        with pytest.raises(OptionError, match=r"without a journal of this version.*--restart"):
            Writer(path, FIELDS, COUNT, resume=True, **OPTIONS)
        assert partial.stat().st_size == 5000


def test_what_a_killed_writer_without_keeping_left_is_replaced(tmp_path: Path) -> None:
    """Nothing can go on with it, and a script that is run again should just work."""
    path = tmp_path / "x.beton"
    child = os.fork()
    if child == 0:
        writer = Writer(path, FIELDS, COUNT, **OPTIONS)
        for index in range(20):
            writer.write(sample(index))
        writer.commit()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert (tmp_path / "x.beton.partial").exists()
    for resume in (False, True):
        with pytest.raises(Killed), Writer(path, FIELDS, COUNT, resume=resume, **OPTIONS) as writer:
            assert writer.num_written == 0
            raise Killed
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("folders_cannot_be_synced")
def test_an_error_after_the_renaming_leaves_a_finished_file(tmp_path: Path, whole: bytes) -> None:
    with pytest.raises(ConversionError, match=r"x\.beton: the file is finished, but its folder .*Input/output error"):
        write_all(tmp_path / "x.beton", resume=True)
    assert (tmp_path / "x.beton").read_bytes() == whole
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["x.beton", "x.beton.journal"]


def test_a_folder_that_was_renamed_meanwhile(tmp_path: Path, whole: bytes) -> None:
    """What was written is kept in it, and the same goes on once it is back."""
    folder, other = tmp_path / "a", tmp_path / "b"
    folder.mkdir()

    def rename(writer: Writer) -> None:
        if folder.exists() and writer.num_written == 5:
            folder.rename(other)

    with pytest.raises(ConversionError, match=r"x\.beton.*its folder was removed or renamed; the same command goes on"):
        write_all(folder / "x.beton", resume=True, each=rename)
    other.rename(folder)
    write_all(folder / "x.beton", resume=True)
    assert (folder / "x.beton").read_bytes() == whole
    assert [path.name for path in folder.iterdir()] == ["x.beton"]


def test_a_file_of_numbers_alone_goes_on(tmp_path: Path) -> None:
    """Nothing is written where its payloads would be."""
    field = IntField()
    for name, stops in (("a", ()), ("b", (1, 7, 7, 12))):
        for stop in (*stops, 20):
            with (
                contextlib.suppress(KeyboardInterrupt),
                Writer(tmp_path / name, {"label": field}, 20, resume=True, keep=True) as writer,
            ):
                while writer.num_written < stop:
                    writer.write([field.encode(writer.num_written)])
                if stop < 20:
                    raise KeyboardInterrupt
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert verify(tmp_path / "a").ok


def test_notes_survive_with_the_samples_that_they_are_about(tmp_path: Path) -> None:
    path = tmp_path / "x.beton"
    with pytest.raises(Killed), Writer(path, FIELDS, COUNT, resume=True, **OPTIONS) as writer:
        for index in range(20):
            writer.write(sample(index))
            writer.notes += bytes([index])
        raise Killed
    with Writer(path, FIELDS, COUNT, resume=True, **OPTIONS) as writer:
        assert writer.notes == bytes(range(writer.num_written))


def test_two_writers_of_one_file(tmp_path: Path) -> None:
    path = tmp_path / "x.beton"
    with pytest.raises(Killed), Writer(path, FIELDS, COUNT, **OPTIONS):
        with pytest.raises(OptionError, match="another process is writing"):
            Writer(path, FIELDS, COUNT, **OPTIONS)
        raise Killed
    write_all(path, resume=False)
    with pytest.raises(OptionError, match="exists already"):
        Writer(path, FIELDS, COUNT, **OPTIONS)
    assert len(Reader(path)) == COUNT


def test_a_file_cut_under_a_reader_is_named_before_the_process_ends(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "x.beton"
    path.write_bytes(whole)
    code = """
import os, sys
from ffprep.beton import Reader
with Reader(sys.argv[1]) as closed:
    pass
reader = Reader(sys.argv[1])
os.truncate(sys.argv[1], 4096)
reader.data.sum()
"""
    run = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=120)
    assert run.returncode == -signal.SIGBUS
    assert run.stderr.startswith(f"ffprep: {path}: byte 4096 cannot be read") and run.stderr.count("\n") == 1
