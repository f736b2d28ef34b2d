"""Two server processes that share a Redis, and a customer who checks every answer of theirs."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from economy.api.tokens import PlayerTokens
from economy.models.user import UserRow
from economy.settings import Settings
from tests.live import LiveServer
from tests.redis_client import ANSWERS, FAILS
from tests.rest import BOOST, PREMIUM
from tests.shop import Headers
from tests.world import SERVER, World

Fault = Callable[[], Awaitable[None]]

COINS = 1_000_000
MONEY_LIMIT = 5  # of a player, a minute
LIMITS = {
    "rate_limit_player_money": f"{MONEY_LIMIT}/60",
    "rate_limit_player_reads": "100000/60",
}
EXTRA_SECONDS = 0.1  # what a request may take longer than usual once Redis has failed
WELL = {(200, "ok", 1.0)}
DEGRADED = {(200, "degraded", 0.0)}
INVENTORY = "{ inventory { product { id } quantity } }"


def player(user: UserRow) -> Headers:
    return {"Authorization": f"Bearer {PlayerTokens(Settings()).issue(user.id)}"}


@dataclass
class Sales:
    count: int  # of all customers


@dataclass
class Customer:
    """Buys one boost after the other, and asks for all that is cached."""

    world: World
    client: httpx.AsyncClient
    server_key: Headers
    user: UserRow
    sales: Sales
    bought: int = 0

    @classmethod
    async def create(
        cls, world: World, client: httpx.AsyncClient, server_key: Headers
    ) -> "Customer":
        [[count]] = await world.sql(
            "SELECT count(*) FROM \"transaction\" WHERE kind = 'purchase' AND status = 'completed'"
        )
        return cls(world, client, server_key, await new_player(world, COINS), Sales(count))

    async def another(self) -> "Customer":
        return replace(self, user=await new_player(self.world, COINS), bought=0)

    async def buy(self, server: LiveServer) -> None:
        answer = await self.client.post(
            f"{server.url}/products/1/purchase",
            headers=self.server_key,
            json={"user_id": self.user.id},
        )
        assert answer.status_code == 200, answer.text
        self.bought += 1
        self.sales.count += 1
        body = answer.json()
        assert body["item"]["quantity"] == self.bought
        assert body["user"]["balance"] == COINS - 100 * self.bought

    async def _get(self, server: LiveServer, path: str) -> Any:
        answer = await self.client.get(server.url + path, headers=player(self.user))
        assert answer.status_code == 200, answer.text
        return answer.json()["items"]

    async def read_inventory(self, server: LiveServer) -> None:
        items = await self._get(server, f"/users/{self.user.id}/inventory")
        assert [(item["product"], item["quantity"]) for item in items] == [(BOOST, self.bought)]

    async def query_inventory(self, server: LiveServer) -> None:
        answer = await self.client.post(
            f"{server.url}/graphql", headers=player(self.user), json={"query": INVENTORY}
        )
        item = {"product": {"id": "1"}, "quantity": self.bought}
        assert answer.json() == {"data": {"inventory": [item]}}

    async def read_products(self, server: LiveServer) -> None:
        assert await self._get(server, "/products") == [BOOST, PREMIUM]

    async def read_popular_products(self, server: LiveServer) -> None:
        [first] = await self._get(server, "/analytics/popular-products")
        assert (first["rank"], first["product"]) == (1, BOOST)
        assert 1 <= first["purchases"] <= self.sales.count  # it may be an hour old

    async def ask_everything(self, server: LiveServer) -> dict[str, float]:
        """What each kind of request took, in seconds."""
        took = {}
        requests: list[Callable[[LiveServer], Awaitable[None]]] = [
            self.buy,
            self.read_inventory,
            self.query_inventory,
            self.read_popular_products,
            self.read_products,
        ]
        for request in requests:
            started_at = time.perf_counter()
            await request(server)
            took[request.__name__] = time.perf_counter() - started_at
        return took


async def new_player(world: World, coins: int) -> UserRow:
    [[count]] = await world.sql('SELECT count(*) FROM "user"')
    name = f"player-{count}"
    user = await world.services.users.create_user(
        SERVER, username=name, email=f"{name}@example.com"
    )
    await world.credit(user, coins)
    return user


@dataclass
class Pair:
    """The two processes, and what of their logs has been read already."""

    servers: list[LiveServer]
    _read: dict[str, int] = field(default_factory=dict)

    async def ask_for_a_second(self, customer: Customer, since: float) -> None:
        """All at once too: whoever is there notices the failure."""
        while time.monotonic() < since + 1:
            for server in self.servers:
                await customer.ask_everything(server)
                reads = [customer.read_inventory, customer.query_inventory]
                await asyncio.gather(*(read(server) for read in 5 * reads))

    async def medians(self, customer: Customer) -> dict[str, float]:
        rounds = [await customer.ask_everything(server) for server in 10 * self.servers]
        return {name: statistics.median(took[name] for took in rounds) for name in rounds[0]}

    async def status(self, client: httpx.AsyncClient) -> set[tuple[int, str, float]]:
        """Of each: is it ready, how well is it, does it use Redis."""
        found = set()
        for server in self.servers:
            ready = await client.get(f"{server.url}/health/ready")
            metrics = (await client.get(f"{server.url}/metrics")).text.splitlines()
            [up] = [line for line in metrics if line.startswith("economy_redis_up ")]
            found.add((ready.status_code, ready.json()["status"], float(up.split()[1])))
        return found

    async def until_well(self, client: httpx.AsyncClient) -> None:
        async with asyncio.timeout(30):
            while True:
                if await self.status(client) == WELL:
                    return
                await asyncio.sleep(0.02)

    def news(self) -> list[list[str]]:
        """What each has logged since the last time, beside that it starts and ends."""
        news = []
        for server in self.servers:
            text = server.log.read_text()
            lines = text[self._read.get(server.url, 0) :].splitlines()
            news.append([line for line in lines if " INFO uvicorn.error [" not in line])
            self._read[server.url] = len(text)
        return news

    def assert_told_once(self, *, is_back: bool = True) -> None:
        """One line when it fails, one when it is back, and no other."""
        for lines in self.news():
            assert len(lines) == (2 if is_back else 1), lines
            assert " WARNING economy.redis_client [" in lines[0]
            assert FAILS in lines[0]
            assert lines[1:] == [] or ANSWERS in lines[1]


async def read_everywhere(customer: Customer, pair: Pair) -> None:
    for server in [*pair.servers, *reversed(pair.servers)]:
        await customer.read_inventory(server)
        await customer.query_inventory(server)


async def fill_caches(customer: Customer, pair: Pair) -> None:
    for server in 2 * pair.servers:
        await customer.ask_everything(server)
        await customer.read_inventory(server)


async def buy(client: httpx.AsyncClient, server: LiveServer, headers: Headers) -> int:
    answer = await client.post(f"{server.url}/products/1/purchase", headers=headers)
    if answer.status_code == 429:
        assert answer.json()["code"] == "RATE_LIMITED"
        assert 1 <= int(answer.headers["retry-after"]) <= 60
    return answer.status_code


async def limits_are_counted(customer: Customer, pair: Pair, *, is_shared: bool) -> None:
    """By each process alone, or for both together."""
    user = await new_player(customer.world, 100_000)
    allowed = [200] * MONEY_LIMIT + [429]
    one, other = [
        [await buy(customer.client, server, player(user)) for _ in allowed]
        for server in pair.servers
    ]
    assert one == allowed
    assert other == ([429] * len(allowed) if is_shared else allowed)
    bought = MONEY_LIMIT if is_shared else 2 * MONEY_LIMIT
    customer.sales.count += bought
    [[balance, held]] = await customer.world.sql(
        'SELECT balance, quantity FROM "user" JOIN inventory ON user_id = "user".id'
        " WHERE user_id = :id",
        id=user.id,
    )
    assert (balance, held) == (100_000 - 100 * bought, bought)


async def live_through(
    customer: Customer, pair: Pair, fail: Fault, expected: set[tuple[int, str, float]]
) -> Customer:
    """Everything is answered, after a second as fast as before.

    Also to the other customer, who was there before, and comes again when nobody tries Redis.
    """
    other = await customer.another()
    await other.buy(pair.servers[0])
    await read_everywhere(other, pair)
    await fill_caches(customer, pair)
    usual = await pair.medians(customer)
    assert await pair.status(customer.client) == WELL
    assert pair.news() == [[], []]
    await fail()
    await pair.ask_for_a_second(customer, time.monotonic())
    now = await pair.medians(customer)
    slow = {name: (took, usual[name]) for name, took in now.items()}
    assert not [name for name, (took, before) in slow.items() if took > before + EXTRA_SECONDS], (
        slow
    )
    assert await pair.status(customer.client) == expected
    await limits_are_counted(customer, pair, is_shared=expected == WELL)
    return other


async def recover(customers: list[Customer], pair: Pair, come_back: Fault) -> None:
    """What was bought before is seen, by whichever process; and they are told of each other."""
    for customer in customers:
        await customer.buy(pair.servers[0])
        await read_everywhere(customer, pair)
    await come_back()
    await pair.until_well(customers[0].client)
    for customer in customers:
        await read_everywhere(customer, pair)
        for server in pair.servers:
            await customer.buy(server)
            await read_everywhere(customer, pair)
    await limits_are_counted(customers[0], pair, is_shared=True)
