"""Write the tables of benchmarks in the manual and in the README, from the results in benchmarks/results.

    .venv/bin/python scripts/result_tables.py            # writes them, and the charts
    .venv/bin/python scripts/result_tables.py --check    # says which page differs from them, and fails

A page has ``<!-- results: FILE TABLE -->`` where a table belongs, FILE without its ``.json``, and ``<!-- end of results
-->`` behind it. ``<!-- comparison: NAME -->`` to ``<!-- end of comparison -->`` is filled with all parts of the
comparison with peers (``side-by-side-NAME-PART.json``) that there are, and ``<!-- fastest: NAME -->`` to ``<!-- end of
fastest -->`` with the rates of its loaders of images; what is between these stays as long as there are no such files. A
test compares the pages with what this makes.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from ffprep.inspect.charts import Bar, Chart, write_charts
from ffprep.inspect.timing.results import Result, Table

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "benchmarks" / "results"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PLACE = re.compile(r"(<!-- results: (\S+) (\S+) -->\n).*?(<!-- end of results -->)", re.DOTALL)
WHOLE = re.compile(r"(<!-- comparison: (\S+) -->\n)(.*?)(<!-- end of comparison -->)", re.DOTALL)
FASTEST = re.compile(r"(<!-- fastest: (\S+) -->\n)(.*?)(<!-- end of fastest -->)", re.DOTALL)

PARTS = {
    "images": "Training: random crops of 0.08 to 1 of the area",
    "narrow": "Training: random crops of 0.9 to 1 of the area",
    "validation": "Validation: the shorter side to 256, the central 224",
    "views": "Two random crops of each image",
    "workers": "Workers, and what the consumer does",
    "accelerator": "An emulated accelerator",
    "confined": "A page cache too small for the set",
    "decoding": "The decoders alone",
    "writing": "Conversion",
    "tokens": "Loading tokens",
    "tokenise": "Tokenising",
    "download": "Downloading",
    "scaling": "Sizes of images and of data sets",
}
"""The parts in the order of the page."""
FOREMOST = (
    "ffprep, seekable",
    "ffprep, original bytes",
    "DALI, CPU, crop decoding",
    "TurboLoader, train_aug",
    "torch DataLoader, torchvision v2",
    "torch DataLoader, Pillow",
    "MosaicML Streaming",
    "tf.data, crop decoding",
    "stock ffcv",
    "WebDataset",
    "ffprep, stock ffcv's file",
    "stock ffcv, its own file",
)
"""What README shows; the page of the comparison has them all."""
CHARTS = ("images", "narrow", "validation", "writing")
TABLES = {
    "consumed": "One worker on one core, and a consumer that reads every value of every batch:",
    "download": "A few hundred images from a server on the same two cores, the start of the programs included:",
    "confined": "Loaders that may hold half of what they read in memory, besides what they take themselves:",
    "busy": "Share of the time that a timed step a batch takes, with two workers on two cores:",
    "cores": "Cores that keep a GPU 90 % busy, computed from the processor time of an image:",
    "opening": "A loader in random order on one file, or on a set of files:",
    "order": "The order of an epoch alone:",
    "whole-original": "Whole images at their own size, the files as they are:",
    "crops-original": "Random crops to 224, the files as they are:",
    "whole-444-q96": "Whole images, 4:4:4 at quality 96:",
    "crops-444-q96": "Random crops to 224, 4:4:4 at quality 96:",
    "whole-420-q75": "Whole images, 4:2:0 at quality 75:",
    "crops-420-q75": "Random crops to 224, 4:2:0 at quality 75:",
}


def lead(table: str) -> str:
    """Say what a table is of."""
    kind, _, what = table.partition("-")
    if table.endswith("-without"):
        return "Without a figure:"
    if table == "workers-0":
        return "0 workers: torch then decodes in the training process; ffprep takes a thread for each of the two cores:"
    if kind == "workers":
        return f"{what} worker{'' if what == '1' else 's'} on two cores:"
    if kind == "quality":
        return f"Random crops to 224 of images whose shorter side is 512, 4:2:0 at quality {what}:"
    if kind == "side":
        return f"Random crops to 224 of images whose shorter side is {what}, 4:2:0 at quality 90:"
    return TABLES.get(table, "")


def filled(page: str, folder: Path = FOLDER) -> str:
    """A page's text with every table as the results give it."""

    def table(place: re.Match[str]) -> str:
        result = Result.load(folder / f"{place[2]}.json")
        return f"{place[1]}\n{result.caption()}\n\n{result.text(place[3], markdown=True)}\n\n{place[4]}"

    def whole(place: re.Match[str]) -> str:
        found = {part: results(place[2], part, folder) for part in PARTS}
        sections = [section(place[2], part, result) for part, result in found.items() if result is not None]
        return f"{place[1]}\n{''.join(sections)}{place[4]}" if sections else place[0]

    def fastest(place: re.Match[str]) -> str:
        result = results(place[2], "images", folder)
        if result is None or not result.tables["images"].rows:
            return place[0]
        return f"{place[1]}\n{result.caption()}\n\n{summary(result)}\n\n{place[4]}"

    return FASTEST.sub(fastest, WHOLE.sub(whole, PLACE.sub(table, page)))


def results(name: str, part: str, folder: Path = FOLDER) -> Result | None:
    """Return what a part of the comparison found, if it is kept and there is anything in it."""
    path = folder / f"side-by-side-{name}-{part}.json"
    result = Result.load(path) if path.exists() else None
    return result if result is not None and any(table.rows for table in result.tables.values()) else None


def section(name: str, part: str, result: Result) -> str:
    """Return a part's heading, caption, chart and tables."""
    lines = [f"### {PARTS[part]}", "", result.caption(), ""]
    if part in CHARTS and result.tables[part].rows:
        lines += [f"![{PARTS[part]}: images a second](images/side-by-side-{name}-{part}.svg)", ""]
    for table, content in result.tables.items():
        if content.rows:
            lines += [*([lead(table), ""] if lead(table) else []), result.text(table, markdown=True), ""]
    return "\n".join([*lines, ""])


def summary(result: Result) -> str:
    """Return the foremost loaders of images with what they read and their rates, the fastest first."""
    rows = [row for row in result.tables["images"].rows if row[0] in FOREMOST]
    reads = {str(row[0]): str(row[1]) for row in rows}
    rates = {str(row[0]): result.series[f"images: {row[0]}"].median for row in rows}
    chosen = sorted(rates, key=lambda loader: -rates[loader])
    table = Table(
        ["", "reads", "images/s"], [[loader, reads[loader], {"range": f"images: {loader}"}] for loader in chosen]
    )
    return Result("", "", result.series, {"main": table}).text(markdown=True)


def chart(part: str, result: Result) -> Chart:
    """Return the rates of a part as bars."""
    names = [str(row[0]) for row in result.tables[part].rows]
    medians = {name: result.series[f"{part}: {name}"].median for name in names}
    bars = [Bar(name, [rate], f"{rate:,.0f}") for name, rate in sorted(medians.items(), key=lambda one: -one[1])]
    return Chart(PARTS[part], bars, "images a second, medians")


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
    for page in PAGES:
        for place in WHOLE.finditer(page.read_text()):
            for part in CHARTS:
                if (result := results(place[2], part)) is not None and result.tables[part].rows:
                    write_charts(page.parent / "images" / f"side-by-side-{place[2]}-{part}.svg", [chart(part, result)])


if __name__ == "__main__":
    main()
