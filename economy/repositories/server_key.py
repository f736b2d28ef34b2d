"""SQL of server keys."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from economy.models.server_key import ServerKey, ServerKeyRow
from economy.repositories.tables import columns_of, insert_or_skip, table_of

_TABLE = table_of(ServerKey)
_KEYS = columns_of(ServerKey, ServerKeyRow)


async def find_server_key(session: AsyncSession, key_hash: bytes) -> ServerKeyRow | None:
    row = (await session.execute(select(*_KEYS).where(_TABLE.c.key_hash == key_hash))).one_or_none()
    return None if row is None else ServerKeyRow._make(row)


async def server_keys(session: AsyncSession) -> list[ServerKeyRow]:
    """All of them, oldest first (ids grow with time)."""
    rows = await session.execute(select(*_KEYS).order_by(_TABLE.c.id))
    return [ServerKeyRow._make(row) for row in rows]


async def insert_server_key(session: AsyncSession, key: ServerKeyRow) -> None:
    """Inserting the same key again changes nothing."""
    await session.execute(insert_or_skip(session, ServerKey).values(**key._asdict()))


async def expire_server_key(
    session: AsyncSession, key_id: UUID, at: datetime
) -> ServerKeyRow | None:
    """The key as it is then; one that ends earlier keeps its end. None: there is no such key."""
    ends_later = or_(_TABLE.c.expires_at.is_(None), _TABLE.c.expires_at > at)
    await session.execute(
        update(_TABLE).where(_TABLE.c.id == key_id, ends_later).values(expires_at=at)
    )
    row = (await session.execute(select(*_KEYS).where(_TABLE.c.id == key_id))).one_or_none()
    return None if row is None else ServerKeyRow._make(row)


async def note_server_key_use(
    session: AsyncSession, key_id: UUID, at: datetime, *, unless_since: datetime
) -> None:
    is_old = or_(_TABLE.c.last_used_at.is_(None), _TABLE.c.last_used_at <= unless_since)
    await session.execute(
        update(_TABLE).where(_TABLE.c.id == key_id, is_old).values(last_used_at=at)
    )
