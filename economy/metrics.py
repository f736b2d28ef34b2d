"""What is counted and timed, in Prometheus' form."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    start_http_server,
    values,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # the library's own variable: it reads no other setting


def share_between_processes(folder: str) -> None:
    """From now on what this process and its children count lies there, and each tells the sum."""
    os.environ[_FOLDER] = folder
    vars(values)["ValueClass"] = values.get_value_class()  # type: ignore[no-untyped-call]


class Metrics:
    """The figures of this process; what it tells are those of all that share them."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._folder = os.environ.get(_FOLDER)
        self._measure_requests()
        self._measure_posting()
        self._measure_stores()
        self._measure_jobs()
        self._measure_economy()

    def text(self) -> bytes:
        if self._folder is None:
            return generate_latest(self._registry)
        _forget_dead_processes(self._folder)
        registry = CollectorRegistry()
        MultiProcessCollector(registry, self._folder)  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    @contextmanager
    def shown_at(self, host: str, port: int) -> Iterator[None]:
        """For a process without a server of its own: `/metrics` there, as long as this is open."""
        server, thread = start_http_server(port, host, self._registry)
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def _measure_requests(self) -> None:
        counter = partial(Counter, registry=self._registry)
        self.requests = counter(
            "economy_http_requests_total",
            "HTTP requests answered.",
            ["method", "route", "operation", "status"],
        )
        self.request_seconds = Histogram(
            "economy_http_request_seconds",
            "Time to answer an HTTP request.",
            ["route", "operation"],
            registry=self._registry,
        )
        self.graphql_errors = counter(
            "economy_graphql_errors_total",
            "Top-level errors of GraphQL, whatever the status of the answer.",
            ["operation", "code"],
        )
        self.rate_limit_rejections = counter(
            "economy_rate_limit_rejections_total", "What a limit has refused.", ["limit"]
        )

    def _measure_posting(self) -> None:
        counter = partial(Counter, registry=self._registry)
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
        self.queue_length = Gauge(
            "economy_posting_queue_operations",
            "Operations that wait for a batch.",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self.queue_seconds = Histogram(
            "economy_posting_wait_seconds",
            "Time that an operation waited for its batch to begin.",
            registry=self._registry,
        )
        self.coins_minted = counter(
            "economy_coins_minted_total", "Coins that users were credited.", ["kind"]
        )
        self.coins_spent = counter(
            "economy_coins_spent_total", "Coins that users were debited.", ["kind"]
        )

    def _measure_stores(self) -> None:
        counter = partial(Counter, registry=self._registry)
        gauge = partial(Gauge, registry=self._registry)
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
        self.redis_up = gauge(
            "economy_redis_up",
            "1 while Redis is used, 0 while the breaker has cut it off; without Redis always 0.",
            multiprocess_mode="livemin",
        )
        self.connections_in_use = gauge(
            "economy_database_connections_in_use",
            "Connections to the database that somebody works with.",
            multiprocess_mode="livesum",
        )
        self.connections_limit = gauge(
            "economy_database_connections_limit",
            "The most of them that there may be.",
            multiprocess_mode="livesum",
        )
        self.replica_up = gauge(
            "economy_database_replica_up",
            "1 while the replica is read, 0 while it is left alone, or there is none.",
            multiprocess_mode="livemin",
        )

    def _measure_jobs(self) -> None:
        self.job_runs = Counter(
            "economy_job_runs_total",
            "Runs of periodic jobs: `outcome` is done, idle (nothing to do) or failed.",
            ["job", "outcome"],
            registry=self._registry,
        )
        # what stands in the database tells the same whoever is asked, and whoever did the job
        stored = partial(Gauge, registry=self._registry, multiprocess_mode="mostrecent")
        self.job_succeeded_at = stored(
            "economy_job_last_success_timestamp_seconds",
            "When the job last ended well, with or without anything to do.",
            ["job"],
        )
        self.broken_invariants = stored(
            "economy_ledger_broken_invariants",
            "What the last verification has found; see `economy verify`.",
        )
        self.verified_at = stored(
            "economy_ledger_verified_timestamp_seconds",
            "When the last verification had finished; 0: never.",
        )

    def _measure_economy(self) -> None:
        stored = partial(Gauge, registry=self._registry, multiprocess_mode="mostrecent")
        self.coins = stored("economy_coins_in_circulation", "All balances together.")
        self.coins_owed = stored("economy_coins_owed", "All debts together.")
        self.users = stored("economy_users", "Users, those that were deleted included.")
        self.circulation_measured_at = stored(
            "economy_circulation_measured_timestamp_seconds",
            "When coins and users were last added up; 0: never.",
        )


def _forget_dead_processes(folder: str) -> None:
    """What they counted stays; what they held at their end goes."""
    files = Path(folder).glob("gauge_live*")
    for process_id in {int(file.stem.rpartition("_")[2]) for file in files}:
        try:
            os.kill(process_id, 0)
        except ProcessLookupError:
            mark_process_dead(process_id, folder)  # type: ignore[no-untyped-call]
