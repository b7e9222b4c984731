"""Metadata of .beton files in MLCommons' Croissant format, version 1.0: JSON-LD that registries of data sets read.

The format is described at https://docs.mlcommons.org/croissant/docs/croissant-spec.html. No reader of Croissant opens
.beton files, so the fields are described as what a loader gives, and their source is the content of the files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ffprep.beton.reader import Reader
from ffprep.beton.sets import SetFile, source_of
from ffprep.common.files.replacing import naming
from ffprep.common.files.source_files import check_regular
from ffprep.errors import OptionError
from ffprep.inspect.info import describe_set

CONFORMS_TO = "http://mlcommons.org/croissant/1.0"
MEDIA_TYPE = "application/octet-stream"  # .beton has no registered type
_PIECE = 1 << 22

_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The names of version 1.0, as the specification lists them."""

HOMEPAGES = {
    "imagenet": "https://image-net.org",
    "coco": "https://cocodataset.org",
    "vg": "https://homes.cs.washington.edu/~ranjay/visualgenome",
    "cc3m": "https://ai.google.com/research/ConceptualCaptions",
    "cc12m": "https://github.com/google-research-datasets/conceptual-12m",
    "sbu": "https://www.cs.rice.edu/~vo9/sbucaptions",
    "openwebtext": "https://skylion007.github.io/OpenWebTextCorpus",
    "glue": "https://gluebenchmark.com",
}
"""Where the data sets come from that have a command of their own."""


@dataclass(frozen=True)
class About:
    """What no file says of itself.

    Attributes
    ----------
    name : str or None
        Of the data set; by default that of the file.
    url : str or None
        Where the files are published, without their names.
    license : str or None
        A URL or a name.
    """

    name: str | None = None
    url: str | None = None
    license: str | None = None


def croissant(
    files: Sequence[SetFile], about: About, progress: Callable[[int, int], None] = lambda done, total: None
) -> dict[str, Any]:
    """Describe a file, or the files of a set, in Croissant's JSON-LD.

    Parameters
    ----------
    files : sequence of SetFile
    about : About
    progress : callable
        Called with the bytes read for the files' SHA-256 and the bytes in all.

    Raises
    ------
    BetonError
        A file is no .beton file, or is damaged.
    OptionError
        A file lies in a store.
    """
    facts = describe_set(files)
    source = source_of(facts["manifest"])
    name = about.name or Path(facts["path"]).name.removesuffix(".beton").removesuffix(".set.json")
    distribution = _distribution(files, about, progress)
    described: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": name,
        "description": describe(facts),
        "conformsTo": CONFORMS_TO,
        "url": about.url or HOMEPAGES.get(str(source.get("dataset"))),
        "license": about.license,
        "isBasedOn": HOMEPAGES.get(str(source.get("dataset"))),
        "distribution": distribution,
        "recordSet": _records(facts["fields"], source, distribution),
    }
    return {key: value for key, value in described.items() if value is not None}


def describe(facts: Mapping[str, Any]) -> str:
    """A sentence or two about what `describe_set` told of files."""
    source = source_of(facts["manifest"])
    which = " ".join(str(source[key]) for key in ("dataset", "task", "split") if isinstance(source.get(key), str))
    made = f", converted from {which}" if which else ""
    return f"{facts['samples']:,} samples{made} to FFCV .beton files (version 2), which ffprep and ffcv load."


def _distribution(files: Sequence[SetFile], about: About, progress: Callable[[int, int], None]) -> list[dict[str, Any]]:
    for file in files:
        with Reader(file) as reader:
            if reader.source is not None:
                raise OptionError(f"{file}: lies in a store, and its SHA-256 needs every byte; copy it to this machine")
    sizes = [check_regular(file.path).st_size for file in files]
    done, found = 0, []
    for file, size in zip(files, sizes, strict=True):
        digest, name = hashlib.sha256(), quote(file.path.name)
        with naming(file.path), file.path.open("rb") as opened:
            while piece := opened.read(_PIECE):
                digest.update(piece)
                done += len(piece)
                progress(done, sum(sizes))
        found.append(
            {
                "@type": "cr:FileObject",
                "@id": name,
                "name": file.path.name,
                "contentUrl": f"{about.url.rstrip('/')}/{name}" if about.url else name,
                "contentSize": f"{size} B",
                "encodingFormat": MEDIA_TYPE,
                "sha256": digest.hexdigest(),
            }
        )
    return found


def _records(
    fields: Mapping[str, Mapping[str, Any]], source: Mapping[str, Any], distribution: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    classes = source.get("classes", source.get("labels"))
    named = isinstance(classes, list) and bool(classes) and all(isinstance(one, str) for one in classes)
    records: list[dict[str, Any]] = []
    if named and "label" in fields:
        records.append(
            {
                "@type": "cr:RecordSet",
                "@id": "classes",
                "name": "classes",
                "description": "The names of the labels.",
                "dataType": "sc:Enumeration",
                "key": {"@id": "classes/number"},
                "field": [
                    {"@type": "cr:Field", "@id": "classes/number", "name": "number", "dataType": "sc:Integer"},
                    {"@type": "cr:Field", "@id": "classes/name", "name": "name", "dataType": "sc:Text"},
                ],
                "data": [{"classes/number": number, "classes/name": one} for number, one in enumerate(classes)],
            }
        )
    enumerated = bool(records)
    for number, file in enumerate(distribution):
        label = "samples" if len(distribution) == 1 else f"samples-{number}"
        records.append(
            {
                "@type": "cr:RecordSet",
                "@id": label,
                "name": label,
                "description": f"What a loader gives for each sample of {file['name']}.",
                "field": [_field(label, name, one, file, enumerated) for name, one in fields.items()],
            }
        )
    return records


def _field(records: str, name: str, facts: Mapping[str, Any], file: Mapping[str, Any], named: bool) -> dict[str, Any]:
    kind = facts["type"]
    described: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": f"{records}/{name}",
        "name": name,
        "description": kind + (f" of {facts['dtype']}, shape {tuple(facts['shape'])}" if "dtype" in facts else ""),
        "dataType": _data_type(facts),
        "source": {"fileObject": {"@id": file["@id"]}, "extract": {"fileProperty": "content"}},
    }
    if "dtype" in facts:
        described["repeated"] = True
    if name == "label" and named:
        described["references"] = {"field": {"@id": "classes/number"}}
    return described


def _data_type(facts: Mapping[str, Any]) -> str:
    known = {"RGBImageField": "sc:ImageObject", "MaskField": "sc:ImageObject", "FloatField": "sc:Float"}
    if facts["type"] in known:
        return known[facts["type"]]
    if facts["type"] in ("JSONField", "BytesField"):
        return "sc:Text"
    return "sc:Float" if str(facts.get("dtype", "")).startswith(("float", "bfloat")) else "sc:Integer"
