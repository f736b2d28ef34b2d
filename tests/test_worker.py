"""Real `economy worker` and `economy beat` processes, with a real broker between them."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
import redis
from celery import Celery

from economy.bootstrap import open_services
from economy.database import Database
from economy.jobs import Job
from economy.repositories.job import NEVER
from economy.settings import Settings
from economy.worker import task_name
from tests.conftest import migrate_url
from tests.due_jobs import (
    MARKED,
    Resets,
    all_are_done,
    midnight,
    progress,
    set_progress,
    until,
    watched_resets,
)
from tests.live import LiveProcess, children, live_process
from tests.rival import Rival, open_rival
from tests.servers import (
    RedisServer,
    _stop,
    own_redis_server,
    postgres_server,
)

RESET = Job.RESET_INVENTORY_CACHE
QUEUE = "economy"
PATIENT = {"lock_timeout_ms": "60000", "statement_timeout_ms": "60000"}


@dataclass
class Place:
    """Where workers and beats run, and what a test sees of what they do."""

    database: Database
    broker: RedisServer
    resets: Resets
    settings: dict[str, str]

    def worker(self, **settings: str) -> AbstractContextManager[LiveProcess]:
        return live_process("worker", **self.settings, **settings)

    def beat(self) -> AbstractContextManager[LiveProcess]:
        return live_process("beat", **self.settings)

    async def until_all_is_done(self) -> None:
        await until(lambda: all_are_done(self.database))

    def trigger(self, job: Job) -> None:
        """As `beat` does it."""
        with Celery(broker=broker_url(self.broker), set_as_current=False) as client:
            client.send_task(task_name(job), queue=QUEUE)

    async def make_everything_due(self) -> None:
        for job in MARKED:
            await set_progress(self.database, job, midnight() - timedelta(days=1))


@pytest.fixture(scope="module")
def cache_server() -> Iterator[RedisServer]:
    with own_redis_server() as server:
        yield server


@pytest.fixture
def broker() -> Iterator[RedisServer]:
    with own_redis_server() as server:
        yield server


def broker_url(server: RedisServer) -> str:
    return f"redis+socket://{server.folder}/valkey.sock?virtual_host=9"


@contextlib.asynccontextmanager
async def open_place(
    database_url: str, broker: RedisServer, cache_url: str
) -> AsyncIterator[Place]:
    urls = {"database_url": database_url, "redis_url": cache_url, "redis_timeout_seconds": "10"}
    async with (
        open_services(Settings(**urls)) as services,  # type: ignore[arg-type]
        watched_resets(cache_url) as resets,
    ):
        more = {"broker_url": broker_url(broker), "jobs_every_seconds": "1"}
        yield Place(services.database, broker, resets, urls | more)


@pytest.fixture
async def place(
    postgres_url: str, broker: RedisServer, cache_server: RedisServer
) -> AsyncIterator[Place]:
    async with open_place(postgres_url, broker, cache_server.url) as place:
        yield place


def messages(broker: RedisServer) -> tuple[int, int]:
    """How many wait for a worker, and how many a worker has taken and not done."""
    with redis.Redis.from_url(broker.url.replace("db=0", "db=9")) as client:
        return int(client.llen(QUEUE)), int(client.hlen("unacked"))


async def until_said(process: LiveProcess, *words: str, times: int = 1) -> None:
    """Until so many lines of its log have all of these words."""

    async def is_said() -> bool:
        lines = process.log.read_text().splitlines()
        return sum(all(word in line for word in words) for line in lines) >= times

    await until(is_said, why=process.log.read_text)


async def test_a_worker_does_what_is_due_at_its_start(
    place: Place, cache_server: RedisServer
) -> None:
    with place.worker() as worker:
        await place.until_all_is_done()
        assert await place.resets.count() == 1
        await until_said(worker, "succeeded", times=len(Job))
        # between two tasks its connections are kept up, and what happens to them is told once
        cache_server.kill()
        await place.make_everything_due()
        place.trigger(RESET)
        await until_said(worker, "succeeded", times=len(Job) + 1)  # given back
        cache_server.start()
        await until_said(worker, "Redis answers again")
        assert not await is_reset(place.database)
        place.trigger(RESET)
        await until(lambda: is_reset(place.database))
        log = worker.log.read_text()
        assert (log.count("Redis fails"), log.count("Redis answers again")) == (1, 1)
        await until_said(worker, "succeeded", times=len(Job) + 2)
    assert messages(place.broker) == (0, 0)


async def test_beat_triggers_and_of_two_workers_one_does_it(place: Place) -> None:
    with place.worker() as one, place.worker() as other, place.beat() as beat:
        await place.until_all_is_done()
        assert await place.resets.count() == 1
        await place.make_everything_due()
        await place.until_all_is_done()
        for worker in (one, other):  # triggered again meanwhile: nothing is done twice
            await until_said(worker, "succeeded", times=len(Job))
        assert await place.resets.count() == 2
        assert await all_are_done(place.database)
        for process in (one, other, beat):
            process.terminate()


@contextlib.asynccontextmanager
async def holding_reset(place: Place) -> AsyncIterator[Rival]:
    """Within, whoever wants to reset the caches has to wait."""
    await set_progress(place.database, RESET, NEVER)
    async with (
        open_rival(place.settings["database_url"]) as rival,
        rival.connection.transaction(),
    ):
        await rival.connection.execute(
            "SELECT 1 FROM job_progress WHERE job = $1 FOR UPDATE", RESET.value
        )
        yield rival


async def waiting_since(rival: Rival) -> list[datetime]:
    """When those that wait for a lock began."""
    await rival.connection.execute("SELECT pg_stat_clear_snapshot()")
    rows = await rival.connection.fetch(
        """SELECT xact_start FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'"""
    )
    return [row["xact_start"] for row in rows]


