"""ETag and 304 of the three reads over REST; everything else is never kept by anybody."""

import re
from typing import Any

import httpx
import pytest

from economy.settings import Settings
from tests.live import live_server
from tests.rest import BOOST, left_of, open_shop
from tests.shop import Headers, Shop
from tests.world import SERVER

READS = ("/users/1/inventory", "/products", "/analytics/popular-products")
ETAG = re.compile('"[0-9a-f]{32}"')
UNKNOWN = '"00000000000000000000000000000000"'


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """The answers themselves are tested elsewhere, on both."""
    return sqlite_url


async def read(
    shop: Shop, path: str, headers: Headers, *if_none_match: str, **params: str
) -> httpx.Response:
    conditions = [("If-None-Match", condition) for condition in if_none_match]
    return await shop.client.get(
        path, headers=[*headers.items(), *conditions], params=params or None
    )


def etag_of(response: httpx.Response) -> str:
    """Of a whole answer."""
    assert response.status_code == 200
    assert response.headers["cache-control"] == "private, no-cache"
    assert response.headers["vary"] == "Authorization, X-Api-Key"
    etag = response.headers["etag"]
    assert ETAG.fullmatch(etag)
    return str(etag)


def assert_not_modified(response: httpx.Response, etag: str) -> None:
    """304 without a body, and with every header that 200 has but those of the body."""
    assert (response.status_code, response.content) == (304, b"")
    assert response.headers["etag"] == etag
    assert response.headers["cache-control"] == "private, no-cache"
    assert response.headers["vary"] == "Authorization, X-Api-Key"
    assert re.fullmatch("[0-9a-f]{32}", response.headers["x-request-id"])
    assert "content-type" not in response.headers
    assert "content-length" not in response.headers


async def test_what_one_has_already_is_not_sent_again(shop: Shop) -> None:
    await shop.world.credit(shop.world.anna, 1_000)
    await shop.world.buy(shop.world.anna, shop.world.boost)
    anna = shop.player(shop.world.anna)
    for path in READS:
        etag = etag_of(await read(shop, path, anna))
        other = UNKNOWN[:-2] + '1"'
        same: list[tuple[str, ...]] = [
            (etag,),
            (f"W/{etag}",),
            ("*",),
            (f"{UNKNOWN}, {etag}",),
            (f'{UNKNOWN},W/{etag} , "a"',),
            (UNKNOWN, etag),
            (f'"a, b", {etag}',),
        ]
        for conditions in same:
            assert_not_modified(await read(shop, path, anna, *conditions), etag)
        different: list[tuple[str, ...]] = [
            (),
            ("",),
            (UNKNOWN,),
            (f"W/{UNKNOWN}", other),
            (etag[1:-1],),
            (etag.upper().replace('"', "'"),),
            (f"w/{etag}",),
            (etag[:-1],),
            (",,",),
        ]
        for conditions in different:
            assert etag_of(await read(shop, path, anna, *conditions)) == etag, conditions


async def test_another_answer_has_another_etag(shop: Shop) -> None:
    """By its content alone: who asks and what else was asked make no difference."""
    world = shop.world
    await world.credit(world.anna, 1_000)
    anna = shop.player(world.anna)
    empty = etag_of(await read(shop, READS[0], anna))
    assert etag_of(await read(shop, READS[0], shop.server)) == empty
    await world.buy(world.anna, world.boost)
    one = etag_of(await read(shop, READS[0], anna, empty))
    await world.buy(world.anna, world.boost)
    two = etag_of(await read(shop, READS[0], anna, empty, one))
    assert len({empty, one, two}) == 3
    for etag in (one, empty):
        await world.use(world.anna, world.boost)
        assert_not_modified(await read(shop, READS[0], anna, etag), etag)


