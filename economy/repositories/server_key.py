"""SQL of server keys."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from economy.models.server_key import ServerKey, ServerKeyRow
from economy.repositories.tables import columns_of, insert_or_skip, table_of

_TABLE = table_of(ServerKey)
_KEYS = columns_of(ServerKey, ServerKeyRow)


async def find_server_key(session: AsyncSession, key_hash: bytes) -> ServerKeyRow | None:
    row = (await session.execute(select(*_KEYS).where(_TABLE.c.key_hash == key_hash))).one_or_none()
    return None if row is None else ServerKeyRow._make(row)


async def insert_server_key(session: AsyncSession, key: ServerKeyRow) -> None:
    """Inserting the same key again changes nothing."""
    await session.execute(insert_or_skip(session, ServerKey).values(**key._asdict()))
