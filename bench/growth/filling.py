"""Users, items and journal rows in numbers: made by set-based SQL, and growing in place.

Balances, numbers and keys fit, so that the service can go on from there. The hashes are zeros and
the coins come from nowhere: `economy verify` would have much to say.
"""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import asyncpg

from bench.suite.seed import COINS, ITEMS, PRICE, PRODUCTS
from bench.suite.servers import Servers
from economy.database import Database
from economy.migrate import migrate
from economy.settings import Settings

ASKED = 10_000  # users, evenly over all of them, who hold ten products; the others hold one
CATALOGUE = 1_000  # the load buys from the first hundred, but where somebody holds more
ZEROS = "decode(repeat('00', 32), 'hex')"
# It grows with time, as the service's ids do, and comes before all of those.
ID = "lpad(to_hex({}), 32, '0')::uuid"

PRODUCTS_SQL = f"""
INSERT INTO product (name, description, price, type, is_active, created_at)
SELECT 'Product ' || n, 'What it is good for', {PRICE}, 'consumable', true, now()
FROM generate_series(1, {CATALOGUE}) n
"""
USERS_SQL = f"""
INSERT INTO "user" (username, email, balance, last_seq, created_at, debt, chain_hash)
SELECT 'player' || n, 'player' || n || '@example.com', {COINS}, 0, now(), 0, {ZEROS}
FROM generate_series($1::bigint, $2::bigint) n
"""
CLAIMS_SQL = """
INSERT INTO claim (value, kind, user_id)
SELECT claimed.* FROM "user", LATERAL (
    VALUES (username, 'username', id), (email, 'email', id)
) AS claimed WHERE id BETWEEN $1 AND $2
"""
ITEMS_SQL = f"""
INSERT INTO inventory (user_id, id, product_id, product_type, quantity, purchased_at)
SELECT n, {ID.format("k + 1")}, 1 + (n + {PRODUCTS // ITEMS} * k) % {PRODUCTS}, 'consumable', 1,
    now()
FROM generate_series($1::bigint, $2::bigint) n,
    generate_series(0, CASE WHEN n % $3 = 0 THEN {ITEMS - 1} ELSE 0 END) k
"""
HOLDINGS_SQL = f"""
INSERT INTO inventory (user_id, id, product_id, product_type, quantity, purchased_at)
SELECT n, {ID.format("k")}, k, 'consumable', 1, now()
FROM generate_series($1::bigint, $2::bigint) n, generate_series(1, $3::bigint) k
"""
# One more purchase of each of these users, or several; the amount tells the number of the row.
ROWS_SQL = f"""
INSERT INTO transaction (user_id, id, seq, kind, status, product_id, quantity, amount,
    balance_after, quantity_after, actor, idempotency_key, request_hash, created_at, completed_at,
    debt_after, settled_seq, hash)
SELECT user_id, {ID.format("seq")}, seq, 'purchase', 'completed', 1 + user_id % {PRODUCTS}, 1, seq,
    {COINS}, 1, 'player:' || user_id, 'key-' || seq, {ZEROS}, at, at, 0, seq, {ZEROS}
FROM (SELECT id AS user_id, last_seq + round AS seq, clock_timestamp() AS at
      FROM "user", generate_series($3::bigint, $4::bigint) round
      WHERE id BETWEEN $1 AND $2 AND id % $5 = 0) AS purchases
"""
NUMBERS_SQL = """
UPDATE "user" SET last_seq = last_seq + $3 WHERE id BETWEEN $1 AND $2 AND id % $4 = 0
"""
CONSTRAINTS_SQL = """
SELECT conname, pg_get_constraintdef(oid) AS definition FROM pg_constraint
WHERE conrelid = $1::text::regclass AND contype IN ('p', 'u', 'f') ORDER BY contype = 'f'
"""
INDEXES_SQL = """
SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition FROM pg_index
WHERE indrelid = $1::text::regclass AND NOT EXISTS (
    SELECT FROM pg_constraint WHERE conindid = indexrelid AND conrelid = indrelid
)
"""


@contextlib.asynccontextmanager
async def filling(servers: Servers, database: str) -> AsyncIterator[Any]:
    """A connection; afterwards the database is as one that has been in use for long."""
    connection = await asyncpg.connect(servers.database_url(database))
    try:
        yield connection
        await connection.execute("VACUUM (ANALYZE)")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


async def make_schema(url: str) -> None:
    database = Database(Settings(database_url=url, redis_url=None))
    await migrate(database)
    await database.close()


async def add_products(connection: Any) -> None:
    await connection.execute(PRODUCTS_SQL)


async def add_users(connection: Any, first: int, last: int) -> None:
    await connection.execute(USERS_SQL, first, last)
    await connection.execute(CLAIMS_SQL, first, last)
    assert await connection.fetchval('SELECT max(id) FROM "user"') == last


async def grow_users(connection: Any, old: int, new: int) -> None:
    """Those who are asked among the new number are either new or were asked among the old."""
    await add_users(connection, old + 1, new)
    async with unindexed(connection, "inventory"):
        await connection.execute(ITEMS_SQL, old + 1, new, new // ASKED)


async def add_holders(connection: Any, first: int, last: int, products: int) -> None:
    """Each holds the first so many products."""
    await add_users(connection, first, last)
    await connection.execute(HOLDINGS_SQL, first, last, products)


async def add_rounds(connection: Any, rounds: int, users: int, *, each: int = 1) -> None:
    """In each round each of the first users, or every so many'th, gets one row.

    So a history lies scattered on disk, as one does that has grown over weeks."""
    async with unindexed(connection, "transaction"):
        for number in range(1, rounds + 1):
            await connection.execute(ROWS_SQL, 1, users, number, number, each)
    await connection.execute(NUMBERS_SQL, 1, users, rounds, each)


async def add_history(connection: Any, user_id: int, rows: int) -> None:
    """All at once: it lies together on disk."""
    async with unindexed(connection, "transaction"):
        await connection.execute(ROWS_SQL, user_id, user_id, 1, rows, 1)
    await connection.execute(NUMBERS_SQL, user_id, user_id, rows, 1)


@contextlib.asynccontextmanager
async def unindexed(connection: Any, table: str) -> AsyncIterator[None]:
    """Keys and indexes are made again at the end, at once, and PostgreSQL checks all rows then."""
    constraints = await connection.fetch(CONSTRAINTS_SQL, table)
    indexes = await connection.fetch(INDEXES_SQL, table)
    for constraint in reversed(constraints):
        await connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {constraint['conname']}")
    for index in indexes:
        await connection.execute(f"DROP INDEX {index['name']}")
    yield
    for index in indexes:
        await connection.execute(index["definition"])
    for name, definition in constraints:
        await connection.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
