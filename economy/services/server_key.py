"""Credentials of game servers: made once, shown once, kept as a hash."""

import hashlib
import secrets
from datetime import UTC, datetime

from uuid_utils.compat import uuid7

from economy.database import Database
from economy.models.server_key import ServerKeyRow
from economy.repositories.server_key import find_server_key, insert_server_key
from economy.services.access import Actor, Scope

PREFIX = "eck_"  # lets scanners of leaked secrets recognise a key


class ServerKeyService:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def create_key(self, scopes: frozenset[Scope]) -> str:
        """The key itself. It cannot be shown again: only its SHA-256 is kept."""
        key = PREFIX + secrets.token_urlsafe(32)
        await self.register_key(key, scopes)
        return key

    async def register_key(self, key: str, scopes: frozenset[Scope]) -> None:
        """Let in a key that was made elsewhere. Registering it again changes nothing."""
        row = ServerKeyRow(uuid7(), _hash(key), " ".join(sorted(scopes)), datetime.now(UTC))
        async with self._database.unit_of_work() as session:
            await insert_server_key(session, row)

    async def find_actor(self, key: str) -> Actor | None:
        row = await self._database.read(find_server_key, _hash(key))
        if row is None:
            return None
        return Actor.server(row.id, frozenset(Scope(scope) for scope in row.scopes.split()))


def _hash(key: str) -> bytes:
    """A key has 256 bits of chance: no salt and no slow hash is needed."""
    return hashlib.sha256(key.encode()).digest()
