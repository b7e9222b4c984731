"""Options that several commands have, and what they mean."""

from __future__ import annotations

import contextlib
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ffprep.commands._shared.engine import conversion_engine
from ffprep.commands._shared.files import BETON, REPORT, Existing, check_restart, inputs_of, is_report, write_report
from ffprep.commands._shared.help import apply_options
from ffprep.commands._shared.numbers import WORKERS, Whole
from ffprep.commands._shared.recorded import configuration
from ffprep.common.files.expansion import DENSEST
from ffprep.common.files.outputs import check_output
from ffprep.common.formatting import one_line

if TYPE_CHECKING:
    from ffprep.convert.progress import ProgressDisplay
    from ffprep.convert.report import ConversionReport
    from ffprep.fields import RGBImageField
    from ffprep.sources.base import Source

EXISTING = Existing()
_LINES = "ffprep.json_progress"


all_files_option = click.option(
    "--all-files",
    is_flag=True,
    help="Take files and folders that systems leave behind, too (.ipynb_checkpoints, __MACOSX, ._*, lost+found and "
    "the like), which would be classes, images and texts of their own; by default they are left out with a note.",
)

expansion_option = click.option(
    "--max-expansion",
    type=Whole(1),
    default=DENSEST,
    show_default=True,
    metavar="TIMES",
    help="Refuse compressed files that unpack to more than so many times their size, beyond the first 256 MiB.",
)
"""For a `ReadingCommand`."""

reading_options = apply_options(all_files_option, expansion_option)
"""How files and archives of a source are read: ``--all-files`` and ``--max-expansion``."""


_SIZES = (
    click.option(
        "--jpeg",
        type=click.Choice(["seekable", "keep", "reencode", "raw"]),
        default="seekable",
        show_default=True,
        help="JPEG files: rewritten without loss so that crops decode fast; byte for byte; encoded anew "
        "(with --quality); or the pixels themselves, which need no decoding and about ten times the room.",
    ),
    click.option(
        "--max-side",
        type=Whole(1, 65535),
        help="Shrink so that the longer side has at most this many pixels. Re-encodes; smaller images are the "
        "surest way to faster training.",
    ),
    click.option(
        "--min-side",
        type=Whole(1, 65535),
        help="Shrink so that the shorter side has at most this many pixels. Re-encodes.",
    ),
    click.option(
        "--quality",
        type=Whole(1, 100),
        default=90,
        show_default=True,
        help="JPEG quality of what is encoded anew.",
    ),
)
_RARER = (
    click.option(
        "--damaged",
        type=click.Choice(["refuse", "reencode"]),
        default="refuse",
        show_default=True,
        help="JPEG files with damaged data: refuse them, or store what Pillow makes of them.",
    ),
    click.option(
        "--max-pixels",
        type=Whole(1, 1 << 28),
        default=178_956_970,
        show_default=True,
        help="Refuse images of more pixels before they are decoded; 268435456 at most, which loaders can decode.",
    ),
    click.option("--keep-metadata", is_flag=True, help="Keep EXIF, ICC profiles and comments of JPEG files."),
    click.option(
        "--index",
        is_flag=True,
        help="Make the seek index beside the file, too, as ffprep index does: for --jpeg keep.",
    ),
)
image_options = apply_options(
    *_SIZES,
    click.option("--apply-orientation", is_flag=True, help="Turn images as their EXIF orientation says."),
    *_RARER,
    title="Images",
)
"""How images are stored: ``--jpeg``, ``--max-side``, ``--min-side``, ``--quality`` and less common ones."""

unturned_options = apply_options(*_SIZES, *_RARER, title="Images")
"""The same for images whose boxes or masks would not turn with them."""

png_option = click.option(
    "--png",
    type=click.Choice(["raw", "jpeg"]),
    default="raw",
    show_default=True,
    help="PNG, BMP, TIFF, GIF and PPM files: their pixels, without loss, or a JPEG of quality 95, which is many times "
    "smaller.",
)
"""How files of formats without loss are stored, where the command asks."""


@dataclass(frozen=True)
class ImageChoices:
    """The values of ``image_options``."""

    jpeg: str
    max_side: int | None
    min_side: int | None
    quality: int
    apply_orientation: bool
    keep_metadata: bool
    damaged: str
    max_pixels: int
    index: bool = False
    png: str = "jpeg"

    def field(self) -> RGBImageField:
        """The field that stores images as these options say."""
        from ffprep.fields import RGBImageField

        raw = self.jpeg == "raw"
        return RGBImageField(
            "raw" if raw else "jpg",
            jpeg=None if raw else self.jpeg,
            max_resolution=self.max_side,
            min_resolution=self.min_side,
            jpeg_quality=self.quality,
            apply_orientation=self.apply_orientation,
            keep_metadata=self.keep_metadata,
            damaged=self.damaged,
            max_pixels=self.max_pixels,
            png=self.png,
        )


continuing_options = apply_options(
    click.option(
        "--resume", is_flag=True, help="Not needed any more: the same command goes on where an interrupted one stopped."
    ),
    click.option("--restart", is_flag=True, help="Drop what an interrupted conversion left, and begin anew."),
    click.option("--overwrite", is_flag=True, help="Replace finished files that are there."),
    title="What is there already",
)
"""What becomes of what is there already."""


