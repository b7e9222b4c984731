"""Options that say which ids tokens have, and old spellings of options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ffprep.commands._shared.files import Existing
from ffprep.commands._shared.help import apply_options
from ffprep.commands._shared.recorded import RENAMED
from ffprep.errors import OptionError

if TYPE_CHECKING:
    from ffprep.text.tokens.vocabulary import Vocabulary

FOLDER = Existing(file_okay=False)
GPT2_IDS = "fairseq|gpt2|DICT.TXT"
ROLES = ("bos", "pad", "eos", "unk", "mask")

gpt2_files_options = apply_options(
    click.option(
        "--gpt2-files",
        type=FOLDER,
        help="Folder with GPT-2's vocabulary (vocab.bpe or r50k_base.tiktoken); no network is needed then.",
    ),
    click.option("--vocab", type=FOLDER, hidden=True),
    title="Vocabulary",
)
"""``--gpt2-files``, which was called ``--vocab``."""

tokenizer_options = apply_options(
    click.option(
        "--tokenizer",
        metavar="TOKENIZER.JSON|MODEL|ENCODING",
        help="Another tokenizer than GPT-2's: a Hugging Face tokenizer.json, a SentencePiece model, or the name of an "
        "encoding of tiktoken's such as cl100k_base.",
    ),
    click.option(
        "--special",
        "specials",
        multiple=True,
        metavar="ROLE=TOKEN",
        help=f"A token of that tokenizer by its name, for {', '.join(ROLES)}; only needed where the tokenizer does not "
        "say it. Repeatable.",
    ),
    title="Vocabulary",
)
"""``--tokenizer`` and ``--special``."""

vocabulary_options = apply_options(
    click.option(
        "--vocabulary",
        metavar=GPT2_IDS,
        help="Ids of GPT-2's tokens: fairseq's with four special tokens first (50,262 in all; the default), those of a "
        "fairseq dict.txt, or GPT-2's own.",
    ),
    click.option("--numbering", hidden=True),
    tokenizer_options,
    gpt2_files_options,
    title="Vocabulary",
)
"""``--vocabulary``, which was called ``--numbering``, ``--tokenizer``, ``--special`` and ``--gpt2-files``."""


def renamed(values: dict[str, Any], old: str, new: str) -> None:
    """Move the value of an option that was given by its old name to the new one, and warn."""
    value = values.pop(old, None)
    if value in (None, False):
        return
    dashes = {name: "--" + name.replace("_", "-") for name in (old, new)}
    if values.get(new) not in (None, False):
        raise OptionError(f"{dashes[old]} is the old name of {dashes[new]}; give one of them")
    click.echo(f"warning: {dashes[old]} is now called {dashes[new]}", err=True)
    values[new] = value
    click.get_current_context().meta.setdefault(RENAMED, {})[old] = new


def take_vocabulary(values: dict[str, Any], default: str = "fairseq") -> Vocabulary | None:
    """Take the vocabulary options out of a command's values.

    Returns
    -------
    Vocabulary or None
        None if no option names one and `default` is empty.

    Raises
    ------
    OptionError
        The options contradict each other, or name no vocabulary.
    """
    from ffprep.text.tokens.vocabulary import GPT2_NAMES, open_tokenizer, open_vocabulary

    for old, new in (("numbering", "vocabulary"), ("tokens", "vocabulary"), ("vocab", "gpt2_files")):
        renamed(values, old, new)
    name, tokenizer = values.pop("vocabulary"), values.pop("tokenizer", None)
    specials, folder = _specials(values.pop("specials", ())), values.pop("gpt2_files")
    if tokenizer is None or tokenizer in GPT2_NAMES:
        if specials:
            raise OptionError("--special names tokens of another tokenizer than GPT-2's: give --tokenizer too")
        name = name or (tokenizer and "gpt2") or default
        return open_vocabulary(name, folder) if name else None
    if name is not None:
        raise OptionError(
            f"--vocabulary {name} says how GPT-2's tokens are numbered, and --tokenizer {tokenizer} has ids of its "
            "own; give one of them"
        )
    return open_tokenizer(tokenizer, specials)


def _specials(given: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for text in given:
        role, equals, token = text.partition("=")
        if not equals or role not in ROLES or not token:
            raise OptionError(f"--special {text}: write ROLE=TOKEN, where ROLE is one of {', '.join(ROLES)}")
        found[role] = token
    return found
