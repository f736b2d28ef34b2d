"""Posting's statements on SQLite. BEGIN IMMEDIATE has locked the whole file: no row locks here."""

import json
from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Select, and_, bindparam, func, select, text, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncSession

from economy.models.claim import Claim, ClaimKind
from economy.models.inventory import Inventory, InventoryRow
from economy.models.transaction import COMPLETED_REVERSAL, Transaction, TransactionRow
from economy.models.user import User
from economy.repositories.posting_rows import Changes, End, Found, Wanted, end_of
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
    .values(
        balance=bindparam("new_balance"),
        last_seq=bindparam("new_last_seq"),
        debt=bindparam("new_debt"),
        chain_hash=bindparam("new_chain_hash"),
    )
)
_SETTLE_TRANSACTION = (
    update(_TRANSACTION)
    .where(
        _TRANSACTION.c.user_id == bindparam("of_user_id"), _TRANSACTION.c.id == bindparam("of_id")
    )
    .values({name: bindparam(f"new_{name}") for name in End._fields[2:]})
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
    targets = await _transactions(session, wanted.targets) if wanted.targets else []
    wanted_items = wanted.items_with(targets)
    product_ids = sorted({product_id for _, product_id in wanted_items})
    products = await products_by_id(session, product_ids) if product_ids else []
    items = await session.execute(
        _matching(_ITEM_COLUMNS, [_ITEM.c.user_id, _ITEM.c.product_id], wanted_items)
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
        targets=targets,
        reversed_ids=await _reversed_ids(session, wanted.targets) if wanted.targets else [],
    )


async def write(session: AsyncSession, changes: Changes) -> None:
    if changes.users:
        await session.execute(
            _UPDATE_USER,
            [
                {
                    "user_id": user.id,
                    "new_balance": user.balance,
                    "new_last_seq": user.last_seq,
                    "new_debt": user.debt,
                    "new_chain_hash": user.chain_hash,
                }
                for user in changes.users
            ],
        )
    if changes.items:
        await session.execute(_UPSERT_ITEM, [item._asdict() for item in changes.items])
    if changes.written:
        await session.execute(insert(_TRANSACTION), [row._asdict() for row in changes.written])
    if changes.settled:
        await session.execute(_SETTLE_TRANSACTION, [_settled(row) for row in changes.settled])
    for reference in changes.unclaimed_references:
        await session.execute(
            _CLAIM.delete().where(
                _CLAIM.c.value == reference, _CLAIM.c.kind == ClaimKind.EXTERNAL_REFERENCE.value
            )
        )


async def users_held(_session: AsyncSession, _user_ids: Collection[int]) -> set[int]:
    return set()  # this unit of work holds them all


async def lock_and_find_transactions(
    session: AsyncSession, keys: Collection[tuple[int, UUID]]
) -> list[TransactionRow]:
    return await _transactions(session, keys)


async def _transactions(
    session: AsyncSession, keys: Collection[tuple[int, UUID]]
) -> list[TransactionRow]:
    if not keys:
        return []
    rows = await session.execute(
        _matching(
            _TRANSACTION_COLUMNS, [_TRANSACTION.c.user_id, _TRANSACTION.c.id], _as_stored(keys)
        )
    )
    return [TransactionRow._make(row) for row in rows]


async def _reversed_ids(
    session: AsyncSession, keys: Collection[tuple[int, UUID]]
) -> list[tuple[int, UUID]]:
    if not keys:
        return []
    columns = [_TRANSACTION.c.user_id, _TRANSACTION.c.target_id]
    statement = _matching(columns, columns, _as_stored(keys)).where(text(COMPLETED_REVERSAL))
    return [(user_id, target_id) for user_id, target_id in await session.execute(statement)]


def _as_stored(keys: Collection[tuple[int, UUID]]) -> list[tuple[int, str]]:
    return [(user_id, id_.hex) for user_id, id_ in keys]  # hex is how SQLite stores it


def _settled(row: TransactionRow) -> dict[str, Any]:
    user_id, id_, *new = end_of(row)
    names = [f"new_{name}" for name in End._fields[2:]]
    return {"of_user_id": user_id, "of_id": id_, **dict(zip(names, new, strict=True))}


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
