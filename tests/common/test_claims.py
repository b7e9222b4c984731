"""Claims are shared, and end with those who have them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ffprep.common.files.locking import Claims

OTHER = """
import sys
from ffprep.common.files.locking import Claims
claims = Claims(sys.argv[1])
claims.claim(7)
print(flush=True)
sys.stdin.read()
"""


def test_the_last_one_to_give_up_learns_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    one, two = Claims(path), Claims(path)
    for claims in (one, two, one):
        claims.claim(3)
    two.claim(4)
    assert not one.give_up(3) and two.give_up(3) and one.give_up(5)
    assert not one.give_up(4)
    del two
    assert one.give_up(4)


def test_a_process_that_dies_claims_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with subprocess.Popen([sys.executable, "-c", OTHER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline()
        assert not Claims(path).give_up(7)
        other.kill()
        other.wait()
    assert Claims(path).give_up(7)
