"""Text: tokenising and writing beside tiktoken itself, and loading blocks beside the usual ways.

    python benchmarks/converting/text.py --source /data/openwebtext --cores 0,1
    python benchmarks/converting/text.py --source captions.jsonl --column caption --part tokenise --megabytes 3

Tokenising: the documents of the source, cleaned, are written as text files in compressed archives (the form OpenWebText
is published in) and as JSON lines, and converted to a .beton file from each. Beside it, tiktoken tokenises the same
documents, which it has in memory, one by one in one thread. Both have seen some megabytes before.

Loading: random blocks of 192 tokens as int64 batches from one file (ffprep) or the same tokens in a memory-mapped flat
file (torch's DataLoader; nanoGPT's ``get_batch``). The last contestant copies memory, as many bytes as loading has to
read and write.

Each contestant runs in a process of its own and they take turns (``ffprep.inspect.timing.paired``).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from text_data import BLOCK, documents, make_sources, make_token_files

from ffprep.inspect.timing.paired import Contestant, Timing, compare, ratio

Round = Callable[[], int]
CAPTION = 300
"""Bytes; texts shorter than this in the mean are captions, and become rows of tokens instead of blocks."""


# contestants


def conversion(source: str, out: str, column: str = "text", workers: int = 1, compiled: bool = True) -> Round:
    """``ffprep convert openwebtext`` of a whole source; a round returns the bytes of its text."""
    from ffprep.convert.corpus import convert_corpus
    from ffprep.sources.openwebtext import Choice, open_corpus
    from ffprep.text.tokens import fast
    from ffprep.text.tokens.vocabulary import fairseq

    if not compiled:
        fast.AFTER = sys.maxsize

    def run() -> int:
        corpus = open_corpus(source, Choice(share="0-1"), column)
        return convert_corpus(corpus, Path(out), fairseq(), workers=workers, overwrite=True).statistics.size

    return run


def _texts(source: str, column: str) -> list[str]:
    files = sorted(Path(source).iterdir())
    return [json.loads(line)[column] for path in files for line in path.read_text("utf-8").split("\n") if line]


def rows(source: str, column: str = "text", length: int = 64, compiled: bool = True) -> Round:
    """Texts as rows of tokens, as many at a time as a conversion of captions announces."""
    from ffprep.convert.units import ANNOUNCED, UNIT
    from ffprep.text.tokens import fast
    from ffprep.text.tokens.sequences import encode_rows
    from ffprep.text.tokens.vocabulary import fairseq

    texts = _texts(source, column)
    size = sum(len(text.encode()) for text in texts)
    vocabulary = fairseq()
    if not compiled:
        fast.AFTER = sys.maxsize
    together = ANNOUNCED * UNIT

    def run() -> int:
        for first in range(0, len(texts), together):
            encode_rows(vocabulary, texts[first : first + together], None, length)
        return size

    return run


def tiktoken_alone(source: str, column: str = "text") -> Round:
    """tiktoken on cleaned documents in memory, one call a document."""
    from ffprep.text.tokens.bpe import encoding

    texts = _texts(source, column)
    size = sum(len(text.encode()) for text in texts)
    encode = encoding().encode_to_numpy

    def run() -> int:
        for text in texts:
            encode(text, disallowed_special=())
        return size

    return run


def ffprep_blocks(path: str, batch_size: int, num_workers: int = 1) -> Round:
    """ffprep's loader of blocks, a whole epoch; a round returns tokens."""
    from ffprep.presets import text_blocks

    loader = text_blocks(path, batch_size=batch_size, num_workers=num_workers, seed=0)
    return lambda: sum(tokens.numel() for (tokens,) in loader)


class _Blocks:
    """A map-style data set of the blocks of a flat file."""

    def __init__(self, path: str) -> None:
        self.tokens = np.memmap(path, np.uint16, "r")

    def __len__(self) -> int:
        return len(self.tokens) // BLOCK

    def __getitem__(self, index: int) -> Any:
        import torch

        return torch.from_numpy(self.tokens[BLOCK * index : BLOCK * (index + 1)].astype(np.int64))


