"""Configurations: conversions described in a YAML file instead of on a long command line.

::

    dataset: imagenet
    source: /data/ILSVRC2012_img_train.tar
    split: train
    out: train.beton
    jpeg: seekable

Keys are the command's options without their dashes; ``dataset`` names the command. A file with a list of such mappings
describes several conversions; ``include: OTHER.yaml`` in it stands for those of another file, which lies beside it.
``key=value`` on the command line overrides the file, in all of its conversions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ffprep.common.files.source_files import check_regular
from ffprep.common.names import did_you_mean
from ffprep.errors import OptionError

_LARGEST = 1 << 20
_MOST_VALUES = 100_000
_DEEPEST = 20


def read_config(path: Path, overrides: Sequence[str], outer: Path | None = None) -> list[dict[str, Any]]:
    """The conversions of a YAML file, each a mapping with a ``dataset``.

    Parameters
    ----------
    path : Path
    overrides : sequence of str
        ``key=value``.
    outer : Path, optional
        The file that includes this one, which then includes no other.

    Raises
    ------
    OptionError
        The file is not YAML of that shape, or an override is not ``key=value``.
    """
    changes = overrides_of(overrides)
    loaded = _load(path)
    entries = loaded if isinstance(loaded, list) else [loaded]
    conversions = []
    for number, entry in enumerate(entries, 1):
        where = f"{path}, conversion {number}" if len(entries) > 1 else str(path)
        if not isinstance(entry, dict) or not all(isinstance(key, str) for key in entry):
            raise OptionError(f"{where}: a mapping of options is expected, such as 'dataset: imagenet'")
        if "include" in entry:
            conversions += _included(entry, path, where, overrides, outer)
            continue
        conversion = {key.replace("_", "-"): value for key, value in entry.items()}
        conversion.update(changes)
        if not isinstance(conversion.get("dataset"), str):
            raise OptionError(f"{where}: says no dataset; write for instance 'dataset: imagenet'")
        conversions.append(conversion)
    if not conversions:
        raise OptionError(f"{path}: is empty")
    return conversions


def _included(
    entry: dict[str, Any], path: Path, where: str, overrides: Sequence[str], outer: Path | None
) -> list[dict[str, Any]]:
    name = entry["include"]
    if len(entry) > 1 or not isinstance(name, str):
        raise OptionError(f"{where}: include stands alone and names a file, such as 'include: imagenet.yaml'")
    if outer is not None:
        raise OptionError(f"{where}: is included by {outer}, and includes a file itself; name all in {outer}")
    return read_config(path.parent / name, overrides, path)


def overrides_of(words: Sequence[str]) -> dict[str, Any]:
    """Read ``key=value`` words.

    Raises
    ------
    OptionError
        One is none.
    """
    return dict(_override(text) for text in words)


def to_arguments(
    options: Mapping[str, Any],
    known: Mapping[str, bool],
    where: str,
    opposites: Mapping[str, str] = MappingProxyType({}),
) -> list[str]:
    """Return the command-line arguments for a mapping of options.

    Parameters
    ----------
    options : Mapping
        Values by name without dashes; None leaves an option out, a list repeats it.
    known : Mapping of str to bool
        The command's options, and whether each is a switch.
    where : str
        Where the options come from, for messages.
    opposites : Mapping of str to str
        Switches that have one, which false means.
    """
    arguments = []
    for name, value in options.items():
        if name not in known:
            there = did_you_mean(name, known) or f"; there are {', '.join(sorted(known))}"
            raise OptionError(f"{where}: unknown option {_brief(repr(name))}{there}")
        if known[name]:
            if not isinstance(value, bool):
                raise OptionError(f"{where}: {name} is true or false, not {_brief(repr(value))}")
            chosen = name if value else opposites.get(name)
            arguments.extend([f"--{chosen}"] if chosen else [])
            continue
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, (dict, list)):
                raise OptionError(f"{where}: {name} takes a plain value, not {_brief(repr(one))}")
            if one is not None:
                arguments.append(f"--{name}={one}")
    return arguments


def _override(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise OptionError(f"{text!r}: key=value is expected")
    return key.replace("_", "-"), _parse(value, f"the value of {key}")


def _load(path: Path) -> Any:
    try:
        if check_regular(path).st_size > _LARGEST:
            raise OptionError(f"{path}: too large for a configuration")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise OptionError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise OptionError(f"{path}: not a text file") from None
    return _parse(text, str(path))


def _brief(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 80 else f"{text[:80]}..."


def _weigh(top: Any, where: str) -> None:
    """Refuse YAML whose aliases stand for more values than a configuration has."""
    weights: dict[int, int] = {}

    def weigh(node: Any) -> int:
        if id(node) not in weights:
            weights[id(node)] = _MOST_VALUES  # of a mapping or list that holds itself
            parts = node.value if isinstance(node.value, list) else []
            inner = [part for pair in parts for part in (pair if isinstance(pair, tuple) else (pair,))]
            weights[id(node)] = 1 + sum(map(weigh, inner))
        return weights[id(node)]

    if weigh(top) > _MOST_VALUES:
        raise OptionError(
            f"{where}: more than {_MOST_VALUES:,} values once its aliases (*name) are written out; write several files"
        )


def _check_keys(node: Any, where: str, seen: set[int]) -> None:
    """Refuse mappings with a key twice, of which YAML takes the last without a word."""
    if id(node) in seen or not isinstance(node.value, list):
        return
    seen.add(id(node))
    lines: dict[str, int] = {}
    for part in node.value:
        if isinstance(part, tuple):
            key, value = part
            name = str(key.value).replace("_", "-")
            if key.tag != "tag:yaml.org,2002:merge" and name in lines:
                raise OptionError(
                    f"{where}, line {key.start_mark.line + 1}: {_brief(repr(name))} stands in line {lines[name]}, too; "
                    "keep one of them"
                )
            lines[name] = key.start_mark.line + 1
            _check_keys(value, where, seen)
        else:
            _check_keys(part, where, seen)


def _parse(text: str, where: str) -> Any:
    try:
        import yaml
    except ImportError:
        raise OptionError("configurations need PyYAML: pip install 'ffprep[convert]'") from None
    try:
        depth = 0
        for event in yaml.parse(text, yaml.SafeLoader):  # which does not recurse, as making nodes does
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST:
                raise OptionError(f"{where}: nested more than {_DEEPEST} deep; a configuration needs less")
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _weigh(node, where)
            _check_keys(node, where, set())
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except (ValueError, OverflowError, LookupError, AttributeError, TypeError) as error:  # PyYAML's, of single values
        if isinstance(error, OptionError):
            raise
        raise OptionError(f"{where}: not valid YAML: {_brief(error)}; put the value in quotes") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        raise OptionError(f"{where}{line}: not valid YAML: {_brief(getattr(error, 'problem', error))}") from None
