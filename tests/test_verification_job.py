"""The daily verification: by one process, told in the log and in a table, due again if it fails."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta

import pytest

from economy.bootstrap import open_services
from economy.jobs import Job
from economy.services import Services
from economy.settings import Settings
from tests.busy_economy import make_busy
from tests.due_jobs import midnight, progress, set_progress
from tests.world import World

RECORDS = "SELECT transactions, broken_invariants FROM verification ORDER BY started_at"


async def records(world: World) -> list[tuple[int, int]]:
    return [tuple(row) for row in await world.sql(RECORDS)]


async def test_of_two_processes_one_verifies_once_a_day(world: World, settings: Settings) -> None:
    await make_busy(world)
    started_at = datetime.now(UTC)
    async with open_services(settings) as others:
        both = await asyncio.gather(*(one.jobs.run(Job.VERIFY) for one in (world.services, others)))
        assert sorted(both) == [False, True]
        assert await records(world) == [(24, 0)]
        assert await others.jobs.run(Job.VERIFY) is False  # not again today
        newest = await others.verification.newest()
        assert newest is not None
        assert started_at <= newest.started_at <= newest.finished_at <= datetime.now(UTC)
        assert (newest.transactions, newest.broken_invariants) == (24, 0)

        await set_progress(others.database, Job.VERIFY, midnight() - timedelta(days=1))
        assert await others.jobs.run(Job.VERIFY) is True
    assert await records(world) == [(24, 0), (24, 0)]
    assert (await progress(world.services.database))[Job.VERIFY.value] == midnight()


async def test_what_is_broken_is_logged_and_recorded(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await make_busy(world)
    await world.sql('UPDATE "user" SET balance = 201 WHERE id = 1')
    with caplog.at_level(logging.ERROR):
        assert await world.services.jobs.run(Job.VERIFY) is True
    [logged] = [record for record in caplog.records if record.name.endswith("verification")]
    assert (logged.levelname, logged.getMessage()) == (
        "ERROR",
        "balance_is_sum_of_transactions is broken: "
        "[{'user_id': 1, 'balance': 201, 'debt': 0, 'sum_of_transactions': 200}]",
    )
    assert await records(world) == [(24, 1)]


async def test_what_fails_is_due_again(world: World, services: Services) -> None:
    view = await view_definition(world)
    await world.sql("DROP VIEW ledger_entry")
    before = await progress(services.database)
    for _ in range(2):
        with pytest.raises(Exception, match="ledger_entry"):
            await services.jobs.run(Job.VERIFY)
    after = await progress(services.database)
    assert after.pop(Job.VERIFY.value) < midnight()
    before.pop(Job.VERIFY.value, None)
    assert after == before
    assert await records(world) == []
    assert await services.verification.newest() is None
    await world.sql(view)
    assert await services.jobs.run(Job.VERIFY) is True
    assert await records(world) == [(0, 0)]


async def view_definition(world: World) -> str:
    if world.services.database.dialect == "sqlite":
        [[sql]] = await world.sql("SELECT sql FROM sqlite_master WHERE name = 'ledger_entry'")
        return str(sql)
    [[sql]] = await world.sql("SELECT pg_get_viewdef(CAST('ledger_entry' AS regclass))")
    return f"CREATE VIEW ledger_entry AS {sql}"


async def test_it_may_take_longer_than_any_request_may(postgres_url: str) -> None:
    """The job runs in the server, whose statements are short: those of a verification are not."""
    settings = Settings(database_url=postgres_url, jobs_in_server=False, statement_timeout_ms=100)
    async with open_services(settings) as services:
        world = await World.create(services)
        await world.sql("ALTER VIEW ledger_entry RENAME TO quick_entry")
        # longer than the server's limit, and the driver's, which is two seconds more
        await world.sql(
            """CREATE VIEW ledger_entry AS SELECT * FROM quick_entry
            WHERE (SELECT CAST(pg_sleep(2.5) AS text)) = ''"""
        )
        await world.credit(world.anna, 100)
        assert await services.jobs.run(Job.VERIFY) is True
        assert await records(world) == [(1, 0)]
