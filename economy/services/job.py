"""Running periodic jobs: what is due, and by one process only."""

from datetime import UTC, datetime

from economy.cache import Cache
from economy.database import Database
from economy.jobs import Job
from economy.metrics import Metrics
from economy.redis_client import RedisUnavailable
from economy.repositories.job import job_done_until_for_update, set_job_done_until
from economy.services.analytics import AnalyticsService


class JobService:
    def __init__(
        self,
        database: Database,
        inventories: Cache[bytes],
        analytics: AnalyticsService,
        metrics: Metrics,
    ) -> None:
        self._database = database
        self._inventories = inventories
        self._analytics = analytics
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

    async def _reset_inventory_cache(self) -> bool:
        """Claimed before, as no network call belongs into a unit of work; given back on failure."""
        today = _today()
        done_until = await self._claim(Job.RESET_INVENTORY_CACHE, today)
        if done_until is None:
            return False
        try:
            await self._inventories.start_generation()
        except RedisUnavailable:
            async with self._database.unit_of_work() as session:
                await set_job_done_until(session, Job.RESET_INVENTORY_CACHE, done_until)
            return False  # due still
        return True

    async def _delete_expired(self) -> bool:
        if await self._claim(Job.DELETE_EXPIRED, _today()) is None:
            return False
        await self._analytics.delete_expired()
        return True

    async def _claim(self, job: Job, until: datetime) -> datetime | None:
        """Up to when it had been done before. None: it is done up to `until` already."""
        async with self._database.unit_of_work() as session:
            done_until = await job_done_until_for_update(session, job)
            if done_until >= until:
                return None
            await set_job_done_until(session, job, until)
        return done_until


def _today() -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
