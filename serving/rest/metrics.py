"""What is counted, under TensorFlow Serving's names, in the text that Prometheus reads."""

import contextlib
import time
from collections.abc import Callable, Iterator

import prometheus_client

from faketagger.serving.servable import ServingError

PATH = "/monitoring/prometheus/metrics"

_PREFIX = ":tensorflow:serving:"
_MICROSECONDS = tuple(10 * 1.8**power for power in range(33))  # TensorFlow Serving's buckets, up to 23 minutes.


class Metrics:
    """Counts calls; safe to use from several threads."""

    def __init__(self, is_served: Callable[[str], bool]):
        """`is_served` says whether there is a model of a name: others are counted as one, lest names fill memory."""
        self._is_served = is_served
        prometheus_client.disable_created_metrics()
        self._registry = prometheus_client.CollectorRegistry()

        def histogram(name: str, said: str, *labels: str) -> prometheus_client.Histogram:
            return prometheus_client.Histogram(
                _PREFIX + name, said, labels, buckets=_MICROSECONDS, registry=self._registry
            )

        self._requests = prometheus_client.Counter(
            f"{_PREFIX}request_count", "Calls that were answered.", ("model_name", "status"), registry=self._registry
        )
        self._request_latency = histogram(
            "request_latency", "Microseconds of calls that succeeded.", "model_name", "API", "entrypoint"
        )
        self._runtime_latency = histogram(
            "runtime_latency", "Microseconds that TensorFlow took.", "model_name", "API", "runtime"
        )

    @contextlib.contextmanager
    def request(self, model: str, api: str, entrypoint: str) -> Iterator[None]:
        """Counts what is done inside as a call, by what it ends with, and times it if it succeeds."""
        name, start = self._name(model), time.monotonic()
        try:
            yield
        except Exception as error:
            status = error.code.name if isinstance(error, ServingError) else "INTERNAL"
            self._requests.labels(name, status).inc()
            raise
        self._requests.labels(name, "OK").inc()
        self._request_latency.labels(name, api, entrypoint).observe(_microseconds_since(start))

    @contextlib.contextmanager
    def runtime(self, model: str) -> Iterator[None]:
        """Times what is done inside as TensorFlow's work, if it succeeds."""
        start = time.monotonic()
        yield
        self._runtime_latency.labels(self._name(model), "Predict", "TF1").observe(_microseconds_since(start))

    def page(self) -> bytes:
        """All of it, in Prometheus' text format."""
        text = prometheus_client.generate_latest(self._registry)
        return text.replace(b"request_count_total", b"request_count")  # Which TensorFlow Serving's names do not end in.

    def _name(self, model: str) -> str:
        return model if self._is_served(model) else ""


def _microseconds_since(start: float) -> float:
    return (time.monotonic() - start) * 1e6
