"""Posting's statements on PostgreSQL: arrays, prepared on the driver's own connection.

Few and constant, whatever the size of a batch. A statement built by SQLAlchemy for each row, or for
each length of a list, costs many times the CPU.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any
from uuid import UUID

import asyncpg

from economy.models.inventory import InventoryRow
from economy.models.product import ProductRow
from economy.models.transaction import COMPLETED_REVERSAL, TransactionRow
from economy.models.user import UserRow
from economy.repositories.posting_rows import Changes, Found, Wanted, end_of

# A statement may be on its way for long. One that is later than this writes nothing, so that what
# was decided in an hour is there, or never will be, when its purchases are counted.
LATEST_SECONDS = 60
_WHAT = ("user", "product", "item", "earlier")  # kinds of rows that are found


def _columns(row_type: Any, prefix: str = "") -> str:
    return ", ".join(prefix + name for name in row_type._fields)


_LOCK_USERS = """SELECT id FROM "user" WHERE id = ANY ($1::bigint[]) ORDER BY id FOR UPDATE"""
_FIND_HELD = """
SELECT id FROM "user" WHERE id = ANY ($1::bigint[]) AND id NOT IN (
    SELECT id FROM "user" WHERE id = ANY ($1::bigint[]) FOR UPDATE SKIP LOCKED
)
"""
# LATERAL … LIMIT 1: one descent of the unique index for each row wanted, whatever the statistics
# say. As a plain join it may read a player's whole history, or hash the table.
_PRODUCTS_ITEMS_EARLIER = f"""
SELECT 'product', false, ROW ({_columns(ProductRow)}) FROM product WHERE id = ANY ($2::bigint[])
UNION ALL
SELECT 'item', false, item.found
FROM unnest($3::bigint[], $4::bigint[]) AS wanted (user_id, product_id)
CROSS JOIN LATERAL (
    SELECT ROW ({_columns(InventoryRow)}) AS found FROM inventory
    WHERE user_id = wanted.user_id AND product_id = wanted.product_id LIMIT 1
) AS item
UNION ALL
SELECT 'earlier', false, earlier.found
FROM unnest($5::bigint[], $6::text[], $7::text[]) AS wanted (user_id, kind, idempotency_key)
CROSS JOIN LATERAL (
    SELECT ROW ({_columns(TransactionRow)}) AS found FROM transaction
    WHERE user_id = wanted.user_id AND kind = wanted.kind
        AND idempotency_key = wanted.idempotency_key LIMIT 1
) AS earlier
"""
_FIND = f"""
SELECT 'user' AS what, false AS has_moved, ROW ({_columns(UserRow)}) AS found
FROM "user" WHERE id = ANY ($1::bigint[])
UNION ALL {_PRODUCTS_ITEMS_EARLIER}
"""
# Locks and reads in one round trip. What is read was so when the statement began, before it waited
# for locks: `has_moved` tells of users whose history has grown meanwhile.
_LOCK_AND_FIND = f"""
WITH locked AS MATERIALIZED (
    SELECT {_columns(UserRow)} FROM "user" WHERE id = ANY ($1::bigint[]) ORDER BY id FOR UPDATE
)
SELECT 'user' AS what, locked.last_seq <> seen.last_seq AS has_moved,
    ROW ({_columns(UserRow, "locked.")}) AS found
FROM locked
CROSS JOIN LATERAL (SELECT last_seq FROM "user" WHERE id = locked.id LIMIT 1) AS seen
UNION ALL {_PRODUCTS_ITEMS_EARLIER}
"""
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


def _writing(condition: str) -> str:
    """In one round trip: nothing of it depends on the rest."""
    return f"""
changed_users AS (
    UPDATE "user" SET balance = changed.balance, last_seq = changed.last_seq,
        debt = changed.debt, chain_hash = changed.chain_hash
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[])
        AS changed (id, balance, last_seq, debt, chain_hash)
    WHERE "user".id = changed.id AND "user".id = ANY ($1::bigint[]) AND {condition}
), changed_items AS (
    INSERT INTO inventory ({_columns(InventoryRow)})
    SELECT * FROM unnest(
        $6::bigint[], $7::uuid[], $8::bigint[], $9::text[], $10::bigint[], $11::timestamptz[]
    ) WHERE {condition}
    ON CONFLICT (user_id, product_id) DO UPDATE SET quantity = excluded.quantity
), written AS (
    INSERT INTO transaction ({_columns(TransactionRow)})
    SELECT * FROM unnest(
        $12::bigint[], $13::uuid[], $14::bigint[], $15::text[], $16::text[], $17::bigint[],
        $18::bigint[], $19::bigint[], $20::bigint[], $21::bigint[], $22::text[], $23::text[],
        $24::text[], $25::bytea[], $26::text[], $27::timestamptz[], $28::timestamptz[],
        $29::bigint[], $30::uuid[], $31::bigint[], $32::bigint[], $33::bytea[], $34::bytea[]
    ) WHERE {condition}
)
"""


_WRITE = f"WITH {_writing('true')} SELECT"
# Locks the users, and writes all of it if they are as they were seen, else nothing.
_WRITE_IF_CURRENT = f"""
WITH locked AS MATERIALIZED (
    SELECT id, last_seq, deleted_at FROM "user" WHERE id = ANY ($1::bigint[]) ORDER BY id FOR UPDATE
), seen AS MATERIALIZED (
    SELECT count(*) = cardinality($1::bigint[])
        AND clock_timestamp() < $36::timestamptz + interval '{LATEST_SECONDS} seconds' AS is_current
    FROM locked JOIN unnest($1::bigint[], $35::bigint[]) AS seen (id, last_seq)
        USING (id, last_seq)
    WHERE deleted_at IS NULL
), {_writing("(SELECT is_current FROM seen)")}
SELECT is_current FROM seen
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