async def test_an_edited_product_shows_at_once(shop: Shop) -> None:
    await shop.world.credit(shop.world.anna, 1_000)
    await shop.world.buy(shop.world.anna, shop.world.boost)
    etags = {path: etag_of(await read(shop, path, shop.server)) for path in READS}
    await shop.services.products.update_product(SERVER, "1", {"price": 120})
    for path, etag in etags.items():
        response = await read(shop, path, shop.server, etag)
        assert etag_of(response) != etag
        [shown] = [one.get("product", one) for one in response.json()["items"]][:1]
        assert shown == BOOST | {"price": 120}
    await shop.services.products.update_product(SERVER, "1", {"price": 100})
    for path, etag in etags.items():
        assert_not_modified(await read(shop, path, shop.server, etag), etag)


async def test_parts_of_a_list_are_answers_of_their_own(shop: Shop) -> None:
    whole = etag_of(await read(shop, "/products", shop.server))
    part = etag_of(await read(shop, "/products", shop.server, whole, first="1"))
    assert part != whole
    assert_not_modified(await read(shop, "/products", shop.server, part, first="1"), part)


async def test_it_counts_as_a_read(shop: Shop) -> None:
    """A 304 takes of the limit what a 200 takes, and says so."""
    anna = shop.player(shop.world.anna)
    for path in READS:
        whole = await read(shop, path, anna)
        kept = await read(shop, path, anna, etag_of(whole))
        assert kept.status_code == 304
        [(name, left)] = left_of(whole).items()
        assert left_of(kept) == {name: left - 1}


async def test_errors_are_never_kept(shop: Shop) -> None:
    """Whatever is asked for conditionally: `*` names what is there, not what is refused."""
    boris: Headers = shop.player(shop.world.boris)
    nobody: Headers = {}
    for path, headers, status in (
        (READS[0], boris, 403),
        ("/users/999/inventory", shop.server, 404),
        ("/products?first=0", boris, 422),
        ("/analytics/popular-products?limit=x", boris, 422),
        (READS[1], nobody, 401),
        ("/nothing", boris, 404),
    ):
        response = await read(shop, path, headers, "*")
        assert (response.status_code, response.json()["status"]) == (status, status)
        assert response.headers["cache-control"] == "no-store"
        assert "etag" not in response.headers


async def test_writes_are_not_conditional(shop: Shop) -> None:
    await shop.world.credit(shop.world.anna, 1_000)
    anna = shop.player(shop.world.anna)
    etag = etag_of(await read(shop, READS[0], anna))
    for condition in ("*", etag):
        response = await shop.client.post(
            "/products/1/purchase", headers=anna | {"If-None-Match": condition}
        )
        assert response.status_code == 200
        assert "etag" not in response.headers
    [item] = (await read(shop, READS[0], anna)).json()["items"]
    assert item["quantity"] == 2


async def test_over_graphql_nothing_is_kept(shop: Shop) -> None:
    headers = shop.server | {"If-None-Match": "*"}
    response = await shop.client.get(
        "/graphql", params={"query": "{ product(id: 1) { price } }"}, headers=headers
    )
    assert response.json() == {"data": {"product": {"price": 100}}}
    assert response.headers["cache-control"] == "no-store"
    assert "etag" not in response.headers


async def test_the_document_tells_of_304(shop: Shop) -> None:
    paths: dict[str, Any] = (await shop.client.get("/openapi.json")).json()["paths"]
    documented = {
        (method, path): one["responses"]["304"]
        for path, methods in paths.items()
        for method, one in methods.items()
        if "304" in one["responses"]
    }
    reads = ("/users/{user_id}/inventory", *READS[1:])
    assert documented.keys() == {("get", path) for path in reads}
    for answer in documented.values():
        assert answer.keys() == {"description", "headers"}
        assert answer["headers"].keys() == {"ETag"}


async def test_over_the_network(sqlite_url: str) -> None:
    """A 304 with a body would garble the answer behind it on the same connection."""
    async with open_shop(Settings(database_url=sqlite_url, jobs_in_server=False)) as shop:
        headers = shop.server
    with live_server(database_url=sqlite_url) as server:
        async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
            for path in READS * 2:
                whole = await client.get(path, headers=headers)
                etag = etag_of(whole)
                kept = await client.get(path, headers=headers | {"If-None-Match": etag})
                assert_not_modified(kept, etag)
                again = await client.get(path, headers=headers)
                assert (again.status_code, again.content) == (200, whole.content)
