"""Tokenising of one file of JSON lines with GPT-2's vocabulary, each library in its own way.

A round returns the bytes of the text. All but ``tiktoken`` write what they make: tokens in a file.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

Round = Callable[[], int]


def _texts(lines: str) -> list[str]:
    with Path(lines).open(encoding="utf-8") as file:
        return [json.loads(line)["text"] for line in file]


def _bytes(lines: str) -> int:
    return sum(len(text.encode()) for text in _texts(lines))


def ffprep(lines: str, out: str) -> Round:
    """``ffprep convert openwebtext``: reads, cleans, tokenises, and writes blocks to a finished file."""
    from ffprep.convert.corpus import convert_corpus
    from ffprep.sources.openwebtext import Choice, open_corpus
    from ffprep.text.tokens.vocabulary import fairseq

    def run() -> int:
        corpus = open_corpus(str(Path(lines).parent), Choice(share="0-1"), "text")
        return convert_corpus(corpus, Path(f"{out}.beton"), fairseq(), workers=1, overwrite=True).statistics.size

    return run


def tiktoken(lines: str, out: str) -> Round:
    """tiktoken on texts in memory, one call a text; nothing is written."""
    from tiktoken import get_encoding

    texts, size = _texts(lines), _bytes(lines)
    encode = get_encoding("gpt2").encode_to_numpy

    def run() -> int:
        for text in texts:
            encode(text, disallowed_special=())
        return size

    return run


def _gpt2() -> Any:
    """GPT-2's tokenizer of Hugging Face, made of tiktoken's copy of the vocabulary."""
    from tiktoken import get_encoding
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    ranks = get_encoding("gpt2")._mergeable_ranks
    printed = _printable()
    names = {token: "".join(printed[byte] for byte in token) for token in ranks}
    merges = []
    for token, rank in ranks.items():
        if len(token) > 1:
            merges.append((names[token], _halves(token, rank, ranks), token))
    pairs = [(names[a], names[b]) for _, (a, b), _ in merges]
    tokenizer = Tokenizer(models.BPE({names[token]: rank for token, rank in ranks.items()}, pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _printable() -> dict[int, str]:
    """GPT-2's letters for bytes."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in kept]
    return {**{byte: chr(byte) for byte in kept}, **{byte: chr(256 + n) for n, byte in enumerate(others)}}


def _halves(token: bytes, rank: int, ranks: dict[bytes, int]) -> tuple[bytes, bytes]:
    """Return the two tokens that were merged to a token: what is left when all earlier merges are done."""
    parts = [bytes([byte]) for byte in token]
    while len(parts) > 2:
        found = [(ranks.get(a + b, rank), at) for at, (a, b) in enumerate(pairwise(parts))]
        at = min(found)[1]
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts[0], parts[1]


def datasets(lines: str, out: str) -> Round:
    """Hugging Face tokenizers in ``datasets.map``, batched, one process; the Arrow files are what it writes."""
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()
    size, tokenizer = _bytes(lines), _gpt2()

    def batch(rows: dict[str, list[str]]) -> dict[str, list[Any]]:
        return {"ids": [found.ids for found in tokenizer.encode_batch_fast(rows["text"])]}

    def run() -> int:
        shutil.rmtree(out, ignore_errors=True)
        rows = Dataset.from_json(lines, cache_dir=f"{out}/cache")
        rows.map(batch, batched=True, remove_columns=["text"], cache_file_name=f"{out}/ids.arrow")
        return size

    return run


def datatrove(lines: str, out: str) -> Round:
    """datatrove's JsonlReader and DocumentTokenizer, without its second pass that shuffles documents, in one task."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.tokens import DocumentTokenizer
    from loguru import logger

    logger.remove()
    size = _bytes(lines)
    shutil.rmtree(out, ignore_errors=True)
    Path(out).mkdir(parents=True)
    _gpt2().save(f"{out}/tokenizer.json")

    def run() -> int:
        shutil.rmtree(f"{out}/tokens", ignore_errors=True)
        tokenizer = DocumentTokenizer(f"{out}/tokens", f"{out}/tokenizer.json", shuffle_documents=False)
        steps = [JsonlReader(str(Path(lines).parent), glob_pattern="*.jsonl"), tokenizer]
        options = {"tasks": 1, "workers": 1, "skip_completed": False, "logging_dir": f"{out}/logs"}
        LocalPipelineExecutor(pipeline=steps, **options).run()
        return size

    return run


def fairseq(lines: str, out: str) -> Round:
    """fairseq's GPT-2 BPE and its builder of memory-mapped files, one process."""
    from fairseq.data.encoders.gpt2_bpe import GPT2BPE

    raise NotImplementedError(f"{GPT2BPE.__name__}: only tried where fairseq can be installed")
