"""More is asked than there are connections for: who cannot be served is told so, and in time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from economy.database import Database
from economy.errors import Unavailable
from economy.services.operations import IfSpent
from economy.settings import Settings
from tests.contention import assert_sound
from tests.graphql_answers import errors_of, extensions
from tests.journal import error_of, journal_of, nothing_changes
from tests.rest import WRITES, assert_problem, open_shop, problem
from tests.shop import Shop
from tests.world import SERVER, World

CONNECTIONS = 2
TOO_LONG_SECONDS = 60.0
UNAVAILABLE = extensions("UNAVAILABLE", retryable=True)
DETAIL = "The service cannot answer right now. Try again with the same idempotency key."
BUY = """mutation ($key: String!) { purchase(input: {productId: 1, idempotencyKey: $key}) {
    ... on PurchaseSuccess { replayed } } }"""
ALL_OF_A_PLAYER = """mutation {
    purchase(input: {productId: 1, idempotencyKey: "a"}) { __typename }
    useItem(input: {productId: 1, idempotencyKey: "b"}) { __typename } }"""
READS = "{ me { id } inventory { id } product(id: 1) { id } popularProducts { rank } }"


@contextlib.asynccontextmanager
async def every_connection_held(database: Database) -> AsyncIterator[None]:
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(CONNECTIONS):
            session = await stack.enter_async_context(database.snapshot())
            await session.execute(text("SELECT 1"))
        yield


def settings_of(database_url: str, **changes: Any) -> Settings:
    return Settings(
        database_url=database_url,
        database_pool_size=CONNECTIONS,
        jobs_in_server=False,
        **changes,
    )


@pytest.fixture
async def shop(database_url: str) -> AsyncIterator[Shop]:
    """It waits shortly for a connection."""
    async with open_shop(settings_of(database_url, database_pool_timeout_seconds=0.05)) as shop:
        yield shop


@pytest.fixture
async def patient_shop(database_url: str) -> AsyncIterator[Shop]:
    """It waits long, with few in line."""
    changes = {"database_pool_timeout_seconds": 60, "request_timeout_seconds": 300}
    queue = {"posting_lanes": 1, "posting_batch_size": 4, "posting_queue_limit": 5}
    async with open_shop(settings_of(database_url, **changes, **queue)) as shop:
        yield shop


def money_operations(world: World) -> list[Awaitable[object]]:
    """One of each kind."""
    services, anna, boost = world.services, world.anna, world.boost
    target: dict[str, Any] = {"user_id": str(anna.id), "transaction_id": UUID(int=7)}
    keyed: dict[str, Any] = target | {"idempotency_key": "k", "if_spent": IfSpent.REFUSE}
    return [
        world.credit(anna, 5, external_reference="r"),
        world.buy(anna, boost),
        world.use(anna, boost),
        world.begin(anna, 5, external_reference="s"),
        services.top_ups.complete(SERVER, **target),
        services.top_ups.fail(SERVER, **target),
        world.grant(anna, boost),
        world.revoke(anna, boost),
        world.debit(anna, 5),
        services.reversals.reverse(SERVER, **keyed),
    ]


async def assert_doors_are_closed(shop: Shop) -> None:
    """Over REST and GraphQL, whoever asks and whatever for."""
    anna = shop.player(shop.world.anna)
    closed = problem(503, "UNAVAILABLE", DETAIL, retryable=True)
    for headers in (anna, shop.server):
        for path, body in WRITES:
            keyed = headers | {"Idempotency-Key": "k"}
            if headers == anna and path.startswith("/users"):
                continue  # not a player's
            assert_problem(await shop.client.post(path, json=body, headers=keyed), closed)
        for path in ("/users/1/inventory", "/products", "/analytics/popular-products"):
            assert_problem(await shop.client.get(path, headers=headers), closed)
        for document in (ALL_OF_A_PLAYER, READS):
            answer = await shop.client.post("/graphql", json={"query": document}, headers=headers)
            body = answer.json()
            if headers == anna:
                fields = body["data"]
                assert set(fields.values()) == {None}
                assert errors_of(body) == [([name], UNAVAILABLE) for name in sorted(fields)]
            else:  # who it is cannot be told
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
                assert [error["extensions"] for error in body["errors"]] == [UNAVAILABLE]
    ready = await shop.client.get("/health/ready")
    assert (ready.status_code, ready.json()["database"]) == (503, "unavailable")


async def test_no_connection_is_free(shop: Shop) -> None:
    """Each is told in time, and nothing is done; once there is one, everything is."""
    world = shop.world
    async with nothing_changes(world), every_connection_held(shop.services.database):
        async with asyncio.timeout(TOO_LONG_SECONDS):
            errors = await asyncio.gather(*map(error_of, money_operations(world)))
            assert [type(error) for error in errors] == [Unavailable] * 10
            await assert_doors_are_closed(shop)
    assert (await shop.client.get("/health/ready")).status_code == 200
    headers = shop.server | {"Idempotency-Key": "k"}
    answer = await shop.client.post("/users/1/add-funds", json={"amount": 150}, headers=headers)
    assert (answer.status_code, answer.json()["replayed"]) == (200, False)
    body = await shop.graphql(BUY, shop.player(world.anna), key="a")
    assert body == {"data": {"purchase": {"replayed": False}}}


async def test_few_are_in_line(patient_shop: Shop) -> None:
    """Beyond the limit they are turned away while the others wait; those are served in the end."""
    shop, asked = patient_shop, 40
    anna = shop.player(shop.world.anna)
    await shop.world.credit(shop.world.anna, 10_000)

    async def buy(number: int) -> bool:
        """Whether it was done."""
        key = str(number)
        if number % 2:
            body = await shop.graphql(BUY, anna, key=key)
            if "errors" not in body:
                assert body == {"data": {"purchase": {"replayed": False}}}
                return True
            assert errors_of(body) == [(["purchase"], UNAVAILABLE)]
            return False
        headers = anna | {"Idempotency-Key": key}
        answer = await shop.client.post("/products/1/purchase", headers=headers)
        if answer.status_code != 200:
            assert_problem(answer, problem(503, "UNAVAILABLE", DETAIL, retryable=True))
        return answer.status_code == 200

    async with every_connection_held(shop.services.database):
        tasks = [asyncio.create_task(buy(number)) for number in range(asked)]
        # 5 in line, behind a batch of those that came first, which are 1 to 4
        async with asyncio.timeout(TOO_LONG_SECONDS):
            refused: list[asyncio.Task[bool]] = []
            while len(refused) < asked - 9:
                await asyncio.sleep(0)
                refused = [task for task in tasks if task.done()]
        assert asked - 9 <= len(refused) <= asked - 6
        assert not any(task.result() for task in refused)
    served = [number for number, done in enumerate(await asyncio.gather(*tasks)) if done]
    assert len(served) == asked - len(refused)
    rows = (await journal_of(shop.services, shop.world.anna))[1:]
    assert sorted(int(row.idempotency_key or "") for row in rows) == served
    assert [row.balance_after for row in rows] == [
        10_000 - 100 * number for number in range(1, len(served) + 1)
    ]
    await assert_sound(shop.services)
