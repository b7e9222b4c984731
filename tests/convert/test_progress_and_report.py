"""What a conversion shows: the bar on a terminal, lines elsewhere, and the table at the end."""

from __future__ import annotations

import io
import json

import pytest

from ffprep.common.formatting import duration_text, size_of, size_text
from ffprep.convert.progress import ShownProgress
from ffprep.convert.report import LISTED, ConversionReport
from ffprep.fields import Encoded


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_come_now_and_then_with_rate_and_time_left() -> None:
    clock, out = Clock(), io.StringIO()
    shown = ShownProgress("x.beton", 1000, out=out, clock=clock)
    for step in range(1, 31):
        clock.now += 1
        shown.update(step * 10, step * 1_000_000)
    shown.close()
    lines = out.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[0] == "x.beton: 100 of 1,000 (10.0 %), 10/s, 1.0 MB/s/s, 1:30 left".replace("/s/s", "/s")
    assert lines[2].startswith("x.beton: 300 of 1,000 (30.0 %), 10/s")


def test_bar_is_redrawn_and_wiped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    clock, out = Clock(), Terminal()
    shown = ShownProgress("x.beton", 200, out=out, clock=clock)
    for step in range(1, 101):
        clock.now += 0.02
        shown.update(step, step)
    drawn = out.getvalue().split("\r")
    assert all(len(text) <= 99 for text in drawn)
    assert 15 < len(drawn) < 25
    assert "[###" in drawn[-1] and "of 200" in drawn[-1]
    shown.close()
    assert out.getvalue().endswith("\r" + " " * 99 + "\r")


def test_narrow_terminal_and_empty_work_do_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    clock, out = Clock(), Terminal()
    shown = ShownProgress("a_long_name.beton", 0, out=out, clock=clock)
    shown.update(0, 0)
    clock.now += 1
    shown.update(0, 0)
    shown.close()
    assert "\n" not in out.getvalue()


def test_resumed_work_does_not_count_into_the_rate() -> None:
    clock, out = Clock(), io.StringIO()
    shown = ShownProgress("x", 1000, 900, out=out, clock=clock)
    clock.now += 10
    shown.update(950, 0)
    assert "5/s" in out.getvalue() and "10.0 s left" in out.getvalue()


def encoded(action: str, reason: str) -> list[Encoded]:
    return [Encoded((0, 1, 1, 0), b"x" * 10, (action, reason)), Encoded((1,))]


def test_unusual_outcomes_are_listed_and_ordinary_ones_counted() -> None:
    report = ConversionReport()
    for index in range(5):
        report.count(f"s{index}", ["image", "label"], encoded("rewritten", "restart markers"), [8, 0])
    report.count("odd", ["image", "label"], encoded("reencoded", "CMYK"), [8, 0])
    report.count("large", ["image", "label"], encoded("reencoded", "resized, turned upright"), [8, 0])
    report.refuse("bad", "truncated")
    facts = report.facts()
    assert facts["outcomes"] == [
        {"field": "image", "action": "reencoded", "reason": "CMYK", "count": 1, "samples": ["odd"]},
        {"field": "image", "action": "reencoded", "reason": "resized, turned upright", "count": 1},
        {"field": "image", "action": "rewritten", "reason": "restart markers", "count": 5},
    ]
    assert (facts["bytes_in"], facts["bytes_out"], facts["samples"]) == (56, 70, 7)
    assert json.loads(json.dumps(report.state)) == report.state


def test_state_carries_on() -> None:
    report = ConversionReport()
    report.count("a", ["image", "label"], encoded("reencoded", "CMYK"), [8, 0])
    carried = ConversionReport(json.loads(json.dumps(report.state)))
    carried.count("b", ["image", "label"], encoded("reencoded", "CMYK"), [8, 0])
    assert carried.facts()["outcomes"][0]["samples"] == ["a", "b"]
    assert (carried.written, carried.converted) == (2, 1)


def test_lists_are_bounded() -> None:
    report = ConversionReport()
    for index in range(LISTED + 5):
        report.count(f"s{index}", ["image", "label"], encoded("reencoded", "GIF"), [8, 0])
        report.refuse(f"r{index}", "bad")
    facts = report.facts()
    assert len(facts["outcomes"][0]["samples"]) == len(facts["refused"]) == LISTED
    assert facts["refused_count"] == facts["outcomes"][0]["count"] == LISTED + 5
    assert f"... and {LISTED - 5:,} more" in report.table()


def test_table_tells_bytes_and_rate() -> None:
    report = ConversionReport(workers=2)
    report.count("a", ["image", "label"], encoded("kept", ""), [8, 0])
    report.seconds = 0.5
    text = report.table()
    assert "1  image kept\n" in text
    assert "1  samples written; 8 B in, 10 B out (+25.0 %)" in text
    assert "2  samples/s in 0.5 s with 2 workers" in text


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (138_240_000_000, "138.2 GB"), (6e12, "6.0 TB")]
)
def test_sizes_for_people(size: float, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1GB", 10**9),
        ("1.5 gb", 15 * 10**8),
        ("4096", 4096),
        ("10 B", 10),
        ("2KiB", 2048),
        ("0.5 MiB", 1 << 19),
        ("3g", 3 * 10**9),
        ("138.2 GB", 138_200_000_000),
    ],
)
def test_sizes_are_read_as_they_are_written(text: str, size: int) -> None:
    assert size_of(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1", "1e9", "1 XB", "nan", "0", "0.1", "1ib", "1,5 GB", "٣", "9" * 19])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no size|less than one byte"):
        size_of(text)


@pytest.mark.parametrize(("seconds", "text"), [(0.04, "0.0 s"), (59.9, "59.9 s"), (61, "1:01"), (7389, "2:03:09")])
def test_durations_for_people(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
