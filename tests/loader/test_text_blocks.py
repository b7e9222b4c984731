"""The token preset: single blocks out of samples of many, in any dtype, order, share of ranks; and stock ffcv."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ffprep.beton import Reader, Writer
from ffprep.convert.conversion import convert
from ffprep.errors import CorruptError, DecodeError, OptionError
from ffprep.fields import IntField, NDArrayField
from ffprep.loader import Loader, OrderOption
from ffprep.loader.block_loader import BlockLoader
from ffprep.loader.block_reader import BlockReader
from ffprep.loader.engine import pool
from ffprep.presets import text_blocks
from ffprep.text.blocks.block_source import BlockSource
from ffprep.text.blocks.part_files import Part, Statistics
from ffprep.text.tokens import vocabulary as vocabularies

BLOCK, COUNT = 12, 1003
STOCK = Path(__file__).parent.parent / "beton" / "stock_ffcv.py"

Make = Callable[..., tuple[Path, np.ndarray, np.ndarray]]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Makes a file of blocks; gives its path, its blocks and their lengths."""

    def build(per_sample: int | None = None, padded: bool = False, kind: Any = None) -> Any:
        folder = tmp_path_factory.mktemp("blocks")
        rng = np.random.default_rng(0)
        tokens = rng.integers(0, 50000, (COUNT, BLOCK)).astype(np.uint16)
        lengths = rng.integers(1, BLOCK + 1, COUNT).astype(np.uint16)
        tail = [] if padded else [7, 8]
        np.append(tokens.reshape(-1), np.array(tail, np.uint16)).tofile(folder / "a.tokens")
        lengths.tofile(folder / "a.lengths")
        part = Part(
            folder / "a.tokens", folder / "a.lengths" if padded else None, COUNT * BLOCK + len(tail), Statistics()
        )
        source = BlockSource([part], kind or vocabularies.fairseq(), BLOCK, per_sample)
        convert(source, folder / "x.beton", workers=1)
        return folder / "x.beton", tokens, lengths

    return build


@pytest.mark.parametrize("per_sample", [None, 1, 7, 64])
@pytest.mark.parametrize(
    ("dtype", "expected"),
    [(np.int64, torch.int64), (torch.int32, torch.int32), ("uint16", torch.uint16), (np.float32, torch.float32)],
)
def test_blocks_come_one_by_one(make: Make, per_sample: int | None, dtype: Any, expected: torch.dtype) -> None:
    path, tokens, _ = make(per_sample)
    with text_blocks(path, 100, 2, 0, dtype=dtype, order=OrderOption.SEQUENTIAL, drop_last=False) as loader:
        assert isinstance(loader, BlockLoader)
        assert len(loader) == 11
        batches = [x for (x,) in loader]
        assert loader.vocabulary.size == 50262
    assert batches[0].shape == (100, BLOCK)
    assert {x.dtype for x in batches} == {expected}
    assert np.array_equal(torch.cat(batches).numpy(), tokens.astype(batches[0].numpy().dtype))


@pytest.mark.parametrize("order", [OrderOption.RANDOM, OrderOption.QUASI_RANDOM])
@pytest.mark.parametrize("per_sample", [1, 64])
def test_an_epoch_has_each_block_once_for_any_workers(make: Make, order: OrderOption, per_sample: int) -> None:
    path, tokens, _ = make(per_sample)
    seen = []
    for workers in (1, 3):
        with text_blocks(path, 64, workers, 5, order=order, drop_last=False) as loader:
            first, second = (torch.cat([x for (x,) in loader]).numpy() for _ in range(2))
        assert not np.array_equal(first, second)
        for epoch in (first, second):
            assert np.array_equal(
                np.sort(epoch.view("V96").ravel()), np.sort(tokens.astype(np.int64).view("V96").ravel())
            )
        seen.append(first)
    assert np.array_equal(*seen)


def test_the_order_does_not_depend_on_the_layout(make: Make) -> None:
    epochs = []
    for per_sample in (1, 13):
        with text_blocks(make(per_sample)[0], 50, 2, 3) as loader:
            epochs.append(torch.cat([x for (x,) in loader]))
    assert torch.equal(*epochs)


def test_padded_blocks_come_with_their_lengths(make: Make) -> None:
    path, tokens, lengths = make(9, padded=True)
    with text_blocks(path, 64, 2, 1, drop_last=False) as loader:
        found = {tuple(x.tolist()): int(n) for xs, ns in loader for x, n in zip(xs, ns, strict=True)}
    assert found == {tuple(x.tolist()): int(n) for x, n in zip(tokens, lengths, strict=True)}


