"""Every link of the README and the manual that stays inside leads somewhere, anchors included.

``scripts/external_links.py`` asks for the others, which takes a network.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")]
PAGES += sorted(DOCS.rglob("*.md"))
SITE, SOURCE = "https://ffprep.github.io/ffprep/", "https://github.com/ffprep/ffprep/"
RAW = "https://raw.githubusercontent.com/ffprep/ffprep/main/"
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\[\]]*\])*\]\(<?([^)\s>]+)>?\)")


def prose(text: str) -> str:
    """A page without what stands in blocks and spans of code."""
    text = re.sub(r"^( *)```.*?^ *```", "", text, flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`", "x", text)


def slug(heading: str) -> str:
    """The anchor of a heading, as MkDocs and GitHub make it."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
    plain = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())


def anchors(page: Path) -> set[str]:
    text = re.sub(r"^( *)```.*?^ *```", "", page.read_text(), flags=re.M | re.S)
    return {slug(found) for found in re.findall(r"^#+ (.+)$", text, re.M)}


def target(page: Path, link: str) -> tuple[Path, str] | None:
    """The file and the anchor that a link leads to; None if it leads outside."""
    place, _, anchor = link.partition("#")
    if link.startswith(SITE):
        name = place.removeprefix(SITE).strip("/")
        return DOCS / f"{name or 'index'}.md", anchor
    for start in (RAW, SOURCE + "blob/main/", SOURCE + "tree/main/"):
        if link.startswith(start):
            return ROOT / place.removeprefix(start), anchor
    if re.match(r"[a-z]+:", link):
        return None
    return (page.parent / place).resolve() if place else page, anchor


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    lost = []
    for link in LINK.findall(prose(page.read_text())):
        found = target(page, link)
        if found is None:
            continue
        file, anchor = found
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            lost.append(link)
    assert lost == []


def test_a_page_of_the_manual_links_to_files_that_the_manual_has() -> None:
    """The manual has what lies in docs/; elsewhere a relative link is right on GitHub only."""
    for page in sorted(DOCS.rglob("*.md")):
        for link in LINK.findall(prose(page.read_text())):
            found = target(page, link)
            if found is not None and not link.startswith("http"):
                assert found[0].is_relative_to(DOCS), f"{page.name}: {link}"


def test_every_page_is_in_the_navigation() -> None:
    listed = re.findall(r"^ +- [^\n]*: (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.M)
    assert sorted(listed) == sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))


def test_a_broken_link_would_be_found(tmp_path: Path) -> None:
    assert target(PAGES[0], "nowhere.md#x") == (ROOT / "nowhere.md", "x")
    assert target(PAGES[0], SITE + "text/#speed") == (DOCS / "text.md", "speed")
    assert target(PAGES[0], "https://example.org/x") is None
    (tmp_path / "a.md").write_text("# One: `two` and *three*\n```\n# not this\n```\n## A [link](x.md), too\n")
    assert anchors(tmp_path / "a.md") == {"one-two-and-three", "a-link-too"}
    assert LINK.findall(prose("[a](b.md) `[c](d)` ![e](f.png)")) == ["b.md", "f.png"]
