"""A data card: what a .beton file holds, what it was made from and how, as a page of Markdown."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ffprep.beton.sets import SetFile, source_of
from ffprep.common.formatting import size_text
from ffprep.inspect.info import describe_set, field_text
from ffprep.inspect.metadata.croissant import HOMEPAGES, About, describe

_LISTED = 20  # samples that were refused


def card(files: Sequence[SetFile], about: About) -> str:
    """Describe a file, or the files of a set, in Markdown.

    Raises
    ------
    BetonError
        A file is no .beton file, or is damaged.
    """
    facts = describe_set(files)
    manifest = facts["manifest"] or {}
    source = source_of(manifest)
    lines = [f"# {about.name or Path(facts['path']).name}", "", describe(facts), ""]
    lines += ["## Contents", "", "| field | what it holds |", "|---|---|"]
    lines += [f"| `{name}` | {_cell(field_text(field))} |" for name, field in facts["fields"].items()]
    lines += ["", "## Files", "", "| file | samples | size |", "|---|---:|---:|"]
    for file in facts.get("files", [facts]):
        lines.append(f"| {_cell(Path(file['path']).name)} | {file['samples']:,} | {size_text(file['bytes'])} |")
    lines += ["", *_origin(source, about), *_making(manifest), *_left_out(manifest), *_reading(files)]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _origin(source: Mapping[str, Any], about: About) -> list[str]:
    lines = ["## Source", ""]
    page = HOMEPAGES.get(str(source.get("dataset")))
    told = {
        key: value for key, value in source.items() if isinstance(value, (str, int, float)) and value not in ("", 0)
    }
    lines += [f"- {key.replace('_', ' ')}: {_cell(str(value))}" for key, value in told.items()]
    for name in ("classes", "labels"):
        if isinstance(source.get(name), list):
            lines.append(f"- {name}: {len(source[name]):,}")
    lines += [f"- home page: {page}"] * bool(page) + [f"- published at: {about.url}"] * bool(about.url)
    if about.license:
        return [*lines, f"- licence: {about.license}", ""]
    return [*lines, "- licence: that of the source, which the file does not record", ""]


def _making(manifest: Mapping[str, Any]) -> list[str]:
    writer, recorded = manifest.get("writer"), manifest.get("configuration")
    if not isinstance(writer, dict):
        return ["## Conversion", "", "Not recorded: the file was not written by ffprep.", ""]
    lines = ["## Conversion", "", f"Written by {writer.get('name')} {writer.get('version')}."]
    if isinstance(recorded, dict) and isinstance(recorded.get("options"), dict):
        options = recorded["options"].items()
        shown = ", ".join(f"`{key}: {value}`" for key, value in sorted(options) if value not in (False, None))
        places = " ".join(f"--{place} PATH" for place in recorded.get("places", []))
        lines += [
            f"Options of `ffprep convert {recorded.get('dataset')}`: {shown}. The same file comes of",
            "",
            "```console",
            f"$ ffprep convert --from-manifest FILE {places} --out COPY".replace("  ", " "),
            "```",
        ]
    return [*lines, ""]


def _left_out(manifest: Mapping[str, Any]) -> list[str]:
    report = manifest.get("report")
    if not isinstance(report, dict):
        return []
    lines = ["## What became of the samples", "", "| number | field | what was done | why |", "|---:|---|---|---|"]
    for entry in report.get("outcomes", []):
        what, why = _cell(entry["action"]), _cell(entry.get("reason") or "")
        lines.append(f"| {entry['count']:,} | `{entry['field']}` | {what} | {why} |")
    for cause, count in report.get("left_out_causes", {}).items():
        lines.append(f"| {count:,} | | left out of the source | {_cell(cause)} |")
    lines += [f"| {report['refused_count']:,} | | refused | |"] * bool(report.get("refused_count"))
    refused = report.get("refused", [])[:_LISTED]
    return [
        *lines,
        "",
        *(f"- refused: `{one['sample']}`: {_cell(one['reason'])}" for one in refused),
        *[""] * bool(refused),
    ]


def _reading(files: Sequence[SetFile]) -> list[str]:
    name = files[0].index.name if files[0].index is not None else files[0].path.name
    return [
        "## Reading",
        "",
        "```console",
        f"$ ffprep verify {shlex.quote(name)}",
        f"$ ffprep preview {shlex.quote(name)} --out preview.html",
        "```",
        "",
        "```python",
        "from ffprep import Dataset",
        "",
        f"print(Dataset({name!r})[0])",
        "```",
    ]
