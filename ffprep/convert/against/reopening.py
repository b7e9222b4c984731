"""Opening the data set that a file was made of once more, with the options that its manifest records."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ffprep.beton.parts import Part
from ffprep.beton.reader import Reader
from ffprep.convert.against.pictures import PICTURES, open_pictures
from ffprep.errors import OptionError
from ffprep.fields import ArrayImageField, FloatField, RGBImageField
from ffprep.sources.base import Selection, Source, shuffled
from ffprep.sources.caption_shards import open_caption_shards
from ffprep.sources.coco import open_coco
from ffprep.sources.glue import TASKS, open_glue
from ffprep.sources.imagenet import open_imagenet
from ffprep.sources.openwebtext import SPLITS, Choice, Corpus, open_corpus
from ffprep.sources.reading.synsets import Hints
from ffprep.sources.text import TableChoice, open_rows, open_table
from ffprep.sources.visual_genome import open_visual_genome
from ffprep.text.blocks.block_source import BlockSource
from ffprep.text.blocks.exchange import import_parts
from ffprep.text.blocks.parts import Settings, make_parts
from ffprep.text.documents.documents import RowsUnit
from ffprep.text.tokens.vocabulary import from_manifest

_SHARDS = ("cc3m", "cc12m", "sbu")
_TOKEN_FILES = ("flat", "fairseq", "megatron")


@dataclass(frozen=True)
class Origin:
    """Where a file's data set is now.

    Attributes
    ----------
    places : tuple of str
        What the conversion was given as ``--source``, ``--images``, ``--shards`` or ``--files``.
    annotations : Path or None
        The annotation file of COCO's captions and boxes and of Visual Genome.
    hints : Hints
        Where classes of ImageNet's validation images are listed, if not beside them.
    gpt2_files : Path or None
        Folder with GPT-2's vocabulary, where it is neither in a cache nor to be fetched.
    masks : tuple of Path
        Folders and archives of the masks, of COCO's panoptic segments or of images with masks.
    images : Path or None
        Folder of the images that a table names by their paths, if it is not the table's.
    """

    places: tuple[str, ...]
    annotations: Path | None = None
    hints: Hints = field(default_factory=Hints)
    gpt2_files: Path | None = None
    masks: tuple[Path, ...] = ()
    images: Path | None = None

    @property
    def place(self) -> str:
        """The only place.

        Raises
        ------
        OptionError
            There are several.
        """
        if len(self.places) != 1:
            raise OptionError("this data set has one source: give --against once")
        return self.places[0]


@contextlib.contextmanager
def reopened(reader: Reader, origin: Origin, workers: int) -> Iterator[Source]:
    """The source of a file as it is now, with the samples in the order of the file; of a part, with those of the part.

    A corpus is tokenised to a temporary folder, which takes as much room as its tokens.

    Parameters
    ----------
    reader : Reader
    origin : Origin
    workers : int
        Threads that tokenise.

    Raises
    ------
    OptionError
        The file does not say what it was made of, or needs something that `origin` lacks.
    SourceError
        The data set is not there, or not of the form that the file was made of.
    """
    manifest = reader.manifest or {}
    facts = manifest.get("source")
    if "merged" in manifest:
        raise OptionError(f"{reader.path}: was merged; compare the files that it was merged from with their sources")
    if not isinstance(facts, dict) or manifest.get("writer", {}).get("name") != "ffprep":
        raise OptionError(f"{reader.path}: does not record what it was made of, so it cannot be compared with it")
    with contextlib.ExitStack() as stack:
        if "blocks" in facts:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ffprep-against-")))
            source: Source = _blocks(reader, facts, origin, folder, workers)
        else:
            source = _samples(reader, manifest, facts, origin)
        if "shuffle_seed" in facts:
            source = shuffled(source, int(facts["shuffle_seed"]))
        yield _own_share(source, reader, manifest)


def holds_share(reader: Reader) -> bool:
    """Whether a file says that it has a share of the samples of its source: as a part, or since it was split off."""
    return not {"part", "split"}.isdisjoint(reader.manifest or {})


def _own_share(source: Source, reader: Reader, manifest: Mapping[str, Any]) -> Source:
    """The samples of a source that a file is to have: of a part of a conversion, or of one that was split off.

    Raises
    ------
    OptionError
        Which ones these are cannot be told.
    """
    try:
        if "part" in manifest:
            total = min(len(source), int(manifest.get("limit", len(source))))
            part = manifest["part"]
            source = Selection(source, Part(int(part["number"]), int(part["count"])).samples(total), {})
        if "split" in manifest:
            total = min(len(source), int(manifest.get("limit", len(source))))
            record = manifest["split"]
            counted = record.get("samples")  # which files of before do not say, since they name all that were split
            if (sum(int(one["samples"]) for one in record["from"]) if counted is None else int(counted)) != total:
                raise OptionError(
                    f"{reader.path}: was split from files that have not as many samples as the source, so which of "
                    "these it is to have is not known; compare the files that it was split from"
                )
            source = Selection(source, Part(int(record["number"]), int(record["count"])).samples(total), {})
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        raise OptionError(f"{reader.path}: the record of the samples that it has is damaged") from None
    return source


def _samples(reader: Reader, manifest: Mapping[str, Any], facts: Mapping[str, Any], origin: Origin) -> Source:
    name = facts.get("dataset")
    if name == "imagenet":
        return open_imagenet(
            origin.place,
            str(facts.get("split")),
            image=_image(manifest),
            hints=origin.hints,
            all_files=_all_files(facts),
        )
    if name in ("coco", "vg"):
        if origin.annotations is None:
            raise OptionError(f"{reader.path}: its captions came from a file of annotations: give it as --annotations")
        images = [Path(place) for place in origin.places]
        taken = _captions(reader, manifest, facts, origin)
        if name == "coco":
            return open_coco(images, origin.annotations, facts.get("split") or None, **taken)
        return open_visual_genome(images, origin.annotations, **taken)
    if name in _SHARDS:
        taken = _captions(reader, manifest, facts, origin)
        return open_caption_shards(name, [Path(place) for place in origin.places], **taken)
    if "rows" in facts:
        return _rows(reader, facts, origin)
    if name in PICTURES:
        image = _image(manifest)
        given = origin.places, origin.annotations, origin.masks, origin.images
        return open_pictures(facts, list(reader.fields), *given, image, str(reader.path))
    raise OptionError(
        f"{reader.path}: was made of {name or 'a data set that it does not name'}, with which --against cannot "
        f"compare; it compares files of imagenet, {', '.join(PICTURES)}, coco, vg, cc3m, cc12m, sbu, text, openwebtext "
        "and glue"
    )


def _all_files(facts: Mapping[str, Any]) -> bool:
    return bool(facts.get("all_files"))


def _image(manifest: Mapping[str, Any]) -> RGBImageField:
    options = dict(manifest["fields"]["image"])
    if options.pop("type", None) == ArrayImageField.__name__:
        return RGBImageField("raw")  # stands for none: the images are arrays
    if options["write_mode"] != "jpg":
        options["jpeg"] = None
    try:
        return RGBImageField(**options)
    except TypeError as error:
        raise OptionError(f"the manifest's options of images are of another version of ffprep: {error}") from None


def _captions(reader: Reader, manifest: Mapping[str, Any], facts: Mapping[str, Any], origin: Origin) -> dict[str, Any]:
    grouped = facts["form"] == "grouped"
    return {
        "image": _image(manifest),
        "form": facts["form"],
        "length": int(facts["length"]),
        "most": int(reader.fields["tokens"].shape[0]) if grouped else None,  # type: ignore[attr-defined]
        "text": "caption" in reader.fields,
        "all_files": _all_files(facts),
        "vocabulary": from_manifest(facts["vocabulary"], origin.gpt2_files),
        "skip": True,
    }


def _rows(reader: Reader, facts: Mapping[str, Any], origin: Origin) -> Source:
    vocabulary = from_manifest(facts["vocabulary"], origin.gpt2_files)
    length, keep = int(facts["rows"]["length"]), "text" in reader.fields
    if "task" in facts:
        task, split = TASKS[facts["task"]], facts["split"]
        return open_glue(origin.place, task, split, vocabulary, length, keep, True, True, _all_files(facts))
    columns = [str(name) for name in facts["columns"]]
    second = columns.pop(1) if facts["rows"]["pair"] else None
    label = columns.pop(1) if "label" in reader.fields else None
    kind = "float" if isinstance(reader.fields.get("label"), FloatField) else "int"
    choice = TableChoice(
        origin.places, columns[0], second, label, tuple(facts.get("labels", ())),
        "auto" if facts.get("labels") else kind, **_table_options(facts), all_files=_all_files(facts),
    )  # fmt: skip
    return open_rows(choice, vocabulary, length, keep, True)


def _table_options(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What was said about the form of the tables."""
    options = dict(facts.get("table", {}))
    return {**options, "columns": tuple(options.get("columns", ()))}


