"""Rate limits over REST: what costs what, how a refusal looks, and that it changes nothing."""

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from economy.services.access import Scope
from economy.settings import Settings
from tests.journal import journal_of, nothing_changes
from tests.redis_database import empty_database
from tests.rest import assert_rate_limited, left_of, limits_of, open_shop, post_text
from tests.shop import Headers, Shop

BUY, USE, FUND = "/products/1/purchase", "/products/1/use", "/users/1/add-funds"
READS = ["/users/1/inventory", "/products", "/analytics/popular-products"]
ANONYMOUS: Headers = {}
BAD = {"X-Api-Key": "eck_wrong"}
WINDOW = 600  # no test takes as long


@pytest.fixture(params=["memory", "redis"])
def settings(sqlite_url: str, worker_id: str, request: pytest.FixtureRequest) -> Settings:
    """A player may do 3 money operations and 4 reads, and an address send 2 bad credentials."""
    url = None
    if request.param == "redis":
        url = empty_database(request.getfixturevalue("redis_url"), worker_id)
    return Settings(
        database_url=sqlite_url,
        redis_url=url,
        redis_timeout_seconds=10,
        jobs_in_server=False,
        rate_limit_player_money=f"3/{WINDOW}",
        rate_limit_player_reads=f"4/{WINDOW}",
        rate_limit_failed_authentication=f"2/{WINDOW}",
    )


@pytest.fixture
async def anna(shop: Shop) -> Headers:
    """Her credential; she has 10,000 coins."""
    await shop.world.credit(shop.world.anna, 10_000)
    return shop.player(shop.world.anna)


async def post(shop: Shop, path: str, headers: Headers, **body: Any) -> httpx.Response:
    return await shop.client.post(path, headers=headers, json=body)


async def test_money_operations_share_one_budget(shop: Shop, anna: Headers) -> None:
    for path, left in ((BUY, 2), (USE, 1), (BUY, 0)):
        response = await post(shop, path, anna)
        assert response.status_code == 200
        assert limits_of(response) == {"money": (3, WINDOW, left)}
    async with nothing_changes(shop.world):
        for path in (BUY, USE, FUND, "/products/2/purchase"):
            assert_rate_limited(await post(shop, path, anna), "money", 3, WINDOW)
    boris = await post(shop, USE, shop.player(shop.world.boris))
    assert (boris.status_code, left_of(boris)) == (409, {"money": 2})
    inventory = await shop.client.get(READS[0], headers=anna)
    assert (inventory.status_code, left_of(inventory)) == (200, {"read": 3})


async def test_reads_share_one_budget(shop: Shop, anna: Headers) -> None:
    for path, left in zip([*READS, "/users/2/inventory"], (3, 2, 1, 0), strict=True):
        response = await shop.client.get(path, headers=anna)
        assert response.status_code == (200 if path in READS else 403)
        assert limits_of(response) == {"read": (4, WINDOW, left)}
    etag = {"If-None-Match": "*"}
    for path in READS:
        for headers in (anna, anna | etag):
            response = await shop.client.get(path, headers=headers)
            assert_rate_limited(response, "read", 4, WINDOW)
    assert left_of(await post(shop, BUY, anna)) == {"money": 2}
    boris = shop.player(shop.world.boris)
    for headers, status, left in ((boris, 200, 3), (boris | etag, 304, 2)):
        response = await shop.client.get("/products", headers=headers)
        assert (response.status_code, left_of(response)) == (status, {"read": left})


async def test_the_defaults(sqlite_url: str) -> None:
    async with open_shop(Settings(database_url=sqlite_url, jobs_in_server=False)) as shop:
        anna = shop.player(shop.world.anna)
        assert limits_of(await post(shop, USE, anna)) == {"money": (120, 10, 119)}
        response = await shop.client.get("/products", headers=anna)
        assert limits_of(response) == {"read": (300, 10, 299)}
        for path in (BUY, USE):
            assert limits_of(await post(shop, path, shop.server, user_id=1)) == {}
        for path in READS:
            assert limits_of(await shop.client.get(path, headers=shop.server)) == {}
        for _ in range(30):
            assert (await shop.client.get("/products", headers=BAD)).status_code == 401
        response = await shop.client.get("/products", headers=BAD)
        assert_rate_limited(response, "failed-authentication", 30, 60)


