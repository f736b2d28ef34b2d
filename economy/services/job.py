"""Running periodic jobs: what is due, and by one process only."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncSession

from economy.cache import Cache
from economy.database import Database
from economy.jobs import Job
from economy.metrics import Metrics
from economy.redis_client import RedisUnavailable
from economy.repositories.job import (
    job_done_until_for_update,
    set_job_done_until,
    set_job_succeeded_at,
)
from economy.services.analytics import AnalyticsService
from economy.services.measurement import MeasurementService
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
        measurement: MeasurementService,
        metrics: Metrics,
    ) -> None:
        self._database = database
        self._inventories = inventories
        self._analytics = analytics
        self._top_ups = top_ups
        self._verification = verification
        self._measurement = measurement
        self._runs = metrics.job_runs

    async def run(self, job: Job) -> bool:
        """Do what is due of a job. False: there was nothing to do, or another process does it.

        Raises whatever made it fail: then it is due still.
        """
        try:
            has_run = await self._run(job)
            async with self._database.unit_of_work() as session:
                await set_job_succeeded_at(session, job, datetime.now(UTC))
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
            case Job.MEASURE_CIRCULATION:
                return await self._once(job, _this_hour(), self._measurement.measure_circulation)
            case Job.VERIFY:
                return await self._once(job, _today(), self._verification.verify_and_record)

    async def _reset_inventory_cache(self) -> bool:
        try:
            return await self._once(
                Job.RESET_INVENTORY_CACHE, _today(), self._inventories.start_generation
            )
        except RedisUnavailable:
            return False

    async def _once(self, job: Job, period: datetime, do: Callable[[], Awaitable[object]]) -> bool:
        """What a unit of work is too short for: claimed before, and given back on failure."""
        async with self._database.unit_of_work() as session:
            done_until = await _claim(session, job, period)
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
            if await _claim(session, Job.DELETE_EXPIRED, _today()) is None:
                return False
            await self._analytics.delete_expired(session)
        return True


async def _claim(session: AsyncSession, job: Job, period: datetime) -> datetime | None:
    """Up to when it had been done before. None: that period's is done already."""
    done_until = await job_done_until_for_update(session, job)
    if done_until >= period:
        return None
    await set_job_done_until(session, job, period)
    return done_until


def _today() -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _this_hour() -> datetime:
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
