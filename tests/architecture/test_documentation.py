"""Files and tests that the documentation names exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
NAMED = re.compile(
    r"(?<![\w/.])((?:benchmarks|tests|scripts|examples|ffprep|configs)/[\w/]+\.(?:py|c|h|sh|yaml|toml))(?:::(\w+))?"
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_names_exists(page: Path) -> None:
    for path, test in NAMED.findall(page.read_text()):
        assert (ROOT / path).exists(), f"{page.name} names {path}"
        assert not test or f"def {test}(" in (ROOT / path).read_text(), f"{page.name} names {test} in {path}"


@pytest.mark.parametrize("room", ["ffprep", "benchmarks", "examples"])
def test_what_a_module_names_exists(room: str) -> None:
    for module in (ROOT / room).rglob("*.py"):
        for path, _ in NAMED.findall(module.read_text()):
            assert (ROOT / path).exists(), f"{module.relative_to(ROOT)} names {path}"