def torch_data_loader(path: str, batch_size: int, num_workers: int, batches: int) -> Round:
    """torch's DataLoader with shuffling; the first batches of an epoch."""
    from itertools import islice

    import torch

    loader: Any = torch.utils.data.DataLoader(
        _Blocks(path),  # type: ignore[arg-type]
        batch_size=batch_size,
        shuffle=True,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
    )
    return lambda: sum(tokens.numel() for tokens in islice(loader, batches))


def get_batch(path: str, batch_size: int, batches: int) -> Round:
    """nanoGPT's way to a batch, of the inputs alone: blocks from anywhere in the file, widened one by one, stacked."""
    import torch

    def run() -> int:
        count = 0
        for _ in range(batches):
            data = np.memmap(path, np.uint16, "r")  # for each batch anew, as nanoGPT does it
            starts = torch.randint(len(data) - BLOCK, (batch_size,))
            tokens = torch.stack([torch.from_numpy(data[i : i + BLOCK].astype(np.int64)) for i in starts.tolist()])
            count += tokens.numel()
        return count

    return run


def copying(batch_size: int, batches: int) -> Round:
    """Copies memory into a batch's buffer. A token is 10 bytes, 2 read and 8 written, hence 5 copied."""
    target = np.zeros(batch_size * BLOCK * 5, np.uint8)
    source = np.ones(1024 * target.size, np.uint8)  # more than caches hold

    def run() -> int:
        for number in range(batches):
            start = number % 1024 * target.size
            np.copyto(target, source[start : start + target.size])
        return batches * batch_size * BLOCK

    return run


# the tables


def tokenise(texts: Sequence[str], folder: Path, rounds: int, cores: Sequence[int], clock: str) -> None:
    """Time conversions and tiktoken, and print a table."""
    chunks, lines = make_sources(texts, folder)
    size = sum(len(text.encode()) for text in texts)
    out = str(folder / "out.beton")
    tokens = conversion_tokens(str(lines), out)
    one, two = cores[:1], cores[:2]

    def contestant(name: str, runner: str, on: Sequence[int] = one, **options: Any) -> Contestant:
        return Contestant(name, f"text:{runner}", options, on or None, _here(), clock)

    alone = "tiktoken alone"
    every = [
        contestant(alone, "tiktoken_alone", source=str(lines)),
        contestant("JSON lines", "conversion", source=str(lines), out=out + "1"),
        contestant("JSON lines, tiktoken inside", "conversion", source=str(lines), out=out + "2", compiled=False),
        contestant("chunks (tar, xz)", "conversion", source=str(chunks), out=out + "3"),
        contestant("chunks, tiktoken inside", "conversion", source=str(chunks), out=out + "4", compiled=False),
    ]
    captions = size / len(texts) < CAPTION
    if captions:
        every[1:] = [
            contestant("captions as rows of 64 tokens", "rows", source=str(lines)),
            contestant("the same, tiktoken inside", "rows", source=str(lines), compiled=False),
        ]
    pairs = [(entry.name, alone) for entry in every[1:]]
    if len(two) == 2 and clock == "wall" and not captions:
        for name, source in (("JSON lines", lines), ("chunks (tar, xz)", chunks)):
            both = f"{name}, two workers"
            options = {"source": str(source), "out": f"{out}{both}", "workers": 2}
            every.append(contestant(both, "conversion", two, **options))
            pairs.append((both, name))
    print(f"{len(texts):,} documents, {size / 1e6:.1f} MB, {tokens:,} tokens; {rounds} rounds, {clock} time\n")
    print("| conversion from | MB/s | tokens/s | beside | MB/s | times as fast |\n|---|---|---|---|---|---|")
    timings = {timing.name: timing for timing in compare(every, rounds)}
    for name, beside in pairs:
        first, second = timings[name], timings[beside]
        if _failed(first, second):
            continue
        low, middle, high = ratio(first, second)
        rate = f"{first.median / 1e6:.1f} | {first.median * tokens / size / 1e6:.2f} M"
        print(f"| {name} | {rate} | {beside} | {second.median / 1e6:.1f} | {middle:.2f} ({low:.2f} - {high:.2f}) |")
    print()


