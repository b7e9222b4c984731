"""One conversion: the samples of a source are encoded by several workers and written in order by one writer."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ffprep.beton.parts import Part
from ffprep.beton.writing.keyed import PartWriter
from ffprep.beton.writing.writer import COMMIT_SAMPLES, Writer
from ffprep.common.files.outputs import check_output
from ffprep.common.names import readable
from ffprep.common.workers.cpus import usable_cpus
from ffprep.convert.clusters.parts import convert_on_cluster, drop_parts, refuse_parts
from ffprep.convert.clusters.units import by_ray
from ffprep.convert.progress import ProgressDisplay, SilentProgress
from ffprep.convert.report import FAILURES_IN_A_ROW, ConversionReport
from ffprep.convert.resuming import NOTE, check_unchanged, file_stamps, finished_report, note_of
from ffprep.convert.units import SampleResult, by_threads, units_of
from ffprep.errors import ConversionError, OptionError, SourceError
from ffprep.sources.base import Selection, Source

_GOES_ON = (
    "; the same command goes on with --on-error skip, or with a good file in its place; if it is removed, add --restart"
)
"""A source without the sample is another one: all samples after it have other numbers."""
FEW = 2
"""So many workers at most write themselves, between encoding; for more of them, which bring more, a thread does."""


def convert(
    source: Source,
    out: str | os.PathLike[str],
    *,
    workers: int | None = None,
    limit: int | None = None,
    resume: bool = True,
    restart: bool = False,
    overwrite: bool = False,
    on_error: str = "raise",
    engine: str = "local",
    address: str | None = None,
    page_size: int | None = None,
    inputs: Sequence[str | os.PathLike[str]] = (),
    commit_samples: int = COMMIT_SAMPLES,
    part: Part | None = None,
    configuration: Mapping[str, Any] | None = None,
    progress: Callable[[str, int, int], ProgressDisplay] = lambda label, total, done: SilentProgress(),
) -> ConversionReport:
    """Convert a source to a .beton file.

    The file's bytes depend only on the source, the fields' options and ``limit``, not on the number of workers or on
    how often the conversion was interrupted and resumed. The same call again goes on with what an interrupted one left,
    and accepts the finished file.

    Parameters
    ----------
    source : Source
        The samples.
    out : path
        The file to make. It has its name only when it is finished.
    workers : int, optional
        Threads that encode, or Ray tasks at a time. By default one for each processor, of the cluster with Ray.
    limit : int, optional
        Convert only this many samples, the first ones.
    resume : bool
        Has no effect any more: an interrupted conversion is always continued.
    restart : bool
        Drop what an interrupted conversion left, and begin anew.
    overwrite : bool
        Replace a finished file. Without it, the finished file of the same source and options is accepted.
    on_error : {"raise", "skip"}
        What to do about a sample that cannot be read or encoded: stop, or leave it out and list it in the report.
    engine : {"local", "ray"}
        Encode in threads here, or in the tasks of a Ray cluster whose nodes see the source's files and the folder of
        `out` at the same paths. They write parts to a folder beside `out`, which are then merged.
    address : str, optional
        Of the cluster: ``HOST:PORT`` or ``auto``. By default the one that ``RAY_ADDRESS`` names or that runs on this
        machine, or else one that is started on this machine.
    page_size : int, optional
        As in ``Writer``.
    inputs : sequence of paths
        Files and folders that the source reads. When a conversion is continued, their sizes and times are compared.
    commit_samples : int
        After at most this many samples, 256 MB or a minute, what was written is committed, so that it survives a crash.
    part : Part, optional
        Convert only this part of the samples, to a file of its own: ``X-00003-of-00064.beton`` for an `out` of
        ``X.beton``. `merge` makes the whole of all of them.
    configuration : mapping, optional
        JSON values by which the conversion can be repeated, for the manifest.
    progress : callable
        Makes a ``ProgressDisplay`` from a label, the number of samples and how many are done.

    Returns
    -------
    ConversionReport
        Also stored in the file's manifest, without the times.

    Raises
    ------
    ConversionError
        A sample cannot be converted (with ``on_error="raise"``), or the file cannot be written. What was written is
        kept, and the same call goes on with it.
    OptionError
        An argument is wrong, another file is there, or the source is not what it was when its first samples were read.
    """
    if on_error not in ("raise", "skip"):
        raise OptionError(f"on_error is 'raise' or 'skip', not {on_error!r}")
    tasks, workers = workers, processors(workers)
    check_engine(engine, address)
    encode = partial(by_ray, address=address) if engine == "ray" else by_threads
    available = len(source)
    total = available if limit is None else min(limit, available)
    if total == 0:
        raise SourceError(f"{source.name}: the source has no samples")
    manifest: dict[str, Any] = {"source": source.manifest()}
    if total < available:
        manifest["limit"] = total
    path, begin = Path(out), 0
    if part is not None:
        chosen = part.samples(total)
        if part.count > total:
            raise OptionError(f"{source.name}: {part.count:,} parts of {total:,} samples; ask for fewer")
        source, total, path, begin = Selection(source, chosen, {}), len(chosen), part.path(path), chosen.start
        manifest["part"] = vars(part)
    begun = time.perf_counter()
    if path.exists() and not (overwrite or restart):
        check_output(path, overwrite=True)
        report = finished_report(source, path, manifest, total, page_size, workers)
        drop_parts(path)
        return report
    if engine == "ray" and part is None and not hasattr(source, "stream"):
        return convert_on_cluster(
            convert,
            write_results,
            source,
            path,
            total,
            {"manifest": manifest, "page_size": page_size},
            address=address,
            most=tasks,
            limit=limit,
            restart=restart,
            overwrite=overwrite,
            on_error=on_error,
            inputs=inputs,
            configuration=configuration,
            progress=progress,
        )
    refuse_parts(path, restart=restart)
    stamps = file_stamps(map(Path, inputs))
    with (Writer if part is None else PartWriter)(
        path,
        source.fields,
        total,
        page_size=page_size,
        manifest=manifest,
        resume=True,
        restart=restart,
        commit_samples=commit_samples,
        overwrite=overwrite,
        write_behind=workers > FEW,
    ) as writer:
        report = ConversionReport(writer.state, workers=workers)
        writer.state = report.state
        if part is not None:
            report.begin_part()
        first = int(report.state["next"])
        if first:
            before = report.state.get("inputs", {})
            check_unchanged(source, path.with_name(path.name + ".partial"), writer.notes, before, stamps, workers)
        else:
            report.state["inputs"] = stamps
        left_out = getattr(source, "left_out", None)
        if left_out:
            report.leave_out(left_out.causes, left_out.rows)
        try:
            with contextlib.ExitStack() as stack:
                shown = stack.enter_context(contextlib.closing(progress(path.name, total, first)))
                results = encode(source, units_of(source, first, total), workers)
                stack.enter_context(contextlib.closing(results))
                write_results(writer, results, report, list(source.fields), on_error, shown, begin)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"interrupted after {report.state['next']:,} of {total:,} samples; the same command goes on from there"
            ) from None
        finally:
            if not report.describes(writer.num_written, len(writer.notes) // NOTE.itemsize):
                writer.drop_uncommitted()  # Ctrl-C came between writing a sample and counting it
        recorded = {} if configuration is None else {"configuration": configuration}
        writer.close({"report": report.facts() if part is None else report.part_facts(), **recorded})
    report.seconds = time.perf_counter() - begun
    return report


def write_results(
    writer: Any,
    results: Iterator[list[SampleResult]],
    report: ConversionReport,
    fields: list[str],
    on_error: str,
    shown: ProgressDisplay,
    begin: int,
) -> None:
    """Write what was encoded, in order, and count it.

    Parameters
    ----------
    writer : object
        With ``write`` and ``notes``, as a ``Writer``.
    results : iterator of list of SampleResult
    report : ConversionReport
    fields : list of str
    on_error : {"raise", "skip"}
    shown : ProgressDisplay
    begin : int
        Number of the first sample in its source, for messages.

    Raises
    ------
    ConversionError
        A sample cannot be converted, or so many in a row that the source seems to be gone.
    """
    for unit in results:
        for result in unit:
            index = report.state["next"]
            if result.refusal is not None:
                reason = " ".join(readable(str(result.refusal)).split()) or type(result.refusal).__name__
                name = result.name if len(result.name) <= 300 else f"{result.name[:300]}..."
                if on_error == "raise" or result.fatal:
                    goes_on = "" if result.fatal else _GOES_ON
                    raise ConversionError(f"{name} (sample {begin + index:,}): {reason}{goes_on}") from result.refusal
                failures = report.state["refused_last"] + 1
                if failures >= FAILURES_IN_A_ROW:
                    raise ConversionError(
                        f"{name} (sample {begin + index:,}): the {failures}th sample in a row that cannot be "
                        f"converted: {reason}"
                    ) from result.refusal
                report.refuse(result.name, reason)
            else:
                writer.write(result.encoded, result.name)
                report.count(result.name, fields, result.encoded, result.sizes)
            writer.notes += note_of(result)
            report.state["next"] = index + 1
        shown.update(report.state["next"], report.state["bytes_in"], report.state["refused_count"])


def processors(workers: int | None) -> int:
    """The number of workers asked for, or else the number of processors this process may use."""
    if workers is not None:
        if workers < 1:
            raise OptionError(f"workers: at least 1 is needed, not {workers}")
        return workers
    return usable_cpus()


def check_engine(name: str, address: str | None) -> None:
    """Refuse an engine that there is not, and the address of a cluster without one.

    Raises
    ------
    OptionError
    """
    if name not in ("local", "ray"):
        raise OptionError(f"engine is 'local' or 'ray', not {name!r}")
    if address is not None and name == "local":
        raise OptionError("--address is that of a Ray cluster; add --engine ray")
