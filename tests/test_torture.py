"""Crashes of every kind under load, in short: nothing is lost, doubled or invented.

`make torture` does the same for longer, in another order each time. Real processes, PostgreSQL and
Valkey of our own; each fault sees for itself that it has struck.
"""

import asyncio
import random

import pytest

from economy.bootstrap import open_services
from economy.errors import Unavailable
from economy.settings import Settings
from tests.journal import journal_of, nothing_changes
from tests.torture.campaign import Results, Series, run_series
from tests.torture.faults import ON_POSTGRES, ON_SQLITE, Fault
from tests.torture.report import table
from tests.torture.rounds import SHORT
from tests.world import World

SEED = 5
pytestmark = pytest.mark.timeout(400)  # a third of a minute each, where nobody else is busy
# of the faults that strike more than once in a round
OTHER_COUNTS = dict.fromkeys([Fault.BEFORE_COMMIT, Fault.AFTER_COMMIT, Fault.LATE_COMMIT], 3)
OTHER_COUNTS |= {Fault.SILENCE: 2, Fault.MANY_COMMITS: 4}
AT_LEAST = {Fault.TERMINATE_BACKENDS: 1, Fault.FULL_DISK: 10}  # whatever was met until it was over


async def torture(faults: list[Fault], servers: int) -> None:
    dice, results = random.Random(SEED), Results()
    dice.shuffle(faults)
    await run_series(Series(faults, servers), dice, results, size=SHORT, tell=print)
    figures = table(results.rounds)
    print(figures)
    assert results.problems == [], figures
    assert [one.fault for one in results.rounds] == faults
    for one in results.rounds:
        assert (one.findings.lost, one.findings.doubled) == (0, 0), figures
        assert (one.findings.problems, one.findings.is_verified) == ([], True), figures
        assert one.operations > SHORT.before_fault[0] + SHORT.after_recovery, figures
        assert one.replays == SHORT.replays, figures
        if one.fault in AT_LEAST:
            assert one.injected >= AT_LEAST[one.fault], figures
        else:
            assert one.injected == OTHER_COUNTS.get(one.fault, 1), figures
    # a server that is gone, or a database that is, is met by somebody
    met = {one.fault for one in results.rounds if one.retries}
    assert {Fault.KILL_SERVER, Fault.FULL_DISK, Fault.DRAIN} <= met, figures


async def test_two_servers_on_postgresql() -> None:
    await torture(list(ON_POSTGRES), servers=2)


async def test_one_server_on_sqlite() -> None:
    await torture(list(ON_SQLITE), servers=0)


async def credit_until_refused(world: World) -> int:
    """How often 10 coins were credited, under keys with a number each."""
    for number in range(1_000):
        try:
            await world.credit(world.anna, 10, idempotency_key=f"key-{number}")
        except Unavailable:
            return number
    raise AssertionError("the file has grown")


async def test_full_sqlite_file(sqlite_url: str) -> None:
    """The real SQLITE_FULL, which only a process itself can bring about: no page is left."""
    async with open_services(Settings(database_url=sqlite_url)) as services:
        world = await World.create(services)
        [[pages]] = await world.sql("PRAGMA max_page_count = 1")  # as many as it has
        assert pages > 1
        credited = await credit_until_refused(world)
        keys = [f"key-{credited + number}" for number in range(20)]

        async def credit_all() -> list[object]:
            asked = (world.credit(world.anna, 10, idempotency_key=key) for key in keys)
            return list(await asyncio.gather(*asked, return_exceptions=True))

        async with nothing_changes(world):
            refused = await credit_all()
        assert [isinstance(answer, Unavailable) for answer in refused] == [True] * len(keys)

        await world.sql("PRAGMA max_page_count = 1000000")
        done = [await world.credit(world.anna, 10, idempotency_key=key) for key in keys]
        assert [booking.replayed for booking in done] == [False] * len(keys)
        rows = await journal_of(services, world.anna)
        assert [row.idempotency_key for row in rows] == [
            f"key-{number}" for number in range(credited + len(keys))
        ]
        assert rows[-1].balance_after == 10 * len(rows)
        assert await world.broken() == {}
