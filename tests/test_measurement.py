"""What metrics tell of the whole economy: measured by a job, stored, shown by whoever is asked."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from economy.bootstrap import open_services
from economy.jobs import Job
from economy.services import Services
from economy.services.operations import IfSpent
from economy.settings import Settings
from tests import servers
from tests.cache_source import figures
from tests.conftest import migrate_url
from tests.due_jobs import progress, set_progress, this_hour, until
from tests.live import children, live_process
from tests.rest import open_shop
from tests.servers import PostgresServer, RedisServer, own_postgres_server, own_redis_server
from tests.shop import Shop
from tests.world import SERVER, World

MEASURE = Job.MEASURE_CIRCULATION
COINS, OWED, USERS = "economy_coins_in_circulation", "economy_coins_owed", "economy_users"
MEASURED_AT = "economy_circulation_measured_timestamp_seconds"
SUCCEEDED_AT = "economy_job_last_success_timestamp_seconds"
HIDE = "ALTER TABLE purchase_hour RENAME TO hidden"  # then counting fails, and deleting
SHOW = "ALTER TABLE hidden RENAME TO purchase_hour"
STALE = "the metrics that stand in the database are not fresh"


async def told(client: httpx.AsyncClient) -> dict[str, float]:
    """Within the bound that holds for it, or the test ends."""
    async with asyncio.timeout(60):
        answer = await client.get("/metrics")
    assert answer.status_code == 200
    return figures(answer.text)


async def circulation(client: httpx.AsyncClient) -> tuple[float, float, float, float]:
    """Coins, debts, users, and when they were added up; 0: not at all."""
    found = await told(client)
    coins, owed, users, at = (found.get(name, 0) for name in (COINS, OWED, USERS, MEASURED_AT))
    return coins, owed, users, at


async def successes(client: httpx.AsyncClient) -> dict[str, float]:
    found = await told(client)
    return {key.split('"')[1]: found[key] for key in found if key.startswith(SUCCEEDED_AT)}


def signal_all(processes: list[int], number: signal.Signals) -> None:
    for process in processes:
        os.kill(process, number)


def now() -> float:
    return datetime.now(UTC).timestamp()


async def spend_and_owe(world: World) -> None:
    """Anna has 700 coins, boris owes 250, and a third player is deleted with 30."""
    await world.credit(world.anna, 1_000)
    await world.buy(world.anna, world.boost, quantity=3)
    top_up = await world.credit(world.boris, 250)
    await world.debit(world.boris, 250)
    await world.reverse(top_up.transaction, if_spent=IfSpent.TAKE_WHAT_IS_LEFT)
    third = await world.services.users.create_user(
        SERVER, username="third", email="third@example.com"
    )
    await world.credit(third, 30)
    await world.delete(third)


async def test_it_is_measured_once_an_hour_by_one_of_two(
    settings: Settings, services: Services, world: World, client: httpx.AsyncClient
) -> None:
    """`client` asks another server, which has not measured."""
    assert await circulation(client) == (0, 0, 0, 0)
    await spend_and_owe(world)
    async with open_services(settings) as others:
        before = now()
        both = await asyncio.gather(*(one.jobs.run(MEASURE) for one in (services, others)))
        assert sorted(both) == [False, True]
        coins, owed, users, at = await circulation(client)
        assert (coins, owed, users) == (730, 250, 3)
        assert before <= at <= now()
        assert (await progress(services.database))[MEASURE] == this_hour()

        await world.credit(world.anna, 5)
        assert await others.jobs.run(MEASURE) is False
        assert await circulation(client) == (730, 250, 3, at)
        await set_progress(services.database, MEASURE, this_hour() - timedelta(hours=1))
        assert await others.jobs.run(MEASURE) is True
    newest = await circulation(client)
    assert newest[:3] == (735, 250, 3)
    assert newest[3] > at
    rows = await world.sql("SELECT coins, owed, users FROM circulation ORDER BY measured_at")
    assert [tuple(row) for row in rows] == [(730, 250, 3), (735, 250, 3)]


async def test_a_job_that_fails_moves_no_success(
    services: Services, world: World, client: httpx.AsyncClient
) -> None:
    assert await successes(client) == {}
    before = now()
    for job in Job:
        await services.jobs.run(job)
    first = await successes(client)
    assert first.keys() == set(Job)
    assert all(before <= at <= now() for at in first.values())
    # nothing to do is a success, too
    for job in Job:
        assert await services.jobs.run(job) is False
    second = await successes(client)
    assert all(second[job] > first[job] for job in Job)
    await world.sql(HIDE)
    for job in (Job.COUNT_PURCHASES, Job.DELETE_EXPIRED):
        await set_progress(services.database, job, this_hour() - timedelta(days=2))
        with pytest.raises(Exception, match="purchase_hour"):
            await services.jobs.run(job)
    assert await successes(client) == second
    await world.sql(SHOW)
    assert await services.jobs.run(Job.COUNT_PURCHASES) is True
    third = await successes(client)
    assert third.pop(Job.COUNT_PURCHASES) > second.pop(Job.COUNT_PURCHASES)
    assert third == second


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_server_tells_what_a_worker_of_celery_has_done(
    database_url: str, broker: RedisServer, world: World, client: httpx.AsyncClient
) -> None:
    await spend_and_owe(world)
    before = now()
    urls = {"database_url": database_url, "redis_url": broker.url}
    urls["broker_url"] = f"redis+socket://{broker.folder}/valkey.sock?virtual_host=9"

    async def all_have_succeeded() -> bool:
        return (await successes(client)).keys() == set(Job)

    with live_process("worker", **urls) as worker:
        await until(all_have_succeeded, why=worker.log.read_text)
    assert all(before <= at <= now() for at in (await successes(client)).values())
    assert (await circulation(client))[:3] == (730, 250, 3)


@pytest.fixture
def broker() -> Iterator[RedisServer]:
    with own_redis_server() as server:
        yield server


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    with own_postgres_server() as server:
        yield server


@pytest.fixture
async def measured(own_postgres: PostgresServer) -> AsyncIterator[Shop]:
    """Its database is its own, and has been measured."""
    await migrate_url(own_postgres.url)
    # what ends a read here is the bound of metrics alone
    patient = {"statement_timeout_ms": 600_000, "database_pool_timeout_seconds": 60}
    settings = Settings(database_url=own_postgres.url, jobs_in_server=False, **patient)  # type: ignore[arg-type]
    async with open_shop(settings) as shop:
        await spend_and_owe(shop.world)
        assert await shop.services.jobs.run(MEASURE) is True
        yield shop


async def test_metrics_while_the_database_does_not_answer(
    measured: Shop, own_postgres: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Old figures are told, also when there is no connection left, and new ones again after it."""
    assert own_postgres.cluster is not None
    first = await circulation(measured.client)
    assert first[:3] == (730, 250, 3)
    postmaster = own_postgres.cluster.process.pid
    frozen = [postmaster, *children(postmaster)]
    signal_all(frozen, signal.SIGSTOP)
    try:
        answers = await asyncio.gather(*(circulation(measured.client) for _ in range(10)))
        assert answers == 10 * [first]
        assert caplog.messages.count(STALE) == 10
    finally:
        signal_all(frozen, signal.SIGCONT)
    await set_progress(measured.services.database, MEASURE, this_hour() - timedelta(hours=1))
    await measured.world.credit(measured.world.anna, 5)
    assert await measured.services.jobs.run(MEASURE) is True
    assert (await circulation(measured.client))[:3] == (735, 250, 3)
    assert caplog.messages.count(STALE) == 10


async def test_metrics_while_the_database_is_gone(
    measured: Shop, own_postgres: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    assert own_postgres.cluster is not None
    first = await circulation(measured.client)
    servers._stop(own_postgres.cluster.process)
    assert await circulation(measured.client) == first
    assert STALE in caplog.messages
    own_postgres.cluster.start()
    assert await circulation(measured.client) == first
    assert caplog.messages.count(STALE) == 1
