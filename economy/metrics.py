"""What is counted and timed, in Prometheus' form."""

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """One process' own figures."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "economy_http_requests_total",
            "HTTP requests answered.",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self.request_seconds = Histogram(
            "economy_http_request_seconds",
            "Time to answer an HTTP request.",
            ["route"],
            registry=self._registry,
        )
        self.operations = Counter(
            "economy_operations_total",
            "Operations answered: `outcome` is completed, replayed or the code of the refusal.",
            ["kind", "outcome"],
            registry=self._registry,
        )
        self.batch_size = Histogram(
            "economy_posting_batch_operations",
            "Operations that shared one commit.",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128),
            registry=self._registry,
        )

    def text(self) -> bytes:
        return generate_latest(self._registry)