async def test_server_keys(settings: Settings) -> None:
    """Each key has its own budget, for whomever it acts."""
    rates = {"rate_limit_server_money": f"3/{WINDOW}", "rate_limit_server_reads": f"2/{WINDOW}"}
    async with open_shop(settings.model_copy(update=rates)) as shop:
        funding = shop.server | {"Idempotency-Key": "k"}
        for user_id, left in ((1, 2), (2, 1)):
            response = await post(shop, f"/users/{user_id}/add-funds", funding, amount=1_000)
            assert response.status_code == 200
            assert limits_of(response) == {"money": (3, WINDOW, left)}
        response = await post(shop, BUY, shop.server, user_id=1)
        assert (response.status_code, left_of(response)) == (200, {"money": 0})
        async with nothing_changes(shop.world):
            for path in (BUY, USE):
                response = await post(shop, path, shop.server, user_id=2)
                assert_rate_limited(response, "money", 3, WINDOW)
            response = await post(shop, FUND, shop.server | {"Idempotency-Key": "l"}, amount=1)
            assert_rate_limited(response, "money", 3, WINDOW)
        assert left_of(await post(shop, BUY, shop.player(shop.world.anna))) == {"money": 2}
        other = await shop.key_with(Scope.ITEMS_WRITE, Scope.READ_ANY)
        assert left_of(await post(shop, BUY, other, user_id=1)) == {"money": 2}
        for left in (1, 0):
            assert left_of(await shop.client.get(READS[0], headers=other)) == {"read": left}
        response = await shop.client.get(READS[0], headers=other)
        assert_rate_limited(response, "read", 2, WINDOW)


async def test_a_refusal_passes(settings: Settings) -> None:
    """After the time that it tells; nothing of it was stored under the key."""
    rates = {"rate_limit_player_money": "1/1"}
    async with open_shop(settings.model_copy(update=rates)) as shop:
        await shop.world.credit(shop.world.anna, 100_000)
        anna = shop.player(shop.world.anna)
        for number in range(900):  # an operation may take longer than the window
            headers = anna | {"Idempotency-Key": f"key-{number}"}
            before = await shop.world.state()
            response = await post(shop, BUY, headers)
            if response.status_code == 429:
                break
            assert limits_of(response) == {"money": (1, 1, 0)}
        assert await shop.world.state() == before
        await asyncio.sleep(assert_rate_limited(response, "money", 1, 1))
        response = await post(shop, BUY, headers, quantity=2)
        assert (response.status_code, response.json()["replayed"]) == (200, False)
        [row] = (await journal_of(shop.services, shop.world.anna))[number + 1 :]
        assert (row.status, row.quantity) == ("completed", 2)


@pytest.mark.parametrize(("path", "status"), [(BUY, 200), ("/products/2/use", 409)])
async def test_replays(shop: Shop, anna: Headers, path: str, status: int) -> None:
    """Of a success as of a decline: a read each, and only without reads left money."""
    headers = anna | {"Idempotency-Key": "k"}
    assert left_of(await post(shop, path, headers)) == {"money": 2}
    async with nothing_changes(shop.world):
        for key, left in (("k", 3), ('"k"', 2), ("k", 1), ("k", 0)):
            response = await post(shop, path, anna | {"Idempotency-Key": key})
            assert (response.status_code, left_of(response)) == (
                status,
                {"money": 2, "read": left},
            )
            assert response.headers["idempotent-replayed"] == "true"
        response = await post(shop, path, headers)
        assert (response.status_code, left_of(response)) == (status, {"money": 1, "read": 0})
        assert response.headers["idempotent-replayed"] == "true"
    response = await post(shop, BUY, anna)
    assert (response.status_code, left_of(response)) == (200, {"money": 0})
    async with nothing_changes(shop.world):
        assert_rate_limited(await post(shop, path, headers), "money", 3, WINDOW)


async def test_replays_of_an_unlimited_key_cost_nothing(shop: Shop) -> None:
    headers = shop.server | {"Idempotency-Key": "k"}
    for number in range(6):
        response = await post(shop, FUND, headers, amount=5)
        assert (response.status_code, response.json()["replayed"]) == (200, number > 0)
        assert limits_of(response) == {}


REFUSED: list[tuple[int, str, Headers, str]] = [
    (400, BUY, {}, "{"),
    (415, BUY, {"Content-Type": "text/plain"}, "{}"),
    (422, BUY, {}, '{"quantity": 0}'),
    (413, BUY, {}, " " * 70_000),
    (404, "/products/9/purchase", {}, "{}"),
    (404, "/products/abc/use", {}, "{}"),
    (403, BUY, {}, '{"user_id": 2}'),
    (403, FUND, {"Idempotency-Key": "k"}, '{"amount": 5}'),
    (400, BUY, {"Idempotency-Key": ""}, "{}"),
    (400, BUY, {"Idempotency-Key": "x" * 256}, "{}"),
]


async def test_what_is_refused_costs_as_much(settings: Settings) -> None:
    rates = {"rate_limit_player_money": f"{len(REFUSED)}/{WINDOW}"}
    async with open_shop(settings.model_copy(update=rates)) as shop:
        anna, left = shop.player(shop.world.anna), len(REFUSED)
        async with nothing_changes(shop.world):
            for status, path, headers, body in REFUSED:
                left -= 1
                response = await post_text(shop, path, anna | headers, body)
                assert (response.status_code, left_of(response)) == (status, {"money": left})
            for _, path, headers, body in REFUSED:
                response = await post_text(shop, path, anna | headers, body)
                assert_rate_limited(response, "money", len(REFUSED), WINDOW)