def _choose_lines(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    context.meta[_LINES] = value


progress_option = apply_options(
    click.option(
        "--json-progress",
        is_flag=True,
        expose_value=False,
        callback=_choose_lines,
        help="Progress for programs: a line of JSON a second on standard error.",
    ),
    title="Progress and report",
)
"""``--json-progress``, which `progress_display` obeys."""

page_size_option = click.option("--page-size", type=int, help="Bytes of a page, a power of two; chosen by default.")

reporting_options = apply_options(
    click.option("--report", type=REPORT, help="Write the report as JSON to this file as well."),
    click.option("--quiet", is_flag=True, help="No progress, no report on the screen."),
    progress_option,
    title="Progress and report",
)
"""The last options of every conversion."""

writing_options = apply_options(
    click.option("--out", type=BETON, required=True, help="The .beton file to make."),
    click.option("--workers", type=WORKERS, help="Threads that encode; all processors by default."),
    click.option("--limit", type=Whole(1), help="Convert the first N samples only."),
    continuing_options,
    click.option(
        "--on-error",
        type=click.Choice(["raise", "skip"]),
        default="raise",
        show_default=True,
        help="A sample that cannot be converted: stop there, or leave it out and report it.",
    ),
    click.option("--shuffle", type=Whole(0), metavar="SEED", help="Store the samples in a random order."),
    conversion_engine,
    click.option(
        "--part",
        metavar="I/N",
        help="Convert part I of N alone, from 0 to N - 1, to X-0000I-of-0000N.beton, as one of N jobs; ffprep merge "
        "makes the whole of all.",
    ),
    page_size_option,
    reporting_options,
    title="Output",
)
"""Where a conversion goes and how it runs: ``--out``, ``--workers``, ``--limit``, ``--resume`` and so on."""


@dataclass(frozen=True)
class WritingChoices:
    """The values of ``writing_options``."""

    out: Path
    workers: int | None
    limit: int | None
    resume: bool
    restart: bool
    overwrite: bool
    on_error: str
    shuffle: int | None
    engine: str
    address: str | None
    part: str | None
    page_size: int | None
    report: Path | None
    quiet: bool

    def run(self, source: Source, index: bool = False, **changes: str) -> ConversionReport:
        """Convert the source, show progress and the report, and with `index` make the seek index as well.

        `changes` are those options which the file's configuration has instead of the given ones.
        """
        from ffprep.beton.parts import Part
        from ffprep.beton.seek_index import beside
        from ffprep.convert.conversion import convert
        from ffprep.sources.base import shuffled

        check_restart(self.resume, self.restart)
        part = None if self.part is None else Part.parse(self.part)
        out = self.out if part is None else part.path(self.out)
        if index and not out.exists():
            check_output(beside(out), overwrite=self.overwrite)
        warnings.filterwarnings("ignore", module=r"PIL\.")  # the report says what is odd about a file
        if not self.quiet:
            show_notes(source)
        with terminable():
            result = convert(
                source if self.shuffle is None else shuffled(source, self.shuffle),
                self.out,
                workers=self.workers,
                limit=self.limit,
                restart=self.restart,
                overwrite=self.overwrite,
                on_error=self.on_error,
                engine=self.engine,
                address=self.address,
                page_size=self.page_size,
                part=part,
                configuration=configuration(**changes),
                inputs=inputs_of(click.get_current_context()),
                progress=progress_display(self.quiet),
            )
        if self.report is not None and not (result.found and is_report(self.report, out)):
            write_report(self.report, result.to_json(), out)
        if not self.quiet:
            click.echo(f"{one_line(out)}\n{result.table()}")
        if index:
            self._index(out)
        return result

    def _index(self, out: Path) -> None:
        from ffprep.convert.indexing import make_index

        with terminable(), followed("index", self.quiet) as progress:
            report = make_index(out, workers=self.workers, overwrite=self.overwrite, progress=progress)
        if not self.quiet:
            click.echo(str(report))


def show_notes(source: Source) -> None:
    """Print what the user should know about a source, on standard error."""
    for note in getattr(source, "notes", ()):
        click.echo(f"note: {note}", err=True)


def progress_display(quiet: bool = False) -> Callable[..., ProgressDisplay]:
    """What shows the progress of the running command: made of a label, the items in all and those done already."""
    from ffprep.convert.progress import JsonProgress, ShownProgress, SilentProgress

    if click.get_current_context().meta.get(_LINES):
        return JsonProgress
    return (lambda *_: SilentProgress()) if quiet else ShownProgress


@contextlib.contextmanager
def followed(label: str, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Show the progress of work that reports items done and items in all."""
    make = progress_display(quiet)
    shown: list[ProgressDisplay] = []

    def progress(done: int, total: int) -> None:
        if not shown:
            shown.append(make(label, total, done))
        shown[0].update(done, 0)

    try:
        yield progress
    finally:
        for bar in shown:
            bar.close()


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Let a conversion end as by Ctrl-C, so that what was written is kept, where it would be killed.

    Cluster schedulers send SIGTERM, and terminals that are closed SIGHUP. Under nohup, SIGHUP stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    before = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    try:
        for number in before:
            signal.signal(number, _interrupt)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt  # rather than sending SIGINT, which background jobs ignore


def take_image(values: dict[str, Any]) -> tuple[ImageChoices, dict[str, Any]]:
    """Separate the image options from a command's other values."""
    rest = dict(values)
    taken = {name: rest.pop(name) for name in ImageChoices.__dataclass_fields__ if name in rest}
    return ImageChoices(**taken), rest


def take_writing(values: dict[str, Any]) -> tuple[WritingChoices, dict[str, Any]]:
    """Separate the writing options from a command's other values; a cluster begins to get ready."""
    rest = dict(values)
    choices = WritingChoices(**{name: rest.pop(name) for name in WritingChoices.__dataclass_fields__})
    if choices.engine == "ray" and not choices.out.exists():
        from ffprep.common.workers import early

        with terminable():
            early.begin(choices.address)
        click.get_current_context().call_on_close(early.end)
    return choices, rest
