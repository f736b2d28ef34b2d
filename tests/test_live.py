"""Real server processes under parallel requests: what happens once happens once, and is answered.

On PostgreSQL two processes share the load and a Redis, on SQLite there is one.
"""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from economy.api.tokens import PlayerTokens
from economy.models.user import UserRow
from economy.services.access import ALL_SCOPES
from tests.journal import journal_of
from tests.live import PROGRESS, LiveServer, live_server, run_economy
from tests.redis_database import empty_database
from tests.rest import problem
from tests.shop import Headers
from tests.world import World


@dataclass
class Live:
    world: World
    servers: list[LiveServer]
    client: httpx.AsyncClient
    server_key: Headers

    def player(self, user: UserRow) -> Headers:
        token = PlayerTokens(self.world.services.settings).issue(user.id)
        return {"Authorization": f"Bearer {token}"}

    async def post_together(self, count: int, path: str, **request: Any) -> list[httpx.Response]:
        """The same request many times at once, to the servers in turn."""
        urls = itertools.islice(itertools.cycle(server.url for server in self.servers), count)
        return await asyncio.gather(*(self.client.post(url + path, **request) for url in urls))

    async def inventories(self, user: UserRow) -> list[dict[int, int]]:
        """Product -> quantity, as each server shows it."""
        shown = []
        for server in self.servers:
            url = f"{server.url}/users/{user.id}/inventory"
            items = (await self.client.get(url, headers=self.player(user))).json()["items"]
            shown.append({item["product"]["id"]: item["quantity"] for item in items})
        return shown


