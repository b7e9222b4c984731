"""``X-Robots-Tag`` headers that forbid a use."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

AI = frozenset({"noai", "noimageai", "noml"})
"""What forbids use for training."""
INDEX = frozenset({"noindex", "noimageindex", "none"})
"""What forbids search engines to list an image; ``none`` means ``noindex, nofollow``."""

_OTHERS = """
    all index follow nofollow noarchive nocache nosnippet notranslate nositelinkssearchbox indexifembedded noodp noydir
    max-snippet max-image-preview max-video-preview unavailable_after
"""
_KNOWN = AI | INDEX | frozenset(_OTHERS.split())
"""Directives that are in use. A word before a colon is an agent if it is none of them and one of them follows."""
_AGENT = re.compile(r"([A-Za-z][\w./-]*|\*)\s*:(.*)", re.DOTALL)


def forbids(tags: Iterable[str], words: Collection[str], agents: Collection[str]) -> bool:
    """Whether a response's ``X-Robots-Tag`` headers hold one of some words for one of some agents.

    A header is a list of directives, separated by commas: ``noai, max-image-preview: large``. A directive may have a
    value after a colon; ``unavailable_after`` has a date, which may hold commas and colons. A name before a directive,
    with a colon, is the agent that the directives from there on are for; before it, and in headers that name none, they
    are for every agent, as those for ``*`` are. Upper and lower case do not matter.

    Parameters
    ----------
    tags : iterable of str
        Values of the headers.
    words : collection of str
        In lower case.
    agents : collection of str
        Names that we answer to, in lower case.
    """
    for tag in tags:
        ours = True
        for part in re.split("[,;]", tag):
            directive = part.strip().lower()
            named = _AGENT.fullmatch(directive)
            if named is not None and named[1] not in _KNOWN and _name(named[2]) in _KNOWN:
                ours = named[1] == "*" or named[1].partition("/")[0] in agents
                directive = named[2]
            if ours and _name(directive) in words:
                return True
    return False


def _name(directive: str) -> str:
    return directive.partition(":")[0].strip()
