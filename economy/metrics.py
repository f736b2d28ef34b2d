"""What is counted and timed, in Prometheus' form."""

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """One process' own figures."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        counter = partial(Counter, registry=self._registry)
        self.requests = counter(
            "economy_http_requests_total", "HTTP requests answered.", ["method", "route", "status"]
        )
        self.request_seconds = Histogram(
            "economy_http_request_seconds",
            "Time to answer an HTTP request.",
            ["route"],
            registry=self._registry,
        )
        self.operations = counter(
            "economy_operations_total",
            "Operations answered: `outcome` is completed, replayed or the code of the refusal.",
            ["kind", "outcome"],
        )
        self.batch_size = Histogram(
            "economy_posting_batch_operations",
            "Operations that shared one commit.",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128),
            registry=self._registry,
        )
        self.cache_reads = counter(
            "economy_cache_reads_total",
            "Values asked of a cache: `outcome` is hit or miss.",
            ["cache", "outcome"],
        )
        self.cache_fills_refused = counter(
            "economy_cache_fills_refused_total",
            "Values not kept, as a writer had taken the reader's lease meanwhile.",
            ["cache"],
        )
        self.redis_up = Gauge(
            "economy_redis_up",
            "1 while Redis is used, 0 while the breaker has cut it off; without Redis always 0.",
            registry=self._registry,
        )
        self.rate_limit_rejections = counter(
            "economy_rate_limit_rejections_total", "What a limit has refused.", ["limit"]
        )
        self.job_runs = counter(
            "economy_job_runs_total",
            "Runs of periodic jobs: `outcome` is done, idle (nothing to do) or failed.",
            ["job", "outcome"],
        )
        self._measure_ledger()

    def text(self) -> bytes:
        return generate_latest(self._registry)

    def _measure_ledger(self) -> None:
        self.broken_invariants = Gauge(
            "economy_ledger_broken_invariants",
            "What the last verification has found; see `economy verify`.",
            registry=self._registry,
        )
        self.verified_at = Gauge(
            "economy_ledger_verified_timestamp_seconds",
            "When the last verification had finished; 0: never.",
            registry=self._registry,
        )
