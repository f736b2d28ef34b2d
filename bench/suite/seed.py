"""10,000 users, 100 products, ten inventory rows each: in our database and in the plain one."""

import asyncio
from pathlib import Path

from sqlalchemy import text

from bench.suite.servers import OURS, PLAIN, Servers
from economy.bootstrap import open_services
from economy.migrate import migrate
from economy.services import Services
from economy.services.operations import Purchase, TopUp
from economy.services.posting import Posting
from economy.services.settlement import Entry
from economy.settings import Settings

USERS = 10_000
PRODUCTS = 100
ITEMS = 10
PRICE = 10
COINS = 10**9  # for more purchases than any run makes
UNITS = 1_000  # of each product, for more uses than any run makes
USERS_A_BATCH = 200
ACTOR = "server:bench"

# All products are consumables, and the load buys what its user holds already: so that the reads
# have ten rows from the first round to the last.
OURS_SQL = (
    f"""
    INSERT INTO product (name, description, price, type, is_active, created_at)
    SELECT 'Product ' || n, 'What it is good for', {PRICE}, 'consumable', true, now()
    FROM generate_series(1, {PRODUCTS}) n""",
    f"""
    INSERT INTO "user" (username, email, balance, last_seq, created_at, debt, chain_hash)
    SELECT 'player' || n, 'player' || n || '@example.com', 0, 0, now(), 0,
        decode(repeat('00', 32), 'hex')
    FROM generate_series(1, {USERS}) n""",
    """
    INSERT INTO claim (value, kind, user_id) SELECT username, 'username', id FROM "user"
    UNION ALL SELECT email, 'email', id FROM "user" """,
)
PLAIN_SQL = f"""
INSERT INTO products (id, name, description, price, type)
SELECT n, 'Product ' || n, 'What it is good for', {PRICE}, 'consumable'
FROM generate_series(1, {PRODUCTS}) n;
INSERT INTO users (id, username, email, balance)
SELECT n, 'player' || n, 'player' || n || '@example.com', {COINS}
FROM generate_series(1, {USERS}) n;
INSERT INTO inventory (user_id, product_id, quantity)
SELECT u, 1 + (u + {PRODUCTS // ITEMS} * k) % {PRODUCTS}, {UNITS}
FROM generate_series(1, {USERS}) u, generate_series(0, {ITEMS - 1}) k ORDER BY 1, k;
"""


def product_ids(user_id: int) -> list[int]:
    """What a user holds; the scripts of the load choose from the same."""
    step = PRODUCTS // ITEMS
    return [1 + (user_id + step * k) % PRODUCTS for k in range(ITEMS)]


def seed(servers: Servers) -> None:
    for name in (OURS, PLAIN):
        servers.execute("postgres", f'CREATE DATABASE "{name}"')
    servers.execute(PLAIN, (Path(__file__).parent / "sql/plain.sql").read_text())
    servers.execute(PLAIN, PLAIN_SQL)
    asyncio.run(_seed_ours(servers.database_url(OURS)))
    for name in (OURS, PLAIN):
        servers.fetch(name, "VACUUM ANALYZE")
    servers.fetch(PLAIN, "CHECKPOINT")


async def _seed_ours(url: str) -> None:
    settings = Settings(database_url=url, redis_url=None, statement_timeout_ms=600_000)
    async with open_services(settings) as services:
        await migrate(services.database)
        async with services.database.unit_of_work() as session:
            for statement in OURS_SQL:
                await session.execute(text(statement))
        await _give(services)


async def _give(services: Services) -> None:
    """By way of the journal, in large batches: `economy verify` has nothing to say about it."""
    posting = Posting(services.database)
    for first in range(1, USERS + 1, USERS_A_BATCH):
        batch = []
        for user_id in range(first, first + USERS_A_BATCH):
            batch.append(_coins(user_id))
            batch.extend(_units(user_id, product_id) for product_id in product_ids(user_id))
        await posting.post(batch)


def _coins(user_id: int) -> Entry:
    return Entry.of(
        TopUp(
            user_id=user_id,
            amount=COINS,
            external_reference=None,
            actor=ACTOR,
            idempotency_key="seed",
        )
    )


def _units(user_id: int, product_id: int) -> Entry:
    return Entry.of(
        Purchase(
            user_id=user_id,
            product_id=product_id,
            quantity=UNITS,
            expected_price=None,
            actor=ACTOR,
            idempotency_key=f"seed-{product_id}",
        )
    )
