"""Credentials of game servers: made once, shown once, kept as a hash; revoked and rotated."""

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from uuid import UUID

from uuid_utils.compat import uuid7

from economy.database import Database
from economy.models.server_key import ServerKeyRow
from economy.repositories.server_key import (
    expire_server_key,
    find_server_key,
    insert_server_key,
    note_server_key_use,
    server_keys,
)
from economy.services.access import Actor, Scope
from economy.services.gathered_reads import GatheredReads

PREFIX = "eck_"  # lets scanners of leaked secrets recognise a key
USE_IS_NOTED_EVERY = timedelta(minutes=1)

logger = logging.getLogger(__name__)


class ServerKeyService:
    """For operators: nobody is asked for a right."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._noted_at: dict[UUID, datetime] = {}
        # nothing is kept, so that a key that is revoked is out at once
        self._reads: GatheredReads[bytes, ServerKeyRow] = GatheredReads(self._find)

    async def create_key(self, scopes: frozenset[Scope], *, name: str | None = None) -> str:
        """The key itself. It cannot be shown again: only its SHA-256 is kept."""
        key = _new_key()
        await self.register_key(key, scopes, name=name)
        return key

    async def register_key(
        self, key: str, scopes: frozenset[Scope], *, name: str | None = None
    ) -> None:
        """Let in a key that was made elsewhere. Registering it again changes nothing."""
        row = ServerKeyRow(uuid7(), _hash(key), " ".join(sorted(scopes)), datetime.now(UTC), name)
        async with self._database.unit_of_work() as session:
            await insert_server_key(session, row)

    async def keys(self) -> list[ServerKeyRow]:
        """All keys, oldest first, ended ones too."""
        return await self._database.read(server_keys)

    async def revoke_key(self, key_id: UUID) -> bool:
        """It counts no more, at once and in every process. False: there is no such key."""
        async with self._database.unit_of_work() as session:
            return await expire_server_key(session, key_id, datetime.now(UTC)) is not None

    async def rotate_key(self, key_id: UUID, *, overlap: timedelta) -> str | None:
        """A new key with the same name and scopes; the old one counts for `overlap` still.

        None: there is no such key, or it has ended.
        """
        now, key = datetime.now(UTC), _new_key()
        async with self._database.unit_of_work() as session:
            old = await expire_server_key(session, key_id, now + overlap)
            if old is None or _has_ended(old, now - timedelta.resolution):
                return None
            await insert_server_key(
                session, ServerKeyRow(uuid7(), _hash(key), old.scopes, now, old.name)
            )
        return key

    async def find_actor(self, key: str) -> Actor | None:
        row, now = await self._reads.read(_hash(key)), datetime.now(UTC)
        if row is None or _has_ended(row, now):
            return None
        await self._note_use(row, now)
        return Actor.server(row.id, frozenset(Scope(scope) for scope in row.scopes.split()))

    async def _find(self, hashes: Collection[bytes]) -> dict[bytes, ServerKeyRow]:
        """One statement for each: of one game server all requests bear the same key."""
        found = await asyncio.gather(*(self._database.read(find_server_key, one) for one in hashes))
        return {row.key_hash: row for row in found if row is not None}

    async def _note_use(self, row: ServerKeyRow, now: datetime) -> None:
        earlier = now - USE_IS_NOTED_EVERY
        used_at = self._noted_at.get(row.id) or row.last_used_at
        if used_at is not None and used_at > earlier:
            return
        self._noted_at[row.id] = now  # before the write: those that ask meanwhile do not write, too
        try:
            async with self._database.unit_of_work() as session:
                await note_server_key_use(session, row.id, now, unless_since=earlier)
        except Exception:  # whatever it is: the request itself is worth more
            logger.warning("the use of the server key %s is not noted", row.id, exc_info=True)


def _new_key() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def _has_ended(row: ServerKeyRow, now: datetime) -> bool:
    return row.expires_at is not None and row.expires_at <= now


def _hash(key: str) -> bytes:
    """A key has 256 bits of chance: no salt and no slow hash is needed."""
    return hashlib.sha256(key.encode()).digest()
