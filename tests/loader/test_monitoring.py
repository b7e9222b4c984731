"""A loader's counts as TensorBoard, Weights & Biases and Prometheus take them."""

from __future__ import annotations

import sys

import pytest

from ffprep.errors import OptionError
from ffprep.loader.epoch.stats import LoaderStats
from ffprep.monitoring import Monitor, PrometheusCollector


class Played:
    """A loader whose counts are given."""

    def __init__(self, **counts: float) -> None:
        self.counts = LoaderStats(**counts)  # type: ignore[arg-type]

    def stats(self) -> LoaderStats:
        return self.counts


class Writer:
    def __init__(self) -> None:
        self.written: list[tuple[str, float, int]] = []

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.written.append((name, value, step))


def test_rates_are_those_since_the_report_before() -> None:
    loader = Played(batches=1, samples=100, seconds=1.0, waiting=1.0, bytes=500)
    monitor = Monitor(loader)
    loader.counts = LoaderStats(3, 300, 5.0, 2.0, 2500, 1, 2)
    assert monitor.scalars() == {
        "data/samples_per_second": 50.0, "data/waiting_share": 0.25, "data/bytes_per_second": 500.0,
        "data/ready": 2.0, "data/samples": 300.0, "data/bytes": 2500.0, "data/errors": 1.0,
    }  # fmt: skip
    writer = Writer()
    monitor.write(writer, 7)
    assert ("data/samples_per_second", 0.0, 7) in writer.written and ("data/samples", 300.0, 7) in writer.written


def test_prometheus_reads_what_the_loaders_count() -> None:
    client = pytest.importorskip("prometheus_client")
    registry = client.CollectorRegistry()
    loader = Played(batches=3, samples=300, seconds=5.0, waiting=2.0, bytes=2500, errors=1, ready=2)
    registry.register(PrometheusCollector({"train": loader, "val": Played()}))
    text = client.generate_latest(registry).decode()
    for line in (
        'ffprep_batches_total{loader="train"} 3.0',
        'ffprep_samples_total{loader="train"} 300.0',
        'ffprep_seconds_total{loader="train"} 5.0',
        'ffprep_waiting_seconds_total{loader="train"} 2.0',
        'ffprep_bytes_total{loader="train"} 2500.0',
        'ffprep_errors_total{loader="train"} 1.0',
        'ffprep_ready_batches{loader="train"} 2.0',
        'ffprep_samples_total{loader="val"} 0.0',
    ):
        assert f"\n{line}\n" in text
    loader.counts = LoaderStats(samples=301)
    assert 'ffprep_samples_total{loader="train"} 301.0' in client.generate_latest(registry).decode()


def test_a_missing_client_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(OptionError, match="pip install prometheus_client"):
        PrometheusCollector({})
