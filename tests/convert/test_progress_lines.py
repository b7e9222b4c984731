"""The bar and the lines of a conversion to the character, and the numbers of its report."""

from __future__ import annotations

import io

import pytest

from ffprep.convert.progress import ShownProgress
from ffprep.convert.report import ConversionReport
from ffprep.fields import Encoded


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def drawn(columns: int, label: str, total: int, done: int, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", str(columns))
    clock, out = Clock(), Terminal()
    shown = ShownProgress(label, total, out=out, clock=clock)
    shown.update(done, 0)
    text = out.getvalue()
    assert text[0] == "\r" and len(text) == columns
    return text[1:]


def test_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "50 of 200 (25.0 %)"
    bar = "#" * 8 + " " * 22
    assert drawn(80, "x", 200, 50, monkeypatch).rstrip() == f"x [{bar}] {text}"
    assert drawn(80, "x", 200, 0, monkeypatch).rstrip() == f"x [{' ' * 30}] 0 of 200 (0.0 %)"
    assert drawn(80, "x", 200, 300, monkeypatch).rstrip() == f"x [{'#' * 30}] 300 of 200 (150.0 %)"
    assert drawn(80, "x", 0, 0, monkeypatch).rstrip() == f"x [{'#' * 30}] 0 of 0 (100.0 %)"
    # 1 + 18 characters of text and 5 around the bar: 35 columns leave ten for it, 30 leave five, 29 none.
    assert drawn(35, "x", 200, 50, monkeypatch) == f"x [{'#' * 2}{' ' * 8}] {text} "
    assert drawn(30, "x", 200, 50, monkeypatch) == f"x [#    ] {text} "
    assert drawn(30, "xyz", 200, 50, monkeypatch).rstrip() == text
    assert drawn(29, "x", 200, 50, monkeypatch).rstrip() == text
    assert drawn(11, "x", 200, 50, monkeypatch) == text[:10]


def test_lines_are_ten_seconds_apart() -> None:
    clock, out = Clock(), io.StringIO()
    shown = ShownProgress("x", 1000, out=out, clock=clock)
    for second in (9.75, 10, 19.75, 20):
        clock.now = 100 + second
        shown.update(int(second * 20), 0)
    assert out.getvalue() == (
        "x: 200 of 1,000 (20.0 %), 20/s, 40.0 s left\nx: 400 of 1,000 (40.0 %), 20/s, 30.0 s left\n"
    )


def test_rates() -> None:
    def line(done: int, size: int, seconds: float = 10.0, before: int = 0) -> str:
        clock, out = Clock(), io.StringIO()
        shown = ShownProgress("x", 1000, before, out=out, clock=clock)
        clock.now += seconds
        shown.update(done, size)
        return out.getvalue().strip()

    assert line(0, 0) == "x: 0 of 1,000 (0.0 %)"
    assert line(100, 0) == "x: 100 of 1,000 (10.0 %), 10/s, 1:30 left"
    assert line(99, 0) == "x: 99 of 1,000 (9.9 %), 9.9/s, 1:31 left"
    assert line(1, 5) == "x: 1 of 1,000 (0.1 %), 0.1/s, 0 B/s, 2:46:30 left"
    assert line(100, 2000, before=50) == "x: 100 of 1,000 (10.0 %), 5/s, 200 B/s, 3:00 left"
    assert line(1001, 0) == "x: 1,001 of 1,000 (100.1 %), 100/s, 0.0 s left"
    assert line(50, 0, before=50) == "x: 50 of 1,000 (5.0 %)"


def test_the_rate_is_that_of_the_last_seconds() -> None:
    clock, out = Clock(), io.StringIO()
    shown = ShownProgress("x", 2000, out=out, clock=clock)
    for done in (1000, 1010, 1020):
        clock.now += 10
        shown.update(done, done)
    rates = [line.split(", ")[1:3] for line in out.getvalue().splitlines()]
    assert rates == [["100/s", "100 B/s"], ["1/s", "1 B/s"], ["1/s", "1 B/s"]]


def test_a_bar_is_drawn_at_once_even_where_no_time_has_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert drawn(80, "x", 200, 0, monkeypatch).startswith("x [")
    assert "/s" not in drawn(80, "x", 200, 50, monkeypatch)


def encoded(size: int) -> list[Encoded]:
    return [Encoded((0, 1, 1, 0), b"x" * size, ("reencoded", "CMYK"))]


def test_numbers_of_a_report() -> None:
    report = ConversionReport(workers=1)
    for index in range(3):
        report.count(f"s{index}", ["image"], encoded(50), [100])
    report.seconds = 1.23456
    assert report.to_json()["seconds"] == 1.235
    assert report.to_json()["samples_per_second"] == 2.4
    assert report.rate == pytest.approx(3 / 1.23456)
    assert report.table(listed=3).splitlines() == [
        "             3  image reencoded: CMYK",
        "                  s0",
        "                  s1",
        "                  s2",
        "             3  samples written; 300 B in, 150 B out (-50.0 %)",
        "             2  samples/s in 1.2 s with 1 worker",
    ]
    assert report.table(listed=2).splitlines()[3] == "                  ... and 1 more"
    assert ConversionReport().rate == 0
    assert ConversionReport(workers=2).table().endswith("with 2 workers")
    report.refuse("bad", "broken")
    assert report.table(listed=0).splitlines()[2:4] == ["             1  refused", "                  ... and 1 more"]
    assert "(" not in ConversionReport().table()


def test_a_payload_that_is_shared_counts_once() -> None:
    report = ConversionReport()
    for key in ("a", "a", "b", "a"):
        report.count("s", ["image"], [Encoded((0,), b"xy", ("kept", ""), key=key)], [3])
    assert (report.state["bytes_in"], report.state["bytes_out"], report.written) == (9, 6, 4)
    assert report.facts()["outcomes"][0]["count"] == 3
    assert "next" not in report.facts() and "shared" not in report.facts()
