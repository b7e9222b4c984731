"""Whatever files, folders, samples, options and configurations are called, each command prints text and no controls."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from ffprep.beton import Writer
from ffprep.cli import main
from ffprep.fields import BytesField, IntField

PIECES = ["\x1b[2J", "\x1b]0;x\x07", "\x9b31m", "\r", "\b", "\x7f", "\u202e", "\u2066", "\udce9", "<script>", "é", "a"]
NAMES = st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map("".join)


def is_plain(text: str) -> bool:
    bidirectional = any("\u2028" <= char <= "\u202e" or "\u2066" <= char <= "\u2069" for char in text)
    return not bidirectional and all(char in "\n\t" or " " <= char < "\x7f" or char > "\x9f" for char in text)


def files(folder: Path, name: str) -> dict[str, Path]:
    """Files called by the name, and with it inside wherever a name can stand."""
    made = {
        kind: folder / f"{name}{kind}" for kind in ("good.beton", "cut.beton", "x.yaml", "x.tsv", "x.jsonl", "x.zip")
    }
    fields = {"caption": BytesField(), "label": IntField()}
    manifest = {"source": {"dataset": name, "classes": [name] * 3, "options": {name: name}}, name: [name]}
    with Writer(made["good.beton"], fields, 3, manifest=manifest) as writer:
        for index in range(3):
            text = name.encode("utf-8", "surrogateescape")
            writer.write([fields["caption"].encode(text), fields["label"].encode(index)], f"{name}/{index}")
    content = bytearray(made["good.beton"].read_bytes())
    content[-30] ^= 1
    made["cut.beton"].write_bytes(content[: -len(content) // 3])
    shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    made["x.yaml"].write_text(f"dataset: imagenet\n{shown!r}: {shown!r}\n")
    made["x.tsv"].write_text(f"{shown}\t{shown}\n")
    made["x.jsonl"].write_text(f"{shown}\n")
    made["x.zip"].write_bytes(b"PK\3\4" + shown.encode())
    images = folder / "images" / f"n01{name}".replace("/", "_")
    images.mkdir(parents=True)
    (images / f"{name}.jpg".replace("/", "_")).write_bytes(b"\xff\xd8 damaged")
    return {**made, "images": folder / "images"}


@settings(max_examples=10, deadline=None)
@given(NAMES)
def test_commands_print_no_controls(name: str) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        made = files(folder, name)
        good, cut, out = made["good.beton"], made["cut.beton"], folder / f"{name}out"
        commands: list[list[Any]] = [
            ["info", good],
            ["info", good, "--json"],
            ["info", cut],
            ["info", good, "--histograms"],
            ["info", good, "--croissant"],
            ["info", good, "--card"],
            ["stats", good, "--duplicates"],
            ["stats", good, "--form", "csv"],
            ["verify", good],
            ["verify", cut],
            ["verify", good, "--quick"],
            ["repair", cut, "--out", out.with_suffix(".beton")],
            ["merge", good, cut, "--out", out.with_suffix(".beton")],
            ["merge", good, good, "--out", folder / f"{name}.merged"],
            ["index", good],
            ["preview", good, "--out", folder / "x.html"],
            ["convert", made["x.yaml"]],
            ["convert", made["x.yaml"], f"{name}=1"],
            ["convert", "imagenet", "--source", made["images"], "--split", "train", "--out", out],
            ["convert", "imagenet", "--source", made["x.zip"], "--split", "train", "--out", out],
            ["convert", "coco", "--images", made["images"], "--annotations", made["x.zip"], "--out", out],
            ["convert", "openwebtext", "--source", made["x.jsonl"], "--out", out],
            ["plan", "imagenet", "--source", made["images"]],
            ["download", "cc3m", "--index", made["x.tsv"], "--out", folder / "shards"],
            ["download", "cc3m", "--index", made["x.jsonl"], "--out", folder / "shards"],
            [f"info{name}"],
            ["info", good, f"--{name}"],
        ]
        for command in commands:
            done = CliRunner().invoke(main, [str(part) for part in command])
            assert is_plain(done.output), (command, done.output)
            assert done.exception is None or isinstance(done.exception, SystemExit), command
            assert "Traceback" not in done.output, command
        page = (folder / "x.html").read_text()
        assert is_plain(page) and page.count("<script") == 1 and "default-src 'none'" in page
