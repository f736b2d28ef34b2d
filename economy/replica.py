"""Reads that may be stale: from a standby of the database, while it is there and new enough."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from economy.database import Database
from economy.database_watch import Told
from economy.metrics import Metrics
from economy.settings import Settings

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

LONGEST_READ_SECONDS = 2.0  # then the primary is asked
LEFT_ALONE_SECONDS = 5.0  # after a failure, so that not every request waits for it


class NotNewEnough(Exception):
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
        query: Callable[Concatenate[AsyncSession, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Like `Database.read`. A query that raises NotNewEnough is run again on the primary, where
        it must not. Raises Unavailable."""
        now = asyncio.get_running_loop().time()
        if self._standby is not None and now >= self._left_alone_until:
            try:
                async with asyncio.timeout(LONGEST_READ_SECONDS):
                    found = await self._standby.read(query, *args, **kwargs)
            except NotNewEnough:
                pass
            except Exception as error:  # whatever it is: the primary knows better
                self._leave_alone(error)
            else:
                self._up.set(1)
                return found
        return await self._primary.read(query, *args, **kwargs)

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
