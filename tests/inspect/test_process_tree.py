"""What a process and its children cost, as Linux says it."""

import subprocess
import sys
from typing import ClassVar

import pytest

from ffprep.inspect.timing.paired import Contestant, compare
from ffprep.inspect.timing.process_tree import children_seconds, descendants, memory_bytes

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")

BUSY = "import time\nwhile time.process_time() < 0.3: pass\n"
CHILD = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {BUSY!r}], check=True)
held = bytearray(64 << 20)
other = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
print("ready", flush=True)
sys.stdin.read()
other.communicate()
"""


def test_children_are_counted_while_they_live_and_afterwards() -> None:
    with subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert len(descendants(process.pid)) == 2
        assert 0.25 < children_seconds(process.pid) < 20
        assert memory_bytes(process.pid) > 64 << 20
    assert memory_bytes(process.pid) == 0 and children_seconds(process.pid) == 0


class Epoch:
    """A runner's epoch that has a child do the work."""

    summary: ClassVar = {"mean": 0.5}

    def __call__(self) -> int:
        subprocess.run([sys.executable, "-c", BUSY], check=True)
        return 10


def test_contestants_are_charged_for_their_children() -> None:
    runner = f"{__name__}:Epoch"
    [timing] = compare([Contestant("one", runner, environment={"PYTHONPATH": ":".join(sys.path)})], 1)
    assert not timing.failure and timing.summary == {"mean": 0.5}
    assert timing.cpu[0] > 0.025 and timing.memory > 1 << 20
