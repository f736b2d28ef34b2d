"""Another client of the PostgreSQL database: it holds locks and ends connections."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

_OURS = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'economy'"


class Rival:
    def __init__(self, connection: Any) -> None:
        self.connection = connection

    @asynccontextmanager
    async def holding_user(self, user_id: int) -> AsyncIterator[None]:
        """Within, whoever wants to change that user's economy has to wait."""
        async with self.connection.transaction():
            await self.connection.execute('SELECT 1 FROM "user" WHERE id = $1 FOR UPDATE', user_id)
            yield

    async def until_waiting(self, connections: int = 1) -> None:
        """Until so many connections of services wait for a lock."""
        count = f"SELECT count(*) {_OURS} AND wait_event_type = 'Lock'"
        while await self.connection.fetchval(count) != connections:
            await asyncio.sleep(0.005)
            # a transaction would see the activity of its first look for ever
            await self.connection.execute("SELECT pg_stat_clear_snapshot()")

    async def end_connections(self) -> int:
        """End every connection of the services and wait until they are gone."""
        statement = f"SELECT pg_terminate_backend(pid, 10000) {_OURS}"
        return len(await self.connection.fetch(statement))


@asynccontextmanager
async def open_rival(database_url: str) -> AsyncIterator[Rival]:
    connection = await asyncpg.connect(database_url.replace("+asyncpg", "", 1))
    try:
        yield Rival(connection)
    finally:
        await connection.close()
