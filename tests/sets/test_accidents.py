"""What people do to sets by accident: names that no index can list, files that are gone, links that lead nowhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ffprep.beton import Reader
from ffprep.beton.sets import files_of, make_set, making, read_index
from ffprep.beton.split import split
from ffprep.cli import main
from ffprep.errors import OptionError
from ffprep.loader import Loader

sys.path.insert(0, str(Path(__file__).parent))
from making_sets import write, write_set


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize("name", ["two\nlines", "not utf-8 \udcff", "x" * 240])
def test_names_that_no_index_can_list_are_refused_before_the_copy(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "a.beton", [b"1", b"2"])
    with pytest.raises(OptionError, match="so it cannot be listed in"):
        split(files_of(path), tmp_path / f"{name}.set.json", 2)
    assert [one.name for one in tmp_path.iterdir()] == ["a.beton"]


def test_a_file_without_samples_can_be_split_into_one(tmp_path: Path) -> None:
    empty = write(tmp_path / "a.beton", [])
    index = split(files_of(empty), tmp_path / "b.set.json", 1)
    assert index.samples == 0 and len(index.members) == 1
    with pytest.raises(OptionError, match=r"c\.set\.json: 2 files for 0 samples"):
        split(files_of(empty), tmp_path / "c.set.json", 2)


def test_a_file_that_an_index_lists_and_that_is_gone_is_named_with_the_index(tmp_path: Path) -> None:
    paths = write_set(tmp_path, 3)
    index = tmp_path / "x.set.json"
    make_set(index, paths)
    paths[1].unlink()
    says = r"x-00001-of-00003\.beton: is missing; of the 3 files that .*x\.set\.json lists, 2 are there"
    for place in (index, tmp_path):
        with pytest.raises(OptionError, match=says):
            files_of(place)
    with pytest.raises(OptionError, match=says):
        Loader(index, 2)
    for command in ("info", "verify", "stats", "merge"):
        out = ["--out", tmp_path / "y.beton"] if command == "merge" else []
        result = run(command, index, *out)
        assert (
            result.exit_code == 2
            and "is missing; of the 3 files" in result.output
            and "did you mean" not in result.output
        )
    paths[1].symlink_to(write(tmp_path / "elsewhere", [b""] * 3))
    assert len(files_of(index)) == 3, "a link is as good as a file"


def test_a_moved_set_is_the_same_set(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    make_set(tmp_path / "old" / "x.set.json", write_set(tmp_path / "old", 2))
    (tmp_path / "old").rename(tmp_path / "new [1] é")
    assert run("verify", tmp_path / "new [1] é").exit_code == 0
    assert len(Loader(tmp_path / "new [1] é", 3, drop_last=False, pipelines={"text": None})) == 2


@pytest.mark.parametrize("target", ["nowhere", "link.beton"])
def test_links_that_lead_nowhere_are_said_to(tmp_path: Path, target: str) -> None:
    link = tmp_path / "link.beton"
    link.symlink_to(target)
    write(tmp_path / "links.beton", [b"1"])
    result = run("info", link)
    assert result.exit_code == 2
    assert f"link.beton: is a link to {target}, where no file or folder is" in result.output


def test_reports_have_a_line_for_each_file_whatever_its_name(tmp_path: Path) -> None:
    names = ["two\nlines.beton", "tab\t.beton"]
    paths = [write(tmp_path / name, [b"1", b"2"]) for name in names]
    shown = [str(path).replace("\n", "\\n").replace("\t", "\\t") for path in paths]
    verified = run("verify", *paths).output.splitlines()
    assert [line.partition(": 2 samples")[0] for line in verified] == shown
    assert run("info", paths[0]).output.startswith(f"{shown[0]}: 2 samples")
    assert names[0].replace("\n", "\\n") in run("stats", paths[0]).output
    out = tmp_path / "out\n.beton"
    merged = run("merge", *paths, "--out", out)
    assert merged.output.splitlines()[-1] == str(out).replace("\n", "\\n") + ": 4 samples of 2 files"
    repaired = run("repair", paths[0], "--out", tmp_path / "r\n.beton").output
    assert f"r\\n.beton: 2 samples of {shown[0]}, 0 lost" in repaired


def test_repairing_a_folder_goes_on_after_a_file_of_which_nothing_is_left(tmp_path: Path) -> None:
    paths = write_set(tmp_path, 3)
    paths[1].write_bytes(paths[1].read_bytes()[:3000])
    result = run("repair", tmp_path, "--out", tmp_path / "saved")
    assert result.exit_code == 1
    assert f"\nnothing can be saved: {paths[1]}: " in result.output
    assert "nothing could be saved of 1 of 3 files" in result.output
    assert sorted(path.name for path in (tmp_path / "saved").iterdir()) == [paths[0].name, paths[2].name]
    with Reader(tmp_path / "saved" / paths[2].name) as reader:
        assert len(reader) == 3


def test_one_file_is_one_file(tmp_path: Path) -> None:
    paths = write_set(tmp_path, 2)
    said = run("split", paths[0], "--files", 1, "--out", tmp_path / "s.set.json").output
    assert ": 1 file, 3 samples" in said
    said = run("set", *paths, "--out", tmp_path / "t.set.json").output
    assert ": 2 files, 6 samples" in said
    assert read_index(tmp_path / "t.set.json").samples == 6


def test_two_processes_that_add_files_lose_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one to write is told so, since it made its list of what the index was before."""
    paths = [write(tmp_path / f"{name}.beton", [name.encode()]) for name in ("a", "b", "c")]
    index = tmp_path / "x.set.json"
    make_set(index, paths[0])
    describe = making.describe_member

    def while_another_adds(path: Path, *rest: Any) -> Any:
        if path == paths[1]:
            make_set(index, paths[2], append=True)
        return describe(path, *rest)

    monkeypatch.setattr(making, "describe_member", while_another_adds)
    with pytest.raises(OptionError, match="another process changed it meanwhile; give the same command again"):
        make_set(index, paths[1], append=True)
    monkeypatch.undo()
    assert [member.name for member in read_index(index).members] == ["a.beton", "c.beton"]
    assert len(make_set(index, paths[1], append=True).members) == 3
    assert len(list(tmp_path.iterdir())) == 4
