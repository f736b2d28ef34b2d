"""Top-ups that have been pending for a while: written down as if they had been begun then."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import insert, select, update

from economy.models.transaction import Transaction, TransactionRow
from economy.models.user import User, UserRow
from economy.repositories.tables import columns_of, table_of
from economy.services.chain import link
from tests.world import World

LONG_AGO = timedelta(days=3)


async def pending_since(
    world: World, user: UserRow, age: timedelta = LONG_AGO, *, count: int = 1, **changes: Any
) -> list[TransactionRow]:
    """Of 250 coins each. Time cannot be turned back in a journal that is append-only."""
    users, rows = table_of(User), []
    async with world.services.database.unit_of_work() as session:
        found = await session.execute(
            select(*columns_of(User, UserRow)).where(users.c.id == user.id).with_for_update()
        )
        newest = UserRow._make(found.one())
        for _ in range(count):
            row = _begun(newest, datetime.now(UTC) - age)._replace(**changes)
            row = row._replace(hash=link(newest.chain_hash, row))
            newest = newest._replace(last_seq=row.seq, chain_hash=row.hash)
            rows.append(row)
        await session.execute(
            update(users)
            .where(users.c.id == user.id)
            .values(last_seq=newest.last_seq, chain_hash=newest.chain_hash)
        )
        await session.execute(insert(table_of(Transaction)), [row._asdict() for row in rows])
    return rows


def _begun(user: UserRow, at: datetime) -> TransactionRow:
    values: dict[str, Any] = dict.fromkeys(TransactionRow._fields)
    values |= {"user_id": user.id, "id": uuid4(), "seq": user.last_seq + 1, "kind": "top_up"}
    values |= {"status": "pending", "amount": 250, "actor": "server:test", "hash": b""}
    values |= {"idempotency_key": str(uuid4()), "request_hash": hashlib.sha256().digest()}
    return TransactionRow(**(values | {"created_at": at}))
