"""Rows of webdataset tars: what has one key is a row, and the endings of its members are the columns."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ffprep.common.files.source_files import open_regular
from ffprep.common.files.tar import members
from ffprep.common.names import Clutter
from ffprep.errors import SourceError
from ffprep.sources.images.rows import inside, no_column, sampled_size
from ffprep.sources.reading.file_sets import TarFiles, is_image_name
from ffprep.sources.reading.left_out import LeftOut
from ffprep.sources.reading.shard_index import shard_damage, split_key

_MORE = ("gif", "avif")
_LARGEST_JSON = 1 << 26


class ShardRows:
    """Rows of webdataset tars, with the columns ``jpg``, ``cls``, ``json`` and so on; ``json.width`` is a key in JSON.

    A column may name several endings, ``jpg;png``, of which the first one that a row has counts.

    Parameters
    ----------
    paths : list of Path
    left_out : LeftOut
        Takes archives that are damaged, after their whole rows.
    clutter : Clutter
        Decides about members that systems leave behind.
    """

    def __init__(self, paths: list[Path], left_out: LeftOut, clutter: Clutter) -> None:
        self.label = str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1:,} more"
        self.features: Mapping[str, Any] = {}
        self._left_out, self._clutter = left_out, clutter
        self._keys: list[str] = []
        self._rows: list[dict[str, int]] = []
        names: list[str] = []
        where: list[tuple[int, int, int]] = []
        endings: Counter[str] = Counter()
        for number, path in enumerate(paths):
            self._walk(number, path, names, where, endings)
        table = np.array(where, np.int64).reshape(-1, 3)
        self._files = TarFiles(paths, names, table[:, 0].astype(np.int32), table[:, 1].copy(), table[:, 2].copy())
        self.names: Sequence[str] = [*(ending for ending, _ in endings.most_common()), "key", "folder"]
        self._columns: dict[str, list[Any]] = {}

    def _walk(
        self, number: int, path: Path, names: list[str], where: list[tuple[int, int, int]], endings: Counter[str]
    ) -> None:
        by_key: dict[str, dict[str, int]] = {}
        fd = open_regular(path)
        try:
            for member in members(fd, label=str(path)):
                key, ending = split_key(member.name)
                if self._clutter.leaves_out(member.name, hidden=True) or not key or not ending:
                    continue
                row = by_key.get(key)
                if row is None or ending in row:  # the key begins anew
                    row = by_key[key] = {}
                    self._rows.append(row)
                    self._keys.append(f"{path.stem}/{key}")
                row[ending] = len(names)
                names.append(f"{path.stem}/{member.name}")
                where.append((number, member.offset, member.size))
                endings[ending] += 1
        except (SourceError, OSError) as error:
            self._left_out.add(path, "", shard_damage(path, fd, error))
        finally:
            os.close(fd)

    def __len__(self) -> int:
        return len(self._rows)

    def load(self, columns: Sequence[str]) -> None:
        for name in columns:
            if name not in self.names:
                self._known(name)

    def images(self) -> list[str]:
        """All endings of images, as one column; those with a dot, such as ``seg.png``, are columns of their own."""
        found = [name for name in self.names if is_image_name(f"x.{name}") or name.rpartition(".")[2] in _MORE]
        plain = [name for name in found if "." not in name]
        return [";".join(plain)] if plain else found

    def _place(self, name: str, index: int) -> int | None:
        row = self._rows[index]
        return next((row[ending] for ending in name.split(";") if ending in row), None)

    def _known(self, name: str) -> tuple[str, list[str]]:
        """The ending that a column's name begins with, and the keys in its JSON that follow."""
        if all(ending in self.names for ending in name.split(";")):
            return name, []
        ending, _, keys = name.partition(".")
        while keys and not (ending in self.names and ending.rpartition(".")[2] == "json"):
            more, _, keys = keys.partition(".")  # of an ending with dots, such as a.json
            ending = f"{ending}.{more}"
        if not keys:
            raise no_column(self.label, name, self.names)
        return ending, keys.split(".")

    def column(self, name: str) -> Sequence[Any]:
        if name not in self._columns:
            self._columns[name] = [self.value(name, index) for index in range(len(self))]
        return self._columns[name]

    def value(self, name: str, index: int) -> Any:
        if name in self._columns:
            return self._columns[name][index]
        if name in ("key", "folder"):
            key = self._keys[index].partition("/")[2]
            return key if name == "key" else key.rpartition("/")[0]
        ending, keys = self._known(name)
        place = self._place(ending, index)
        if place is None:
            return None
        data = self._files.read(place)
        if not keys and ending.rpartition(".")[2] not in ("json", "txt", "text", "cls", "cls2", "index", "id"):
            return data
        where = self._files.names[place]
        if ending.rpartition(".")[2] != "json":
            return data.decode("utf-8", "replace").strip()
        if len(data) > _LARGEST_JSON:
            raise SourceError(f"{where}: {len(data):,} bytes of JSON are more than a sample may have")
        try:
            return inside(json.loads(data), keys, where)
        except (ValueError, RecursionError) as error:
            raise SourceError(f"{where}: not valid JSON: {error}") from None

    def file(self, name: str, index: int) -> bytes:
        place = self._place(self._known(name)[0], index)
        if place is None:
            raise SourceError(f"{self._keys[index]}: has no .{name.replace(';', ', .')}")
        return self._files.read(place)

    def row_name(self, name: str, index: int) -> str:
        place = self._place(name, index)
        return self._keys[index] if place is None else self._files.names[place]

    def where(self, index: int) -> str:
        return self._keys[index]

    def stamp(self, name: str, index: int) -> None:
        """There is none: members have no times of their own that count."""

    def size(self, name: str) -> int:
        def one(index: int) -> int:
            place = self._place(name, index)
            return 0 if place is None else self._files.size(place)

        return sampled_size(len(self), one)
