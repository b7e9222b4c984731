"""Servers that say when to ask again, and cache folders that cannot be used or are gone."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from range_server import Served
from remote_readers import same
from small_pages import SIZE as PAGE

from ffprep.beton import Reader
from ffprep.cli import main
from ffprep.errors import FfprepError, OptionError
from ffprep.remote import RemoteError, folder_at
from ffprep.remote import store as stores

MIDDLE = 140
"""A sample in the middle of the file, in a page that opening does not fetch."""


def test_a_server_that_says_when_to_ask_again_is_left_alone_until_then(
    url: str, server: Served, cache: Path, local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float, *more: Any) -> Any:
        paused.append(seconds)
        return await sleep(0, *more)

    with Reader(url) as reader:
        first = len(server.ranges)
        server.fault = lambda request: "later30" if request.number == first else None
        with monkeypatch.context() as patched:
            patched.setattr(stores.asyncio, "sleep", noted)
            assert same(reader, local, [MIDDLE])
    assert len([pause for pause in paused if 30 <= pause < 31]) == 1


def test_pauses_are_drawn_and_grow(url: str, server: Served, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else all processes that a store has refused ask again at the same moment."""
    patience = stores.Patience(deadline=1e6, attempt=60.0, attempts=9, pause=0.25, longest_pause=8.0)
    monkeypatch.setattr(stores.Patience, "of_environment", classmethod(lambda cls: patience))
    paused: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float, *more: Any) -> Any:
        paused.append(seconds)
        return await sleep(0, *more)

    with Reader(url) as reader:
        server.fault = lambda request: "503"
        monkeypatch.setattr(stores.asyncio, "sleep", noted)
        with pytest.raises(RemoteError, match="9 attempts"):
            reader.value("b", MIDDLE)
    shares = [pause / most for pause, most in zip(paused, (0.25, 0.5, 1, 2, 4, 8, 8, 8), strict=False)]
    assert len(shares) == 8 and 0 <= min(shares) < max(shares) <= 1 and len(set(shares)) > 2


def test_a_folder_that_cannot_be_written_to_is_named(url: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder_at(None)
    made = Path.mkdir

    def read_only(path: Path, *arguments: Any, **options: Any) -> None:
        if path.is_relative_to(cache) and not path.exists():
            raise OSError(30, "Read-only file system", str(path))
        made(path, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", read_only)
    with pytest.raises(OptionError, match="/cache: cannot keep pages .*Read-only file system; name another folder"):
        Reader(url)


def test_a_folder_that_is_removed_while_it_is_in_use(url: str, server: Served, cache: Path, local: Path) -> None:
    """One error that names it; who opens the file again has a new one."""
    folder_at(None).set_limit(6 * PAGE)
    with Reader(url) as reader:
        assert same(reader, local, [0, MIDDLE])
        shutil.rmtree(cache)
        with pytest.raises(FfprepError, match=f"{cache}.*(removed while it was in use|No such file)"):
            same(reader, local, list(range(0, 240, 30)))
    with Reader(url) as reader:
        assert same(reader, local, list(range(0, 240, 30)))
    assert cache.is_dir()


@pytest.mark.parametrize(
    "command",
    [
        ("download", "cc3m", "--index", "FILE", "--out", "s3://bucket/folder"),
        ("convert", "cc3m", "--shards", "FOLDER", "--out", "s3://bucket/x.beton", "--part", "0/2"),
        ("merge", "FILE", "--out", "https://host/x.beton"),
        ("split", "FILE", "--out", "gs://bucket/x.set.json", "--files", "2"),
        ("index", "FILE", "--out", "hf://x/y.index"),
    ],
    ids=lambda command: command[0],
)
def test_output_goes_to_local_disk_only(
    command: tuple[str, ...], local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    words = [{"FILE": str(local), "FOLDER": str(tmp_path / "empty")}.get(word, word) for word in command]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2 and "output goes to local disk only" in result.output and "copy" in result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", local.name]


def every_command(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name in command.list_commands(context := click.Context(command)):
        below = command.get_command(context, name)
        if below is not None:
            yield from every_command(below, (*path, name))


PARAMETERS = [
    pytest.param(command, parameter, id=" ".join((*path, parameter.opts[0])))
    for path, command in every_command(main)
    for parameter in command.params
    if isinstance(parameter.type, click.Path) and not getattr(parameter.type, "remote", False)
]


@pytest.mark.parametrize(("command", "parameter"), PARAMETERS)
def test_a_url_in_the_place_of_a_path_is_refused_with_a_remedy(
    command: click.Command, parameter: click.Parameter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every command that reads or writes paths, those of later times too."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionError, match=r"s3://bucket/x.beton: .*local disk only; .*(copy|name a folder)"):
        parameter.type.convert("s3://bucket/x.beton", parameter, click.Context(command))
    assert not list(tmp_path.iterdir())


def test_many_parameters_were_found() -> None:
    assert len(PARAMETERS) > 150


@pytest.mark.parametrize("data_set", ["imagenet", "images", "openwebtext", "glue"])
def test_sources_in_a_store_are_refused_with_a_remedy(
    data_set: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    more = {"imagenet": ["--split", "train"], "glue": ["--task", "sst2", "--split", "train"]}.get(data_set, [])
    words = ["convert", data_set, "--source", "s3://bucket/data", "--out", "x.beton", *more]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 1 and "copy this one there first" in result.output
    assert not list(tmp_path.iterdir())


def test_a_cache_in_a_store_is_refused() -> None:
    with pytest.raises(OptionError, match="s3://bucket/cache: the cache is a folder on local disk"):
        folder_at("s3://bucket/cache")


def test_missing_credentials_are_said_at_once(local: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking again does not bring them."""
    s3fs = pytest.importorskip("s3fs")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    s3fs.S3FileSystem.clear_instance_cache()
    try:
        with pytest.raises(RemoteError, match="s3://bucket/x.beton: cannot be found: .*credentials"):
            Reader("s3://bucket/x.beton")
    finally:
        s3fs.S3FileSystem.clear_instance_cache()