@pytest.fixture
def servers(
    request: pytest.FixtureRequest, database_url: str, worker_id: str
) -> Iterator[list[LiveServer]]:
    """At their end the books are checked: as `economy verify` does it on a live database."""
    settings, count = {"database_url": database_url}, 1
    if "postgresql" in database_url:
        redis_url: str = request.getfixturevalue("redis_url")
        settings, count = settings | {"redis_url": empty_database(redis_url, worker_id)}, 2
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(live_server(**settings)) for _ in range(count)]
        verify(database_url)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """Over the network, with a connection for each request that is under way."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(limits=limits, timeout=60, trust_env=False) as client:
        yield client


async def live_with(world: World, servers: list[LiveServer], client: httpx.AsyncClient) -> Live:
    key = await world.services.server_keys.create_key(ALL_SCOPES)
    return Live(world, servers, client, {"X-Api-Key": key})


@pytest.fixture
async def live(world: World, servers: list[LiveServer], client: httpx.AsyncClient) -> Live:
    return await live_with(world, servers, client)


def verify(database_url: str) -> None:
    run = run_economy("verify", database_url=database_url)
    assert (run.returncode, run.stderr) == (0, PROGRESS), run.stdout


async def spend_everything_at_once(live: Live) -> None:
    """40 purchases for 100 coins each with 1,000 coins: 10 are possible."""
    world, anna = live.world, live.world.anna
    await world.credit(anna, 1_000)
    answers = await live.post_together(40, "/products/1/purchase", headers=live.player(anna))
    bought = [answer.json() for answer in answers if answer.status_code == 200]
    declined = [answer.json() for answer in answers if answer.status_code == 402]
    assert sorted(body["user"]["balance"] for body in bought) == list(range(0, 1_000, 100))
    assert sorted(body["item"]["quantity"] for body in bought) == list(range(1, 11))
    detail = "The balance is 0, this needs 100."
    assert declined == 30 * [problem(402, "INSUFFICIENT_FUNDS", detail, balance=0, required=100)]

    rows = await journal_of(world.services, anna)
    assert [row.seq for row in rows] == list(range(1, 42))
    assert [(row.status, row.balance_after, row.quantity_after) for row in rows] == [
        ("completed", 1_000, None),
        *(("completed", 1_000 - 100 * held, held) for held in range(1, 11)),
        *(30 * [("failed", 0, 10)]),
    ]
    assert {str(row.id) for row in rows[1:11]} == {body["transaction"]["id"] for body in bought}
    state = await world.state()
    assert state["user"] == [(anna.id, 0, 41), (world.boris.id, 0, 0)]
    assert state["inventory"] == [(anna.id, 1, 10)]
    assert await live.inventories(anna) == [{1: 10}] * len(live.servers)


async def test_coins_are_spent_once(live: Live) -> None:
    await spend_everything_at_once(live)


async def test_permanent_product_is_bought_once(live: Live) -> None:
    world, anna = live.world, live.world.anna
    await world.credit(anna, 20 * 500)
    assert await live.inventories(anna) == [{}] * len(live.servers)  # fills the caches
    answers = await live.post_together(20, "/products/2/purchase", headers=live.player(anna))
    [bought] = [answer.json() for answer in answers if answer.status_code == 200]
    assert (bought["user"]["balance"], bought["item"]["quantity"]) == (9_500, 1)
    detail = "This product is permanent and already owned."
    assert [answer.json() for answer in answers if answer.status_code != 200] == 19 * [
        problem(409, "ALREADY_OWNED", detail, product_id=2)
    ]
    rows = await journal_of(world.services, anna)
    assert [(row.seq, row.status, row.balance_after) for row in rows] == [
        (1, "completed", 10_000),
        (2, "completed", 9_500),
        *((seq, "failed", 9_500) for seq in range(3, 22)),
    ]
    assert (await world.state())["inventory"] == [(anna.id, 2, 1)]
    assert await live.inventories(anna) == [{2: 1}] * len(live.servers)


async def test_one_key_credits_once(live: Live) -> None:
    world, anna = live.world, live.world.anna
    answers = await live.post_together(
        20,
        f"/users/{anna.id}/add-funds",
        headers=live.server_key | {"Idempotency-Key": "pay-1"},
        json={"amount": 50, "external_reference": "payment-77"},
    )
    assert [answer.status_code for answer in answers] == [200] * 20
    bodies = [answer.json() for answer in answers]
    [first] = [body for body in bodies if not body["replayed"]]
    assert [body for body in bodies if body["replayed"]] == 19 * [first | {"replayed": True}]
    marks = [answer.headers.get("idempotent-replayed") for answer in answers]
    assert marks == ["true" if body["replayed"] else None for body in bodies]
    assert first["user"]["balance"] == 50
    [row] = await journal_of(world.services, anna)
    assert (row.seq, row.status, row.balance_after) == (1, "completed", 50)
    assert str(row.id) == first["transaction"]["id"]
    assert (await world.state())["user"] == [(anna.id, 50, 1), (world.boris.id, 0, 0)]


async def test_two_worker_processes_on_one_port(
    world: World, client: httpx.AsyncClient, database_url: str
) -> None:
    """Without Redis: they cache no inventories, so that none is stale."""
    with live_server("--workers", "2", database_url=database_url) as server:
        await spend_everything_at_once(await live_with(world, [server], client))
        verify(database_url)


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_what_was_accepted_is_answered(
    world: World, client: httpx.AsyncClient, database_url: str, workers: str
) -> None:
    """SIGTERM under load: whatever was done was also answered."""
    await world.credit(world.anna, 1_000_000)
    answered: set[str] = set()
    enough = asyncio.Event()

    async def buy_until_refused(live: Live, buyer: int) -> None:
        for number in itertools.count():
            key = f"{buyer}-{number}"
            headers = live.player(world.anna) | {"Idempotency-Key": key}
            try:
                [answer] = await live.post_together(1, "/products/1/purchase", headers=headers)
            except httpx.TransportError:
                return
            assert answer.status_code == 200
            answered.add(key)
            if len(answered) >= 20:
                enough.set()

    unlimited = {"rate_limit_player_money": ""}
    with live_server("--workers", workers, database_url=database_url, **unlimited) as server:
        live = await live_with(world, [server], client)
        async with asyncio.TaskGroup() as group:
            for buyer in range(8):
                group.create_task(buy_until_refused(live, buyer))
            await enough.wait()
            server.terminate()
        await asyncio.to_thread(server.wait)
    rows = await journal_of(world.services, world.anna)
    assert {row.idempotency_key for row in rows[1:]} == answered
    assert len(answered) >= 20
    verify(database_url)
