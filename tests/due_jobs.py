"""What a test asks of periodic jobs: up to when each is done, and what resets Redis has seen."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from redis.asyncio import Redis
from sqlalchemy import select

from economy.cache import INVENTORY
from economy.database import Database
from economy.jobs import Job
from economy.metrics import Metrics
from economy.models.job import JobProgress
from economy.redis_client import PREFIX
from economy.repositories.job import job_done_until_for_update, set_job_done_until
from economy.repositories.tables import table_of

GENERATION = f"{PREFIX}:{INVENTORY}:generation"
MARK = "economy-tests:mark"
MARKED = [job for job in Job if job is not Job.EXPIRE_TOP_UPS]  # how far they are is written down


def midnight() -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def this_hour() -> datetime:
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


async def progress(database: Database) -> dict[str, datetime]:
    """Of the jobs that have been begun at least once; NEVER: not done, or it needs no mark."""
    table = table_of(JobProgress)
    async with database.unit_of_work() as session:
        found = await session.execute(select(table.c.job, table.c.done_until))
        return {str(job): done_until for job, done_until in found}


async def set_progress(database: Database, job: Job, done_until: datetime) -> None:
    async with database.unit_of_work() as session:
        await job_done_until_for_update(session, job)
        await set_job_done_until(session, job, done_until)


def runs(metrics: Metrics) -> dict[tuple[str, str], float]:
    """How often which job came to which end."""
    found = {}
    for line in metrics.text().decode().splitlines():
        if line.startswith("economy_job_runs_total{"):
            _, job, _, outcome, count = line.split('"')
            found[job, outcome] = float(count.removeprefix("} "))
    return found


async def until(condition: Callable[[], Awaitable[bool]], *, why: Callable[[], str] = str) -> None:
    """If it takes too long, `why` tells more, such as a log."""
    try:
        async with asyncio.timeout(60):
            while True:
                if await condition():
                    return
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(why()) from None


class Resets:
    """Each new generation of the inventory cache, as Redis itself tells of it."""

    def __init__(self, client: Redis, events: Any) -> None:
        self._client = client
        self._events = events
        self._seen = 0
        self._marks = itertools.count(1)

    async def count(self) -> int:
        """All until now: the end is a mark that Redis tells of in its turn."""
        number = next(self._marks)
        await self._client.publish(MARK, str(number))
        async for message in self._events.listen():
            if message["type"] != "message":
                continue
            if message["channel"] == MARK:
                return self._seen
            self._seen += message["data"] == "set"
        raise AssertionError("unreachable: the mark comes")


@asynccontextmanager
async def watched_resets(redis_url: str) -> AsyncIterator[Resets]:
    async with Redis.from_url(redis_url, decode_responses=True) as client:
        await client.config_set("notify-keyspace-events", "K$")
        number = client.connection_pool.connection_kwargs["db"]
        async with client.pubsub() as events:
            await events.subscribe(f"__keyspace@{number}__:{GENERATION}", MARK)
            yield Resets(client, events)


async def all_are_done(database: Database) -> bool:
    """As far as they can be: of the hours, all that are over."""
    done = await progress(database)
    over = datetime.now(UTC) - timedelta(minutes=5)
    hour = over.replace(minute=0, second=0, microsecond=0)
    today = midnight()
    done.pop(Job.EXPIRE_TOP_UPS, None)  # it looks at the top-ups themselves
    return done == {
        Job.RESET_INVENTORY_CACHE: today,
        Job.COUNT_PURCHASES: hour,
        Job.DELETE_EXPIRED: today,
        Job.MEASURE_CIRCULATION: this_hour(),
        Job.VERIFY: today,
    }
