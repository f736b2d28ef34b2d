"""What sells: the products with the most completed purchases of the last days.

Hours that are over are counted once; a ranking adds up those counts, and looks into the journal
only for both ends of the window. So its cost grows neither with history nor with a busy week.
"""

import logging
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from economy.cache_refresh import RefreshedValue
from economy.database import Database
from economy.jobs import Job
from economy.metrics import Metrics
from economy.redis_client import RedisClient
from economy.replica import Replica
from economy.repositories.analytics import (
    HOUR,
    count_hour,
    delete_hours,
    is_written_since_before,
    most_purchased,
    start_of_hour,
)
from economy.repositories.job import (
    job_done_until,
    job_done_until_for_update,
    set_job_done_until,
)
from economy.services import bounds
from economy.services.access import Actor, authenticated

WINDOW = timedelta(days=7)
# A purchase bears the time at which it was decided, and is seen when it commits: how much later
# that may be, and how far clocks may differ.
GRACE = timedelta(minutes=5)

POPULAR_PRODUCTS = "popular_products"

logger = logging.getLogger(__name__)


class PopularProduct(NamedTuple):
    rank: int  # from 1
    product_id: int
    purchases: int  # purchases, not units


class AnalyticsService:
    def __init__(
        self,
        database: Database,
        replica: Replica,
        client: RedisClient | None,
        *,
        ttl_seconds: int,
        metrics: Metrics,
    ) -> None:
        self._database = database
        self._replica = replica
        self._ranking = RefreshedValue(
            client, self.compute, name=POPULAR_PRODUCTS, ttl_seconds=ttl_seconds, metrics=metrics
        )

    async def popular_products(self, actor: Actor | None, *, limit: int) -> list[PopularProduct]:
        """Most purchases first; of equals the older product (smaller id). Up to an hour old."""
        authenticated(actor)
        bounds.check_limit(limit)
        ranking = orjson.loads(await self._ranking.read())[:limit]
        return [
            PopularProduct(rank, product_id, purchases)
            for rank, (product_id, purchases) in enumerate(ranking, start=1)
        ]

    async def compute(self) -> bytes:
        """As long as anybody may ask for: every `limit` is a part of it."""
        now = datetime.now(UTC)
        return orjson.dumps(await self._replica.read(partial(_ranking, now)))

    async def count_purchases(self) -> bool:
        """Count the hours that are over, oldest first, each once. False: there was none."""
        has_counted = False
        while await self._count_next_hour():
            has_counted = True
        return has_counted

    async def _count_next_hour(self) -> bool:
        now = datetime.now(UTC)
        async with self._database.unit_of_work() as session:
            done_until = await job_done_until_for_update(session, Job.COUNT_PURCHASES)
            hour = max(done_until, start_of_hour(now - WINDOW))
            if hour + HOUR + GRACE > now:
                return False
            if await is_written_since_before(session, hour + HOUR):
                logger.warning("purchases of %s are counted later: not all have ended", hour)
                return False
            await count_hour(session, hour)
            await set_job_done_until(session, Job.COUNT_PURCHASES, hour + HOUR)
        return True

    async def delete_expired(self, session: AsyncSession) -> None:
        """Counts of hours that no ranking asks for any more."""
        await delete_hours(session, before=start_of_hour(datetime.now(UTC) - WINDOW))


async def _ranking(now: datetime, session: AsyncSession) -> list[tuple[int, int]]:
    # two statements: what was counted before the second one never changes
    counted_until = await job_done_until(session, Job.COUNT_PURCHASES)
    return await most_purchased(
        session,
        since=now - WINDOW,
        until=now + GRACE,  # by the clock of another server
        counted_until=counted_until,
        limit=bounds.MAX_PAGE,
    )
