"""What refreshing the popular products costs as the journal grows: make bench-popular.

On a PostgreSQL of its own, from 10^4 to 2*10^7 journal rows over 28 days, so that a quarter lies in
the window of 7 days. The last day is not vacuumed, as on a live system. Compared in the same run
with the plain query over the journal. Milliseconds are of this machine: look at how they grow.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import orjson

from economy.bootstrap import open_services
from economy.jobs import Job
from economy.migrate import migrate
from economy.repositories.analytics import most_purchased
from economy.repositories.job import set_job_done_until
from economy.services import Services
from economy.services.analytics import WINDOW
from economy.services.bounds import MAX_PAGE
from economy.settings import Settings
from tests.servers import create_database, postgres_server

SIZES = (10_000, 100_000, 1_000_000, 5_000_000, 20_000_000)
DAYS = 28
PRODUCTS = 100
USERS = 10_000
ROUNDS = 7

# Only what is read here; its writing is measured elsewhere.
UNNEEDED = (
    "pk_transaction",
    "uq_transaction_user_id_seq",
    "uq_transaction_user_id_kind_idempotency_key",
    "fk_transaction_user_id",
    "fk_transaction_product_id",
)
PRODUCTS_SQL = f"""
INSERT INTO product (name, description, price, type, is_active, created_at)
SELECT 'Product ' || n, '', 100, 'consumable', true, now() FROM generate_series(1, {PRODUCTS}) n
"""
# In the order of time, evenly; the smaller its id, the more often a product is bought.
ROWS_SQL = f"""
INSERT INTO transaction (user_id, id, seq, kind, status, product_id, quantity, amount,
    balance_after, quantity_after, actor, request_hash, created_at, completed_at, debt_after,
    settled_seq, hash)
SELECT 1 + n % {USERS}, md5(n::text)::uuid, n, 'purchase', 'completed',
    1 + floor({PRODUCTS} * power(random(), 2)), 1, 100, 0, 1, 'player:1', '\\x00', at, at, 0,
    n, '\\x00'
FROM (SELECT n, $1::timestamptz - ($2 - n) * (interval '{DAYS} days' / $2::float8) AS at
      FROM generate_series($3::bigint, $4::bigint) n) AS moments
"""


async def fill(connection: Any, rows: int) -> None:
    now = datetime.now(UTC)
    await connection.execute("TRUNCATE purchase_hour, job_progress")
    await connection.execute("ALTER TABLE transaction DISABLE TRIGGER ALL")
    await connection.execute("TRUNCATE transaction")
    old = rows - rows // DAYS
    await connection.execute(ROWS_SQL, now, rows, 1, old)
    await connection.execute("VACUUM ANALYZE transaction")
    await connection.execute(ROWS_SQL, now, rows, old + 1, rows)


async def milliseconds(work: Callable[[], Awaitable[object]], rounds: int = ROUNDS) -> float:
    """The median."""
    times = []
    for _ in range(rounds):
        started_at = time.perf_counter()
        await work()
        times.append(time.perf_counter() - started_at)
    return statistics.median(times) * 1000


async def measure(services: Services, connection: Any, rows: int) -> None:
    await fill(connection, rows)

    async def plain() -> list[tuple[int, int]]:
        now = datetime.now(UTC)
        return await services.database.read(
            most_purchased,
            since=now - WINDOW,
            until=now + timedelta(days=1),
            counted_until=now - WINDOW,
            limit=MAX_PAGE,
        )

    counting = await milliseconds(services.analytics.count_purchases, rounds=1)
    usual = await milliseconds(services.analytics.compute)
    whole = await milliseconds(plain, rounds=3)
    assert orjson.loads(await services.analytics.compute()) == [list(row) for row in await plain()]
    hour_ago = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    async with services.database.unit_of_work() as session:
        await set_job_done_until(session, Job.COUNT_PURCHASES, hour_ago)
    worst = await milliseconds(services.analytics.compute)
    figures = (f"{number:>10.1f}" for number in (usual, worst, whole, whole / usual, counting))
    print(f"{rows:>12,} {rows // 4:>12,} {' '.join(figures)}", flush=True)


async def run(url: str, sizes: tuple[int, ...]) -> None:
    settings = Settings(
        database_url=url, jobs_in_server=False, statement_timeout_ms=600_000, redis_url=None
    )
    async with open_services(settings) as services:
        await migrate(services.database)
        connection = await asyncpg.connect(url.replace("+asyncpg", "", 1))
        for name in UNNEEDED:
            await connection.execute(f"ALTER TABLE transaction DROP CONSTRAINT {name}")
        await connection.execute(PRODUCTS_SQL)
        print("refresh: hours are counted; worst: the last one is not yet; plain: from the journal")
        names = ("refresh ms", "worst ms", "plain ms", "plain/ref.", "count 7 d")
        print(f"{'rows':>12} {'in window':>12} {' '.join(f'{name:>10}' for name in names)}")
        for size in sizes:
            await measure(services, connection, size)
        await connection.close()


def main() -> None:
    """Sizes may be given as arguments."""
    sizes = tuple(int(argument) for argument in sys.argv[1:]) or SIZES
    with postgres_server() as server:
        asyncio.run(create_database(server, "bench_popular"))
        asyncio.run(run(server.database_url("bench_popular"), sizes))


if __name__ == "__main__":
    main()
