"""What `Loader.stats` counts, for TensorBoard, Weights & Biases and Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from ffprep.errors import OptionError

if TYPE_CHECKING:
    from ffprep.loader.epoch.stats import LoaderStats


class Counts(Protocol):
    """Anything with a loader's counts."""

    def stats(self) -> LoaderStats:
        """Return them."""


class Monitor:
    """Reports a loader's rates, each over the time since the report before.

    ::

        monitor = Monitor(loader)
        for step, (images, labels) in enumerate(loader):
            ...
            if step % 50 == 0:
                monitor.write(writer, step)  # a SummaryWriter of TensorBoard
                run.log(monitor.scalars(), step=step)  # or a run of Weights & Biases: one of the two

    Parameters
    ----------
    loader : Loader
    prefix : str
        What the names of the values begin with.
    """

    def __init__(self, loader: Counts, prefix: str = "data/") -> None:
        self._loader = loader
        self._prefix = prefix
        self._before = loader.stats()

    def scalars(self) -> dict[str, float]:
        """Return the values by name and begin the next interval.

        Returns
        -------
        dict of str to float
            ``samples_per_second``; ``waiting_share``, from 0 to 1, the share of the time that the loop waited for
            data; ``bytes_per_second``; ``ready``, batches that are finished and wait; and the totals ``samples``,
            ``bytes`` and ``errors``.
        """
        now = self._loader.stats()
        passed = now - self._before
        self._before = now
        values = {
            "samples_per_second": passed.samples_per_second,
            "waiting_share": passed.waiting_share,
            "bytes_per_second": passed.bytes / passed.seconds if passed.seconds else 0.0,
            "ready": now.ready,
            "samples": now.samples,
            "bytes": now.bytes,
            "errors": now.errors,
        }
        return {f"{self._prefix}{name}": float(value) for name, value in values.items()}

    def write(self, writer: Any, step: int) -> None:
        """Write the values to a ``SummaryWriter`` of TensorBoard, or anything with its ``add_scalar``."""
        for name, value in self.scalars().items():
            writer.add_scalar(name, value, step)


TOTALS = {
    "batches": "Batches handed out.",
    "samples": "Samples handed out.",
    "seconds": "Time in epochs.",
    "waiting_seconds": "Time in which the training loop waited for a batch.",
    "bytes": "Bytes that the samples handed out take in their files.",
    "errors": "Bad samples that were left out or replaced.",
}
"""Prometheus' counters, ``ffprep_<name>_total``; it makes rates and shares of them itself."""


class PrometheusCollector:
    """Loaders' counts as metrics of Prometheus, read when it asks for them.

    ::

        from prometheus_client import REGISTRY, start_http_server

        REGISTRY.register(PrometheusCollector({"train": train_loader, "val": val_loader}))
        start_http_server(8000)

    The images per second are then ``rate(ffprep_samples_total[1m])``, and the share of the time spent waiting
    ``rate(ffprep_waiting_seconds_total[1m]) / rate(ffprep_seconds_total[1m])``.

    Parameters
    ----------
    loaders : mapping of str to Loader
        By the value of the label ``loader``.

    Raises
    ------
    OptionError
        There is no prometheus_client.
    """

    def __init__(self, loaders: Mapping[str, Counts]) -> None:
        try:
            from prometheus_client import core
        except ImportError as error:
            raise OptionError(
                f"PrometheusCollector needs prometheus_client: pip install prometheus_client ({error})"
            ) from None
        self._core = core
        self._loaders = dict(loaders)

    def collect(self) -> Iterator[Any]:
        """Yield the metrics; the registry calls this."""
        read = {name: loader.stats() for name, loader in self._loaders.items()}
        for total, text in TOTALS.items():
            counter = self._core.CounterMetricFamily(f"ffprep_{total}", text, labels=["loader"])
            for name, counts in read.items():
                counter.add_metric([name], float(getattr(counts, total.removesuffix("_seconds"))))
            yield counter
        ready = self._core.GaugeMetricFamily("ffprep_ready_batches", "Finished batches that wait.", labels=["loader"])
        for name, counts in read.items():
            ready.add_metric([name], float(counts.ready))
        yield ready
