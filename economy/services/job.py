"""Running periodic jobs: what is due, and by one process only."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncSession

from economy.cache import Cache
from economy.database import Database
from economy.jobs import Job
from economy.metrics import Metrics
from economy.redis_client import RedisUnavailable
from economy.repositories.job import job_done_until_for_update, set_job_done_until
from economy.services.analytics import AnalyticsService
from economy.services.top_up import TopUpService
from economy.services.verification import VerificationService


class JobService:
    def __init__(
        self,
        database: Database,
        inventories: Cache[bytes],
        *,
        analytics: AnalyticsService,
        top_ups: TopUpService,
        verification: VerificationService,
        metrics: Metrics,
    ) -> None:
        self._database = database
        self._inventories = inventories
        self._analytics = analytics
        self._top_ups = top_ups
        self._verification = verification
        self._runs = metrics.job_runs

    async def run(self, job: Job) -> bool:
        """Do what is due of a job. False: there was nothing to do, or another process does it.

        Raises whatever made it fail: then it is due still.
        """
        try:
            has_run = await self._run(job)
        except BaseException:
            self._runs.labels(job.value, "failed").inc()
            raise
        self._runs.labels(job.value, "done" if has_run else "idle").inc()
        return has_run

    async def _run(self, job: Job) -> bool:
        match job:
            case Job.RESET_INVENTORY_CACHE:
                return await self._reset_inventory_cache()
            case Job.COUNT_PURCHASES:
                return await self._analytics.count_purchases()
            case Job.DELETE_EXPIRED:
                return await self._delete_expired()
            case Job.EXPIRE_TOP_UPS:
                return await self._top_ups.expire()
            case Job.VERIFY:
                return await self._verify()

    async def _reset_inventory_cache(self) -> bool:
        try:
            return await self._once_a_day(
                Job.RESET_INVENTORY_CACHE, self._inventories.start_generation
            )
        except RedisUnavailable:
            return False

    async def _verify(self) -> bool:
        return await self._once_a_day(Job.VERIFY, self._verification.verify_and_record)

    async def _once_a_day(self, job: Job, do: Callable[[], Awaitable[object]]) -> bool:
        """What a unit of work is too short for: claimed before, and given back on failure."""
        async with self._database.unit_of_work() as session:
            done_until = await _claim_today(session, job)
        if done_until is None:
            return False
        try:
            await do()
        except BaseException:  # cancelled, too: due still
            async with self._database.unit_of_work() as session:
                await set_job_done_until(session, job, done_until)
            raise
        return True

    async def _delete_expired(self) -> bool:
        async with self._database.unit_of_work() as session:
            if await _claim_today(session, Job.DELETE_EXPIRED) is None:
                return False
            await self._analytics.delete_expired(session)
        return True


async def _claim_today(session: AsyncSession, job: Job) -> datetime | None:
    """Up to when it had been done before. None: today's is done already."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    done_until = await job_done_until_for_update(session, job)
    if done_until >= today:
        return None
    await set_job_done_until(session, job, today)
    return done_until
