"""A standby that is of no use, or of another: what is told, and that everything goes on."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from economy.bootstrap import open_services
from economy.migrate import migrate
from economy.services.user import HistoryPage
from economy.settings import Settings
from tests.live import live_server, run_economy
from tests.migrating import opened, upgrade
from tests.outage import player
from tests.scale.standby import FAILS, MIGRATED, Pair, database_of, running_pair
from tests.world import World

BEFORE = "2026_11_23_1619"  # a schema whose journal lacks columns
HISTORY = "{ me { balance transactions { nodes { balanceAfter } } } }"


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with running_pair() as pair:
        yield pair


@pytest.fixture
async def database(pair: Pair) -> AsyncIterator[str]:
    async with database_of(pair, MIGRATED) as name:
        yield name


async def assert_read_on_the_primary(world: World) -> None:
    await world.credit(world.anna, 100)
    [anna] = (await world.services.users.users([world.anna.id])).values()
    pages = await world.services.users.histories(
        {anna.id: anna.last_seq}, HistoryPage(first=5, after=None, kind=None)
    )
    assert [row.balance_after for row in pages[anna.id].rows] == [100]


@pytest.mark.parametrize("revision", [None, BEFORE])
async def test_it_is_behind_a_migration(
    pair: Pair, revision: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """It knows an older schema, or no table at all."""
    async with database_of(pair) as name:
        url = pair.primary.database_url(name)
        async with opened(url) as database:
            if revision is not None:
                await upgrade(database, revision)
            async with pair.paused():
                await migrate(database)
                replica = pair.standby.database_url(name)
                settings = Settings(database_url=url, database_replica_url=replica)
                async with open_services(settings) as services:
                    await assert_read_on_the_primary(await World.create(services))
        await pair.until_caught_up()
    assert caplog.text.count(FAILS) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        "postgresql://economy:hush-hush@127.0.0.1:1/economy",  # nobody listens
        "postgresql://economy:hush-hush@no-such-host.invalid/economy",
        "postgresql://postgres:hush-hush@/no-such-database?host={folder}&port=5432",
    ],
)
async def test_a_wrong_one_keeps_no_server_from_its_work(
    pair: Pair, database: str, wrong: str
) -> None:
    url = pair.primary.database_url(database)
    assert pair.standby.cluster is not None
    wrong = wrong.format(folder=pair.standby.cluster.data.parent)
    async with open_services(Settings(database_url=url)) as services:
        world = await World.create(services)
        await world.credit(world.anna, 100)
    with live_server(database_url=url, database_replica_url=wrong) as server:
        async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=60) as client:
            asked = {"query": HISTORY}
            answer = await client.post("/graphql", json=asked, headers=player(world.anna))
            history = {"nodes": [{"balanceAfter": 100}]}
            assert answer.json() == {"data": {"me": {"balance": 100, "transactions": history}}}
            metrics = (await client.get("/metrics")).text.splitlines()
        assert "economy_database_replica_up 0.0" in metrics
        log = server.log.read_text()
    assert FAILS in log
    assert "hush-hush" not in log


@pytest.mark.parametrize("wrong", ["sqlite:///replica.db", "mysql://host/economy"])
def test_it_must_be_postgresql(tmp_path: Any, wrong: str) -> None:
    file = tmp_path / "economy.db"
    run = run_economy("serve", database_url=f"sqlite:///{file}", database_replica_url=wrong)
    line = "economy: ECONOMY_DATABASE_REPLICA_URL: must start with postgresql://\n"
    assert (run.returncode, run.stdout, run.stderr) == (2, "", line)
    assert not file.exists()
