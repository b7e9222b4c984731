"""Write the Python reference, docs/api*.md, from the public names.

    .venv/bin/python scripts/python_reference.py

The pages name the objects; what they say of them, the manual takes from the docstrings. A test compares the pages with
what this makes, so run it after a change to what is public.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[1] / "docs"
MADE = "This page is made by `scripts/python_reference.py`."


@dataclass(frozen=True)
class Section:
    """Public names under one heading.

    Attributes
    ----------
    title : str
    module : str
        Where users import the names from.
    names : tuple of str
        By default all that the module says are public.
    text : str
        A sentence in front of them.
    """

    title: str
    module: str
    names: tuple[str, ...] = ()
    text: str = ""

    def public(self) -> list[str]:
        """The names."""
        module = import_module(self.module)
        return list(self.names or public_names(module))


PAGES = {
    "api.md": (
        "Python reference",
        "Loaders, presets and orders. [Pipelines](api_pipelines.md) has decoders and transforms, [files](api_files.md) "
        "fields, writing, reading and errors. What is listed is public: [versions](versions.md) says what that "
        "promises. `ffprep` itself has `Loader`, `Dataset`, `DatasetWriter` and the orders.",
        [
            Section("Loading", "ffprep.loader", ("Loader", "ErrorBudget")),
            Section("What a loader left out", "ffprep.loader.epoch.failures", ("LoaderErrors",)),
            Section("Presets", "ffprep.presets", text="A loader for each kind of data set, in one call."),
            Section("Samples one at a time", "ffprep.dataset", ("Dataset",)),
            Section("Options of presets", "ffprep.presets.options", ("LoaderOptions", "EvaluationOptions")),
            Section("Counters", "ffprep.loader.epoch.stats", ("LoaderStats",)),
            Section("Monitoring", "ffprep.monitoring"),
            Section(
                "Orders", "ffprep.loader", ("OrderOption", "WeightedOrder", "NodeOrder", "RepeatedOrder", "ClipOrder")
            ),
            Section("Orders of one's own", "ffprep.traversal_order"),
            Section("Folds and shares", "ffprep.loader.folds", ("k_fold", "fold_of", "stratified")),
        ],
    ),
    "api_pipelines.md": (
        "Pipelines in Python",
        "What stands in `Loader(pipelines=...)`: a decoder, then transforms. [Augmentations](augmentations.md) and "
        "[masks, boxes and keypoints](dense.md) show them at work.",
        [
            Section("Pipelines", "ffprep.pipeline"),
            Section("Decoders", "ffprep.fields.decoders"),
            Section("Decoders of masks, boxes and keypoints", "ffprep.fields.dense"),
            Section("Transforms", "ffprep.transforms"),
            Section("Decoders for a stock ffcv.Loader", "ffprep.compat.ffcv"),
        ],
    ),
    "api_files.md": (
        "Files in Python",
        "Fields, writing and reading `.beton` files, and every error that ffprep raises.",
        [
            Section("Writing", "ffprep.writer"),
            Section("Fields", "ffprep.fields"),
            Section("Reading", "ffprep.beton"),
            Section("Reading as in ffcv", "ffprep.reader"),
            Section("Errors", "ffprep.errors"),
        ],
    ),
}


def public_names(module: Any) -> list[str]:
    """What a module says is public: ``__all__``, or else the classes and functions that it defines."""
    if hasattr(module, "__all__"):
        return [name for name in module.__all__ if not name.startswith("__")]
    members = [(name, value) for name, value in vars(module).items() if name[0] != "_"]
    return [name for name, value in members if inspect.isclass(value) and value.__module__ == module.__name__]


def page(name: str, listed: set[int]) -> str:
    """A page; an object that `listed` has is left out, and all of this page are added."""
    title, text, sections = PAGES[name]
    lines = [f"# {title}", "", text, "", MADE, ""]
    for section in sections:
        lines += [f"## {section.title}", "", *([section.text, ""] if section.text else [])]
        module = import_module(section.module)
        for public in section.public():
            value = getattr(module, public)
            plain = isinstance(value, (int, str, tuple, dict))
            if id(value) not in listed or plain:
                listed.add(id(value))
                lines += [f"::: {section.module}.{public}", ""]
    return "\n".join(lines).rstrip() + "\n"


def pages() -> dict[str, str]:
    """All pages by their names."""
    listed: set[int] = set()
    return {name: page(name, listed) for name in PAGES}


if __name__ == "__main__":
    for name, text in pages().items():
        (DOCS / name).write_text(text)
