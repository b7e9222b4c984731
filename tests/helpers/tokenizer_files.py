"""Small tokenizers of the kinds that are published, trained on the spot."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

CORPUS = [
    "The quick brown fox jumps over the lazy dog, and then it runs away from the farm as fast as it can.",
    "A vocabulary of words and pieces of words is learnt from text; café, naïve, 中文 and 日本語 are in it too.",
    "Numbers such as 12,345 and 3.14159 are cut into pieces, punctuation (like this!) stands alone.",
    "It isn't said how often the words come, but the more often they do, the shorter they become.",
]


def bytelevel(path: Path, specials: tuple[str, ...] = ("<|endoftext|>",)) -> Path:
    """Byte-level BPE without marks around texts, as GPT-2's, Llama 3's or Qwen's."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=list(specials), initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(CORPUS, trainer)
    made.save(str(path))
    return path


def roberta(path: Path) -> Path:
    """Byte-level BPE with RoBERTa's marks: ``<s> a </s></s> b </s>``."""
    from tokenizers import Tokenizer, processors

    made = Tokenizer.from_file(str(bytelevel(path, ("<s>", "<pad>", "</s>", "<unk>", "<mask>"))))
    made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    made.save(str(path))
    return path


def bert(path: Path, limits: bool = True) -> Path:
    """WordPiece with BERT's marks; with the truncation and padding that published files have switched on."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    made.train_from_iterator(
        CORPUS, trainers.WordPieceTrainer(vocab_size=300, special_tokens=names, show_progress=False)
    )
    made.decoder = decoders.WordPiece()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    if limits:
        made.enable_truncation(4)
        made.enable_padding(length=6, pad_id=0, pad_token="[PAD]")
    made.save(str(path))
    return path


def t5(path: Path) -> Path:
    """Unigram with T5's marks: ``a </s>``, and nothing before the text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=200, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    made.train_from_iterator(CORPUS * 4, trainer)
    made.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    made.save(str(path))
    return path


def sentencepiece(path: Path, **options: Any) -> Path:
    """A model of SentencePiece's own, by default with Llama's marks: ``<s> a </s>``, no padding."""
    from sentencepiece import SentencePieceTrainer

    model = io.BytesIO()
    SentencePieceTrainer.Train(
        sentence_iterator=iter(CORPUS * 4),
        model_writer=model,
        vocab_size=options.pop("vocab_size", 180),
        minloglevel=2,
        hard_vocab_limit=False,
        **options,
    )
    path.write_bytes(model.getvalue())
    return path


def wide(path: Path) -> Path:
    """A byte-level BPE most of whose tokens lie beyond 65,535, as many of Llama 3's and of others do."""
    made = json.loads(bytelevel(path).read_text())
    words = made["model"]["vocab"]
    made["model"]["vocab"] = {word: number if number < 20 else number + 69_600 for word, number in words.items()}
    path.write_text(json.dumps(made))
    return path
