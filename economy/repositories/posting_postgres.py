"""Posting's statements on PostgreSQL: arrays, prepared on the driver's own connection.

Few and constant, whatever the size of a batch. A statement built by SQLAlchemy for each row, or for
each length of a list, costs many times the CPU.
"""

from collections.abc import Collection, Iterable
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import BigInteger, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from economy.models.inventory import InventoryRow
from economy.models.product import ProductRow
from economy.models.transaction import COMPLETED_REVERSAL, TransactionRow
from economy.models.user import UserRow
from economy.repositories.posting_rows import Changes, Found, Wanted, end_of

# By way of the session, as its first statement: that sends BEGIN, and notices a dead connection.
_LOCK_USERS = text(
    f"""SELECT {", ".join(UserRow._fields)} FROM "user"
    WHERE id = ANY (:ids) ORDER BY id FOR UPDATE"""
).bindparams(bindparam("ids", type_=ARRAY(BigInteger)))

_FIND_HELD = text(
    """SELECT id FROM "user" WHERE id = ANY (:ids) AND id NOT IN (
        SELECT id FROM "user" WHERE id = ANY (:ids) FOR UPDATE SKIP LOCKED
    )"""
).bindparams(bindparam("ids", type_=ARRAY(BigInteger)))

_CLAIM_REFERENCES = """
INSERT INTO claim (value, kind, user_id)
SELECT value, 'external_reference', user_id
FROM unnest($1::text[], $2::bigint[]) AS wanted (value, user_id)
ORDER BY value
ON CONFLICT DO NOTHING RETURNING value
"""
_UNCLAIM_REFERENCES = """
DELETE FROM claim WHERE value = ANY ($1::text[]) AND kind = 'external_reference'
"""
_FIND_PRODUCTS = f"""
SELECT {", ".join(ProductRow._fields)} FROM product WHERE id = ANY ($1::bigint[])
"""
# LATERAL … LIMIT 1: one descent of the unique index for each row wanted, whatever the statistics
# say. As a plain join it may read a player's whole history, or hash the table.
_FIND_ITEMS = f"""
SELECT item.* FROM unnest($1::bigint[], $2::bigint[]) AS wanted (user_id, product_id)
CROSS JOIN LATERAL (
    SELECT {", ".join(InventoryRow._fields)} FROM inventory
    WHERE user_id = wanted.user_id AND product_id = wanted.product_id LIMIT 1
) AS item
"""
_FIND_EARLIER = f"""
SELECT earlier.*
FROM unnest($1::bigint[], $2::text[], $3::text[]) AS wanted (user_id, kind, idempotency_key)
CROSS JOIN LATERAL (
    SELECT {", ".join(TransactionRow._fields)} FROM transaction
    WHERE user_id = wanted.user_id AND kind = wanted.kind
        AND idempotency_key = wanted.idempotency_key LIMIT 1
) AS earlier
"""
_FIND_BY_ID = f"""
SELECT found.* FROM unnest($1::bigint[], $2::uuid[]) AS wanted (user_id, id)
CROSS JOIN LATERAL (
    SELECT {", ".join(TransactionRow._fields)} FROM transaction
    WHERE user_id = wanted.user_id AND id = wanted.id LIMIT 1
) AS found
"""
_FIND_REVERSED = f"""
SELECT reversal.*
FROM unnest($1::bigint[], $2::uuid[]) AS wanted (user_id, id)
CROSS JOIN LATERAL (
    SELECT user_id, target_id FROM transaction
    WHERE user_id = wanted.user_id AND target_id = wanted.id AND {COMPLETED_REVERSAL} LIMIT 1
) AS reversal
"""
_UPDATE_USERS = """
UPDATE "user" SET balance = changed.balance, last_seq = changed.last_seq, debt = changed.debt,
    chain_hash = changed.chain_hash
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[])
    AS changed (id, balance, last_seq, debt, chain_hash)
WHERE "user".id = changed.id AND "user".id = ANY ($1::bigint[])
"""
_UPSERT_ITEMS = f"""
INSERT INTO inventory ({", ".join(InventoryRow._fields)})
SELECT * FROM unnest(
    $1::bigint[], $2::uuid[], $3::bigint[], $4::text[], $5::bigint[], $6::timestamptz[]
)
ON CONFLICT (user_id, product_id) DO UPDATE SET quantity = excluded.quantity
"""
_INSERT_TRANSACTIONS = f"""
INSERT INTO transaction ({", ".join(TransactionRow._fields)})
SELECT * FROM unnest(
    $1::bigint[], $2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::bigint[], $7::bigint[],
    $8::bigint[], $9::bigint[], $10::bigint[], $11::text[], $12::text[], $13::text[],
    $14::bytea[], $15::text[], $16::timestamptz[], $17::timestamptz[], $18::bigint[], $19::uuid[],
    $20::bigint[], $21::bigint[], $22::bytea[], $23::bytea[]
)
"""
_SETTLE_TRANSACTIONS = """
UPDATE transaction SET status = end_.status, balance_after = end_.balance_after,
    debt_after = end_.debt_after, failure_code = end_.failure_code,
    completed_at = end_.completed_at, settled_seq = end_.settled_seq,
    settled_hash = end_.settled_hash
FROM unnest(
    $1::bigint[], $2::uuid[], $3::text[], $4::bigint[], $5::bigint[], $6::text[],
    $7::timestamptz[], $8::bigint[], $9::bytea[]
) AS end_ (user_id, id, status, balance_after, debt_after, failure_code, completed_at, settled_seq,
    settled_hash)
WHERE transaction.user_id = end_.user_id AND transaction.id = end_.id
"""


