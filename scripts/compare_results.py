"""Compare two files of results of the same benchmark, such as before and after a change, or on two machines.

    .venv/bin/python scripts/compare_results.py BEFORE.json AFTER.json

Given are quotients, after to before, round by round: median, lowest and highest. The first lines are of ratios between
contestants that took turns, which a machine's drift touches least; then come the rates themselves.
"""

from __future__ import annotations

import argparse

from ffprep.errors import FfprepError
from ffprep.inspect.timing.results import Result, compared


def main() -> None:
    """Print what changed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before")
    parser.add_argument("after")
    options = parser.parse_args()
    try:
        before, after = Result.load(options.before), Result.load(options.after)
    except (FfprepError, OSError) as error:
        parser.exit(1, f"{error}\n")
    if before.benchmark != after.benchmark:
        parser.exit(1, f"{before.benchmark} and {after.benchmark} are different benchmarks\n")
    for name, result in (("before", before), ("after", after)):
        print(f"{name}: {result.caption()}")
    rows = compared(before, after)
    width = max((len(what) for what, *_ in rows), default=0)
    for what, low, middle, high in rows:
        print(f"{what:<{width}}  {middle:.3f} ({low:.3f} - {high:.3f})")


if __name__ == "__main__":
    main()