def test_ranks_share_the_blocks_and_a_state_goes_on(make: Make) -> None:
    path, tokens, _ = make(64)
    parts = []
    for rank in range(3):
        with text_blocks(path, 32, 1, 2, rank=rank, world_size=3, drop_last=False) as loader:
            parts += [x for (x,) in loader]
    together = torch.cat(parts).numpy()
    assert np.array_equal(np.sort(together.view("V96").ravel()), np.sort(tokens.astype(np.int64).view("V96").ravel()))
    with text_blocks(path, 32, 1, 2) as loader:
        whole = [x for (x,) in loader]
        loader.set_epoch(0)
        iterator = iter(loader)
        for _ in range(5):
            next(iterator)
        state = loader.state_dict()
    with text_blocks(path, 32, 2, 9) as loader:
        loader.load_state_dict(state)
        rest = [x for (x,) in loader]
    assert torch.equal(torch.cat(rest), torch.cat(whole[5:]))


def test_indices_and_filters_are_of_blocks(make: Make) -> None:
    path, tokens, _ = make(64)
    chosen = [1002, 3, 64, 65]
    with text_blocks(path, 2, 1, 0, indices=chosen, order=OrderOption.SEQUENTIAL) as loader:
        assert torch.cat([x for (x,) in loader]).tolist() == tokens[chosen].tolist()
    with (
        text_blocks(path, 2, 1, 0, order=OrderOption.SEQUENTIAL, drop_last=False) as loader,
        loader.filter("tokens", lambda row: row[0] < 5000) as few,
    ):
        assert isinstance(few, BlockLoader)
        expected = tokens[tokens[:, 0] < 5000]
        assert torch.cat([x for (x,) in few]).tolist() == expected.tolist()


def test_reading_ahead(make: Make) -> None:
    path, tokens, _ = make(64)
    with text_blocks(path, 50, 2, 0, order=OrderOption.SEQUENTIAL, os_cache=False, drop_last=False) as loader:
        assert np.array_equal(torch.cat([x for (x,) in loader]).numpy(), tokens)


def test_the_block_and_the_numbering_can_be_demanded(make: Make, vocabulary: Any, tmp_path: Path) -> None:
    path, _, _ = make(64)
    text_blocks(path, 10, 1, 0, block=BLOCK, vocabulary="fairseq").close()
    with pytest.raises(OptionError, match=r"has blocks of 12 tokens, not of 192"):
        text_blocks(path, 10, 1, 0, block=192)
    with pytest.raises(OptionError, match=r"its 50,262 tokens are numbered as fairseq, not as gpt2"):
        text_blocks(path, 10, 1, 0, vocabulary="gpt2")
    words = tmp_path / "dict.txt"
    words.write_text("".join(f"{n} 1\n" for n in range(50257)[::-1]))
    with pytest.raises(OptionError, match="not as "):
        text_blocks(path, 10, 1, 0, vocabulary=str(words))
    other, _, _ = make(64, kind=vocabularies.from_dict(words))
    text_blocks(other, 10, 1, 0, vocabulary=str(words)).close()
    with Writer(tmp_path / "x.beton", {"tokens": NDArrayField("<u2", (4,))}, 1) as writer:
        writer.write([NDArrayField("<u2", (4,)).encode(np.arange(4, dtype="<u2"))])
    with pytest.raises(OptionError, match="does not say how its tokens are numbered"):
        text_blocks(tmp_path / "x.beton", 1, 1, 0, vocabulary="fairseq")
    with pytest.raises(OptionError, match="has blocks of 4 tokens, not of 5"):
        text_blocks(tmp_path / "x.beton", 1, 1, 0, block=5)
    with text_blocks(tmp_path / "x.beton", 1, 1, 0, block=4) as loader:
        assert [x.tolist() for (x,) in loader] == [[[0, 1, 2, 3]]]


def test_rows_of_tokens_are_widened_too(tmp_path: Path) -> None:
    from ffprep.fields.decoders import TokensDecoder
    from ffprep.transforms import ToTensor

    fields: dict[str, Any] = {
        "tokens": NDArrayField("<u2", (3, 2)),
        "label": IntField(),
        "wide": NDArrayField("<i8", (2,)),
    }
    path = tmp_path / "x.beton"
    with Writer(path, fields, 4) as writer:
        for i in range(4):
            values = (np.full((3, 2), 65535 - i, "<u2"), i, np.full(2, -i))
            writer.write([field.encode(value) for field, value in zip(fields.values(), values, strict=True)])
    with text_blocks(path, 4, 1, 0, order=OrderOption.SEQUENTIAL) as loader:
        [(tokens, labels, wide)] = list(loader)
    assert tokens.tolist() == [[[65535 - i] * 2] * 3 for i in range(4)]
    assert (labels.tolist(), wide.tolist()) == ([0, 1, 2, 3], [[-i, -i] for i in range(4)])
    with pytest.raises(OptionError, match="field 'wide': holds int64; tokens are uint16 or int32"):
        Loader(path, 4, 1, pipelines={"wide": [TokensDecoder(), ToTensor()]})
    with pytest.raises(OptionError, match="cannot give float32"):
        TokensDecoder(np.float32)


