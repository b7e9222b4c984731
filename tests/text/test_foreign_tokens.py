"""Token files that do not say what they hold: Megatron's, and flat ones."""

from __future__ import annotations

import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ffprep.beton import Reader
from ffprep.cli import main
from ffprep.errors import SourceError
from ffprep.text.blocks import exchange
from ffprep.text.blocks.blocks import open_blocks
from ffprep.text.blocks.exchange import import_parts
from ffprep.text.blocks.flat import DTYPES
from ffprep.text.blocks.indexed import open_indexed
from ffprep.text.tokens.vocabulary import Vocabulary, gpt2


def run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["convert", "tokens", *map(str, arguments)])
    return done.exit_code, done.output


def write_megatron(
    prefix: Path, sequences: list[list[int]], documents: list[int], modes: bool = False, entries: int | None = None
) -> Path:
    """Megatron's layout with struct alone: int32 tokens, and the first sequence of each document."""
    sizes = [len(s) for s in sequences]
    prefix.with_name(prefix.name + ".bin").write_bytes(b"".join(struct.pack(f"<{len(s)}i", *s) for s in sequences))
    index = b"MMIDIDX\x00\x00" + struct.pack("<QBQ", 1, 4, len(sizes))
    index += struct.pack("<Q", len(documents) if entries is None else entries)
    index += struct.pack(f"<{len(sizes)}i", *sizes)
    index += struct.pack(f"<{len(sizes)}q", *(4 * sum(sizes[:i]) for i in range(len(sizes))))
    index += struct.pack(f"<{len(documents)}q", *documents) + bytes(len(sizes) if modes else 0)
    prefix.with_name(prefix.name + ".idx").write_bytes(index)
    return prefix


def tokens_of(path: Path) -> list[int]:
    with Reader(path) as reader:
        return [int(token) for piece in open_blocks(reader).stream() for token in piece]


