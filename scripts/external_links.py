"""Ask for every external link of the README and the manual, and list those that do not answer as they should.

    python scripts/external_links.py

Takes a network. The tests check the links that stay inside.
"""

from __future__ import annotations

import re
import sys
import urllib.error
import urllib.request
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"https?://[^\s)>\]\"'`|]+")
OWN = ("https://ffprep.github.io", "https://github.com/ffprep", "https://raw.githubusercontent.com/ffprep")
MADE_UP = ("example.org", "example.com", "localhost", "127.0.0.1", "bucket")


def links() -> dict[str, list[str]]:
    """The external links, each with the pages that have it."""
    found: dict[str, list[str]] = defaultdict(list)
    for page in [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))]:
        for link in LINK.findall(page.read_text()):
            if not link.startswith(OWN) and not any(part in link for part in MADE_UP):
                found[link.rstrip(".,;:")].append(str(page.relative_to(ROOT)))
    return found


def problem(link: str) -> str:
    """What is wrong with a link; empty if nothing is."""
    asked = urllib.request.Request(link, headers={"User-Agent": "Mozilla/5.0 (link check)"})
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return "" if answer.status < 400 else f"status {answer.status}"
    except urllib.error.HTTPError as error:
        return "" if error.code in (401, 403, 429) else f"status {error.code}"  # there, but not for programs
    except (OSError, ValueError) as error:
        return str(error)


def main() -> None:
    found = links()
    with ThreadPoolExecutor(8) as threads:
        problems = dict(zip(found, threads.map(problem, found), strict=True))
    for link, what in problems.items():
        if what:
            print(f"{link}: {what} ({', '.join(found[link])})")
    print(f"{len(found)} links, {sum(map(bool, problems.values()))} with a problem")
    sys.exit(any(problems.values()))


if __name__ == "__main__":
    main()
