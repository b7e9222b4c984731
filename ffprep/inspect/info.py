"""What a .beton file contains, for people and for programs."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ffprep.beton.opening.head import Head, head_of
from ffprep.beton.parts import whole_manifest
from ffprep.beton.reader import Reader
from ffprep.beton.seek_index import SeekIndex, beside
from ffprep.beton.sets import SetFile, check_same_fields, check_same_tokens, each_opened, source_of
from ffprep.common.class_words import class_words
from ffprep.common.formatting import one_line, size_text
from ffprep.errors import IndexMismatchError

_CLASSES = 10
"""How many classes are named on the screen."""


def describe_set(files: Sequence[SetFile]) -> dict[str, Any]:
    """Facts about a file, or about the files of a set together, as JSON values.

    Of a set, ``files`` lists the files, and the numbers are those of all files. The manifest is that of the first, but
    the report of a conversion in parts is that of all parts, and so are blocks of tokens and what they were made of.

    Raises
    ------
    BetonError
        A file is no .beton file, is damaged, or is not the one of which the index was made.
    OptionError
        The files have different fields, or number their tokens differently.
    """
    if len(files) == 1 and files[0].index is None:
        return describe(files[0].path)
    each, model = [], None

    def described(file: SetFile) -> tuple[dict[str, Any], Head]:
        return describe(file.path), head_of(file.path)

    for file, (facts, head) in zip(files, each_opened(described, files), strict=True):
        each.append(facts)
        file.check(head)
        model = model or head
        check_same_fields(files[0].path, model, file.path, head)
    check_same_tokens((file.path, source_of(one["manifest"])) for file, one in zip(files, each, strict=True))
    return {
        **each[0],
        "path": str(files[0].index or f"{files[0].path} and {len(files) - 1} more"),
        "bytes": sum(one["bytes"] for one in each),
        "samples": sum(one["samples"] for one in each),
        "page_size": max(one["page_size"] for one in each),
        "fields": {name: _together([one["fields"][name] for one in each]) for name in each[0]["fields"]},
        "manifest": _manifest_of_all([one["manifest"] for one in each]),
        "seek_index": None,
        "files": [{key: one[key] for key in ("path", "bytes", "samples", "seek_index")} for one in each],
    }


def _manifest_of_all(manifests: list[dict[str, Any] | None]) -> dict[str, Any] | None:
    first = manifests[0]
    if first is None:
        return None
    if (whole := whole_manifest(manifests)) is not None:
        return {**{key: value for key, value in first.items() if key != "part"}, **whole[0], "report": whole[1]}
    sources = [source_of(manifest) for manifest in manifests]
    changed: dict[str, Any] = {}
    try:
        blocks: list[Any] = [source.get("blocks") for source in sources]
        texts: list[Any] = [source.get("text") for source in sources]
        if all(blocks):
            tail = [token for one in blocks for token in one["tail"]]
            changed["blocks"] = {**blocks[0], "count": sum(one["count"] for one in blocks), "tail": tail}
        if all(texts):
            changed["text"] = {**texts[0], **{key: sum(one[key] for one in texts) for key in ("documents", "tokens")}}
    except (KeyError, TypeError):  # not as a conversion writes it
        return first
    return {**first, "source": {**sources[0], **changed}} if changed else first


def _together(each: list[dict[str, Any]]) -> dict[str, Any]:
    """Facts about a field of several files; what cannot be told from those of the files is left out."""
    facts = {key: value for key, value in each[0].items() if key in ("type", "type_id", "dtype", "shape")}
    if known := [one for one in each if "min" in one]:
        facts.update(min=min(one["min"] for one in known), max=max(one["max"] for one in known))
    for key in ("payload_bytes", "shared"):
        if any(key in one for one in each):
            facts[key] = sum(one.get(key, 0) for one in each)
    if images := [one["images"] for one in each if "images" in one]:
        counts = [one["jpeg"] + one["raw"] for one in images]
        facts["images"] = {kind: sum(one[kind] for one in images) for kind in ("jpeg", "raw")}
        for side in ("width", "height"):
            mean = sum(one[side][1] * n for one, n in zip(images, counts, strict=True)) / max(1, sum(counts))
            least, most = min(one[side][0] for one in images), max(one[side][2] for one in images)
            facts["images"][side] = [least, round(mean, 1), most]
    return facts


def describe(path: Path) -> dict[str, Any]:
    """Facts about a file, as JSON values.

    Raises
    ------
    BetonError
        The file is no .beton file, or is damaged.
    """
    with Reader(path) as reader:
        facts: dict[str, Any] = {
            "path": str(path),
            "bytes": path.stat().st_size,
            "samples": reader.num_samples,
            "page_size": reader.page_size,
            "fields": {name: _field(reader, name) for name in reader.fields},
            "manifest": reader.manifest,
            "seek_index": _seek_index(reader),
        }
    return facts


def _seek_index(reader: Reader) -> dict[str, Any] | None:
    """Facts about the seek index beside the file, if there is one."""
    path = beside(reader.path)
    try:
        index = SeekIndex(path, reader)
    except IndexMismatchError as error:
        return {"path": str(path), "problem": str(error)}
    except OSError:
        return None
    return {
        "path": str(path),
        "bytes": len(index.data),
        "jpegs": len(index),
        "indexed": int(np.count_nonzero(index.bytes_each)),
    }


def _field(reader: Reader, name: str) -> dict[str, Any]:
    field = reader.fields[name]
    facts: dict[str, Any] = {"type": type(field).__name__, "type_id": field.type_id}
    column = reader.column(name)
    if field.type_id in (0, 1):
        if len(column):
            facts.update(min=column.min().item(), max=column.max().item())
        if field.type_id == 1 and len(column):
            facts["distinct"] = len(np.unique(column))
        return facts
    if field.type_id in (4, 6):
        facts.update(dtype=str(getattr(field, "dtype", "")), shape=[int(n) for n in getattr(field, "shape", ())])
    if field.type_id == 2 and len(column):
        facts["images"] = _images(column)
    offsets, sizes = reader.extents(name)
    shared = len(offsets) - len(np.unique(offsets))
    facts["payload_bytes"] = int(sizes[np.unique(offsets, return_index=True)[1]].sum(dtype=np.uint64))
    if shared:
        facts["shared"] = shared
    return facts


def _images(column: Any) -> dict[str, Any]:
    width, height = column["width"].astype(np.int64), column["height"].astype(np.int64)
    return {
        "jpeg": int((column["mode"] == 0).sum()),
        "raw": int((column["mode"] == 1).sum()),
        "width": [int(width.min()), round(float(width.mean()), 1), int(width.max())],
        "height": [int(height.min()), round(float(height.mean()), 1), int(height.max())],
    }


def info_text(facts: dict[str, Any]) -> str:
    """The facts as text for the screen."""
    lines = [
        f"{one_line(facts['path'])}: {facts['samples']:,} samples, {size_text(facts['bytes'])}, "
        f"pages of {size_text(facts['page_size'])}"
    ]
    if files := facts.get("files"):
        lines.append(f"  {len(files):,} files{'':<9} {one_line(files[0]['path'])} to {one_line(files[-1]['path'])}")
    for name, field in facts["fields"].items():
        lines.append(f"  {name:<16} {field_text(field)}")
    if index := facts["seek_index"]:
        lines.append(f"  seek index       {_seek_index_text(index)}")
    manifest = facts["manifest"]
    if manifest is None:
        lines.append("  no manifest: not written by ffprep")
        return "\n".join(lines)
    lines.extend(_manifest_lines(manifest))
    return "\n".join(lines)


def _seek_index_text(index: dict[str, Any]) -> str:
    if "problem" in index:
        return one_line(index["problem"])
    each = index["bytes"] / max(1, index["jpegs"])
    return (
        f"{one_line(index['path'])}, for {index['indexed']:,} of {index['jpegs']:,} JPEGs, "
        f"{size_text(index['bytes'])}, {each:,.0f} bytes each"
    )


def field_text(field: dict[str, Any]) -> str:
    parts = [field["type"]]
    if "dtype" in field:
        parts.append(f"{field['dtype']}{field['shape']}")
    if "images" in field:
        images = field["images"]
        kinds = [f"{images[kind]:,} {kind.upper() if kind == 'jpeg' else kind}" for kind in ("jpeg", "raw")]
        parts.append(" and ".join(text for text in kinds if not text.startswith("0 ")))
        (_, width, widest), (_, height, highest) = images["width"], images["height"]
        parts.append(f"{width} x {height} px on average")
        parts.append(f"largest side {max(widest, highest)}")
    if "min" in field:
        parts.append(f"{field['min']} to {field['max']}")
    if "distinct" in field:
        parts.append(f"{field['distinct']:,} different")
    if "payload_bytes" in field:
        parts.append(size_text(field["payload_bytes"]))
    if "shared" in field:
        parts.append(f"{field['shared']:,} samples share another's")
    return ", ".join(parts)


def _text_lines(source: dict[str, Any]) -> list[str]:
    """Lines about tokens, blocks and rows, if the file has them."""
    lines = []
    parts = {name: source.get(name) for name in ("vocabulary", "blocks", "rows", "text")}
    known = {name: part for name, part in parts.items() if isinstance(part, dict)}
    if "vocabulary" in known:
        record = known["vocabulary"]
        own = record.get("tokenizer") == "gpt2"
        whose = (
            f"GPT-2's, numbered as {record.get('kind')}" if own else f"of {record.get('name')} ({record.get('kind')})"
        )
        lines.append(f"  tokens           {whose}, {record.get('size'):,} ids")
    if "blocks" in known:
        record = known["blocks"]
        kind = "padded within documents" if record.get("padded") else "across documents"
        lines.append(
            f"  blocks           {record.get('count'):,} of {record.get('block')} tokens, {kind}; "
            f"{len(record.get('tail', ()))} tokens after the last"
        )
    if "text" in known:
        record = known["text"]
        lines.append(f"  documents        {record.get('documents'):,}, {record.get('tokens'):,} tokens with separators")
    if "rows" in known:
        record = known["rows"]
        lines.append(
            f"  rows             {record.get('length')} tokens, truncated {record.get('truncation')}: "
            f"{record.get('cut_rows'):,} rows; {record.get('bad'):,} rows left out"
        )
    return lines


def _source_lines(source: dict[str, Any]) -> list[str]:
    """Lines about the origin of the data that fit a screen: names first, then counts other than 0."""
    told = ("blocks", "rows", "text", "vocabulary", "class_words")
    names = [f"{key} {value}" for key, value in source.items() if isinstance(value, str) and value]
    names.sort(key=lambda name: not name.startswith("dataset "))
    counts = [
        f"{key.replace('_', ' ')} {value:,}"
        for key, value in source.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value
    ]
    sizes = [f"{len(v):,} {k}" for k, v in source.items() if isinstance(v, (list, dict)) and k not in told]
    lines = []
    for parts in (names, counts + sizes):
        lines += textwrap.wrap(", ".join(parts), 100, break_long_words=False, break_on_hyphens=False)
    return [f"  {'' if number else 'from':<16} {line}" for number, line in enumerate(lines)]


def _class_lines(source: dict[str, Any]) -> list[str]:
    """Return lines with the names of the first classes, and what they are called in words if that is recorded."""
    classes = source.get("classes", source.get("labels"))
    if not isinstance(classes, list):
        return []
    words, lines = class_words(source), []
    for number, name in enumerate(classes[:_CLASSES]):
        text = f"{name} ({words[name]})" if isinstance(name, str) and name in words else str(name)
        lines.append(f"  {f'class {number}':<16} {textwrap.shorten(text, 100, placeholder=' ...')}")
    if len(classes) > _CLASSES:
        lines.append(f"  {'':<16} and {len(classes) - _CLASSES:,} more; --json lists them")
    return lines


def _manifest_lines(manifest: dict[str, Any]) -> list[str]:
    lines = []
    source = manifest.get("source")
    if isinstance(source, dict):
        lines.extend(_source_lines(source))
        lines.extend(_class_lines(source))
        lines.extend(_text_lines(source))
    report = manifest.get("report")
    if isinstance(report, dict):
        for entry in report.get("outcomes", []):
            why = f": {entry['reason']}" if entry.get("reason") else ""
            lines.append(f"  {entry['count']:>12,}     {entry['field']} {entry['action']}{why}")
        for cause, count in report.get("left_out_causes", {}).items():
            lines.append(f"  {count:>12,}     left out of the source: {cause}")
        if report.get("refused_count"):
            lines.append(f"  {report['refused_count']:>12,}     refused")
    writer = manifest.get("writer")
    if isinstance(writer, dict):
        lines.append(f"  written by       {writer.get('name')} {writer.get('version')}")
    return lines
