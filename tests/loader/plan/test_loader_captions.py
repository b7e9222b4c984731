"""Captions in batches: pairs and groups in one form, the random choice against a slow twin, masks, trimming, text."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from ffprep import Loader, presets
from ffprep.beton.writing.writer import Writer
from ffprep.errors import DecodeError, OptionError
from ffprep.fields import BytesField, IntField, JSONField, NDArrayField
from ffprep.fields.decoders import CaptionLengthDecoder, CaptionTextDecoder, CaptionTokensDecoder
from ffprep.kernels.random import uniforms
from ffprep.loader.plan.captions import STREAM
from ffprep.text.tokens.vocabulary import Vocabulary, fairseq, gpt2
from ffprep.transforms import ToTensor

PAD = 1
COUNTS = [1, 4, 2, 3, 4, 1, 2]
K, WIDE, NARROW = 4, 9, 6


def caption(image: int, number: int, width: int) -> list[int]:
    """Tokens of a caption: from 2 to `width` of them, each telling its image, caption and place."""
    length = 2 + (image * 3 + number * 5) % (width - 1)
    return [1000 * image + 100 * number + place + 10 for place in range(length)]


def padded(rows: list[list[int]], width: int) -> np.ndarray:
    out = np.full((len(rows), width), PAD, np.uint16)
    for row, tokens in zip(out, rows, strict=True):
        row[: len(tokens)] = tokens
    return out


def manifest(vocabulary: Vocabulary | None) -> dict[str, Any]:
    return {"source": {} if vocabulary is None else {"vocabulary": vocabulary.manifest()}}


def write_grouped(path: Path, make: SimpleNamespace, vocabulary: Vocabulary | None, text: bool = True) -> Path:
    fields: dict[str, Any] = {
        "image": make.image_field(),
        "tokens": NDArrayField(np.dtype("<u2"), (K, WIDE)),
        "length": NDArrayField(np.dtype("<i4"), (K,)),
        "captions": IntField(),
        "image_id": IntField(),
    }
    if text:
        fields["caption"] = JSONField()
    with Writer(path, fields, len(COUNTS), manifest=manifest(vocabulary)) as writer:
        for i, count in enumerate(COUNTS):
            rows = [caption(i, k, WIDE) for k in range(count)]
            tokens = np.full((K, WIDE), PAD, np.uint16)
            tokens[:count] = padded(rows, WIDE)
            lengths = np.array([*map(len, rows), *[0] * (K - count)], np.int32)
            values = [tokens, lengths, count, 500 + i, [f"ä {i} {k}\n" for k in range(count)]]
            image = make.stored_jpeg(make.encode_jpeg(make.noise_image(i, 24, 24)))
            rest = [field.encode(value) for field, value in zip([*fields.values()][1:], values, strict=False)]
            writer.write([image, *rest])
    return path


def write_pairs(path: Path, make: SimpleNamespace, vocabulary: Vocabulary | None, text: bool = True) -> Path:
    fields: dict[str, Any] = {
        "image": make.image_field(),
        "tokens": NDArrayField(np.dtype("<u2"), (NARROW,)),
        "length": IntField(),
        "image_id": IntField(),
    }
    if text:
        fields["caption"] = BytesField()
    with Writer(path, fields, 5, manifest=manifest(vocabulary)) as writer:
        for i in range(5):
            tokens = caption(20 + i, 0, NARROW)
            values = [padded([tokens], NARROW)[0], len(tokens), 500 + i, f"ö {i}".encode()]
            image = make.stored_jpeg(make.encode_jpeg(make.noise_image(50 + i, 24, 24)))
            rest = [field.encode(value) for field, value in zip([*fields.values()][1:], values, strict=False)]
            writer.write([image, *rest])
    return path


@pytest.fixture(scope="module")
def grouped(tmp_path_factory: pytest.TempPathFactory, make: SimpleNamespace) -> Path:
    return write_grouped(tmp_path_factory.mktemp("g") / "grouped.beton", make, fairseq())


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory, make: SimpleNamespace) -> Path:
    return write_pairs(tmp_path_factory.mktemp("p") / "pairs.beton", make, fairseq())


def picks(seed: int, epoch: int, keys: np.ndarray) -> list[int]:
    draws = uniforms(seed, epoch, keys, STREAM, 0)
    return [int(draw * COUNTS[key]) for draw, key in zip(draws, keys, strict=True)]


@pytest.mark.parametrize("threads", [1, 4])
def test_a_random_caption_of_those_that_are_there(grouped: Path, threads: int) -> None:
    with presets.image_text_train(grouped, 3, threads, 7, size=8, text=True, mask=True, drop_last=False) as loader:
        seen: list[set[int]] = [set() for _ in COUNTS]
        for epoch in range(40):
            got = list(loader)
            images, tokens, lengths, ids = (torch.cat([batch[i] for batch in got]) for i in range(4))
            texts = [text for batch in got for text in batch[4]]
            mask = torch.cat([batch[5] for batch in got])
            assert images.shape == (7, 3, 8, 8) and tokens.shape == mask.shape == (7, WIDE)
            samples = ids.numpy() - 500
            assert sorted(samples) == list(range(7))
            chosen = picks(7, epoch, samples)
            for row, (sample, number) in enumerate(zip(samples, chosen, strict=True)):
                wanted = caption(sample, number, WIDE)
                assert tokens[row].tolist() == padded([wanted], WIDE)[0].tolist()
                assert lengths[row] == len(wanted) == mask[row].sum()
                assert mask[row, : len(wanted)].all()
                assert texts[row] == f"ä {sample} {number}\n"
                seen[sample].add(number)
    assert [len(some) for some in seen] == COUNTS


def test_all_and_first(grouped: Path) -> None:
    with presets.image_text_val(grouped, 7, 2, size=8, text=True, mask=True, token_dtype=torch.int32) as loader:
        [(_, tokens, lengths, counts, ids, texts, mask)] = list(loader)
    assert tokens.shape == mask.shape == (7, K, WIDE) and tokens.dtype == torch.int32
    assert counts.tolist() == COUNTS and ids.tolist() == list(range(500, 507))
    for i, count in enumerate(COUNTS):
        rows = [caption(i, k, WIDE) for k in range(count)] + [[]] * (K - count)
        assert tokens[i].tolist() == padded(rows, WIDE).tolist()
        assert lengths[i].tolist() == mask[i].sum(1).tolist() == [len(row) for row in rows]
        assert texts[i] == [f"ä {i} {k}\n" for k in range(count)]
    with presets.image_text_val(grouped, 7, 2, size=8, captions="first", text=True) as loader:
        [(_, first, lengths, _, texts)] = list(loader)
    assert torch.equal(first, tokens[:, 0].long()) and lengths.tolist() == mask[:, 0].sum(1).tolist()
    assert texts == [f"ä {i} 0\n" for i in range(7)]


@pytest.mark.parametrize("captions", ["random", "all"])
def test_trimming_is_a_view(grouped: Path, captions: str) -> None:
    options: dict[str, Any] = {"size": 8, "captions": captions, "mask": True, "drop_last": False}
    with (
        presets.image_text_train(grouped, 2, 2, 1, **options) as plain,
        presets.image_text_train(grouped, 2, 2, 1, trim=True, **options) as trimmed,
    ):
        for whole, cut in zip(plain, trimmed, strict=True):
            longest = int(whole[2].max())
            assert cut[1].shape[-1] == cut[-1].shape[-1] == longest
            assert torch.equal(cut[1], whole[1][..., :longest]) and torch.equal(cut[-1], whole[-1][..., :longest])
            assert (whole[1][..., longest:] == PAD).all()
            assert cut[1].stride() == whole[1].stride()
            for member in (0, 2, 3):
                assert torch.equal(cut[member], whole[member])


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint16, torch.int64, torch.int16])
def test_types_of_tokens(grouped: Path, dtype: Any) -> None:
    with presets.image_text_train(grouped, 7, 1, 1, size=8, token_dtype=dtype) as loader:
        [batch] = list(loader)
    name = str(dtype).removeprefix("torch.") if isinstance(dtype, torch.dtype) else np.dtype(dtype).name
    assert str(batch[1].dtype) == f"torch.{name}"


def test_pairs_and_groups_together(pairs: Path, grouped: Path) -> None:
    options: dict[str, Any] = {"size": 8, "text": True, "mask": True, "file": True, "drop_last": False}
    for paths in ([pairs, grouped], [grouped, pairs]):
        start = {pairs: 0, grouped: 0}
        start[paths[1]] = 5 if paths[1] is grouped else 7
        with presets.image_text_train(paths, 4, 2, 3, **options) as loader:
            got = list(loader)
        tokens, lengths, ids = (torch.cat([batch[i] for batch in got]) for i in (1, 2, 3))
        texts = [text for batch in got for text in batch[4]]
        mask, files = (torch.cat([batch[i] for batch in got]) for i in (5, 6))
        assert tokens.shape == mask.shape == (12, WIDE)
        for row in range(12):
            i = int(ids[row]) - 500
            if paths[int(files[row])] is pairs:
                wanted, text = caption(20 + i, 0, NARROW), f"ö {i}"
            else:
                draw = float(uniforms(3, 0, np.array([start[grouped] + i]), STREAM, 0)[0])
                number = int(draw * COUNTS[i])
                wanted, text = caption(i, number, WIDE), f"ä {i} {number}\n"
            assert tokens[row].tolist() == padded([wanted], WIDE)[0].tolist()
            assert lengths[row] == mask[row].sum() == len(wanted) and texts[row] == text
        with presets.image_text_val(paths, 12, 2, **options) as loader:
            [(_, tokens, lengths, ids, texts, mask, files)] = list(loader)
        assert tokens.shape == (12, K, WIDE)
        of_pairs = files == paths.index(pairs)
        assert (lengths[of_pairs][:, 1:] == 0).all() and (tokens[of_pairs][:, 1:] == PAD).all()
        assert lengths[~of_pairs].ne(0).sum(1).tolist() == COUNTS
        assert [len(some) for some in texts] == lengths.ne(0).sum(1).tolist()


def test_pairs_alone_keep_their_form(pairs: Path) -> None:
    with presets.image_text_val(pairs, 5, 1, size=8) as loader:
        [(_, tokens, lengths, _)] = list(loader)
    assert tokens.shape == (5, NARROW) and lengths.shape == (5,)


def test_a_mix_wraps_with_other_captions(pairs: Path, grouped: Path) -> None:
    with presets.image_text_train(
        [pairs, grouped], 5, 1, 2, size=8, weights=[0, 1], epoch_samples=70, file=True
    ) as loader:
        ids, tokens = (torch.cat(column) for column in zip(*[(b[3], b[1][:, 0]) for b in loader], strict=True))
    for i, count in enumerate(COUNTS):
        numbers = (tokens[ids == 500 + i] - 1000 * i - 10) // 100
        assert len(numbers) == 10 and len(numbers.unique()) == (1 if count == 1 else len(numbers.unique()))
        assert count == 1 or len(numbers.unique()) > 1


def test_numberings_must_agree(tmp_path: Path, make: SimpleNamespace, pairs: Path, grouped: Path) -> None:
    other = write_pairs(tmp_path / "other.beton", make, gpt2())
    silent = write_pairs(tmp_path / "silent.beton", make, None)
    with pytest.raises(OptionError, match=r"grouped\.beton are numbered as fairseq .*other\.beton as gpt2"):
        presets.image_text_train([grouped, other], 2, 1, size=8)
    with pytest.raises(OptionError, match=r"other\.beton: its 50,257 tokens are numbered as gpt2, not as fairseq"):
        presets.image_text_train(other, 2, 1, size=8, vocabulary="fairseq")
    with pytest.raises(OptionError, match=r"silent\.beton: does not say"):
        presets.image_text_train([grouped, silent], 2, 1, size=8, vocabulary="fairseq")
    presets.image_text_train([grouped, silent, pairs], 2, 1, size=8).close()


def test_mistakes(tmp_path: Path, make: SimpleNamespace, grouped: Path, image_beton: Path, pairs: Path) -> None:
    silent = write_pairs(tmp_path / "silent.beton", make, fairseq(), text=False)
    with pytest.raises(OptionError, match=r"silent\.beton: has no text of its captions"):
        presets.image_text_train([grouped, silent], 2, 1, text=True)
    with pytest.raises(OptionError, match=r"images\.beton: has the fields image, label and no 'tokens'"):
        presets.image_text_train(image_beton, 2, 1)
    with pytest.raises(OptionError, match="captions is 'some'"):
        presets.image_text_train(grouped, 2, 1, captions="some")
    only: dict[str, Any] = dict.fromkeys(("image", "length", "image_id", "caption", "captions"))
    with pytest.raises(OptionError, match=r"CaptionLengthDecoder cannot|holds no lengths"):
        Loader(grouped, 2, 1, pipelines={**only, "tokens": [CaptionLengthDecoder()]})
    with pytest.raises(OptionError, match="field 'image_id': IntField holds no captions|cannot read"):
        Loader(grouped, 2, 1, pipelines={**only, "tokens": None, "image_id": [CaptionTokensDecoder()]})
    with pytest.raises(OptionError, match=r"uint16\(4, 9\) in .* uint16\(6,\) in .* CaptionTokensDecoder"):
        Loader([grouped, pairs], 2, 1, pipelines={**only})


def test_counts_that_lie_do_no_harm(tmp_path: Path, make: SimpleNamespace) -> None:
    path = write_grouped(tmp_path / "bad.beton", make, fairseq())
    from ffprep.beton.reader import Reader

    data = bytearray(path.read_bytes())
    with Reader(path) as reader:
        column = reader.column("captions")
        first = column.__array_interface__["data"][0] - reader.data.__array_interface__["data"][0]
        stride = column.strides[0]
    for i, count in enumerate((10**12, -5, 0, 2, 2, 2, 2)):
        data[first + i * stride : first + i * stride + 8] = int(count).to_bytes(8, "little", signed=True)
    path.write_bytes(data)
    with presets.image_text_val(path, 7, 1, size=8, check="off") as loader:
        [(_, _, lengths, _, _)] = list(loader)
    assert lengths.ne(0).sum(1).tolist() == [1, 0, 0, 2, 2, 1, 2]
    with presets.image_text_train(path, 7, 1, 0, size=8, trim=True, check="off") as loader:
        [(_, tokens, lengths, ids)] = list(loader)
    assert (lengths[(ids == 501) | (ids == 502)] == 0).all() and tokens.shape[1] == max(1, int(lengths.max()))


def test_wrong_sizes_are_errors(tmp_path: Path, make: SimpleNamespace) -> None:
    assert issubclass(DecodeError, Exception)
    with pytest.raises(OptionError, match="int64, int32 or uint16"):
        CaptionTokensDecoder("all", np.float32)
    assert CaptionTextDecoder().captions == "random" and ToTensor is not None