def _blocks(reader: Reader, facts: Mapping[str, Any], origin: Origin, folder: Path, workers: int) -> Source:
    vocabulary = from_manifest(facts["vocabulary"], origin.gpt2_files)
    blocks = facts["blocks"]
    block, padded = int(blocks["block"]), bool(blocks["padded"])
    padding = block if padded else 0
    if facts.get("form") in _TOKEN_FILES:
        parts = import_parts(Path(origin.place), vocabulary, folder, padding)
        units = [origin.place]
    else:
        corpus = _corpus(facts, origin)
        settings = Settings(vocabulary, padding, corpus.share, bool(facts["text"]["bad"]) if "text" in facts else True)
        parts = make_parts(corpus.units, settings, folder, workers)
        units = [unit.key for unit in corpus.units]
    return BlockSource(parts, vocabulary, block, int(blocks["per_sample"]), "text", units=units)


def _corpus(facts: Mapping[str, Any], origin: Origin) -> Corpus:
    if "columns" in facts:
        choice = TableChoice(
            origin.places, str(facts["columns"][0]), **_table_options(facts), all_files=_all_files(facts)
        )
        return Corpus("text", [RowsUnit(part) for part in open_table(choice, [choice.text])[0]])
    chunks = facts.get("chunks")
    split = next((name for name, (low, high) in SPLITS.items() if chunks in (f"{low}-{high - 1}", str(low))), None)
    files, share = facts.get("files"), facts.get("share")
    chosen = Choice(split, None if split else chunks, files, share)
    return open_corpus(origin.place, chosen, str(facts["column"]), all_files=_all_files(facts))