async def test_a_task_that_was_killed_is_delivered_again(place: Place) -> None:
    """To another process of the worker at once; when all of it was killed, there is the next
    trigger: no message may be lost before its work is done."""
    await set_progress(place.database, Job.DELETE_EXPIRED, midnight())
    await set_progress(place.database, Job.COUNT_PURCHASES, midnight() + timedelta(days=1))
    async with holding_reset(place) as rival:
        with place.worker(**PATIENT) as worker:
            await rival.until_waiting(1)
            for process in children(worker.process.pid):
                os.kill(process, signal.SIGKILL)
            await rival.until_waiting(2)  # PostgreSQL does not see that the first one has gone
            await until_said(worker, "WorkerLostError", times=1)
            worker.kill()
        assert messages(place.broker)[1] >= 1
        assert await place.resets.count() == 0
        with place.worker(**PATIENT):
            await rival.until_waiting(3)
            await rival.connection.execute("COMMIT")
            await until(lambda: is_reset(place.database))
            assert await place.resets.count() == 1


async def is_reset(database: Database) -> bool:
    return (await progress(database))[RESET] == midnight()


async def test_a_running_task_is_cut_short_at_its_time_limit_only(place: Place) -> None:
    """Of that it lets go what it holds; when the worker is to end, it is finished first."""
    async with holding_reset(place) as rival:
        with place.worker(**PATIENT) as worker:
            await rival.until_waiting(1)
            [first] = await waiting_since(rival)
            [process] = children(worker.process.pid)
            os.kill(process, signal.SIGUSR1)  # as Celery does at the soft limit

            async def is_retried() -> bool:
                waiting = await waiting_since(rival)
                return len(waiting) == 1 and waiting != [first]

            await until(is_retried)
            await until_said(worker, task_name(RESET), "retry: Retry in", "SoftTimeLimitExceeded")
            worker.terminate()
            await until_said(worker, "Warm shutdown")
            assert worker.process.poll() is None
            assert await place.resets.count() == 0
            await rival.connection.execute("COMMIT")
            await asyncio.to_thread(worker.wait)
            await until_said(worker, task_name(RESET), "succeeded")
    assert await is_reset(place.database)
    assert await place.resets.count() == 1
    assert messages(place.broker) == (0, 0)


async def test_the_database_is_away_for_a_while(
    broker: RedisServer, cache_server: RedisServer
) -> None:
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.delenv("TEST_DATABASE_URL", raising=False)
        server = stack.enter_context(postgres_server())
        assert server.cluster is not None
        await migrate_url(server.url)
        async with open_place(server.url, broker, cache_server.url) as place:
            with place.worker() as worker:
                await place.until_all_is_done()
                assert await place.resets.count() == 1
                await place.make_everything_due()
                await place.database.close()
                _stop(server.cluster.process)
                place.trigger(RESET)
                await until_said(worker, task_name(RESET), "retry: Retry in", times=2)
                server.cluster.start()
                await until(lambda: is_reset(place.database))
                assert await place.resets.count() == 2


async def test_the_broker_is_away_at_the_start_and_is_restarted(place: Place) -> None:
    place.broker.kill()
    with place.worker() as worker, place.beat() as beat:
        for process in (worker, beat):
            await until_said(process, "ERROR", "onnect")
        place.broker.start()
        await place.until_all_is_done()
        assert await place.resets.count() == 1
        place.broker.restart()
        await place.make_everything_due()
        await place.until_all_is_done()
        assert await place.resets.count() == 2
        for process in (worker, beat):
            process.terminate()
