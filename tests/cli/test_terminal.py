"""Names, captions and messages reach the terminal as text, never as its controls."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from ffprep.beton import Writer
from ffprep.cli import main
from ffprep.commands._shared.terminal import PrintableStream
from ffprep.common.formatting import printable
from ffprep.convert.progress import ShownProgress
from ffprep.fields import BytesField, IntField

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\u202egnp"


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def is_plain(text: str) -> bool:
    return all(char in "\n\t" or (ord(char) >= 32 and not 0x7F <= ord(char) <= 0x9F) for char in text)


@given(st.text(st.characters(codec=None, exclude_categories=[])))
def test_any_text_is_printable(text: str) -> None:
    shown = printable(text)
    assert is_plain(shown)
    shown.encode("utf-8")
    if is_plain(text) and not any(0xD800 <= ord(c) < 0xE000 or 0x2028 <= ord(c) <= 0x2069 for c in text):
        assert shown == text


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_a_stream_takes_any_text(encoding: str) -> None:
    raw = io.BytesIO()
    inner = io.TextIOWrapper(raw, encoding=encoding, errors="strict")
    stream = PrintableStream(inner)
    text = f"{EVIL} \udcff é 猫\n"
    assert stream.write(text) == len(text)
    stream.writelines(["a", "b"])
    stream.flush()
    shown = raw.getvalue().decode(encoding)
    assert is_plain(shown) and "owned" in shown and r"\u001b" in shown and shown.endswith("ab")


@pytest.fixture
def evil(tmp_path: Path) -> Path:
    """A file whose names, texts and manifest hold escapes."""
    path = tmp_path / "evil.beton"
    fields = {"caption": BytesField(), "label": IntField()}
    manifest = {"source": {"dataset": EVIL, "classes": [EVIL, EVIL], "note": EVIL}, EVIL: EVIL}
    with Writer(path, fields, 3, manifest=manifest) as writer:
        for index in range(3):
            writer.write([fields["caption"].encode(EVIL.encode()), fields["label"].encode(index)], f"{EVIL}/{index}")
    return path


def test_no_command_passes_on_escapes(evil: Path, tmp_path: Path) -> None:
    commands = [
        ["info", evil],
        ["verify", evil],
        ["stats", evil, "--form", "csv"],
        ["preview", evil, "--out", tmp_path / "x.html"],
        ["merge", evil, "--out", tmp_path / "merged.beton"],
        ["info", tmp_path / f"none{EVIL}.beton"],
        ["convert", "imagenet", "--source", tmp_path / f"none{EVIL}", "--out", tmp_path / "y.beton"],
        [EVIL],
        ["info", evil, f"--{EVIL}"],
    ]
    for command in commands:
        done = run(*command)
        assert is_plain(done.output), command
        assert "Traceback" not in done.output
    found = json.loads(run("info", evil, "--json").stdout)
    assert found["manifest"][EVIL] == EVIL


def test_an_ascii_terminal_gets_no_escapes_either(evil: Path) -> None:
    """A stream of ASCII makes click write past sys.stdout, unless it is told otherwise."""
    code = "import sys; from ffprep.cli import main; main(sys.argv[1:])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", code, "info", evil], capture_output=True, check=False, env=environment)
    assert done.returncode == 0 and is_plain(done.stdout.decode("ascii"))


def test_a_damaged_file_with_evil_names_is_reported_as_text(evil: Path) -> None:
    data = bytearray(evil.read_bytes())
    data[data.rindex(EVIL.encode())] ^= 1
    evil.write_bytes(data)
    done = run("verify", evil)
    assert done.exit_code == 1 and is_plain(done.output)


def test_the_progress_bar_draws_but_its_label_does_not() -> None:
    out = io.StringIO()
    bar = ShownProgress(EVIL, 10, out=out, clock=iter([0.0, 20.0]).__next__)
    bar.update(5, 0)
    assert "\x1b" not in out.getvalue() and r"\u001b" in out.getvalue()


def test_previews_do_nothing_but_show(evil: Path, tmp_path: Path) -> None:
    with Writer(tmp_path / "y.beton", {"caption": BytesField()}, 1) as writer:
        writer.write([BytesField().encode(b'<script>alert(1)</script><img src=x onerror="alert(2)">')], "<b>name</b>")
    assert run("preview", tmp_path / "y.beton", "--out", tmp_path / "y.html").exit_code == 0
    page = (tmp_path / "y.html").read_text()
    policy = page[page.index('<meta http-equiv="Content-Security-Policy"') :].partition(">")[0]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    script = page.partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy and page.count("<script") == 1
    assert page.index(policy) < page.index("<title>") and "<b>name" not in page and 'onerror="' not in page


def test_an_import_that_ctrl_c_broke_is_an_interruption(evil: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some libraries swallow the interrupt and fail in another way."""

    def broken(*_: Any) -> Any:
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        raise ImportError("cannot import name 'types' from partially initialized module 'numba'")

    monkeypatch.setattr("ffprep.inspect.info.describe", broken)
    before = signal.getsignal(signal.SIGINT)
    done = run("info", evil)
    assert done.exit_code == 130 and done.output == "ffprep: interrupted\n"
    assert signal.getsignal(signal.SIGINT) is before
