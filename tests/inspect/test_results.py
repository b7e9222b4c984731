"""Results of benchmarks: kept as they were measured, tables made of them, and the pages that show these."""

from __future__ import annotations

import importlib.util
import json
import re
import statistics
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffprep.common.workers import cpus
from ffprep.errors import FfprepError
from ffprep.inspect.timing.paired import Timing
from ffprep.inspect.timing.results import Result, Table, command, compared

ROOT = Path(__file__).resolve().parents[2]
RATES = st.lists(st.floats(1e-3, 1e7), min_size=3, max_size=3)


def load_script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def made(ours: list[float], other: list[float]) -> Result:
    result = Result("loader", "10 images, 3 rounds")
    result.add(Timing("ours", ours, 1.23456789), cores=1)
    result.add(Timing("other", other, 2.0))
    result.add(Timing("broken", [], float("nan"), "ImportError: no such module"))
    result.measured("total", [10.0, 30.0, 20.0], "us")
    row = ["main", {"median": "ours"}, {"median": "other", "form": ".1f", "scale": 0.001}, {"ratio": ["ours", "other"]}]
    failed = ["failed", {"median": "broken"}, "", {"ratio": ["broken", "other"]}]
    result.tables["main"] = Table(["case", "a", "b", "ratio"], [row, failed])
    return result


def test_what_is_kept_gives_the_same_tables(tmp_path: Path) -> None:
    result = made([100.0, 300.0, 200.0], [50.0, 100.0, 50.0])
    result.save(tmp_path / "x.json")
    again = Result.load(tmp_path / "x.json")
    assert again == result
    assert again.series["ours"].values == [100.0, 300.0, 200.0] and again.series["ours"].facts["start_up"] == 1.23457
    assert again.text(markdown=True) == result.text(markdown=True) == (
        "| case | a | b | ratio |\n|---|---|---|---|\n| main | 200 | 0.1 | 3.00 (2.00 - 4.00) |\n"
        "| failed | failed: ImportError: no such module | | |"
    )  # fmt: skip
    assert [line.split("  ")[0] for line in again.text().splitlines()] == ["case", "main", "failed"]
    assert json.loads((tmp_path / "x.json").read_text())["machine"]["level"] in ("avx512", "avx2", "scalar")


@given(RATES, RATES)
def test_ratios_are_taken_round_by_round(ours: list[float], other: list[float]) -> None:
    result = Result("loader", "")
    result.add(Timing("ours", ours, 1.0))
    result.add(Timing("other", other, 1.0))
    kept = [[float(f"{value:.6g}") for value in values] for values in (ours, other)]
    expected = [a / b for a, b in zip(*kept, strict=True)]
    assert result.ratio("ours", "other") == (min(expected), statistics.median(expected), max(expected))


def test_a_share_of_another_median() -> None:
    result = made([5.0, 5.0, 5.0], [1.0, 1.0, 1.0])
    result.tables["main"] = Table(["stage", "share"], [["one", {"share": ["ours", "total"]}]])
    assert result.text().splitlines()[1].split() == ["one", "25", "%"]


def test_two_results_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = made([100.0, 200.0, 300.0], [50.0] * 3), made([300.0, 600.0, 900.0], [100.0] * 3)
    rows = {what: quotients for what, *quotients in compared(before, after)}
    assert rows["ours, times other"] == [1.5, 1.5, 1.5]
    assert rows["ours, images/s"] == [3.0, 3.0, 3.0] and rows["other, images/s"] == [2.0, 2.0, 2.0]
    assert not any("broken" in what for what in rows)
    before.save(tmp_path / "before.json"), after.save(tmp_path / "after.json")
    script = load_script("compare_results")
    monkeypatch.setattr(
        sys, "argv", ["compare_results.py", str(tmp_path / "before.json"), str(tmp_path / "after.json")]
    )
    script.main()
    assert re.search(r"^ours, times other +1\.500 \(1\.500 - 1\.500\)$", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"benchmark": "loader"}', '{"series": {"x": 1}, "tables": {}}'])
def test_other_files_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(FfprepError, match=r"x\.json: no results of a benchmark"):
        Result.load(tmp_path / "x.json")


def test_the_command_names_no_folder_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "data.beton").touch()
    (tmp_path / "here" / "bench.py").touch()
    monkeypatch.chdir(tmp_path / "here")
    script = str(tmp_path / "here" / "bench.py")
    monkeypatch.setattr(sys, "argv", [script, "--data", str(tmp_path), str(tmp_path / "data.beton"), "--rounds", "5"])
    assert command() == "bench.py --data FOLDER FILE --rounds 5"


