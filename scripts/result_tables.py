"""Write the tables of benchmarks in the manual and in the README, from the results in benchmarks/results.

    .venv/bin/python scripts/result_tables.py            # writes them
    .venv/bin/python scripts/result_tables.py --check    # says which page differs from them, and fails

A page has ``<!-- results: FILE TABLE -->`` where a table belongs, FILE without its ``.json``, and ``<!-- end of results
-->`` behind it. A test compares the pages with what this makes.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from ffprep.inspect.timing.results import Result

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "benchmarks" / "results"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PLACE = re.compile(r"(<!-- results: (\S+) (\S+) -->\n).*?(<!-- end of results -->)", re.DOTALL)


def filled(page: str, folder: Path = FOLDER) -> str:
    """A page's text with every table as the results give it."""

    def table(place: re.Match[str]) -> str:
        result = Result.load(folder / f"{place[2]}.json")
        return f"{place[1]}\n{result.caption()}\n\n{result.text(place[3], markdown=True)}\n\n{place[4]}"

    return PLACE.sub(table, page)


def main() -> None:
    """Write or check all pages."""
    differing = [page for page in PAGES if filled(page.read_text()) != page.read_text()]
    if "--check" in sys.argv[1:]:
        if differing:
            names = ", ".join(page.name for page in differing)
            sys.exit(f"{names}: a table differs from benchmarks/results; run scripts/result_tables.py")
        return
    for page in differing:
        page.write_text(filled(page.read_text()))
        print(page.relative_to(ROOT))


if __name__ == "__main__":
    main()
