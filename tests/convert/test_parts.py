"""Parts of a conversion: merged, they are the file that one conversion writes, byte for byte."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tar_files import write_tar

from ffprep.beton import Reader, layout
from ffprep.beton.merge import merge
from ffprep.beton.parts import Part, whole_manifest
from ffprep.beton.writing.columns import RecordPacker
from ffprep.cli import main
from ffprep.convert.conversion import convert
from ffprep.errors import OptionError, SourceError
from ffprep.fields import BytesField, IntField
from ffprep.fields.base import Shared


class Made:
    """Samples of many sizes, with odd ones among them that are refused."""

    name = "made"

    def __init__(self, count: int, bad: Sequence[int] = (), largest: int = 5000) -> None:
        self.count, self.bad, self.largest = count, bad, largest
        self.fields = {"data": BytesField(), "number": IntField()}

    def __len__(self) -> int:
        return self.count

    def sample(self, index: int) -> Any:
        if index in self.bad:
            raise SourceError(f"sample {index} is bad")
        return bytes([index % 256]) * (index * 7919 % self.largest), index

    def sample_name(self, index: int) -> str:
        return f"item/{index}"

    def manifest(self) -> dict[str, Any]:
        return {"dataset": "made", "count": self.count}


class Pairs(Made):
    """Runs of samples that share a payload, some of which comes again much later."""

    def __init__(self, count: int, run: int, largest: int, bad: Sequence[int] = ()) -> None:
        super().__init__(count, bad, largest)
        self.run = run
        plain = self.fields["data"].encode
        self.fields["data"].encode = lambda value: replace(plain(value), note=("reencoded", "odd"))  # type: ignore[method-assign]

    def sample(self, index: int) -> Any:
        data, number = super().sample(index // self.run % 9)
        if index in self.bad:
            raise SourceError(f"sample {index} is bad")
        return Shared(len(data), data), number


def parts_of(source: Made, out: Path, count: int, workers: Sequence[int], **options: Any) -> list[Path]:
    for number in range(count):
        convert(source, out, part=Part(number, count), workers=workers[number % len(workers)], **options)
    return [Part(number, count).path(out) for number in range(count)]


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize(
    ("source", "options"),
    [
        (Made(73), {}),
        (Made(73, bad=(0, 1, 30, 72)), {"on_error": "skip"}),
        (Made(40, largest=3 << 20), {"limit": 33}),
        (Made(5, largest=20 << 20), {}),
        (Pairs(31, 4, 3 << 20), {}),
        (Pairs(31, 4, 5000, bad=(6, 7, 12, 13, 24)), {"on_error": "skip"}),
    ],
    ids=["plain", "refused", "pages", "large", "shared", "shared, refused"],
)
def test_merged_parts_are_the_whole(tmp_path: Path, source: Made, options: dict[str, Any], count: int) -> None:
    convert(source, tmp_path / "whole.beton", workers=1, **options)
    paths = parts_of(source, tmp_path / "x.beton", count, [1, 3], **options)
    assert [path.name for path in paths][-1] == f"x-{count - 1:05d}-of-{count:05d}.beton"
    merge(tmp_path / "x-*.beton", tmp_path / "merged.beton")
    assert (tmp_path / "merged.beton").read_bytes() == (tmp_path / "whole.beton").read_bytes()
    merge(paths, tmp_path / "merged.beton")  # is accepted as it is there
    if count > 1:
        with pytest.warns(RuntimeWarning, match="not in the order"):
            merge(paths[::-1], tmp_path / "other.beton")
        with Reader(tmp_path / "other.beton") as reader:
            assert len((reader.manifest or {})["merged"]) == count


@pytest.mark.parametrize("refused", [1, 40, 200])
def test_refused_samples_have_their_room_in_the_table_of_records(tmp_path: Path, refused: int) -> None:
    """One conversion begins its payloads after the records of all samples, also of those that it then refuses."""
    header, one = layout.records_start(2), RecordPacker(Made(1).fields).size
    kept = (2 * layout.DATA_ALIGNMENT - layout.MIN_GAP - header) // one  # one more would move the first payload
    source = Made(kept + refused, bad=[index for index in range(kept + refused) if index % 4][:refused], largest=50)
    assert layout.data_start(header + kept * one) < layout.data_start(header + len(source) * one)
    convert(source, tmp_path / "whole.beton", workers=1, on_error="skip")
    merge(parts_of(source, tmp_path / "x.beton", 3, [1], on_error="skip"), tmp_path / "merged.beton")
    assert (tmp_path / "merged.beton").read_bytes() == (tmp_path / "whole.beton").read_bytes()
    with Reader(tmp_path / "merged.beton") as reader:
        assert len(reader) == kept
        assert reader.extents("data")[0][0] == layout.data_start(header + len(source) * one)


def test_parts_that_are_not_the_whole_are_said_to_be_so(tmp_path: Path) -> None:
    paths = parts_of(Made(30), tmp_path / "x.beton", 3, [1])
    others = parts_of(Made(30, largest=50), tmp_path / "y.beton", 3, [1])
    (half,) = parts_of(Made(30), tmp_path / "z.beton", 1, [1])
    limited = parts_of(Made(40), tmp_path / "l.beton", 3, [1], limit=30)
    plain = convert_plain(tmp_path / "plain.beton")
    for number, (given, why) in enumerate(
        [
            (paths[:2], "there is no part 2"),
            (paths[:1], "2 parts are missing, the first of which is part 1"),
            ([*paths, paths[1]], "part 1 is there more than once"),
            ([paths[1], paths[0], paths[2]], "not in the order of their numbers"),
            ([*paths, half], "parts of conversions to 1 and 3 parts"),
            ([paths[0], limited[1], paths[2]], "part 1 was converted with other options than part 0"),
        ]
    ):
        with pytest.warns(RuntimeWarning, match=f"is not the file of a whole conversion: .*{why}"):
            merge(given, tmp_path / f"{number}.beton")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        merge(paths, tmp_path / "whole.beton")
        merge(others, tmp_path / "another.beton")
        merge([*paths, plain], tmp_path / "more.beton")


def convert_plain(out: Path) -> Path:
    convert(Made(3), out, workers=1)
    return out


def test_an_interrupted_merge_of_other_parts_is_not_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = parts_of(Made(60), tmp_path / "x.beton", 2, [1])
    monkeypatch.setattr("ffprep.beton.writing.copying.PIECE_SAMPLES", 8)

    def cut(done: int, _: int) -> None:
        if done > 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        merge(paths, tmp_path / "y.beton", progress=cut)

    class Other(Made):
        def sample(self, index: int) -> Any:
            return b"other", index

    convert(Other(60), tmp_path / "x.beton", part=Part(0, 2), overwrite=True, workers=1)
    with pytest.raises(OptionError, match="unfinished merge of other files"):
        merge(paths, tmp_path / "y.beton")
    merge(paths, tmp_path / "y.beton", restart=True)


def test_parts_that_are_none(tmp_path: Path) -> None:
    for text in ("", "1", "2/2", "-1/2", "0/0", "1/2/3", "0/100000", "a/b"):
        with pytest.raises(OptionError, match="give I/N"):
            Part.parse(text)
    assert Part.parse("3/64") == Part(3, 64)
    for number in range(3):  # a part that would have a sample is refused, too, since all have to be there
        with pytest.raises(OptionError, match="3 parts of 2 samples; ask for fewer"):
            convert(Made(2), tmp_path / "x.beton", part=Part(number, 3))
    assert not list(tmp_path.iterdir())
    odd = {"part": {"number": 0, "count": 1}, "writer": {}}
    for manifest in (None, {}, odd, {**odd, "report": 1}, {**odd, "report": {}}, {**odd, "report": {"samples": 1}}):
        assert whole_manifest([manifest]) is None


def test_the_command(tmp_path: Path, demo_data: Path) -> None:

    def run(*arguments: object) -> str:
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        assert result.exit_code == 0, result.output
        return result.output

    base = ["convert", "imagenet", "--source", demo_data / "imagenet", "--limit", 5, "--workers", 1]
    run(*base, "--out", tmp_path / "whole.beton")
    for number in range(2):
        shown = run(*base, "--out", tmp_path / "x.beton", "--part", f"{number}/2")
        assert f"x-0000{number}-of-00002.beton" in shown
    run("merge", tmp_path / "x-*.beton", "--out", tmp_path / "x.beton")
    assert (tmp_path / "x.beton").read_bytes() == (tmp_path / "whole.beton").read_bytes()


def test_parts_of_shards_list_what_they_hold(tmp_path: Path, demo_data: Path) -> None:
    """Each part lists its own images, in any order of the parts; together they list what one conversion does."""
    images = [path.read_bytes() for path in sorted((demo_data / "imagenet").rglob("*.JPEG"))]
    members = {}
    for number, data in enumerate([*images[:2], b"no image", *images[2:]]):
        members[f"{number:09}.jpg"] = data
        members[f"{number:09}.json"] = json.dumps({"caption": "a photograph", "url": f"http://x/{number}"}).encode()
    write_tar(tmp_path / "0.tar", members)
    base = ["convert", "cc3m", "--shards", str(tmp_path / "0.tar"), "--on-error", "skip", "--quiet"]

    def listed(name: str, *options: str) -> list[str]:
        result = CliRunner().invoke(main, [*base, "--out", str(tmp_path / "x.beton"), *options])
        assert result.exit_code == 0, result.output
        return [json.loads(line)["url"] for line in (tmp_path / f"{name}.sources.jsonl").read_text().splitlines()]

    parts = [listed(f"x-0000{number}-of-00002.beton", "--part", f"{number}/2") for number in (1, 0, 1, 0)]
    assert parts[:2] == parts[2:]
    assert parts[1] + parts[0] == listed("x.beton") == [f"http://x/{number}" for number in (0, 1, 3, 4, 5, 6)]
    shuffled = listed("x.beton", "--shuffle", "1", "--limit", "3", "--overwrite")
    with Reader(tmp_path / "x.beton") as reader:
        assert shuffled == [f"http://x/{number}" for number in sorted(reader.column("image_id"))] != parts[1]


def test_blocks_have_no_parts(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"text": "one"}\n')
    arguments = [
        "convert",
        "text",
        "--files",
        tmp_path / "x.jsonl",
        "--layout",
        "blocks",
        "--out",
        tmp_path / "x.beton",
    ]
    result = CliRunner().invoke(main, [str(argument) for argument in (*arguments, "--part", "0/2")])
    assert result.exit_code == 2 and "--part is for rows" in result.output
