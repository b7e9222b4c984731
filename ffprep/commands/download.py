"""``ffprep download``: images of a published index."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click

from ffprep.commands._shared.engine import engine_options
from ffprep.commands._shared.files import LocalPath, ReadingCommand
from ffprep.commands._shared.group import SuggestingGroup
from ffprep.commands._shared.help import apply_options
from ffprep.commands._shared.numbers import WORKERS, Number, Whole
from ffprep.commands._shared.options import (
    EXISTING,
    progress_display,
    progress_option,
    reading_options,
)
from ffprep.common.files.outputs import refuse_inputs
from ffprep.common.formatting import one_line, size_text
from ffprep.common.names import Clutter
from ffprep.errors import FfprepError, OptionError

DATASETS = {
    "cc3m": ("Conceptual Captions 3M", "Train_GCC-training.tsv, Validation_GCC-*.tsv, or the hub's parquet files"),
    "cc12m": ("Conceptual Captions 12M", "cc12m.tsv, or the hub's parquet files"),
    "sbu": ("SBU captions", "sbu-captions-all.json, SBU_captioned_photo_dataset_urls.txt, or the hub's parquet files"),
}

REMEDIES = {
    "refused_address": "--allow-private",
    "robots": "--ignore-robots",
    "too_large": "--max-file-bytes, in another folder",
    "too_many_pixels": "--max-pixels, in another folder",
    "too_small": "--min-side, in another folder",
    "proxy": "http_proxy, https_proxy",
    "tls": "certificates, SSL_CERT_FILE",
}
"""What would change an outcome, besides trying again."""


@dataclass(frozen=True)
class Least:
    """The fewest successes that are enough: a number, or a share."""

    text: str
    number: float
    share: bool

    def of(self, tried: int) -> float:
        """How many that is of the rows that were tried."""
        return self.number / 100 * tried if self.share else self.number

    def __str__(self) -> str:
        return self.text


def _least(ctx: click.Context, param: click.Parameter, value: str) -> Least:
    """Parse ``100`` or ``90%``."""
    match = re.fullmatch(r"([0-9]+)|([0-9]+(?:\.[0-9]*)?) ?%", value.strip())
    if match is None or float(match[2] or 0) > 100:
        raise click.BadParameter(f"{value!r} is neither a number nor a percentage from 0% to 100%", ctx, param)
    return Least(value.strip(), float(match[1] or match[2]), match[1] is None)


def _options(forms: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return apply_options(
        apply_options(
            click.option("--index", type=EXISTING, help=f"{forms}."),
            click.option("--only", type=EXISTING, help="Fetch what this manifest.jsonl of an earlier download lists."),
            click.option("--out", type=LocalPath(file_okay=False), required=True, help="Folder of shards."),
            reading_options,
            click.option("--shard-size", type=Whole(1), default=1000, show_default=True, help="Rows a shard."),
            click.option("--retry-failed", is_flag=True, help="Try rows again that failed for a cause that may pass."),
            click.option(
                "--restart", is_flag=True, help="Drop the download that is in the folder, images too, and begin anew."
            ),
            title="Index and shards",
        ),
        engine_options(
            "Fetch by processes here, or by the tasks of a Ray cluster whose nodes see the folder of --out at the same "
            "path.",
            "Index and shards",
        ),
        apply_options(
            click.option("--limit", type=Whole(1), help="The first N rows of the index that work."),
            click.option("--max-bytes", type=Whole(1), help="Stop before the images take more than this."),
            click.option("--resize", type=Whole(8), help="Shrink to this shorter side on arrival."),
            click.option("--min-side", type=Whole(0), default=0, help="Refuse images with a shorter side."),
            click.option("--max-file-bytes", type=Whole(1), default=64 << 20, help="Refuse larger files."),
            click.option("--max-pixels", type=Whole(1), default=1 << 27, help="Refuse images of more pixels."),
            title="Which images",
        ),
        apply_options(
            click.option("--connections", type=Whole(1), default=256, show_default=True, help="At once, in all."),
            click.option("--per-host", type=Whole(1), default=32, show_default=True, help="At once, at a host."),
            click.option(
                "--workers",
                type=WORKERS,
                help="Processes that fetch, by default one a processor; or tasks of a cluster, by default two.",
            ),
            click.option(
                "--deadline",
                type=Number(0),
                default=30.0,
                show_default=True,
                help="Seconds for one attempt.",
            ),
            click.option("--retries", type=Whole(0), default=2, show_default=True, help="After what may pass."),
            title="Speed",
        ),
        apply_options(
            click.option(
                "--allow-private", is_flag=True, help="Allow addresses of this machine and of private networks."
            ),
            click.option(
                "--ignore-robots", is_flag=True, help="Take images whose server says noai, noimageai or noml."
            ),
            click.option("--honour-noindex", is_flag=True, help="Leave out images whose server says noindex, too."),
            click.option("--user-agent", help="How requests name their sender."),
            title="Manners and safety",
        ),
        click.option(
            "--min-success",
            metavar="N|P%",
            callback=_least,
            default="1",
            show_default=True,
            help="Fail unless so many rows have an image: a number, or a share of those tried, such as 90%.",
        ),
        click.option("--quiet", is_flag=True, help="No progress, no report on the screen."),
        progress_option,
        title="Progress and report",
    )


def _run(name: str, index: Path | None, only: Path | None, out: Path, quiet: bool, **values: Any) -> None:
    from ffprep.download.downloader import DownloadProgress, download
    from ffprep.download.settings import USER_AGENT, DownloadOptions, FetchLimits
    from ffprep.download.url_index import read_index

    if (index is None) == (only is None):
        raise click.UsageError("give either --index or --only")
    path = index or only
    assert path is not None
    refuse_inputs([out / name for name in ("manifest.jsonl", "report.json")], [path])
    if values["address"] is not None and values["engine"] == "local":
        raise OptionError("--address is that of a Ray cluster; add --engine ray")
    if values["restart"] and values["retry_failed"]:
        raise OptionError("--restart and --retry-failed: give one of them")
    clutter = Clutter(values["all_files"])
    rows = sum(1 for _ in read_index(path, clutter))  # also finds a damaged index before anything is fetched
    for note in clutter.notes():
        click.echo(f"note: {note}", err=True)
    limits = FetchLimits(
        deadline=values["deadline"],
        max_bytes=values["max_file_bytes"],
        retries=values["retries"],
        allow_private=values["allow_private"],
        honour_robots=not values["ignore_robots"],
        honour_noindex=values["honour_noindex"],
        user_agent=USER_AGENT if values["user_agent"] is None else values["user_agent"],
    )
    options = DownloadOptions(
        limit=values["limit"],
        max_bytes=values["max_bytes"],
        shard_size=values["shard_size"],
        connections=values["connections"],
        per_host=values["per_host"],
        workers=values["workers"],
        max_pixels=values["max_pixels"],
        min_side=values["min_side"],
        resize_to=values["resize"],
        fetch=limits,
    )
    by_success = options.limit is not None and options.limit < rows
    shown = progress_display(quiet)(name, options.limit if by_success and options.limit else rows)

    def update(counts: DownloadProgress) -> None:
        shown.update(counts.ok if by_success else counts.done, counts.bytes, counts.done - counts.ok)

    if values["engine"] == "ray":
        from ffprep.download.clusters.shards import download_on_cluster

        fetch: Callable[..., dict[str, Any]] = partial(download_on_cluster, address=values["address"], expected=rows)
    else:
        fetch = download
    try:
        report = fetch(
            read_index(path, clutter), out, options, values["retry_failed"], update, restart=values["restart"]
        )
    finally:
        shown.close()
    if not quiet:
        click.echo(_table(out, report))
    wanted = values["min_success"].of(report["tried"])
    if report["ok"] < wanted:
        causes = ", ".join(_line(cause, count) for cause, count in list(report["causes"].items())[:3])
        raise FfprepError(
            f"{out}: {report['ok']:,} of {report['tried']:,} rows have an image, fewer than --min-success "
            f"{values['min_success']}: {causes}"
        )


def _line(cause: str, count: int) -> str:
    from ffprep.download.settings import may_recover_later

    remedy = REMEDIES.get(cause, "")
    if may_recover_later(cause):
        remedy = f"{remedy}, then --retry-failed" if remedy else "--retry-failed"
    return f"{count:,} {cause.replace('_', ' ')}" + (f" ({remedy})" if remedy else "")


def _table(out: Path, report: dict[str, Any]) -> str:
    share = 100 * report["ok"] / report["tried"] if report["tried"] else 0.0
    lines = [
        f"{one_line(out)}: {report['ok']:,} of {report['tried']:,} rows ({share:.1f} %), {size_text(report['bytes'])}"
    ]
    for cause, count in report["causes"].items():
        number, _, text = _line(cause, count).partition(" ")
        lines.append(f"  {number:>12}  {text}")
    return "\n".join(lines)


def _command(name: str, title: str, forms: str) -> click.Command:
    index = forms.partition(",")[0]

    @click.command(
        name,
        help=f"Images of {title}, into webdataset shards that ffprep convert {name} reads.",
        cls=ReadingCommand,
        examples=[
            (
                "Everything, shrunk on arrival; the same command goes on",
                f"ffprep download {name} --index {index} --resize 384 --out {name}",
            ),
            ("A trial of 1,000 images", f"ffprep download {name} --index {index} --limit 1000 --out {name}-trial"),
        ],
    )
    @_options(forms)
    def download(**values: Any) -> None:
        _run(name, **values)

    return download


@click.group("download", cls=SuggestingGroup)
def command() -> None:
    """Fetch the images of a published index, politely; a killed download goes on where it was."""


for _name, (_title, _forms) in DATASETS.items():
    command.add_command(_command(_name, _title, _forms))
