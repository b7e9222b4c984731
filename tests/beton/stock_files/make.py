"""Makes the files in this folder again. They are kept to be read for ever; do not replace them, add to them.

    python tests/beton/stock_files/make.py

``ffcv-1.0.2-*.beton.xz`` are written by stock ffcv 1.0.2, with two workers where the name says so, so that the
allocation table is in no order. ``ffprep-*.beton.xz`` is written by this package, in the version of its name.
"""

from __future__ import annotations

import lzma
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
STOCK = [("all", 12, 1), ("numbers", 9, 1), ("empties", 40, 1), ("empties", 40, 2), ("pages", 40, 2)]


def keep(source: Path, name: str) -> None:
    target = HERE / f"{name}.beton.xz"
    if not target.exists():
        target.write_bytes(lzma.compress(source.read_bytes(), preset=9))


def main() -> None:
    sys.path.insert(0, str(HERE.parent))
    import stock_recipes

    import ffprep
    import ffprep.fields
    from ffprep.beton import Writer

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.beton"
        for recipe, count, workers in STOCK:
            assert version("ffcv") == "1.0.2"
            command = [sys.executable, HERE.parent / "stock_ffcv.py", "write", path, recipe, str(count), str(workers)]
            subprocess.run(command, check=True, timeout=120)
            keep(path, f"ffcv-1.0.2-{recipe}-{count}-w{workers}")
        fields = stock_recipes.fields("all", ffprep.fields)
        with Writer(path, fields, 15, manifest={"made": "for the tests"}, overwrite=True) as writer:
            for index in range(12):
                values = stock_recipes.sample("all", index)
                encoded = [field.encode(value) for field, value in zip(fields.values(), values, strict=True)]
                writer.write(encoded, f"picture {index}.jpg")
        keep(path, f"ffprep-{ffprep.__version__}-all-12")


if __name__ == "__main__":
    main()
