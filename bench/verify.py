"""What `economy verify` costs as the journal grows: make bench-verify.

On a PostgreSQL of its own, of 10^5 and 10^6 journal rows; `ARGS=10000000` is the large one, which
takes 10 GB of disk. Each player has played five rounds, between which all others had theirs: so no
history lies together on disk. Seconds are of this machine: look at how they grow.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg

from economy.database import Database
from economy.migrate import migrate
from economy.models.transaction import TransactionRow
from economy.models.user import NO_HISTORY
from economy.services.chain import link
from economy.settings import Settings
from tests.servers import create_database, drop_database, postgres_server

SIZES = (100_000, 1_000_000)
ROUNDS = 5
NUMBERS, ROWS = 10, 9  # of a round: a top-up is settled later and takes two numbers
GAIN = 70  # coins that a round leaves
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
PENDING: dict[str, Any] = {"status": "pending", "balance_after": None, "debt_after": None}
PENDING |= {"completed_at": None, "settled_seq": None}
PRODUCT_SQL = """
INSERT INTO product (name, description, price, type, is_active, created_at)
VALUES ('Boost', '', 100, 'consumable', true, now())
"""
USERS_SQL = f"""
INSERT INTO "user" (username, email, balance, last_seq, created_at, debt, chain_hash)
SELECT 'player' || n, 'player' || n || '@example.com', {GAIN * ROUNDS}, {NUMBERS * ROUNDS}, now(),
    0, $2::bytea
FROM generate_series(1, $1::int) n ORDER BY n
"""
ITEMS_SQL = f"""
INSERT INTO inventory (user_id, id, product_id, product_type, quantity, purchased_at)
SELECT id, md5(id::text)::uuid, 1, 'consumable', {2 * ROUNDS}, now() FROM "user"
"""
CLAIMS_SQL = """
INSERT INTO claim (value, kind, user_id)
SELECT username, 'username', id FROM "user" UNION ALL SELECT email, 'email', id FROM "user"
UNION ALL SELECT external_reference, 'external_reference', user_id FROM transaction
WHERE external_reference IS NOT NULL
"""
HEADS_SQL = """
UPDATE "user" SET chain_hash = head FROM unnest($1::bigint[], $2::bytea[]) AS heads (user_id, head)
WHERE id = user_id
"""


class Step(NamedTuple):
    kind: str
    amount: int
    worth: int  # after it, less that of the round's start
    quantity: int | None = None
    held: int | None = None  # after it, the same


STEPS = {
    1: Step("top_up", 400, 400),
    2: Step("purchase", 200, 200, 2, 2),
    3: Step("use", 0, 200, 1, 1),
    4: Step("debit", 50, 150),
    5: Step("purchase", 10**6, 150, 1, 1),
    6: Step("top_up", 20, 170),  # pending until 8
    7: Step("grant", 0, 150, 2, 3),
    9: Step("purchase", 100, 70, 1, 4),
    10: Step("revocation", 0, 70, 2, 2),
}


def round_of(user_id: int, number: int, head: bytes) -> tuple[list[TransactionRow], bytes]:
    """Its rows, and the newest link after them."""
    rows: list[TransactionRow] = []
    first = number * NUMBERS
    for place, step in STEPS.items():
        if place == 9:
            head = link(head, rows[5])
            rows[5] = rows[5]._replace(settled_hash=head)
        is_failed = place == 5
        row = TransactionRow(
            user_id=user_id,
            id=UUID(int=user_id << 32 | first + place),
            seq=first + place,
            kind=step.kind,
            status="failed" if is_failed else "completed",
            product_id=None if step.quantity is None else 1,
            quantity=step.quantity,
            amount=step.amount,
            balance_after=number * GAIN + step.worth,
            quantity_after=None if step.held is None else number * 2 + step.held,
            failure_code="INSUFFICIENT_FUNDS" if is_failed else None,
            actor=f"player:{user_id}",
            idempotency_key=f"key-{first + place}",
            request_hash=NO_HISTORY,
            external_reference=f"{user_id}-{first + place}" if step.kind == "top_up" else None,
            created_at=NOW,
            completed_at=NOW,
            debt_after=0,
            target_id=None,
            shortfall=None,
            settled_seq=first + (8 if place == 6 else place),
            hash=b"",
            settled_hash=None,
        )
        head = link(head, row._replace(**PENDING) if place == 6 else row)
        rows.append(row._replace(hash=head))
    return rows, head


async def fill(connection: Any, users: int) -> None:
    await connection.execute("SET session_replication_role = replica")  # no foreign keys
    await connection.execute(PRODUCT_SQL)
    await connection.execute(USERS_SQL, users, NO_HISTORY)
    heads = dict.fromkeys(range(1, users + 1), NO_HISTORY)

    def rows() -> Iterator[list[TransactionRow]]:
        for number in range(ROUNDS):
            for user_id in heads:
                written, heads[user_id] = round_of(user_id, number, heads[user_id])
                yield written

    rounds = rows()
    while some := list(islice(rounds, 1_000)):
        await connection.copy_records_to_table(
            "transaction", records=chain.from_iterable(some), columns=TransactionRow._fields
        )
    ends = iter(heads.items())
    while some_heads := list(islice(ends, 10_000)):
        await connection.execute(HEADS_SQL, *map(list, zip(*some_heads, strict=True)))
    await connection.execute(ITEMS_SQL)
    await connection.execute(CLAIMS_SQL)
    await connection.execute("VACUUM ANALYZE")


def verify(url: str) -> tuple[float, int]:
    """Seconds, and the most memory that the process had, in bytes."""
    started_at = time.perf_counter()
    process = subprocess.Popen(
        [Path(sys.executable).with_name("economy"), "verify"],
        env=os.environ | {"ECONOMY_DATABASE_URL": url},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    report = process.stdout.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(report)
    return time.perf_counter() - started_at, usage.ru_maxrss * 1024


async def prepare(url: str, users: int) -> None:
    database = Database(Settings(database_url=url))
    await migrate(database)
    await database.close()
    connection = await asyncpg.connect(url.replace("+asyncpg", "", 1))
    await fill(connection, users)
    await connection.close()


async def temporary_bytes(url: str) -> int:
    """What PostgreSQL has written into temporary files of this database, all told."""
    connection = await asyncpg.connect(url.replace("+asyncpg", "", 1))
    written: int = await connection.fetchval(
        "SELECT temp_bytes FROM pg_stat_database WHERE datname = current_database()"
    )
    await connection.close()
    return written


def main() -> None:
    """Sizes may be given as arguments."""
    names = ("fill s", "verify s", "rows/s", "peak MB", "temp MB")
    print(f"{'rows':>12} {' '.join(f'{name:>10}' for name in names)}", flush=True)
    with postgres_server() as server:
        for size in tuple(int(argument) for argument in sys.argv[1:]) or SIZES:
            users = max(size // (ROUNDS * ROWS), 1)
            rows = users * ROUNDS * ROWS
            asyncio.run(create_database(server, "bench_verify"))
            url = server.database_url("bench_verify")
            started_at = time.perf_counter()
            asyncio.run(prepare(url, users))
            filled_in = time.perf_counter() - started_at
            before = asyncio.run(temporary_bytes(url))
            seconds, peak = verify(url)
            temporary = asyncio.run(temporary_bytes(url)) - before
            figures = (filled_in, seconds, rows / seconds, peak / 2**20, temporary / 2**20)
            told = " ".join(f"{figure:>10,.1f}" for figure in figures)
            print(f"{rows:>12,} {told}", flush=True)
            asyncio.run(drop_database(server, "bench_verify"))


if __name__ == "__main__":
    main()