def test_the_reader_of_blocks(make: Make) -> None:
    path, tokens, _ = make(64)
    reader = pickle.loads(pickle.dumps(BlockReader(path)))
    assert len(reader) == COUNT
    assert np.array_equal(reader.value("tokens", 1002), tokens[1002])
    assert np.array_equal(reader.value("tokens", -1), tokens[1002])
    offsets, sizes = reader.extents("tokens")
    assert [bytes(reader.data[o : o + n]) for o, n in zip(offsets.tolist(), sizes.tolist(), strict=True)] == [
        row.tobytes() for row in tokens
    ]
    assert reader.sample_label(3) == "block 3"
    with pytest.raises(IndexError):
        reader.value("tokens", COUNT)
    reader.close()


def test_offsets_outside_the_file_are_never_followed(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    path, tokens, _ = make(64)
    for bad in (1 << 62, -5, path.stat().st_size - 3):  # some rows of such a group may lie inside the file

        def groups(self: BlockReader, name: str, bad: int = bad) -> tuple[int, np.ndarray]:
            starts = np.array(self.blocks.reader.extents(name)[0])
            starts[3] = np.int64(bad).view(np.uint64)
            return self.blocks.per_sample, starts

        monkeypatch.setattr(BlockReader, "groups", groups)
        with (
            text_blocks(path, 32, 2, 0, order=OrderOption.SEQUENTIAL) as loader,
            pytest.raises(DecodeError, match="block 192, field 'tokens'"),
        ):
            list(loader)
        options: dict[str, Any] = {"order": OrderOption.SEQUENTIAL, "on_error": "skip", "drop_last": False}
        with text_blocks(path, 32, 2, 0, **options) as loader, pytest.warns(RuntimeWarning, match="left out"):
            found = torch.cat([x for (x,) in loader]).numpy()
        assert len(found) < COUNT
        assert np.array_equal(found[:192], tokens[:192])
        assert np.array_equal(found[-700:], tokens[-700:])


def test_a_damaged_record_is_an_error(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _, _ = make(64)
    with Reader(path) as reader:
        manifest = {**(reader.manifest or {})}
    manifest["source"] = {**manifest["source"], "blocks": {**manifest["source"]["blocks"], "count": COUNT + 100}}
    monkeypatch.setattr(Reader, "manifest", manifest)
    with pytest.raises(CorruptError, match="record of its blocks"):
        text_blocks(path, 10, 1, 0)


@pytest.mark.ffcv
@pytest.mark.parametrize("padded", [False, True])
def test_stock_ffcv_reads_the_file(make: Make, tmp_path: Path, padded: bool) -> None:
    pytest.importorskip("ffcv")
    path, tokens, lengths = make(64, padded=padded)
    command = [
        sys.executable,
        str(STOCK),
        "read",
        str(path),
        str(tmp_path / "x"),
        "SEQUENTIAL,True",
        "SEQUENTIAL,False",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for cache in ("True", "False"):
        with np.load(tmp_path / f"x-SEQUENTIAL-{cache}.npz") as saved:
            found = dict(saved)
        assert np.array_equal(found["tokens"].reshape(-1, BLOCK)[:COUNT], tokens)
        assert (found["tokens"].reshape(-1, BLOCK)[COUNT:] == 1).all()
        if padded:
            assert np.array_equal(found["length"].reshape(-1)[:COUNT], lengths)


@pytest.mark.parametrize("order", [OrderOption.SEQUENTIAL, OrderOption.RANDOM, OrderOption.QUASI_RANDOM])
@pytest.mark.parametrize("few", [0, pool.FEW])
def test_several_files_of_blocks(make: Make, order: OrderOption, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "FEW", few)
    (a, tokens, _), (b, _, _) = make(7), make(64)
    with text_blocks([a, b], 100, 2, 0, order=order, drop_last=False) as loader:
        rows = torch.cat([x for (x,) in loader]).numpy()
        assert loader.vocabulary.size == 50262
    both = np.concatenate([tokens, tokens])
    if order is not OrderOption.SEQUENTIAL:
        rows, both = rows[np.lexsort(rows.T)], both[np.lexsort(both.T)]
    assert np.array_equal(rows, both)
    with text_blocks([a, b], 100, 2, 0, weights=[1, 3], epoch_samples=400, block=BLOCK) as loader:
        assert torch.cat([x for (x,) in loader]).shape == (400, BLOCK)


def test_files_of_blocks_must_agree(make: Make, tmp_path: Path) -> None:
    (a, _, _), (padded, _, _) = make(7), make(7, padded=True)
    other, _, _ = make(7, kind=vocabularies.gpt2())
    with pytest.raises(OptionError, match="has a field 'length'"):
        text_blocks([a, padded], 10)
    with pytest.raises(OptionError, match=r"numbered as fairseq .* as gpt2"):
        text_blocks([a, other], 10)
    with Writer(tmp_path / "n.beton", {"n": IntField()}, 1) as writer:
        writer.write([IntField().encode(1)])
    with pytest.raises(OptionError, match="only some hold blocks"):
        text_blocks([a, tmp_path / "n.beton"], 10)
