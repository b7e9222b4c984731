"""Which preset a file is for."""

from __future__ import annotations

from collections.abc import Sequence

from ffprep.beton.reader import Reader
from ffprep.errors import OptionError
from ffprep.text.blocks.blocks import source_facts


def preset_for(reader: Reader) -> str:
    """Return what to load a file with."""
    fields = set(reader.fields)
    if "blocks" in source_facts(reader):
        return "text_blocks"
    for needed, preset in (
        ({"image", "tokens", "length"}, "image_text_train"),
        ({"image", "label"}, "imagenet_train"),
        ({"tokens", "length"}, "text_rows"),
    ):
        if needed <= fields:
            return preset
    return "text_blocks" if "image" not in fields else "Loader, and pipelines for its fields"


def check_fields(reader: Reader, needed: Sequence[str], kind: str) -> None:
    """Check that a file has the fields that a preset needs.

    Parameters
    ----------
    reader : Reader
    needed : sequence of str
    kind : str
        What a file that has them is, for the message.

    Raises
    ------
    OptionError
        It lacks one.
    """
    lacking = [name for name in needed if name not in reader.fields]
    if lacking:
        raise OptionError(
            f"{reader.path}: has the fields {', '.join(reader.fields)} and no {lacking[0]!r}, so it is not a file of "
            f"{kind}; load it with {preset_for(reader)}"
        )
