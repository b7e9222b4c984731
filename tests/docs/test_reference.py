"""The Python reference: everything public is in it, under the name that users import."""

from __future__ import annotations

import importlib.util
import re
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
PUBLIC = (
    "ffprep", "ffprep.loader", "ffprep.presets", "ffprep.fields", "ffprep.fields.decoders", "ffprep.fields.dense",
    "ffprep.transforms", "ffprep.pipeline", "ffprep.beton", "ffprep.reader", "ffprep.writer", "ffprep.errors",
    "ffprep.traversal_order", "ffprep.compat.ffcv",
)  # fmt: skip


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("python_reference", DOCS.parent / "scripts" / "python_reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def documented() -> dict[str, object]:
    """What the pages document, by its name there."""
    names = [name for page in DOCS.glob("api*.md") for name in re.findall(r"^::: (\S+)$", page.read_text(), re.M)]
    return {name: getattr(import_module(name.rpartition(".")[0]), name.rpartition(".")[2]) for name in names}


def test_the_pages_are_what_the_script_makes(script: ModuleType) -> None:
    for name, text in script.pages().items():
        assert (DOCS / name).read_text() == text, "run scripts/python_reference.py"


@pytest.mark.parametrize("name", PUBLIC)
def test_everything_public_is_documented(script: ModuleType, name: str) -> None:
    there = documented()
    module = import_module(name)
    for public in script.public_names(module):
        value = getattr(module, public)
        assert any(value is one for one in there.values()), f"{name}.{public}"
        assert isinstance(value, (int, str, tuple, dict)) or (value.__doc__ or "").strip(), f"{name}.{public}"


def test_the_reference_promises_nothing_private() -> None:
    assert not [name for name in documented() if "._" in name]
