"""Commands refuse pipes, sockets and links to them in place of a file, and wait for none of them."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from ffprep.cli import main


@pytest.mark.parametrize(
    "command",
    [
        ["verify", "--quick"],
        ["info"],
        ["repair", "--out", "x.beton"],
        ["stats"],
        ["index"],
        ["verify", "--against", "."],
        ["merge", "--out", "x.beton"],
        ["split", "--files", "2", "--out", "x.set.json"],
        ["preview", "--out", "x.png"],
    ],
)
@pytest.mark.parametrize("kind", ["pipe", "socket", "link"])
def test_no_command_waits_for_a_pipe(command: list[str], kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.beton"
    if kind == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(path))
    else:
        os.mkfifo(tmp_path / "pipe" if kind == "link" else path)
    if kind == "link":
        path.symlink_to(tmp_path / "pipe")
    done = CliRunner().invoke(main, [command[0], str(path), *command[1:]])
    assert done.exit_code == 1
    assert "pipe or a device" in done.output + str(done.exception)
