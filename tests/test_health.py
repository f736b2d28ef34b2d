"""Health and metrics: what machines that watch are told, without a credential."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from economy.database import Database
from economy.migrate import migrate
from economy.settings import Settings
from tests import servers
from tests.rest import assert_json, open_shop
from tests.servers import PostgresServer, postgres_server, redis_server
from tests.shop import Shop


async def readiness(client: httpx.AsyncClient) -> tuple[int, Any]:
    response = await client.get("/health/ready")
    assert response.headers["content-type"] == "application/json"
    return response.status_code, response.json()


def answer(code: int, status: str, database: str, cache: str) -> tuple[int, Any]:
    return code, {
        "status": status,
        "database": database,
        "cache": cache,
        "ledger": "not verified",
    }


OK = answer(200, "ok", "ok", "ok")
DEGRADED = answer(200, "degraded", "ok", "unavailable")
UNAVAILABLE = answer(503, "unavailable", "unavailable", "ok")
ALONE = answer(503, "unavailable", "unavailable", "unavailable")


async def test_healthy(client: httpx.AsyncClient) -> None:
    assert_json(await client.get("/health/live"), {"status": "ok"})
    assert await readiness(client) == OK


async def test_bad_credential_does_not_matter(client: httpx.AsyncClient) -> None:
    for path in ["/health/live", "/health/ready", "/metrics"]:
        for headers in [{"X-Api-Key": "eck_wrong"}, {"Authorization": "nonsense"}]:
            assert (await client.get(path, headers=headers)).status_code == 200


@pytest.fixture
def own_redis() -> Iterator[tuple[str, contextlib.ExitStack]]:
    """A server that stops when the stack is closed."""
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        patch.delenv("TEST_REDIS_URL", raising=False)
        yield stack.enter_context(redis_server()), stack


@pytest.fixture
async def own_postgres() -> AsyncIterator[PostgresServer]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TEST_DATABASE_URL", raising=False)
        with postgres_server() as server:
            database = Database(Settings(database_url=server.url))
            await migrate(database)
            await database.close()
            yield server


async def test_degraded_without_redis(
    database_url: str, own_redis: tuple[str, contextlib.ExitStack]
) -> None:
    """Everything is answered, from the database."""
    redis_url, stack = own_redis
    settings = Settings(database_url=database_url, redis_url=redis_url, jobs_in_server=False)
    async with open_shop(settings) as shop:
        anna = shop.player(shop.world.anna)
        await shop.world.credit(shop.world.anna, 1_000)
        assert await readiness(shop.client) == OK
        stack.close()
        assert await readiness(shop.client) == DEGRADED
        assert_json(await shop.client.get("/health/live"), {"status": "ok"})
        for quantity in [1, 2]:
            response = await shop.client.post("/products/1/purchase", headers=anna)
            assert (response.status_code, response.json()["item"]["quantity"]) == (200, quantity)
            inventory = (await shop.client.get("/users/1/inventory", headers=anna)).json()
            assert [item["quantity"] for item in inventory["items"]] == [quantity]
        assert (await shop.client.get("/analytics/popular-products", headers=anna)).json()["items"]


async def test_unavailable_without_the_database(
    own_postgres: PostgresServer, own_redis: tuple[str, contextlib.ExitStack]
) -> None:
    redis_url, stack = own_redis
    settings = Settings(database_url=own_postgres.url, redis_url=redis_url, jobs_in_server=False)
    async with open_shop(settings) as shop:
        assert await readiness(shop.client) == OK
        assert own_postgres.cluster is not None
        servers._stop(own_postgres.cluster.process)
        assert await readiness(shop.client) == UNAVAILABLE
        stack.close()
        assert await readiness(shop.client) == ALONE
        assert_json(await shop.client.get("/health/live"), {"status": "ok"})
        assert (await shop.client.get("/metrics")).status_code == 200
        own_postgres.cluster.start()
        assert await readiness(shop.client) == DEGRADED


@pytest.mark.parametrize("needs_sound_ledger", [False, True])
async def test_ready_tells_what_the_last_verification_has_found(
    database_url: str, needs_sound_ledger: bool
) -> None:
    settings = Settings(
        database_url=database_url,
        jobs_in_server=False,
        ready_needs_sound_ledger=needs_sound_ledger,
    )
    async with open_shop(settings) as shop:
        verification = shop.services.verification
        assert (await readiness(shop.client))[0] == 200  # nobody knows: that is no reason
        assert await ledger(shop.client) == ("not verified", 0, 0)
        first = await verification.verify_and_record()
        assert await ledger(shop.client) == ("sound", 0, first.finished_at.timestamp())
        await shop.world.sql('UPDATE "user" SET balance = 1 WHERE id = 1')
        assert (await ledger(shop.client))[0] == "sound"  # nobody has looked since
        second = await verification.verify_and_record()
        code, body = await readiness(shop.client)
        assert (code, body["status"]) == (
            (503, "unavailable") if needs_sound_ledger else (200, "ok")
        )
        assert await ledger(shop.client) == ("broken", 1, second.finished_at.timestamp())
        await shop.world.sql('UPDATE "user" SET balance = 0 WHERE id = 1')
        await verification.verify_and_record()
        assert (await readiness(shop.client))[0] == 200
        assert (await ledger(shop.client))[:2] == ("sound", 0)


async def ledger(client: httpx.AsyncClient) -> tuple[str, float, float]:
    """What readiness says of it, and then the metrics: how much is broken, and as of when."""
    _, body = await readiness(client)
    [broken] = (await figures(client, "economy_ledger_broken_invariants")).values()
    [at] = (await figures(client, "economy_ledger_verified_timestamp_seconds")).values()
    return body["ledger"], broken, at


async def figures(client: httpx.AsyncClient, name: str) -> dict[str, float]:
    """Labels -> value of one metric, as the text shows them."""
    response = await client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = [line.rsplit(" ", 1) for line in response.text.splitlines() if line.startswith(name)]
    return {labels.removeprefix(name): float(value) for labels, value in lines}


async def test_metrics(shop: Shop) -> None:
    await shop.world.credit(shop.world.anna, 250)
    headers = shop.player(shop.world.anna) | {"Idempotency-Key": "order-1"}
    for key, status in [("order-1", 200), ("order-1", 200), ("order-2", 200), ("order-3", 402)]:
        response = await shop.client.post(
            "/products/1/purchase", headers=headers | {"Idempotency-Key": key}
        )
        assert response.status_code == status
    await shop.client.post("/products/abc/purchase", headers=headers)
    await shop.client.get("/products/1", headers=headers)
    assert await figures(shop.client, "economy_operations_total") == {
        '{kind="top_up",outcome="completed"}': 1,
        '{kind="purchase",outcome="completed"}': 2,
        '{kind="purchase",outcome="replayed"}': 1,
        '{kind="purchase",outcome="INSUFFICIENT_FUNDS"}': 1,
    }
    buy = 'method="POST",operation="purchase",route="/products/{product_id}/purchase"'
    assert await figures(shop.client, "economy_http_requests_total") == {
        f'{{{buy},status="200"}}': 3,
        f'{{{buy},status="402"}}': 1,
        f'{{{buy},status="404"}}': 1,
        '{method="GET",operation="other",route="other",status="404"}': 1,
        '{method="GET",operation="metrics",route="/metrics",status="200"}': 1,
    }
    counts = await figures(shop.client, "economy_http_request_seconds_count")
    assert counts['{operation="purchase",route="/products/{product_id}/purchase"}'] == 5
    assert (await figures(shop.client, "economy_posting_batch_operations_count")) == {"": 5}
