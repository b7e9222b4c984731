"""The units of a corpus, tokenised by the nodes of a Ray cluster, each into files of its own."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ffprep.common.workers.cluster import Places, Tasks, and_within, connected
from ffprep.common.workers.cpus import usable_cpus
from ffprep.convert.parts_folder import IDENTITY
from ffprep.text.blocks.part_files import Part, part_paths
from ffprep.text.blocks.parts import Settings, find_part, make_part
from ffprep.text.documents.documents import Unit


@dataclass(frozen=True)
class TokensJob:
    """What the tasks have in common.

    Attributes
    ----------
    units : sequence of Unit
    settings : Settings
    folder : Path
        Where the parts lie.
    """

    units: Sequence[Unit]
    settings: Settings
    folder: Path


def make_parts_on_cluster(
    units: Sequence[Unit],
    settings: Settings,
    folder: Path,
    *,
    address: str | None,
    most: int | None,
    inputs: Sequence[Path] = (),
    progress: Callable[[int, int], None] = lambda done, size: None,
) -> list[Part]:
    """Tokenise all units in tasks of a cluster, as `make_parts` does in threads.

    Parameters
    ----------
    units, settings, folder, progress
        As for `make_parts`.
    address : str, optional
        As in `connected`.
    most : int, optional
        Tasks at a time.
    inputs : sequence of Path
        Files and folders that the units read.
    """
    token = folder.absolute() / IDENTITY
    places = Places(str(Path.cwd()), token, token.read_text("utf-8"), and_within(inputs))
    job = TokensJob(units, settings, folder.absolute())
    results: dict[int, Part] = {}
    size = 0
    with connected(address, most or usable_cpus()) as ray:
        tasks = Tasks(ray, write_tokens, job, places)
        tasks.check_nodes()
        found = tasks.results(range(len(units)), lambda number: units[number].key, most)
        with contextlib.closing(found):
            for number, part in found:
                results[number] = part
                size += units[number].size
                progress(len(results), size)
    return [results[number] for number in range(len(units))]


def write_tokens(job: TokensJob, number: int) -> tuple[int, Part]:
    """Tokenise a unit, in a task, unless that was done.

    Files get their names when they are complete, so that a task which runs twice, because its node lost its connection
    but lives on, does no harm.
    """
    unit = job.units[number]
    if find_part(unit, job.settings, job.folder, number) is not None:
        return number, make_part(unit, job.settings, job.folder, number)
    own = Path(tempfile.mkdtemp(prefix="made-", dir=job.folder))
    part = make_part(unit, job.settings, own, number)
    tokens, lengths, record = part_paths(job.folder, number)
    part.path.replace(tokens)
    if part.lengths_path is not None:
        part.lengths_path.replace(lengths)
    part_paths(own, number)[2].replace(record)
    shutil.rmtree(own, ignore_errors=True)
    return number, replace(part, path=tokens, lengths_path=None if part.lengths_path is None else lengths)
