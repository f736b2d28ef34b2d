"""Posting's statements on SQLite. BEGIN IMMEDIATE has locked the whole file: no row locks here."""

import json
from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Select, and_, bindparam, func, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncSession

from economy.models.claim import Claim, ClaimKind
from economy.models.inventory import Inventory, InventoryRow
from economy.models.transaction import Transaction, TransactionRow
from economy.models.user import User
from economy.repositories.posting_rows import Changes, Found, Wanted
from economy.repositories.product import products_by_id
from economy.repositories.tables import columns_of, table_of
from economy.repositories.user import users_by_id

_USER, _ITEM, _CLAIM = table_of(User), table_of(Inventory), table_of(Claim)
_TRANSACTION = table_of(Transaction)
_ITEM_COLUMNS = columns_of(Inventory, InventoryRow)
_TRANSACTION_COLUMNS = columns_of(Transaction, TransactionRow)

_UPDATE_USER = (
    update(_USER)
    .where(_USER.c.id == bindparam("user_id"))
    .values(balance=bindparam("new_balance"), last_seq=bindparam("new_last_seq"))
)
_UPSERT_ITEM = insert(_ITEM)
_UPSERT_ITEM = _UPSERT_ITEM.on_conflict_do_update(
    index_elements=["user_id", "product_id"], set_={"quantity": _UPSERT_ITEM.excluded.quantity}
)


async def lock_and_find(session: AsyncSession, wanted: Wanted) -> Found:
    users = await users_by_id(session, wanted.user_ids)
    claimed = [
        reference
        for reference, user_id in sorted(wanted.references)
        if await _claim_reference(session, reference, user_id)
    ]
    products = await products_by_id(session, wanted.product_ids) if wanted.product_ids else []
    items = await session.execute(
        _matching(_ITEM_COLUMNS, [_ITEM.c.user_id, _ITEM.c.product_id], wanted.items)
    )
    key_columns = [
        _TRANSACTION.c.user_id,
        _TRANSACTION.c.kind,
        _TRANSACTION.c.idempotency_key,
    ]
    earlier = await session.execute(_matching(_TRANSACTION_COLUMNS, key_columns, wanted.keys))
    return Found(
        users=users,
        products=products,
        items=[InventoryRow._make(row) for row in items],
        earlier=[TransactionRow._make(row) for row in earlier],
        claimed_references=claimed,
    )


async def write(session: AsyncSession, changes: Changes) -> None:
    if changes.users:
        await session.execute(
            _UPDATE_USER,
            [
                {"user_id": user.id, "new_balance": user.balance, "new_last_seq": user.last_seq}
                for user in changes.users
            ],
        )
    if changes.items:
        await session.execute(_UPSERT_ITEM, [item._asdict() for item in changes.items])
    if changes.transactions:
        await session.execute(insert(_TRANSACTION), [row._asdict() for row in changes.transactions])
    for reference in changes.unused_references:
        await session.execute(
            _CLAIM.delete().where(
                _CLAIM.c.value == reference, _CLAIM.c.kind == ClaimKind.EXTERNAL_REFERENCE.value
            )
        )


async def lock_and_find_transactions(
    session: AsyncSession, keys: Collection[tuple[int, UUID]]
) -> list[TransactionRow]:
    rows = await session.execute(
        _matching(
            _TRANSACTION_COLUMNS,
            [_TRANSACTION.c.user_id, _TRANSACTION.c.id],
            [(user_id, id_.hex) for user_id, id_ in keys],  # hex is how SQLite stores it
        )
    )
    return [TransactionRow._make(row) for row in rows]


async def _claim_reference(session: AsyncSession, reference: str, user_id: int) -> bool:
    statement = insert(_CLAIM).values(
        value=reference, kind=ClaimKind.EXTERNAL_REFERENCE.value, user_id=user_id
    )
    result = await session.execute(statement.on_conflict_do_nothing().returning(_CLAIM.c.value))
    return result.one_or_none() is not None


def _matching(
    columns: list[Column[Any]], keys: list[Column[Any]], rows: Sequence[tuple[Any, ...]]
) -> Select[Any]:
    """The rows with these keys, given as one JSON array, so that the statement's text is constant.

    A join: for `(a, b, c) IN (…)` SQLite takes an index for `a` alone, and reads all of a user's
    history.
    """
    wanted = func.json_each(json.dumps(rows)).table_valued("value")
    matches = [
        column == func.json_extract(wanted.c.value, f"$[{n}]") for n, column in enumerate(keys)
    ]
    return select(*columns).select_from(wanted).join(keys[0].table, and_(*matches))
