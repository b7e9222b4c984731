"""Tests are skipped only for the reasons that tests/conftest.py lists, and are the same ones in every run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"


def run(folder: Path, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run one test file under our conftest.py, in a process and a folder of its own."""
    shutil.copy(CONFTEST, folder / "conftest.py")
    (folder / "test_it.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, "test_it.py"]
    environment = {name: value for name, value in os.environ.items() if name != "FFPREP_FFCV"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


SKIPPED = {
    "in a test": ("import pytest\n\ndef test_it():\n    pytest.skip({reason!r})\n", "1 failed"),
    "by a mark": ("import pytest\n\n@pytest.mark.skipif(True, reason={reason!r})\ndef test_it(): ...\n", "1 error"),
    "in a fixture": (
        "import pytest\n\n@pytest.fixture\ndef it():\n    pytest.skip({reason!r})\n\ndef test_it(it): ...\n",
        "1 error",
    ),
    "a module": ("import pytest\n\npytest.skip({reason!r}, allow_module_level=True)\n", "1 error"),
}


@pytest.mark.parametrize(("text", "outcome"), SKIPPED.values(), ids=SKIPPED.keys())
def test_a_skip_fails_unless_its_reason_is_listed(tmp_path: Path, text: str, outcome: str) -> None:
    refused = run(tmp_path, text.format(reason="it is late"))
    assert refused.returncode in (1, 2) and outcome in refused.stdout
    assert "MAY_BE_SKIPPED in tests/conftest.py does not allow: it is late" in refused.stdout
    allowed = run(tmp_path, text.format(reason="this CPU has no avx512"))
    assert allowed.returncode in (0, 5) and "1 skipped" in allowed.stdout  # 5: a skipped module has no tests


def test_a_missing_package_fails_and_an_expected_failure_does_not(tmp_path: Path) -> None:
    missing = run(tmp_path, "import pytest\n\ndef test_it():\n    pytest.importorskip('no_such_package')\n")
    assert missing.returncode == 1 and "No module named 'no_such_package'" in missing.stdout
    expected = run(tmp_path, "import pytest\n\n@pytest.mark.xfail\ndef test_it():\n    raise ValueError\n")
    assert expected.returncode == 0 and "1 xfailed" in expected.stdout


EXAMPLES = """
from hypothesis import given, settings, strategies as st

@settings(max_examples=7)
@given(st.integers())
def test_it(i):
    print("tried", i)
"""


def test_examples_repeat_unless_we_explore() -> None:
    assert hypothesis.settings.get_profile("ffprep").derandomize
    assert not hypothesis.settings.get_profile("explore").derandomize


def test_exploring_tries_more_examples_and_others(tmp_path: Path) -> None:
    first, second = (run(tmp_path, EXAMPLES, "-s").stdout.splitlines() for _ in range(2))
    tried = [line for line in first if line.startswith("tried")]
    assert len(tried) == 7 and tried == [line for line in second if line.startswith("tried")]
    explored = run(tmp_path, EXAMPLES, "-s", "--hypothesis-profile=explore").stdout
    assert explored.count("tried") == 70
