"""Reads that may be stale: from a standby of the database, while it is there and new enough."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from economy.database import Database
from economy.database_watch import Told
from economy.metrics import Metrics
from economy.settings import Settings

logger = logging.getLogger(__name__)

T = TypeVar("T")

LONGEST_READ_SECONDS = 2.0  # then the primary is asked
LEFT_ALONE_SECONDS = 5.0  # after a failure, so that not every request waits for it


class _NotNewEnough(Exception):
    """What is asked for has not arrived at the standby yet."""


class Replica:
    """Built by bootstrap; the primary is closed by whoever opened it."""

    def __init__(self, settings: Settings, primary: Database, metrics: Metrics) -> None:
        self._primary = primary
        self._up = metrics.replica_up
        self._left_alone_until = 0.0
        self._standby: Database | None = None
        if settings.database_replica_url is not None:
            url = settings.database_replica_url
            self._standby = Database(settings.model_copy(update={"database_url": url}), metrics)
            self._up.set(1)

    async def read(
        self,
        query: Callable[[AsyncSession], Awaitable[T]],
        *,
        is_new_enough: Callable[[AsyncSession], Awaitable[bool]] | None = None,
    ) -> T:
        """Like `Database.read`. Of a standby that is not new enough nothing is read, but of the
        primary. Raises Unavailable."""
        now = asyncio.get_running_loop().time()
        if self._standby is not None and now >= self._left_alone_until:
            try:
                async with asyncio.timeout(LONGEST_READ_SECONDS):
                    found = await self._standby.read(_if_new_enough, query, is_new_enough)
            except _NotNewEnough:
                pass
            except Exception as error:  # whatever it is: the primary knows better
                self._leave_alone(error)
            else:
                self._up.set(1)
                return found
        return await self._primary.read(query)

    def watch(self, told: Told) -> None:
        if self._standby is not None:
            self._standby.watch(told)

    async def close(self) -> None:
        if self._standby is not None:
            await self._standby.close()

    def _leave_alone(self, error: Exception) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._left_alone_until:  # of many that fail together one tells
            cause = error.__cause__ or error
            logger.warning("the replica is left alone for a while: %s", type(cause).__name__)
        self._left_alone_until = now + LEFT_ALONE_SECONDS
        self._up.set(0)


async def _if_new_enough(
    session: AsyncSession,
    query: Callable[[AsyncSession], Awaitable[T]],
    is_new_enough: Callable[[AsyncSession], Awaitable[bool]] | None,
) -> T:
    # asked first: what is read later is newer
    if is_new_enough is not None and not await is_new_enough(session):
        raise _NotNewEnough
    return await query(session)