async def lock_and_find(connection: asyncpg.Connection, wanted: Wanted) -> Found:
    found = await _lock_and_find(connection, wanted, wanted.items)
    claimed = await _fetch(connection, _CLAIM_REFERENCES, wanted.references)
    targets = [
        TransactionRow._make(row) for row in await _fetch(connection, _FIND_BY_ID, wanted.targets)
    ]
    reversed_ids = await _fetch(connection, _FIND_REVERSED, wanted.targets)
    if targets:
        found = await _lock_and_find(connection, wanted, wanted.items_with(targets))
    return found._replace(
        claimed_references=[row["value"] for row in claimed],
        targets=targets,
        reversed_ids=[tuple(row) for row in reversed_ids],
    )


async def find(connection: asyncpg.Connection, wanted: Wanted) -> Found:
    """As of one moment, without a lock. Of what does not need any."""
    return _found(await connection.fetch(_FIND, *_wanted_arrays(wanted, wanted.items)))


async def write(connection: asyncpg.Connection, changes: Changes) -> None:
    if changes.users or changes.items or changes.written:
        await connection.fetch(_WRITE, *_changed_arrays(changes))
    await _fetch(connection, _SETTLE_TRANSACTIONS, list(map(end_of, changes.settled)))
    if changes.unclaimed_references:
        await connection.fetch(_UNCLAIM_REFERENCES, changes.unclaimed_references)


async def write_if_current(connection: asyncpg.Connection, found: Found, changes: Changes) -> bool:
    """Whether it was written: not if one of the users has moved since it was found, or is deleted.

    A transaction of its own: what is answered is committed. Of changes that settle nothing.
    """
    seen = {user.id: user.last_seq for user in found.users}
    seqs = [seen[user.id] for user in changes.users]
    decided_at = changes.written[0].created_at
    arguments = (*_changed_arrays(changes), seqs, decided_at)
    [row] = await connection.fetch(_WRITE_IF_CURRENT, *arguments)
    return bool(row["is_current"])


async def users_held(connection: asyncpg.Connection, user_ids: Collection[int]) -> set[int]:
    return {row["id"] for row in await connection.fetch(_FIND_HELD, list(user_ids))}


async def lock_and_find_transactions(
    connection: asyncpg.Connection, keys: Collection[tuple[int, UUID]]
) -> list[TransactionRow]:
    await connection.fetch(_LOCK_USERS, list({user_id for user_id, _ in keys}))
    rows = await _fetch(connection, _FIND_BY_ID, keys)
    return [TransactionRow._make(row) for row in rows]


async def _lock_and_find(
    connection: asyncpg.Connection, wanted: Wanted, items: Collection[tuple[int, int]]
) -> Found:
    arguments = _wanted_arrays(wanted, items)
    rows = await connection.fetch(_LOCK_AND_FIND, *arguments)
    if any(row["has_moved"] for row in rows):  # nobody moves them now: the locks are held
        rows = await connection.fetch(_LOCK_AND_FIND, *arguments)
    return _found(rows)


def _found(rows: Iterable[asyncpg.Record]) -> Found:
    found: dict[str, list[tuple[Any, ...]]] = {what: [] for what in _WHAT}
    for what, _, row in rows:
        found[what].append(row)
    return Found(
        users=[UserRow._make(row) for row in found["user"]],
        products=[ProductRow._make(row) for row in found["product"]],
        items=[InventoryRow._make(row) for row in found["item"]],
        earlier=[TransactionRow._make(row) for row in found["earlier"]],
        claimed_references=[],
        targets=[],
        reversed_ids=[],
    )


def _wanted_arrays(wanted: Wanted, items: Collection[tuple[int, int]]) -> list[Sequence[Any]]:
    product_ids = sorted({product_id for _, product_id in items})
    return [wanted.user_ids, product_ids, *_arrays(items, 2), *_arrays(wanted.keys, 3)]


def _changed_arrays(changes: Changes) -> list[Sequence[Any]]:
    users = [
        (user.id, user.balance, user.last_seq, user.debt, user.chain_hash) for user in changes.users
    ]
    return [
        *_arrays(users, 5),
        *_arrays(changes.items, len(InventoryRow._fields)),
        *_arrays(changes.written, len(TransactionRow._fields)),
    ]


async def _fetch(
    connection: asyncpg.Connection, statement: str, rows: Collection[tuple[Any, ...]]
) -> list[asyncpg.Record]:
    """Without rows there is nothing to ask."""
    return await connection.fetch(statement, *zip(*rows, strict=True)) if rows else []


def _arrays(rows: Collection[tuple[Any, ...]], width: int) -> Iterable[Sequence[Any]]:
    """Rows go in as one array a column."""
    return zip(*rows, strict=True) if rows else ((),) * width
