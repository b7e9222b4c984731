"""Small XML files from anywhere: no declarations of types or entities, bounded in size and depth."""

from __future__ import annotations

from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from ffprep.errors import SourceError

LARGEST = 1 << 24
_DEEPEST = 50


def read_xml(data: bytes, where: str) -> Element:
    """Parse an XML file.

    Raises
    ------
    SourceError
        It is not well-formed, too large, nested too deep, or declares a document type. Entities, which can stand for
        gigabytes or for other files, are declared there alone, so that none are ever expanded.
    """
    if len(data) > LARGEST:
        raise SourceError(f"{where}: {len(data):,} bytes are no annotation")
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    depth = 0

    def refuse(*_: object) -> None:
        raise SourceError(f"{where}: declares a document type or entities, which annotations do not need; remove it")

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise SourceError(f"{where}: nested more than {_DEEPEST} deep, as no annotation is")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.ExternalEntityRefHandler = refuse  # type: ignore[assignment]
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise SourceError(f"{where}: not well-formed XML: {error}") from None
    return builder.close()