SEQUENCES = st.lists(st.lists(st.integers(0, 99), max_size=5), min_size=1, max_size=12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(sequences=SEQUENCES, modes=st.booleans(), step=st.integers(1, 20), data=st.data())
def test_megatrons_documents_are_those_of_its_table(
    vocabulary: Vocabulary, tmp_path: Path, sequences: list[list[int]], modes: bool, step: int, data: st.DataObject
) -> None:
    inner = data.draw(st.lists(st.integers(0, len(sequences)), max_size=5))
    starts = [0, *sorted(inner), len(sequences)]
    prefix = write_megatron(tmp_path / "m", sequences, starts, modes)
    expected: list[int] = []
    for a, b in sorted({(a, b) for a, b in pairwise(starts) if a < b}):
        ids = [token for sequence in sequences[a:b] for token in sequence]
        expected += ids if ids and ids[-1] == 50256 else [*ids, 50256]
    patch = pytest.MonkeyPatch()
    with patch.context() as patched:
        patched.setattr(exchange, "STEP", step)
        [part] = import_parts(prefix, gpt2(), tmp_path)
    assert np.fromfile(part.path, "<u2").tolist() == expected


@pytest.mark.parametrize("documents", [[0], [0, 1], [1, 2], [0, 2, 1, 2], [0, 3, 2], [-1, 2], []])
def test_a_table_of_documents_that_does_not_fit(tmp_path: Path, documents: list[int]) -> None:
    with pytest.raises(SourceError, match="table of documents|is it cut"):
        open_indexed(write_megatron(tmp_path / "m", [[1], [2]], documents))


@pytest.mark.parametrize("entries", [0, 2, 4, 1 << 61, (1 << 64) - 1])
def test_a_wrong_number_of_documents(tmp_path: Path, entries: int) -> None:
    with pytest.raises(SourceError, match="is it cut|table of documents"):
        open_indexed(write_megatron(tmp_path / "m", [[1], [2]], [0, 1, 2], entries=entries))


def test_megatrons_files_need_a_named_vocabulary(vocabulary: Vocabulary, tmp_path: Path) -> None:
    ids = gpt2().encode("Hello, this is a text.").tolist()
    prefix = write_megatron(tmp_path / "m", [ids[:2], ids[2:], ids], [0, 2, 3])
    (tmp_path / "dict.txt").write_text("".join(f"{n} 1\n" for n in range(300)))  # fairseq's, not Megatron's
    status, said = run("--source", prefix, "--out", tmp_path / "x.beton", "--block", 3)
    assert status == 2 and "--vocabulary gpt2" in said and not (tmp_path / "x.beton").exists()
    status, said = run("--source", prefix, "--vocabulary", "gpt2", "--out", tmp_path / "x.beton", "--block", 3)
    assert status == 0 and "taken for GPT-2's tokens, numbered as gpt2 (50,257 ids), as asked for" in said
    assert gpt2().decode_documents(tokens_of(tmp_path / "x.beton")) == ["Hello, this is a text."] * 2


# flat files


@pytest.mark.parametrize("name", DTYPES)
def test_flat_files_of_any_type(vocabulary: Vocabulary, tmp_path: Path, name: str) -> None:
    ids = gpt2().encode("Numbers one after the other, and nothing else. " * 3) % 32768
    ids.astype(DTYPES[name]).tofile(tmp_path / "x.bin")
    out = ("--out", tmp_path / "x.beton", "--block", 4)
    status, said = run("--source", tmp_path / "x.bin", *out, "--dtype", name)
    assert status == 0 and "which is an assumption" in said
    assert tokens_of(tmp_path / "x.beton") == ids.tolist()
    status, said = run("--source", tmp_path / "x.bin", *out, "--overwrite")
    if DTYPES[name].itemsize == 2:
        assert status == 0 and tokens_of(tmp_path / "x.beton") == ids.tolist()
    else:
        assert status == 1 and "alternate with zeros" in said and "--dtype" in said


def test_wider_numbers_than_was_said(vocabulary: Vocabulary, tmp_path: Path) -> None:
    ids = gpt2().encode("Numbers one after the other, and nothing else.")
    path = tmp_path / "x.bin"
    ids.astype("<i8").tofile(path)
    for said in ("uint16", "uint32"):
        with pytest.raises(SourceError, match="alternate with zeros"):
            import_parts(path, gpt2(), tmp_path, dtype=DTYPES[said])
    ids.astype("<u2").tofile(path)
    with pytest.raises(SourceError, match=r"token \d+ is \d+; the gpt2 vocabulary has 50257 ids.*--dtype"):
        import_parts(path, gpt2(), tmp_path, dtype=DTYPES["uint32"])
    ids.astype(">u4").tofile(path)
    with pytest.raises(SourceError, match="alternate with zeros"):
        import_parts(path, gpt2(), tmp_path)
    (ids.astype("<u4") | 0x10000).tofile(path)
    with pytest.raises(SourceError, match="alternate with small numbers"):
        import_parts(path, gpt2(), tmp_path)


def test_short_files_and_real_zeros_are_taken(vocabulary: Vocabulary, tmp_path: Path) -> None:
    for ids in ([5, 0, 7, 0], [0] * 40, [9, 0, 0, 4] * 20):
        np.array(ids, "<u2").tofile(tmp_path / "x.bin")
        [part] = import_parts(tmp_path / "x.bin", gpt2(), tmp_path)
        assert np.fromfile(part.path, "<u2").tolist() == ids


def test_files_with_a_head_of_their_own(vocabulary: Vocabulary, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(100, dtype="<u2"))
    (tmp_path / "x.npy").rename(tmp_path / "numpy.bin")
    np.concatenate([np.array([20240520, 1, 100], "<i4"), np.zeros(253, "<i4")]).tofile(tmp_path / "llm.bin")
    for name, what in (("numpy", "numpy's"), ("llm", r"llm\.c's")):
        with pytest.raises(SourceError, match=what):
            import_parts(tmp_path / f"{name}.bin", gpt2(), tmp_path)


def test_a_type_is_for_flat_files(vocabulary: Vocabulary, tmp_path: Path) -> None:
    prefix = write_megatron(tmp_path / "m", [[1, 2, 3]], [0, 1])
    status, said = run("--source", prefix, "--dtype", "uint32", "--vocabulary", "gpt2", "--out", tmp_path / "x.beton")
    assert status == 2 and "--dtype is for flat files" in said