@pytest.mark.parametrize(
    ("vendor", "family", "model", "expected"),
    [
        ("AuthenticAMD", "25", "1", "X (Zen 3, family 25, model 1)"),
        ("AuthenticAMD", "25", "17", "X (Zen 4, family 25, model 17)"),
        ("GenuineIntel", "6", "143", "X (Sapphire Rapids, family 6, model 143)"),
        ("GenuineIntel", "6", "1", "X (family 6, model 1)"),
        ("AuthenticAMD", "unknown", "1", "X"),
    ],
)
def test_processors_are_told_apart(
    vendor: str, family: str, model: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = {"vendor_id": vendor, "cpu family": family, "model": model, "model name": "X"}
    others = {**facts, "model": "99"}  # a second processor, which is not the one that counts
    lines = [f"{name}\t: {value}" for one in (facts, others) for name, value in one.items()]
    (tmp_path / "cpuinfo").write_text("\n".join(lines))
    monkeypatch.setattr(cpus, "_PROC", tmp_path)
    assert str(cpus.processor()) == expected


def test_tables_are_written_between_their_marks(tmp_path: Path) -> None:
    made([4.0, 4.0, 4.0], [2.0, 2.0, 2.0]).save(tmp_path / "x.json")
    script = load_script("result_tables")
    page = "a\n<!-- results: x main -->\nold\n<!-- end of results -->\nb\n"
    new = script.filled(page, tmp_path)
    assert "| main | 4 | 0.0 | 2.00 (2.00 - 2.00) |" in new and "old" not in new
    assert new.startswith("a\n<!-- results: x main -->\n\n") and new.endswith("\n\n<!-- end of results -->\nb\n")
    assert script.filled(new, tmp_path) == new


def test_the_parts_of_a_comparison_fill_their_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = load_script("result_tables")
    monkeypatch.setattr(script, "FOREMOST", ("slow", "fast"))
    page = "<!-- comparison: here -->\nnothing yet\n<!-- end of comparison -->\nb\n"
    page += "<!-- fastest: here -->\nas it was\n<!-- end of fastest -->\n"
    assert script.filled(page, tmp_path) == page
    result = Result("side_by_side", "10 images")
    result.measured("images: slow", [1.0, 2.0, 3.0], "images/s")
    result.measured("images: fast", [40.0, 50.0, 60.0], "images/s")
    result.measured("images: another", [7.0, 8.0, 9.0], "images/s")
    rows = [[name, "files", {"range": f"images: {name}"}] for name in ("slow", "fast", "another")]
    result.tables.update(
        {"images": Table(["", "reads", "images/s"], rows), "images-without": Table(["no figure", "reason"], [])}
    )
    result.tables["workers-2"] = Table(["", "x"], [["one", "2"]])
    result.save(tmp_path / "side-by-side-here-images.json")
    result.save(tmp_path / "side-by-side-here-tokens.partial.json")
    new = script.filled(page, tmp_path)
    assert script.filled(new, tmp_path) == new and "nothing yet" not in new and "as it was" not in new
    assert new.count("### ") == 1 and "](images/side-by-side-here-images.svg)" in new
    assert (
        "| slow | files | 2 (1 - 3) |\n| fast | files | 50 (40 - 60) |\n| another |" in new
        and "2 workers on two cores:\n\n| | x |" in new
    )
    assert "| fast | files | 50 (40 - 60) |\n| slow | files | 2 (1 - 3) |\n\n<!-- end of fastest -->" in new
    assert "no figure" not in new
    assert [bar.label for bar in script.chart("images", result).bars] == ["fast", "another", "slow"]


def test_pages_show_what_the_results_say() -> None:
    script = load_script("result_tables")
    for page in script.PAGES:
        assert script.filled(page.read_text()) == page.read_text(), f"{page.name}: run scripts/result_tables.py"


def test_every_table_of_figures_says_where_it_is_from() -> None:
    """Each is made of results, or says that its rounds were not kept, or is not of figures at all."""
    page = re.sub(
        r"<!-- results: .*?<!-- end of results -->", "", (ROOT / "docs" / "performance.md").read_text(), flags=re.DOTALL
    )
    sections = re.split(r"^#+ ", page, flags=re.MULTILINE)
    for section in sections:
        rows = [
            line
            for line in section.splitlines()
            if line.startswith("|") and re.search(r"\d[\d,.]* (s|MB|%)? ?\|", line)
        ]
        title, _, text = section.partition("\n")
        assert not rows or "rounds were not kept" in text, f"{title}: figures without results"
