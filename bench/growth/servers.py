"""The servers of this bench: as the suite's, but PostgreSQL counts what each statement costs it."""

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

from bench.suite.servers import OPTIONS, Servers, servers

COUNTING = "postgres"  # the extension is asked from there, and what it is asked is not counted

# Vacuum and checkpoints are run between the measurements: neither falls into one of them. Less WAL
# is kept than by the suite, as it is not needed and the disk is.
GROWING = OPTIONS | {
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.track_planning": "on",
    "autovacuum": "off",
    "max_wal_size": "3GB",
    "maintenance_work_mem": "256MB",
}
COST_SQL = """
SELECT coalesce(sum(calls), 0), coalesce(sum(total_plan_time + total_exec_time), 0),
    coalesce(sum(shared_blks_read), 0), coalesce(sum(wal_bytes), 0)
FROM pg_stat_statements JOIN pg_database ON pg_database.oid = dbid WHERE datname = $1
"""


class Cost(NamedTuple):
    """What PostgreSQL did, all told. The wait for the disk at a commit is no statement's."""

    statements: float  # BEGIN and COMMIT, too
    milliseconds: float  # of planning and running them
    blocks_read: float  # not found among the shared buffers: 8 kB each
    wal_bytes: float


def forget_cost(servers: Servers) -> None:
    servers.execute(COUNTING, "SELECT pg_stat_statements_reset()")


def cost(servers: Servers, database: str) -> Cost:
    """Since it was forgotten last."""
    return Cost(*map(float, servers.fetch(COUNTING, COST_SQL, database)[0]))


@contextlib.contextmanager
def counting_servers() -> Iterator[Servers]:
    """Call it in the main thread: the servers die with the thread that started them."""
    with servers(GROWING) as both:
        both.execute(COUNTING, "CREATE EXTENSION pg_stat_statements")
        yield both