def conversion_tokens(source: str, out: str) -> int:
    """Convert once, export the tokens beside it, and return their number."""
    from ffprep.beton import Reader
    from ffprep.text.blocks.exchange import export_flat

    conversion(source, out)()
    with Reader(out) as reader:
        return export_flat(reader, Path(out).with_suffix(".bin")).tokens


def load(flat: Path, folder: Path, tokens: int, rounds: int, cores: Sequence[int], clock: str, batch: int) -> None:
    """Time loaders, and print a table."""
    path = folder / "blocks.beton"
    make_token_files(flat, path, tokens)
    one, two = cores[:1], cores[:2]
    some = max(1, 20_000 // batch)  # blocks a round of the slow ones

    def contestant(name: str, runner: str, on: Sequence[int] = one, **options: Any) -> Contestant:
        return Contestant(name, f"text:{runner}", {"batch_size": batch, **options}, on or None, _here(), clock)

    ours = "ffprep, one core"
    every = [
        contestant(ours, "ffprep_blocks", path=str(path)),
        contestant("torch DataLoader, same core", "torch_data_loader", path=str(flat), num_workers=0, batches=some),
        contestant("nanoGPT's get_batch, same core", "get_batch", path=str(flat), batches=4 * some),
        contestant("memory copied", "copying", batches=50 * some),
    ]
    pairs = [(ours, entry.name) for entry in every[1:]]
    if len(two) == 2 and clock == "wall":
        both, theirs = "ffprep, two cores", "torch DataLoader, two cores"
        every += [
            contestant(both, "ffprep_blocks", two, path=str(path)),
            contestant(theirs, "torch_data_loader", two, path=str(flat), num_workers=1, batches=some),
        ]
        pairs.append((both, theirs))
    print(f"{flat.stat().st_size // 2:,} tokens, batches of {batch} blocks; {rounds} rounds, {clock} time\n")
    print("| loader | tokens/s | beside | tokens/s | times as fast |\n|---|---|---|---|---|")
    timings = {timing.name: timing for timing in compare(every, rounds)}
    for name, beside in pairs:
        first, second = timings[name], timings[beside]
        if _failed(first, second):
            continue
        low, middle, high = ratio(first, second)
        rates = f"{first.median / 1e6:,.1f} M | {beside} | {second.median / 1e6:,.1f} M"
        print(f"| {name} | {rates} | {middle:.2f} ({low:.2f} - {high:.2f}) |")
    print()


def _failed(*timings: Timing) -> bool:
    failures = [f"{timing.name}: {timing.failure}" for timing in timings if timing.failure]
    print("\n".join(failures), end="\n" if failures else "")
    return bool(failures)


def _here() -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])}


def main() -> None:
    """Times all contestants and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", help="corpus, as for convert openwebtext; made of the demo's words if absent")
    parser.add_argument("--column", default="text", help="of tables")
    parser.add_argument("--megabytes", type=float, default=50, help="of text to tokenise: the source, cut or repeated")
    parser.add_argument("--tokens", type=int, default=200_000_000, help="to load from")
    parser.add_argument("--batch", type=int, default=512, help="blocks a batch")
    parser.add_argument("--part", choices=("tokenise", "load", "both"), default="both")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cores", help="processors to pin to, such as 0,1; the first does the one-core rows")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: per second of processor time")
    options = parser.parse_args()
    cores = [int(core) for core in options.cores.split(",")] if options.cores else []
    if not cores and hasattr(os, "sched_getaffinity"):
        cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="ffprep-bench-") as name:
        folder = Path(name)
        texts, size, wanted = [], 0, options.megabytes * 1e6
        while size < wanted:
            before = size
            for text in documents(options.source, options.column):
                if size >= wanted:
                    break
                texts.append(text)
                size += len(text.encode())
            if size == before:
                raise SystemExit(f"{options.source}: no documents")
        if options.part != "load":
            tokenise(texts, folder, options.rounds, cores, options.clock)
        else:
            conversion_tokens(str(make_sources(texts, folder)[1]), str(folder / "out.beton"))
        if options.part != "tokenise":
            flat = folder / "out.bin"
            load(flat, folder, options.tokens, options.rounds, cores, options.clock, options.batch)


if __name__ == "__main__":
    main()
