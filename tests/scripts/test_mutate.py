"""The mutation script, on a made-up module: what it changes, what it finds, and that it leaves the tree alone."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"

MODULE = '''"""Text that stays: 1 < 2."""


def clamp(x: int, low: int = 0) -> int:
    if x < low:
        return low
    if x < 0:
        raise ValueError("1 < 2")
    return x + 1 - 1
'''

TESTS = """from ffprep.made_up import clamp


def test_clamp():
    assert [clamp(x) for x in (-1, 1)] == [0, 1]
"""


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def mutants() -> ModuleType:
    return load("mutants")


@pytest.fixture(scope="module")
def mutate(mutants: ModuleType) -> ModuleType:
    return load("mutate")


def changed(source: str, changes: list[tuple[int, int, bytes]]) -> set[str]:
    data = source.encode()
    return {(data[:start] + text + data[end:]).decode() for start, end, text in changes}


def test_python_is_changed_one_thing_at_a_time(mutants: ModuleType) -> None:
    def of(source: str) -> set[str]:
        return changed(source, list(mutants.python_changes(source.encode())))

    assert of("a < b") == {"a <= b"}
    assert of("a in b") == {"a not in b"}
    assert of("a - b") == {"a + b", "(a)"}
    assert of("a + b") == {"a - b", "(a)", "(b)"}
    assert of("x = 1") == {"x = 2", "x = 0"}
    assert of("x = 0") == {"x = 1"}
    assert of("not a") == {"(a)"}
    assert of("a and b") == {"a or b"}
    assert of("x = min(a, b)") == {"x = max(a, b)"}
    assert of("close()") == {"None"}
    assert of("x += y") == {"x -= y"}
    assert of("if a:\n    pass") == {"if (not (a)):\n    pass"}
    assert of("def f() -> a | b:\n    return c") == {"def f() -> a | b:\n    return None"}
    assert of("x: a | b") == of("'1 < 2'") == of("assert a < b") == of("raise E(1 + 2)") == of("x = 5000") == set()
    assert of("é < b") == {"é <= b"}


def test_c_is_changed_outside_comments_and_strings(mutants: ModuleType) -> None:
    def of(source: str) -> set[str]:
        return changed(source, list(mutants.c_changes(source.encode())))

    assert of("if (a < b) x;") == {"if (a <= b) x;", "if (!(a < b)) x;"}
    assert of("x = a + b;") == {"x = a - b;", "x = a;"}
    assert of("return 1;") == {"return 2;", "return 0;"}
    assert of("a = !b;") == {"a = b;"}
    assert of("a << b") == {"a >> b"}
    assert of("p->x; *q; /* 1 < 2 */ \"1 < 2\"; '1'; // 1\n#define A 1 < 2\n") == set()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small project with a copy of the script that knows one target."""
    for name, text in {
        "ffprep/__init__.py": "",
        "ffprep/made_up.py": MODULE,
        "tests/test_made_up.py": TESTS,
        "pytest.ini": "[pytest]\n",
        "scripts/mutants.py": (SCRIPTS / "mutants.py").read_text(),
        "scripts/mutate.py": (SCRIPTS / "mutate.py").read_text(),
        "scripts/run.py": "import sys, mutate, mutants\n"
        "mutate.PRELOADED = ()\n"
        "target = mutate.Target('made', ['ffprep/made_up.py'], ['tests/test_made_up.py'])\n"
        "mutate.EQUIVALENT = (mutants.Equivalent('ffprep/made_up.py', 'if x < low:', 'if x <= low:', 'same result'),)\n"
        "sys.exit(mutate.main(sys.argv[1:], [target], mutate.ROOT))\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def run(tree: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, tree / "scripts/run.py", *arguments], capture_output=True, text=True)
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_survivors_are_shown_and_counted(tree: Path) -> None:
    code, text = run(tree, "--only", "ffprep/made_up.py:5", "--only", "ffprep/made_up.py:7", "--least", "90")
    assert "equivalent ffprep/made_up.py:5\n  - if x < low:\n  + if x <= low:" in text
    assert "killed     ffprep/made_up.py:5\n  - if x < low:\n  + if (not (x < low)):" in text
    assert "survived   ffprep/made_up.py:7\n  - if x < 0:\n  + if x <= 0:" in text
    assert "killed     ffprep/made_up.py:7\n  - if x < 0:\n  + if (not (x < 0)):" in text
    assert code == 1
    assert (tree / "ffprep/made_up.py").read_text() == MODULE


def test_a_sample_is_named_by_its_seed(tree: Path) -> None:
    first, again, other = (run(tree, "--sample", "3", "--seed", seed)[1] for seed in ("1", "1", "2"))
    assert first == again != other


def test_every_target_is_in_the_tree(mutate: ModuleType) -> None:
    assert mutate.missing_paths(mutate.TARGETS, mutate.ROOT) == []
    gone = mutate.Target("gone", ["ffprep/gone.py", "ffprep/cli.py"], ["tests/gone.py"])
    assert mutate.missing_paths([gone], mutate.ROOT) == ["ffprep/gone.py", "tests/gone.py"]


def test_a_missing_path_is_an_error(mutate: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        mutate.main([], [mutate.Target("gone", ["ffprep/gone.py"], ["tests/gone.py"])], mutate.ROOT)
    assert "the tree has no ffprep/gone.py, tests/gone.py" in capsys.readouterr().err


def test_equivalent_mutants_are_still_made(mutate: ModuleType, mutants: ModuleType) -> None:
    """A pattern whose line is gone would excuse nothing, and nobody would notice."""
    for known in mutants.EQUIVALENT:
        target = mutate.Target("", [known.file], [])
        source = (mutate.ROOT / known.file).read_bytes()
        lines = {n for n, line in enumerate(source.decode().splitlines(), 1) if re.fullmatch(known.line, line.strip())}
        made = [mutant for mutant in mutate.mutants_of(target, mutate.ROOT) if mutant.line in lines]
        assert any(mutate.excused_by(known, mutant, source) for mutant in made), known
