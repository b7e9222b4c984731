"""Documents for the benchmark of text, in the forms that its contestants read."""

from __future__ import annotations

import io
import json
import lzma
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

BLOCK = 192


ARCHIVE = 2 << 20
"""Bytes of text in a file, about what OpenWebText's inner archives have."""


def documents(source: str | None, column: str) -> Iterator[str]:
    """Cleaned documents of a source, or made of the demo's words."""
    from ffprep.sources.openwebtext import Choice, open_corpus
    from ffprep.text.documents.cleaning import Removed, clean, clean_pieces, clean_text
    from ffprep.text.documents.documents import Document

    if source is None:
        yield from _made_up()
        return
    for unit in open_corpus(source, Choice(share="0-1"), column).units:
        for item in unit.documents():
            if isinstance(item, Document):
                content = item.content
                if isinstance(content, bytes):
                    text = clean(content, Removed())
                elif isinstance(content, str):
                    text = clean_text(content, Removed())
                else:
                    text = "".join(clean_pieces(content, Removed()))
                if text:
                    yield text


def _made_up(count: int = 4000, words: int = 700) -> Iterator[str]:
    import ffprep

    folder = Path(ffprep.__file__).parent / "demo_data" / "text"
    text = " ".join(path.read_text() for path in sorted(folder.iterdir()))
    known = np.array(text.split())
    rng = np.random.default_rng(0)
    for _ in range(count):
        yield " ".join(rng.choice(known, words).tolist())


def make_sources(texts: Sequence[str], folder: Path) -> tuple[Path, Path]:
    """Write the documents as OpenWebText's chunks and as files of JSON lines."""
    chunks, lines = folder / "chunks", folder / "lines"
    chunks.mkdir()
    lines.mkdir()
    held: list[str] = []
    size = number = 0
    for place, text in enumerate(texts):
        held.append(text)
        size += len(text.encode())
        if size > ARCHIVE or place == len(texts) - 1:
            _archive(chunks / f"urlsf_subset00-{number}_data.xz", held)
            rows = [json.dumps({"text": held_text}, ensure_ascii=False) + "\n" for held_text in held]
            (lines / f"{number:05}.jsonl").write_text("".join(rows), encoding="utf-8")
            number, size, held = number + 1, 0, []
    return chunks, lines


def _archive(path: Path, texts: Sequence[str]) -> None:
    with lzma.open(path, "wb", preset=2) as file, tarfile.open(fileobj=file, mode="w|") as tar:
        for number, text in enumerate(texts):
            content = text.encode()
            info = tarfile.TarInfo(f"{path.stem}/{number:07}.txt")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def make_token_files(flat: Path, out: Path, tokens: int) -> None:
    """A flat file repeated up to a given number of tokens, and a .beton file of the same."""
    from ffprep.convert.corpus import convert_parts
    from ffprep.text.blocks.exchange import import_parts
    from ffprep.text.tokens.vocabulary import fairseq

    some = np.fromfile(flat, "<u2")
    with flat.open("wb") as file:
        for _ in range(-(-tokens // len(some))):
            some.tofile(file)
    convert_parts(
        lambda folder, padded, workers, progress: import_parts(flat, fairseq(), folder, padded),
        "tokens",
        {},
        fairseq(),
        identity={},
        out=out,
        block=BLOCK,
    )
