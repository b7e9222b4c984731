"""Configurations: conversions described in a YAML file instead of on a long command line.

::

    dataset: imagenet
    source: /data/ILSVRC2012_img_train.tar
    split: train
    out: train.beton
    jpeg: seekable

Keys are the command's options without their dashes; ``dataset`` names the command. A file with a list of such mappings
describes several conversions. ``key=value`` on the command line overrides the file, in all of its conversions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ffprep.common.source_files import check_regular
from ffprep.errors import OptionError

_LARGEST = 1 << 20


def read_config(path: Path, overrides: Sequence[str]) -> list[dict[str, Any]]:
    """The conversions of a YAML file, each a mapping with a ``dataset``.

    Raises
    ------
    OptionError
        The file is not YAML of that shape, or an override is not ``key=value``.
    """
    changes = [_override(text) for text in overrides]
    loaded = _load(path)
    entries = loaded if isinstance(loaded, list) else [loaded]
    conversions = []
    for number, entry in enumerate(entries, 1):
        where = f"{path}, conversion {number}" if len(entries) > 1 else str(path)
        if not isinstance(entry, dict) or not all(isinstance(key, str) for key in entry):
            raise OptionError(f"{where}: a mapping of options is expected, such as 'dataset: imagenet'")
        conversion = {key.replace("_", "-"): value for key, value in entry.items()}
        conversion.update(changes)
        if not isinstance(conversion.get("dataset"), str):
            raise OptionError(f"{where}: says no dataset; write for instance 'dataset: imagenet'")
        conversions.append(conversion)
    if not conversions:
        raise OptionError(f"{path}: is empty")
    return conversions


def to_arguments(options: Mapping[str, Any], known: Mapping[str, bool], where: str) -> list[str]:
    """Return the command-line arguments for a mapping of options.

    Parameters
    ----------
    options : Mapping
        Values by name without dashes; None leaves an option out, a list repeats it.
    known : Mapping of str to bool
        The command's options, and whether each is a switch.
    where : str
        Where the options come from, for messages.
    """
    arguments = []
    for name, value in options.items():
        if name not in known:
            raise OptionError(f"{where}: unknown option {name!r}; there are {', '.join(sorted(known))}")
        if known[name]:
            if not isinstance(value, bool):
                raise OptionError(f"{where}: {name} is true or false, not {value!r}")
            arguments.extend([f"--{name}"] if value else [])
            continue
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, (dict, list)):
                raise OptionError(f"{where}: {name} takes a plain value, not {one!r}")
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


def _parse(text: str, where: str) -> Any:
    try:
        import yaml
    except ImportError:
        raise OptionError("configurations need PyYAML: pip install 'ffprep[convert]'") from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        raise OptionError(f"{where}{line}: not valid YAML: {getattr(error, 'problem', error)}") from None
