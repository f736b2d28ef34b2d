"""Periodic jobs inside `economy serve`: done once however many processes, or left to Celery."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import httpx
import pytest

from economy.bootstrap import open_services
from economy.database import Database
from economy.jobs import Job
from economy.settings import Settings
from tests.due_jobs import all_are_done, midnight, progress, set_progress, until, watched_resets
from tests.live import live_server
from tests.servers import RedisServer, own_redis_server

EVERY_SECOND = {"jobs_every_seconds": "1"}


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    with own_redis_server() as server:
        yield server


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    database = Database(Settings(database_url=postgres_url))
    yield database
    await database.close()


async def test_two_processes_of_a_server_do_each_job_once(
    database: Database, postgres_url: str, redis_server: RedisServer
) -> None:
    urls = {"database_url": postgres_url, "redis_url": redis_server.url}
    urls["redis_timeout_seconds"] = "10"  # on a busy machine nothing is told twice
    async with open_services(Settings(**urls)):  # type: ignore[arg-type]
        pass  # there is a generation now: the next one is a reset
    async with watched_resets(redis_server.url) as resets:
        with live_server("--workers", "2", **urls, **EVERY_SECOND) as server:
            await until(lambda: all_are_done(database), why=server.log.read_text)
            assert await resets.count() == 1
            await set_progress(database, Job.RESET_INVENTORY_CACHE, midnight() - timedelta(days=1))
            await until(lambda: all_are_done(database), why=server.log.read_text)
        assert await resets.count() == 2


async def test_jobs_are_left_to_celery_or_to_others(
    database: Database, postgres_url: str, sqlite_url: str
) -> None:
    """Until a third server, which started after these, has done its own."""
    embedded = Database(Settings(database_url=sqlite_url))
    broker = {"broker_url": "redis+socket:///tmp/nobody-asks-it.sock"}
    with (
        live_server(database_url=postgres_url, **EVERY_SECOND, **broker) as with_broker,
        live_server(database_url=postgres_url, **EVERY_SECOND, jobs_in_server="false") as without,
        live_server(database_url=sqlite_url, **EVERY_SECOND) as other,
    ):
        await until(lambda: all_are_done(embedded), why=other.log.read_text)
        for server in (with_broker, without):
            assert "economy_job_runs_total{" not in metrics_of(server.url)
    assert await progress(database) == {}
    await embedded.close()


def metrics_of(url: str) -> str:
    answer = httpx.get(f"{url}/metrics", trust_env=False)
    assert answer.status_code == 200
    return answer.text
