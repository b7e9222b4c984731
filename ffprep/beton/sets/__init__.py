"""Sets: several ``.beton`` files that are one data set, and the index file that lists them.

A set is named by its index, by its folder, by a pattern such as ``train-*.beton``, or by a list of any of these. An
index is JSON::

    {"format": "ffprep set", "version": 1, "samples": 1281167, "bytes": 141000000000,
     "files": [{"name": "train-00000-of-00064.beton", "samples": 20019, "bytes": 2203125000,
                "checksum": "0123456789abcdef"}, ...]}

Names are those of files in the index's own folder. A checksum is that of the file's superblock, which holds the
checksums of everything else; of a file without a superblock, the xxh3-64 of its head and its allocation table.
"""

from __future__ import annotations

from ffprep.beton.sets.index import SUFFIX, read_index
from ffprep.beton.sets.making import make_set
from ffprep.beton.sets.members import Member, SetFile, SetIndex, check_same_fields, each_opened, name_problem
from ffprep.beton.sets.places import Place, files_of, numbered
from ffprep.beton.sets.tokens import check_same_tokens, source_of

__all__ = [
    "SUFFIX",
    "Member",
    "Place",
    "SetFile",
    "SetIndex",
    "check_same_fields",
    "check_same_tokens",
    "each_opened",
    "files_of",
    "make_set",
    "name_problem",
    "numbered",
    "read_index",
    "source_of",
]
