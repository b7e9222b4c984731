"""The package keeps the architecture that layers.toml declares, and the check of it notices what breaks it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "check_architecture.py"

TABLE = """
package = "house"

[layers]
house = ["cellar", "kitchen | pantry", "attic", "door", "__init__"]
"house.kitchen" = ["stove", "*", "cook"]

[only]
"house.pantry" = ["house.cellar.pipes"]

[deferred]
packages = ["torch"]

[deferred.exceptions]
"house.attic.excused" = "a reason"

[sizes]
lines = 10
modules = 4

[sizes.exceptions]
"house/attic" = "a reason"

[doors]
modules = ["house.door"]
"""

HOUSE = {
    "__init__.py": "from house.attic import roof\n",
    "cellar/__init__.py": "",
    "cellar/pipes.py": "import json\n",
    "cellar/heating.py": "import torch\n\nfrom .pipes import water\n",
    "kitchen/__init__.py": "",
    "kitchen/stove.py": "from house.cellar import pipes\n",
    "kitchen/table.py": "from .stove import heat\n",
    "kitchen/cook.py": "from house.kitchen.table import plate\n",
    "pantry/__init__.py": "",
    "pantry/shelf.py": "from house.cellar.pipes import water\n",
    "attic/__init__.py": "",
    "attic/roof.py": "def f():\n    import torch\n    from house.cellar import heating\n",
    "attic/excused.py": "def f():\n    import json\n",
    "door.py": '"""A door."""\n\nfrom house.attic.roof import f\n\n__all__ = ["f"]\n',
}


@pytest.fixture(scope="module")
def checker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_architecture", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


def build(root: Path, **changes: str) -> Path:
    """A small package that keeps all rules but for what the changed files break."""
    (root / "layers.toml").write_text(TABLE)
    changed = {f"{name.replace('__', '/')}.py": text for name, text in changes.items()}
    files = {**HOUSE, **changed}
    for name, text in files.items():
        path = root / "house" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_the_package_keeps_its_architecture(checker: ModuleType) -> None:
    assert not [str(violation) for violation in checker.check(ROOT)]


def test_a_package_in_order_has_no_violations(checker: ModuleType, tmp_path: Path) -> None:
    assert checker.check(build(tmp_path)) == []


BROKEN = {
    "upwards": (
        {"cellar__pipes": "import json\nfrom house.attic import roof\n"},
        "house/cellar/pipes.py:2: arrow: imports house.attic.roof: house.attic lies above house.cellar",
    ),
    "upwards, inside a function": (
        {"cellar__pipes": "def f():\n    from ..attic.roof import f\n", "attic__roof": "import torch\n"},
        "house/cellar/pipes.py:2: arrow: imports house.attic.roof: house.attic lies above house.cellar",
    ),
    "upwards, for type checkers": (
        {"cellar__heating": "import torch, typing\nif typing.TYPE_CHECKING:\n    import house.pantry.shelf\n"},
        "house/cellar/heating.py:3: arrow: imports house.pantry.shelf: house.pantry lies above house.cellar",
    ),
    "upwards in a room": (
        {"kitchen__pan": "import house.kitchen.cook\n"},
        "house/kitchen/pan.py:1: arrow: imports house.kitchen.cook: house.kitchen.cook lies above house.kitchen.pan",
    ),
    "sideways": (
        {"kitchen__stove": "from house.pantry.shelf import jam\n"},
        "house/kitchen/stove.py:1: arrow: imports house.pantry.shelf: house.pantry and house.kitchen are on one level",
    ),
    "a room that has no place": (
        {"garden__tree": "import house.cellar.pipes\n"},
        "house/garden/tree.py:1: arrow: imports house.cellar.pipes: house.garden has no place in layers.toml",
    ),
    "more than a room may import": (
        {"pantry__shelf": "import house.cellar.heating\n"},
        "house/pantry/shelf.py:1: arrow: imports house.cellar.heating: house.pantry may import only house.cellar.pipes",
    ),
    "a circle": (
        {"cellar__pipes": "import json\nimport house.cellar.heating\n"},
        "house/cellar/heating.py:3: circle: house.cellar.heating -> house.cellar.pipes -> house.cellar.heating",
    ),
    "a circle for type checkers": (
        {"cellar__pipes": "import typing\nif typing.TYPE_CHECKING:\n    from house.cellar.heating import warmth\n"},
        "-> house.cellar.heating, with imports for type checkers",
    ),
    "a deferred import that defers nothing": (
        {"attic__roof": "def f():\n    import json\n"},
        "house/attic/roof.py:2: deferred: json is imported inside a function and loads nothing slow or optional",
    ),
    "a deferred import of a module that loads nothing slow": (
        {"attic__roof": "class C:\n    def f(self):\n        from house.kitchen import cook\n"},
        "house/attic/roof.py:3: deferred: house.kitchen.cook is imported inside a function",
    ),
    "a deferred import of what the module loads": (
        {"attic__roof": "import torch.nn\n\ndef f():\n    import house.cellar.heating\n"},
        "house/attic/roof.py:4: deferred: house.cellar.heating is imported inside a function, but",
    ),
    "a long file": (
        {"cellar__pipes": "\n" * 11},
        "house/cellar/pipes.py:11: size: 11 lines, 10 are allowed",
    ),
    "a full folder": (
        {"kitchen__sink": "", "kitchen__pan": ""},
        "house/kitchen:1: size: 5 modules, 4 are allowed without a reason",
    ),
    "a door with a lock": (
        {"door": "from house.attic.roof import f\n\nf()\n"},
        "house/door.py:3: door: house.door only re-exports",
    ),
}


@pytest.mark.parametrize(("changes", "complaint"), BROKEN.values(), ids=BROKEN.keys())
def test_what_breaks_a_rule_is_named(
    checker: ModuleType, tmp_path: Path, changes: dict[str, str], complaint: str
) -> None:
    violations = [str(violation) for violation in checker.check(build(tmp_path, **changes))]
    assert len(violations) == 1 and complaint in violations[0], violations


def test_folders_with_a_reason_may_be_full(checker: ModuleType, tmp_path: Path) -> None:
    build(tmp_path, **{f"attic__box_{i}": "" for i in range(9)})
    assert checker.check(tmp_path) == []


def test_files_beside_the_package_are_short_too(checker: ModuleType, tmp_path: Path) -> None:
    build(tmp_path)
    (tmp_path / "layers.toml").write_text(TABLE.replace("modules = 4", 'modules = 4\nbeside = ["tests", "missing"]'))
    for name, lines in (("tests/deep/test_pipes.py", 11), ("tests/test_jam.c", 10), ("other/long.py", 99)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("\n" * lines)
    violations = [str(violation) for violation in checker.check(tmp_path)]
    assert violations == ["tests/deep/test_pipes.py:11: size: 11 lines, 10 are allowed"]


def test_a_layer_that_does_not_exist_is_named(checker: ModuleType, tmp_path: Path) -> None:
    build(tmp_path)
    (tmp_path / "layers.toml").write_text(TABLE.replace('"cellar",', '"cellar", "hall",'))
    assert [violation.message for violation in checker.check(tmp_path)] == ["house.hall does not exist"]


@pytest.mark.parametrize(("changes", "status"), [({}, 0), ({"cellar__pipes": "import house.attic.roof\n"}, 1)])
def test_the_command_fails_when_an_arrow_points_back(tmp_path: Path, changes: dict[str, str], status: int) -> None:
    command = [sys.executable, str(SCRIPT), str(build(tmp_path, **changes))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (status, "")
    assert ("house.attic lies above house.cellar" in done.stdout) == bool(status)
