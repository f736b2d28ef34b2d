"""Rate limits of real server processes: one budget for all of them, and clients behind a proxy."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import httpx
import pytest

from economy.api.tokens import PlayerTokens
from economy.models.user import UserRow
from tests.journal import journal_of
from tests.live import LiveServer, live_server
from tests.redis_database import empty_database
from tests.rest import assert_rate_limited, left_of
from tests.shop import Headers
from tests.world import World

BUY = "/products/1/purchase"
BAD = {"X-Api-Key": "eck_wrong"}
MUTATION = 'mutation { purchase(input: {productId: 1, idempotencyKey: "%s"}) { __typename } }'


@pytest.fixture
def database_url(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture
def servers(postgres_url: str, redis_url: str, worker_id: str) -> Iterator[list[LiveServer]]:
    """Two processes and one Redis. Only the first one believes that the tests are a proxy."""
    settings = {"database_url": postgres_url, "redis_url": empty_database(redis_url, worker_id)}
    settings |= {"redis_timeout_seconds": "10", "rate_limit_player_money": "37/600"}
    settings |= {"rate_limit_failed_authentication": "2/600"}
    with ExitStack() as stack:
        yield [
            stack.enter_context(live_server(trusted_proxies=proxies, **settings))
            for proxies in ("127.0.0.1", "10.0.0.0/8")
        ]


@pytest.fixture
async def browser() -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(limits=limits, timeout=60, trust_env=False) as client:
        yield client


def player(world: World, user: UserRow) -> Headers:
    token = PlayerTokens(world.services.settings).issue(user.id)
    return {"Authorization": f"Bearer {token}"}


def is_granted(answer: httpx.Response) -> bool:
    """If not, the limit has refused it."""
    body = answer.json()
    if "data" in body:
        assert answer.status_code == 200
        codes = [error["extensions"]["code"] for error in body.get("errors", [])]
        assert codes == ([] if body["data"]["purchase"] else ["RATE_LIMITED"])
        return not codes
    if answer.status_code != 200:
        assert_rate_limited(answer, "money", 37, 600)
    return answer.status_code == 200


async def buy_a_hundred_at_once(
    world: World, servers: list[LiveServer], browser: httpx.AsyncClient
) -> None:
    """By REST and GraphQL, to two processes: the quota is granted, not one more or less."""
    await world.credit(world.anna, 100_000)
    headers = player(world, world.anna)

    async def buy(number: int, server: LiveServer) -> httpx.Response:
        if number % 4 < 2:
            return await browser.post(server.url + BUY, headers=headers)
        body = {"query": MUTATION % f"key-{number}"}
        return await browser.post(f"{server.url}/graphql", headers=headers, json=body)

    targets = zip(range(100), itertools.cycle(servers), strict=False)
    answers = await asyncio.gather(*(buy(number, server) for number, server in targets))
    granted = [answer for answer in answers if is_granted(answer)]
    assert sorted(left_of(answer)["money"] for answer in granted) == list(range(37))
    state = await world.state()
    assert [tuple(row) for row in state["user"]] == [(1, 96_300, 38), (2, 0, 0)]
    assert [tuple(row) for row in state["inventory"]] == [(1, 1, 37)]
    assert len(await journal_of(world.services, world.anna)) == 38

    other = player(world, world.boris)
    for left, server in zip((36, 35, 34), itertools.cycle(servers), strict=False):
        assert left_of(await browser.post(server.url + BUY, headers=other)) == {"money": left}


async def send_bad_credentials(servers: list[LiveServer], browser: httpx.AsyncClient) -> None:
    """Whom a trusted proxy names is counted; what that client claims in turn is not believed."""

    async def statuses(server: LiveServer, *forwarded_for: str, count: int = 3) -> list[int]:
        headers = [*BAD.items(), *(("X-Forwarded-For", value) for value in forwarded_for)]
        url = f"{server.url}/products"
        return [(await browser.get(url, headers=headers)).status_code for _ in range(count)]

    trusting, other = servers
    assert await statuses(trusting, "203.0.113.1") == [401, 401, 429]
    assert await statuses(trusting, "203.0.113.2") == [401, 401, 429]
    assert await statuses(trusting, "198.51.100.9, 203.0.113.1") == [429, 429, 429]
    assert await statuses(trusting, "198.51.100.9", "203.0.113.1, 127.0.0.1") == [429, 429, 429]
    assert await statuses(trusting, "198.51.100.9:4711") == [401, 401, 429]
    assert await statuses(trusting, "2001:db8::1") == [401, 401, 429]
    assert await statuses(trusting, "[2001:db8::ffff:1]:4711") == [429, 429, 429]
    assert await statuses(trusting, "2001:db8:0:1::1") == [401, 401, 429]
    assert await statuses(trusting, count=1) == [401]
    assert await statuses(other, "203.0.113.77") == [401, 429, 429]
    assert await statuses(other, "203.0.113.78") == [429, 429, 429]
    assert await statuses(trusting) == [429, 429, 429]


async def test_two_processes(
    world: World, servers: list[LiveServer], browser: httpx.AsyncClient
) -> None:
    await buy_a_hundred_at_once(world, servers, browser)
    await send_bad_credentials(servers, browser)