async def lock_and_find(session: AsyncSession, wanted: Wanted) -> Found:
    users = await _lock_users(session, wanted.user_ids)
    connection = await _driver_connection(session)
    claimed = await _fetch(connection, _CLAIM_REFERENCES, wanted.references)
    targets = [
        TransactionRow._make(row) for row in await _fetch(connection, _FIND_BY_ID, wanted.targets)
    ]
    reversed_ids = await _fetch(connection, _FIND_REVERSED, wanted.targets)
    wanted_items = wanted.items_with(targets)
    product_ids = sorted({product_id for _, product_id in wanted_items})
    products = await connection.fetch(_FIND_PRODUCTS, product_ids) if product_ids else []
    items = await _fetch(connection, _FIND_ITEMS, wanted_items)
    earlier = await _fetch(connection, _FIND_EARLIER, wanted.keys)
    return Found(
        users=users,
        products=[ProductRow._make(row) for row in products],
        items=[InventoryRow._make(row) for row in items],
        earlier=[TransactionRow._make(row) for row in earlier],
        claimed_references=[row["value"] for row in claimed],
        targets=targets,
        reversed_ids=[tuple(row) for row in reversed_ids],
    )


async def write(session: AsyncSession, changes: Changes) -> None:
    connection = await _driver_connection(session)
    users = [
        (user.id, user.balance, user.last_seq, user.debt, user.chain_hash) for user in changes.users
    ]
    await _fetch(connection, _UPDATE_USERS, users)
    await _fetch(connection, _UPSERT_ITEMS, changes.items)
    await _fetch(connection, _INSERT_TRANSACTIONS, changes.written)
    await _fetch(connection, _SETTLE_TRANSACTIONS, map(end_of, changes.settled))
    if changes.unclaimed_references:
        await connection.fetch(_UNCLAIM_REFERENCES, changes.unclaimed_references)


async def users_held(session: AsyncSession, user_ids: Collection[int]) -> set[int]:
    return set((await session.execute(_FIND_HELD, {"ids": list(user_ids)})).scalars())


async def lock_and_find_transactions(
    session: AsyncSession, keys: Collection[tuple[int, UUID]]
) -> list[TransactionRow]:
    await _lock_users(session, {user_id for user_id, _ in keys})
    rows = await _fetch(await _driver_connection(session), _FIND_BY_ID, keys)
    return [TransactionRow._make(row) for row in rows]


async def _lock_users(session: AsyncSession, ids: Collection[int]) -> list[UserRow]:
    rows = await session.execute(_LOCK_USERS, {"ids": list(ids)})
    return [UserRow._make(row) for row in rows]


async def _driver_connection(session: AsyncSession) -> asyncpg.Connection:
    connection = await session.connection()
    return (await connection.get_raw_connection()).driver_connection


async def _fetch(
    connection: asyncpg.Connection, statement: str, rows: Iterable[tuple[Any, ...]]
) -> list[asyncpg.Record]:
    """Rows go in as one array a column; without rows there is nothing to ask."""
    columns = list(zip(*rows, strict=True))
    return await connection.fetch(statement, *columns) if columns else []
