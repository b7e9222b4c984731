"""GLUE's rows, by any tokenizer, from the command to batches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from ffprep import Dataset, Loader, OrderOption, presets
from ffprep.beton import Reader
from ffprep.cli import main
from ffprep.errors import OptionError
from ffprep.text.tokens.tokenizer import open_tokenizer
from ffprep.text.tokens.vocabulary import Vocabulary

SENTENCES = [
    f"The {word} fox number {i} runs." for i, word in enumerate(["quick", "lazy", "brown", "very very old"] * 4)
]


def ffprep(*arguments: object, status: int = 0) -> str:
    done = CliRunner().invoke(main, list(map(str, arguments)))
    assert done.exit_code == status, done.output
    return done.output


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """WordPiece with BERT's marks, and a byte-level one whose ids need 32 bits."""
    pytest.importorskip("tokenizers")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    folder = tmp_path_factory.mktemp("tokenizers")
    words = sorted({word for text in SENTENCES for word in text.replace(".", " .").split()})
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    made = Tokenizer(models.WordPiece({w: i for i, w in enumerate([*names, *words])}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.decoder = decoders.WordPiece()
    made.add_special_tokens(names)
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    made.save(str(folder / "bert.json"))
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    bytes_ = {letter: 70_000 + i for i, letter in enumerate(letters)}
    wide = Tokenizer(models.BPE({"<|endoftext|>": 0, **bytes_}, []))
    wide.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    wide.decoder = decoders.ByteLevel()
    wide.add_special_tokens(["<|endoftext|>"])
    wide.save(str(folder / "wide.json"))
    return folder


def glue(folder: Path, *options: object, scores: bool = False) -> Path:
    """Convert a table as CoLA (classes) or STS-B (scores and pairs)."""
    task = folder / ("STS-B" if scores else "CoLA")
    task.mkdir(exist_ok=True)
    lines = [f"x\t{i % 2}\t\t{text}" for i, text in enumerate(SENTENCES)]
    if scores:
        names = [
            "index",
            "genre",
            "filename",
            "year",
            "old_index",
            "source1",
            "source2",
            "sentence1",
            "sentence2",
            "score",
        ]
        rows = (f"{i}\tg\tf\ty\to\ts\ts\t{text}\t{SENTENCES[0]}\t{i / 4}" for i, text in enumerate(SENTENCES))
        lines = ["\t".join(names), *rows]
    (task / "train.tsv").write_text("\n".join(lines) + "\n")
    out = folder / f"{task.name}.beton"
    name = "stsb" if scores else "cola"
    ffprep("convert", "glue", "--task", name, "--source", folder, "--out", out, "--quiet", "--overwrite", *options)
    return out


def test_labels_lengths_and_mask(vocabulary: Vocabulary, tmp_path: Path) -> None:
    path = glue(tmp_path, "--length", 24, "--keep-text")
    with presets.text_rows(path, 5, 2, 0, vocabulary="fairseq", text=True, file=True, trim=True) as loader:
        assert loader.vocabulary is not None and loader.vocabulary.mask == 50261
        seen = []
        for tokens, lengths, labels, texts, mask, file in loader:
            assert (tokens.dtype, lengths.dtype, labels.dtype) == (torch.int64, torch.int64, torch.int64)
            assert (labels.shape, mask.dtype, file.tolist()) == ((5,), torch.bool, [0] * 5)
            assert tokens.shape == mask.shape == (5, int(lengths.max()))
            assert torch.equal(mask.sum(1), lengths) and bool((tokens[~mask] == 1).all())
            for row, length, label, text in zip(tokens, lengths, labels, texts, strict=True):
                assert loader.vocabulary.decode(row[:length]) == text and SENTENCES.index(text) % 4 % 2 == label
            seen += texts
        assert len(seen) == 15
    options: dict[str, Any] = {"order": OrderOption.SEQUENTIAL, "drop_last": False, "mask": False}
    with presets.text_rows(path, 5, 1, **options, token_dtype=np.int32, label_dtype=torch.float32) as val:
        batches = list(val)
    assert [len(batch) for batch in batches] == [3] * 4 and batches[0][0].shape == (5, 24)
    assert batches[0][0].dtype == torch.int32
    assert torch.cat([batch[2] for batch in batches]).tolist() == [0.0, 1.0] * 8


def test_scores_and_pairs(vocabulary: Vocabulary, tmp_path: Path) -> None:
    path = glue(tmp_path, "--length", 30, "--keep-text", scores=True)
    with presets.text_rows(path, 16, 1, text=True, order=OrderOption.SEQUENTIAL) as loader:
        [(tokens, lengths, scores, first, second, mask)] = list(loader)
    assert scores.dtype == torch.float32 and scores.tolist() == [i / 4 for i in range(16)]
    assert first == SENTENCES and second == [SENTENCES[0]] * 16
    assert tokens.shape == mask.shape == (16, 30) and torch.equal(mask.sum(1), lengths)
    narrow = glue(tmp_path, "--length", 20)
    with pytest.raises(OptionError, match="not all have the same labels"):
        presets.text_rows([path, narrow])
    with pytest.raises(OptionError, match="convert with --keep-text"):
        presets.text_rows(narrow, text=True)


def test_another_tokenizer_all_the_way(tokenizers: Path, tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    own = Tokenizer.from_file(str(tokenizers / "bert.json"))
    path = glue(tmp_path, "--length", 24, "--tokenizer", tokenizers / "bert.json", "--keep-text")
    with presets.text_rows(
        path, 16, 1, order=OrderOption.SEQUENTIAL, vocabulary=str(tokenizers / "bert.json")
    ) as loader:
        [(tokens, lengths, *_)] = list(loader)
        words = loader.vocabulary
    for row, length, text in zip(tokens, lengths, SENTENCES, strict=True):
        assert row[:length].tolist() == own.encode(text).ids and not row[length:].any()
    assert words is not None and (words.mask, words.specials["[CLS]"]) == (4, 2)
    assert "of bert.json (tokenizers)" in ffprep("info", path)
    ffprep("preview", path, "--out", tmp_path / "p.html")
    assert "[CLS]The quick fox" in (tmp_path / "p.html").read_text()
    with Dataset(path, raw=True) as rows:
        assert rows[0]["tokens"] == own.decode(own.encode(SENTENCES[0]).ids)
    with pytest.raises(OptionError, match=r"numbered as bert\.json"):
        presets.text_rows(path, vocabulary="fairseq")
    mixed = glue(tmp_path, "--length", 24, "--tokenizer", tokenizers / "wide.json").rename(tmp_path / "wide.beton")
    again = glue(tmp_path, "--length", 24, "--tokenizer", tokenizers / "bert.json")
    with pytest.raises(OptionError, match="convert both with the same"):
        presets.text_rows([again, mixed])


def test_ids_beyond_sixteen_bits(tokenizers: Path, tmp_path: Path, demo_data: Path) -> None:
    wide = tokenizers / "wide.json"
    words = open_tokenizer(str(wide))
    path = glue(tmp_path, "--length", 40, "--tokenizer", wide)
    with Reader(path) as reader:
        assert np.dtype(reader.fields["tokens"].dtype) == np.dtype("<i4")  # type: ignore[attr-defined]
    for dtype in (np.int64, np.int32, torch.float64):
        with presets.text_rows(path, 16, 1, order=OrderOption.SEQUENTIAL, token_dtype=dtype) as loader:
            [(tokens, lengths, *_)] = list(loader)
        if dtype in (np.int64, np.int32):
            assert words.decode(tokens[3, : lengths[3]]) == SENTENCES[3]
    with pytest.raises(OptionError, match="uint16 is too narrow"):
        next(iter(presets.text_rows(path, 16, 1, token_dtype=np.uint16)))

    text = "A text of many blocks. " * 40
    (tmp_path / "t.jsonl").write_text(json.dumps({"text": text}) + "\n")
    for padded in ([], ["--padded"]):
        out = tmp_path / "blocks.beton"
        ffprep("convert", "text", "--files", tmp_path / "t.jsonl", "--layout", "blocks", "--block", 16, "--out", out,
               "--tokenizer", wide, "--overwrite", "--quiet", *padded)  # fmt: skip
        with presets.text_blocks(out, 1, 2, block=16, order=OrderOption.SEQUENTIAL, drop_last=False) as loader:
            rows = [tokens[0, : lengths[0][0] if lengths else None] for tokens, *lengths in loader]
            assert loader.vocabulary is not None and loader.vocabulary.same_as(words)
            ids = torch.cat(rows)
            assert ids.dtype == torch.int64 and text.startswith(words.decode(ids)[: 16 * len(rows)])
    flat = tmp_path / "flat.bin"
    ffprep("export", out, "--format", "flat", "--out", flat)
    assert np.fromfile(flat, "<i4").tolist() == [*words.encode(text).tolist(), words.eos]
    ffprep("convert", "tokens", "--source", flat, "--out", tmp_path / "back.beton", "--block", 16)
    ffprep("export", tmp_path / "back.beton", "--format", "fairseq", "--out", tmp_path / "fs")
    assert np.array_equal(np.fromfile(tmp_path / "fs.bin", "<i4"), np.fromfile(flat, "<i4"))
    assert not (tmp_path / "dict.txt").exists()
    ffprep("export", out, "--format", "flat", "--vocabulary", "gpt2", "--out", flat, "--overwrite", status=2)

    coco = demo_data / "coco"
    pairs = ["convert", "coco", "--images", coco / "val2014", "--annotations", coco / "annotations", "--quiet"]
    for form in ("--pairs", "--grouped"):
        out = tmp_path / f"coco{form}.beton"
        annotations = next((coco / "annotations").glob("captions_*.json"))
        pairs[5] = annotations
        ffprep(*pairs, form, "--tokenizer", wide, "--keep-text", "--length", 100, "--out", out)
        with presets.image_text_val(out, 6, 1, size=16, captions="first", text=True) as loader:
            _, tokens, lengths, *_, texts = next(iter(loader))
            assert loader.vocabulary is not None
            assert [words.decode(row[:n]) for row, n in zip(tokens, lengths, strict=True)] == texts
    assert ffprep("stats", out).count("coco--grouped") == 1


def test_options_and_their_old_names(vocabulary: Vocabulary, tmp_path: Path, demo_data: Path) -> None:
    path = glue(tmp_path, "--vocabulary", "gpt2")
    first = path.read_bytes()
    task = ["convert", "glue", "--task", "cola", "--source", tmp_path, "--out", path, "--overwrite", "--quiet"]
    assert "warning: --numbering is now called --vocabulary" in ffprep(*task, "--numbering", "gpt2")
    assert path.read_bytes() == first
    manifest = Reader(path).manifest
    ffprep(*task, "--tokenizer", "gpt2")
    again = Reader(path).manifest
    assert manifest is not None and again is not None
    assert again.pop("configuration") != manifest.pop("configuration") and again == manifest
    coco = demo_data / "coco"
    captions = ["convert", "coco", "--images", coco / "val2014", "--quiet", "--overwrite", "--annotations",
                next((coco / "annotations").glob("captions_*.json")), "--out", tmp_path / "c.beton"]  # fmt: skip
    assert "warning" not in ffprep(*captions, "--vocabulary", "gpt2", "--keep-text")
    kept = (tmp_path / "c.beton").read_bytes()
    said = ffprep(*captions, "--tokens", "gpt2", "--text")
    assert "--tokens is now called --vocabulary" in said and "--text is now called --keep-text" in said
    assert (tmp_path / "c.beton").read_bytes() == kept
    for wrong, why in (
        (("--numbering", "gpt2", "--vocabulary", "fairseq"), "old name"),
        (("--tokenizer", "x.json", "--vocabulary", "gpt2"), "give one of them"),
        (("--special", "eos=x"), "give --tokenizer too"),
        (("--tokenizer", "gone.json"), "neither a file nor an encoding"),
        (("--vocabulary", "gone"), "give fairseq, gpt2"),
    ):
        assert why in ffprep(*task, *wrong, status=2)
    assert "write ROLE=TOKEN" in ffprep(*task, "--tokenizer", "x.json", "--special", "end=x", status=2)


def test_every_presets_loader_knows_its_vocabulary(
    vocabulary: Vocabulary, tmp_path: Path, image_beton: Path, demo_data: Path
) -> None:
    with presets.imagenet_train(image_beton, 8, 1, size=16) as images:
        assert images.vocabulary is None
    path = glue(tmp_path)
    loaders: list[Loader] = [presets.text_rows(path, 4, 1), presets.text_blocks(path, 4, 1)]
    for loader in loaders:
        with loader:
            assert loader.vocabulary is not None and loader.vocabulary.same_as(vocabulary)


def test_files_that_are_no_rows(vocabulary: Vocabulary, tmp_path: Path, image_beton: Path, demo_data: Path) -> None:
    with pytest.raises(OptionError, match="not a file of rows of text"):
        presets.text_rows(image_beton)
    ffprep(
        "convert",
        "openwebtext",
        "--source",
        demo_data / "text",
        "--block",
        16,
        "--out",
        tmp_path / "b.beton",
        "--quiet",
    )
    with pytest.raises(OptionError, match="load it with text_blocks"):
        presets.text_rows(tmp_path / "b.beton")
