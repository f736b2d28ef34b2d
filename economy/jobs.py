"""Periodic jobs: their names, how often each is triggered, and the loop inside the server.

A trigger does no harm: a job knows itself what is due, and of several processes one does it. So
workers of Celery, several servers, or both, may all trigger it.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from enum import StrEnum

logger = logging.getLogger(__name__)


class Job(StrEnum):
    RESET_INVENTORY_CACHE = "reset_inventory_cache"  # daily, at midnight UTC
    COUNT_PURCHASES = "count_purchases"  # hourly, behind the hour that is over
    DELETE_EXPIRED = "delete_expired"  # daily
    EXPIRE_TOP_UPS = "expire_top_ups"  # those that have been pending for too long
    MEASURE_CIRCULATION = "measure_circulation"  # hourly
    VERIFY = "verify"  # daily: every invariant, as `economy verify` does


# Of one run; half a minute later it is killed. A catch-up of days takes seconds.
TIME_LIMIT_SECONDS = 10 * 60
LONG_TIME_LIMIT_SECONDS = 6 * 3600  # whatever reads the whole journal


def time_limit_seconds(job: Job) -> int:
    return LONG_TIME_LIMIT_SECONDS if job is Job.VERIFY else TIME_LIMIT_SECONDS


Run = Callable[[Job], Awaitable[object]]


async def run_jobs(run: Run, *, every_seconds: float) -> None:
    """Trigger every job, at once and then again and again, until this is cancelled."""
    async with asyncio.TaskGroup() as together:  # a long one holds up no other
        for job in Job:
            together.create_task(_run_again_and_again(run, job, every_seconds))


async def _run_again_and_again(run: Run, job: Job, every_seconds: float) -> None:
    while True:
        try:
            async with asyncio.timeout(time_limit_seconds(job)):
                await run(job)
        except Exception:
            logger.exception("the job %s failed: it is tried again", job.value)
        # several processes do not stay in step
        await asyncio.sleep(every_seconds * random.uniform(0.8, 1.2))