async def test_a_key_used_again_costs_money(shop: Shop, anna: Headers) -> None:
    headers = anna | {"Idempotency-Key": "k"}
    assert left_of(await post(shop, BUY, headers)) == {"money": 2}
    response = await post(shop, BUY, headers, quantity=2)
    assert (response.status_code, left_of(response)) == (422, {"money": 1})
    two = [*anna.items(), ("Idempotency-Key", "k"), ("Idempotency-Key", "k")]
    response = await shop.client.post(BUY, headers=two)
    assert (response.status_code, left_of(response)) == (400, {"money": 0})
    assert_rate_limited(await post(shop, BUY, headers), "money", 3, WINDOW)


async def test_what_costs_nothing(shop: Shop, anna: Headers) -> None:
    """What no endpoint answers, and what needs no credential, whatever is used up."""
    for _ in range(3):
        await shop.client.get("/products", headers=BAD)
    for headers in (anna, BAD, ANONYMOUS):
        for _ in range(6):
            for method in ("HEAD", "OPTIONS", "PUT"):
                response = await shop.client.request(method, BUY, headers=headers)
                assert (response.status_code, limits_of(response)) == (405, {})
            for path, status in (
                *(("/health/live", 200), ("/health/ready", 200), ("/metrics", 200)),
                *(("/docs", 200), ("/redoc", 200), ("/openapi.json", 200), ("/nothing", 404)),
            ):
                response = await shop.client.get(path, headers=headers)
                assert (response.status_code, limits_of(response)) == (status, {})
    assert left_of(await post(shop, BUY, anna)) == {"money": 2}
    assert left_of(await shop.client.get("/products", headers=anna)) == {"read": 3}


async def test_switched_off(settings: Settings) -> None:
    names = ("player_money", "player_reads", "failed_authentication")
    rates = {f"rate_limit_{name}": "" for name in names}
    async with open_shop(settings.model_copy(update=rates)) as shop:
        for _ in range(40):
            for headers, status in ((shop.player(shop.world.anna), 409), (BAD, 401)):
                response = await post(shop, USE, headers)
                assert (response.status_code, limits_of(response)) == (status, {})


async def test_together(shop: Shop, app: FastAPI, anna: Headers) -> None:
    """20 purchases at once, of which 3 are granted; the metric counts the others."""
    answers = await asyncio.gather(*(post(shop, BUY, anna) for _ in range(20)))
    granted = [answer for answer in answers if answer.status_code == 200]
    assert sorted(left_of(answer)["money"] for answer in granted) == [0, 1, 2]
    assert sorted(answer.json()["user"]["balance"] for answer in granted) == [9_700, 9_800, 9_900]
    for answer in answers:
        if answer not in granted:
            assert_rate_limited(answer, "money", 3, WINDOW)
    state = await shop.world.state()
    assert [tuple(row) for row in state["user"]] == [(1, 9_700, 4), (2, 0, 0)]
    assert [tuple(row) for row in state["inventory"]] == [(1, 1, 3)]
    name = 'economy_rate_limit_rejections_total{limit="money"}'
    metrics = (await shop.client.get("/metrics")).text.splitlines()
    assert [line for line in metrics if line.startswith(name)] == [f"{name} 17.0"]


async def statuses(app: FastAPI, headers: Headers, *addresses: str) -> list[int]:
    """Of one read from each address."""
    found = []
    for address in addresses:
        transport = httpx.ASGITransport(app, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            found.append((await client.get("/products", headers=headers)).status_code)
    return found


async def test_bad_credentials_are_counted_by_address(
    app: FastAPI, shop: Shop, anna: Headers
) -> None:
    """An IPv6 customer has a whole network; IPv4 is the same however a socket spells it."""
    assert await statuses(app, ANONYMOUS, *5 * ["10.0.0.1"]) == 5 * [401]
    for addresses in (
        ["10.0.0.1", "10.0.0.1", "10.0.0.1"],
        ["10.0.0.2", "::ffff:10.0.0.2", "::FFFF:a00:2"],
        ["::ffff:10.0.0.3", "10.0.0.3", "::ffff:10.0.0.3"],
        ["2001:db8::1", "2001:db8::2", "2001:DB8:0:0:ffff::"],
        ["2001:db8:0:1::1", "2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff"],
        ["fe80::1%eth0", "fe80::2%eth0", "fe80::3"],
        ["::1", "::1", "::1"],
    ):
        assert await statuses(app, BAD, *addresses) == [401, 401, 429], addresses
        assert await statuses(app, ANONYMOUS, *addresses) == [401, 401, 401]
        assert await statuses(app, shop.server, *addresses) == [200, 200, 200]
    assert await statuses(app, anna, "10.0.0.1") == [200]
