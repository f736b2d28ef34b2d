"""What requests and operations are counted under, and that coins are counted as they are booked."""

import asyncio
import http.client
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from economy.bootstrap import open_services
from economy.errors import EconomyError
from economy.metrics import Metrics
from economy.services.operations import IfSpent
from economy.settings import Settings
from tests.cache_source import figures
from tests.live import live_server
from tests.rest import open_shop
from tests.rival import Rival
from tests.shop import Shop
from tests.world import World

QUEUE = "economy_posting_queue_operations"
LEDGER = """
SELECT t.kind, CASE WHEN e.amount > 0 THEN 'minted' ELSE 'spent' END, sum(abs(e.amount))
FROM ledger_entry e JOIN "transaction" t ON t.user_id = e.user_id AND t.id = e.transaction_id
WHERE e.account = 'user' AND e.amount <> 0 GROUP BY 1, 2
"""
# as anna asks over REST, and over GraphQL
ASKED: list[tuple[str, str, str, str]] = [
    ("addFunds", "POST", "/users/1/add-funds", "(input: {userId: 1, amount: 500, KEY})"),
    ("purchase", "POST", "/products/1/purchase", "(input: {productId: 1, KEY})"),
    ("useItem", "POST", "/products/1/use", "(input: {productId: 1, KEY})"),
    ("inventory", "GET", "/users/1/inventory", " { id }"),
    ("products", "GET", "/products", " { edges { node { id } } }"),
    ("popularProducts", "GET", "/analytics/popular-products", " { rank }"),
]
TEMPLATES = {
    "addFunds": "/users/{user_id}/add-funds",
    "purchase": "/products/{product_id}/purchase",
    "useItem": "/products/{product_id}/use",
    "inventory": "/users/{user_id}/inventory",
}


async def told(client: httpx.AsyncClient, name: str) -> dict[str, float]:
    """Labels of one metric, but for scrapes -> value."""
    found = figures((await client.get("/metrics")).text)
    return {
        key.removeprefix(name): value
        for key, value in found.items()
        if key.startswith(name + "{") and "/metrics" not in key
    }


async def test_both_transports_count_under_one_name(shop: Shop) -> None:
    expected_counts, expected_times = {}, {}
    for name, method, path, rest in ASKED:
        is_write = method == "POST"
        headers = shop.server if name == "addFunds" else shop.player(shop.world.anna)
        body = {"amount": 500} if name == "addFunds" else None
        keyed = headers | {"Idempotency-Key": "rest"}
        response = await shop.client.request(method, path, headers=keyed, json=body)
        assert response.status_code == 200, response.text
        arguments = rest.replace("KEY", 'idempotencyKey: "graphql"')
        selection = " { __typename }" if is_write else ""
        document = f"{'mutation' if is_write else 'query'} {{ {name}{arguments}{selection} }}"
        for _ in range(3):  # interpreted, compiled, and once more
            assert "errors" not in await shop.graphql(document, headers)
        route = TEMPLATES.get(name, path)
        labels = f'operation="{name}",route="{route}"'
        expected_counts[f'{{method="{method}",{labels},status="200"}}'] = 1
        expected_times[f"{{{labels}}}"] = 1
        labels = f'operation="{name}",route="/graphql"'
        expected_counts[f'{{method="POST",{labels},status="200"}}'] = 3
        expected_times[f"{{{labels}}}"] = 3
    assert await told(shop.client, "economy_http_requests_total") == expected_counts
    assert await told(shop.client, "economy_http_request_seconds_count") == expected_times
    assert await told(shop.client, "economy_graphql_errors_total") == {}


# body -> what it is counted under, and the codes of its errors
OTHERS: list[tuple[Any, str, list[str]]] = [
    ("{ me { id } }", "me", []),
    ("{ again: me { id } }", "me", []),
    ("{ a: me { id } b: me { id } }", "several", []),
    ("{ ...Both } fragment Both on Query { me { id } }", "several", []),
    ("{ __typename }", "__typename", []),
    ("{ user(id: 2) { email } }", "user", ["FORBIDDEN"]),
    ("{ inventory(userId: 2) { id } }", "inventory", ["FORBIDDEN"]),
    ("{ a: inventory(userId: 2) { id } b: me { id } }", "several", ["FORBIDDEN"]),
    (
        "{ a: inventory(userId: 2) { id } b: inventory(userId: 2) { id } }",
        "several",
        ["FORBIDDEN", "FORBIDDEN"],
    ),
    ("{ nothing }", "graphql", ["GRAPHQL_VALIDATION_FAILED"]),
    ("{", "graphql", ["GRAPHQL_VALIDATION_FAILED"]),
    ("query A { me { id } } query B { me { id } }", "graphql", ["GRAPHQL_VALIDATION_FAILED"]),
    ([], "graphql", ["BAD_REQUEST"]),
    (
        {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "0" * 64}}},
        "graphql",
        ["PERSISTED_QUERY_NOT_SUPPORTED"],
    ),
]


@pytest.mark.parametrize(("body", "operation", "codes"), OTHERS, ids=lambda one: str(one)[:30])
async def test_whatever_else_is_asked_over_graphql(
    shop: Shop, body: Any, operation: str, codes: list[str]
) -> None:
    content = {"query": body} if isinstance(body, str) else body
    anna = shop.player(shop.world.anna)
    answers = [await shop.client.post("/graphql", json=content, headers=anna) for _ in range(2)]
    statuses = {answer.status_code for answer in answers}
    assert len(statuses) == 1
    labels = f'method="POST",operation="{operation}",route="/graphql",status="{statuses.pop()}"'
    assert await told(shop.client, "economy_http_requests_total") == {f"{{{labels}}}": 2}
    shown = [error["extensions"]["code"] for error in answers[0].json().get("errors", ())]
    assert shown == codes
    assert await told(shop.client, "economy_graphql_errors_total") == {
        f'{{code="{code}",operation="{operation}"}}': 2 * codes.count(code) for code in codes
    }


async def test_a_bug_is_counted_under_what_met_it(shop: Shop) -> None:
    await shop.world.sql("ALTER TABLE inventory RENAME TO lost")
    anna = shop.player(shop.world.anna)
    for document in ("{ inventory { id } }", "{ me { id inventory { id } } }"):
        assert len((await shop.graphql(document, anna))["errors"]) == 1
    errors = await told(shop.client, "economy_graphql_errors_total")
    names = ("inventory", "me")
    assert errors == {f'{{code="INTERNAL_ERROR",operation="{name}"}}': 1 for name in names}


def test_series_are_bounded_whatever_clients_send(sqlite_url: str) -> None:
    settings = {"rate_limit_failed_authentication": "", "jobs_in_server": "false"}
    with live_server(database_url=sqlite_url, **settings) as server:
        address = server.url.removeprefix("http://")
        with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as client:
            send_strange_requests(address, client, "first")
            first = series(client)
            for name in ("second", "third"):
                send_strange_requests(address, client, name)
                assert series(client) == first


def series(client: httpx.Client) -> set[str]:
    """Those that requests have made."""
    client.get("/metrics")  # which is counted after its answer
    text = client.get("/metrics").text
    names = ("economy_http_requests_total{", "economy_graphql_errors_total{")
    return {line.rpartition(" ")[0] for line in text.splitlines() if line.startswith(names)}


def send_strange_requests(address: str, client: httpx.Client, name: str) -> None:
    for path in (f"/{name}", f"/products/{name}", f"/products/{name}/purchase", f"/docs/{name}"):
        for method in ("GET", "POST", "DELETE"):
            client.request(method, path)
    client.get(f"/docs/assets/{name}.js")
    client.get(f"/graphql/assets/{name}.js")
    for query in (f"{{ {name} }}", f"{{ {name}: me {{ id }} }}", f"query {name} {{ __typename }}"):
        for operation in (name, None):
            client.post("/graphql", json={"query": query, "operationName": operation})
    hashed = {"persistedQuery": {"version": 1, "sha256Hash": name}}
    client.post("/graphql", json={"query": name, "extensions": hashed})
    client.get("/products", headers={"X-Api-Key": name, "X-Request-Id": name})
    for method in (name, name.upper()):
        connection = http.client.HTTPConnection(address)
        connection.request(method, "/products", body=json.dumps({name: name}))
        assert connection.getresponse().status in (400, 405)
        connection.close()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_the_queue_of_a_user_whose_row_is_held(database_url: str, rival: Rival) -> None:
    patient = {"lock_timeout_ms": 60_000, "statement_timeout_ms": 60_000}
    settings = Settings(database_url=database_url, jobs_in_server=False, **patient)  # type: ignore[arg-type]
    async with open_shop(settings) as shop:
        world = shop.world
        for user in (world.anna, world.boris):
            await world.credit(user, 1_000)

        async def found(name: str) -> float:
            return figures((await shop.client.get("/metrics")).text).get(name, 0)

        async with rival.holding_user(world.anna.id):
            buying = [asyncio.create_task(world.buy(world.anna, world.boost))]
            await rival.until_waiting()
            assert await found(QUEUE) == 0  # its batch has begun
            buying += [asyncio.create_task(world.buy(world.anna, world.boost)) for _ in range(3)]
            while await found(QUEUE) != 3:  # noqa: ASYNC110 - nothing else tells
                await asyncio.sleep(0.01)
            await world.buy(world.boris, world.boost)
            assert await found(QUEUE) == 3
            assert await found("economy_posting_wait_seconds_count") == 2 + 1 + 1
            assert await found("economy_database_connections_in_use") == 1
        await asyncio.gather(*buying)
        assert await found(QUEUE) == 0
        assert await found("economy_posting_wait_seconds_count") == 2 + 5
        assert await found("economy_posting_batch_operations_sum") == 2 + 5
        assert await found("economy_posting_batch_operations_count") == 2 + 3


def coins(metrics: Metrics) -> dict[tuple[str, str], float]:
    """By kind, minted and spent."""
    found = {}
    for name, value in figures(metrics.text()).items():
        if name.startswith(("economy_coins_minted_total{", "economy_coins_spent_total{")):
            found[name.split('"')[1], name.split("_")[2]] = value
    return found


async def test_coins_are_counted_as_they_are_booked(settings: Settings) -> None:
    metrics = Metrics()
    async with open_services(settings, metrics) as services:
        world = await World.create(services)
        counted = dict[tuple[str, str], float]()

        async def moves(awaited: Awaitable[Any], kind: str, way: str, amount: int) -> Any:
            booking = await awaited
            counted[kind, way] = counted.get((kind, way), 0) + amount
            assert coins(metrics) == counted
            return booking.transaction

        async def moves_nothing(awaited: Awaitable[Any]) -> Any:
            booking = await awaited
            assert coins(metrics) == counted
            return booking.transaction

        async def is_refused(awaited: Awaitable[Any]) -> None:
            with pytest.raises(EconomyError):
                await awaited
            assert coins(metrics) == counted

        await buy_and_undo(world, moves, moves_nothing, is_refused)
        rows = await world.sql(LEDGER)
        assert {(kind, way): float(amount) for kind, way, amount in rows} == counted
        worth = [await world.worth(user) for user in (world.anna, world.boris)]
        minted = sum(amount for (_, way), amount in counted.items() if way == "minted")
        spent = sum(counted.values()) - minted
        assert minted - spent == sum(balance - debt for balance, debt in worth)


async def buy_and_undo(
    world: World,
    moves: Callable[..., Awaitable[Any]],
    moves_nothing: Callable[[Awaitable[Any]], Awaitable[Any]],
    is_refused: Callable[[Awaitable[Any]], Awaitable[None]],
) -> None:
    """Every kind of operation, done, told again and refused."""
    anna, boris, boost = world.anna, world.boris, world.boost
    top_up = await moves(world.credit(anna, 1_000, idempotency_key="k"), "top_up", "minted", 1_000)
    await moves_nothing(world.credit(anna, 1_000, idempotency_key="k"))
    begun = await moves_nothing(world.begin(anna, 300))
    await moves(world.complete(begun), "top_up", "minted", 300)
    await moves_nothing(world.complete(begun))
    failed = await moves_nothing(world.begin(boris, 70))
    await moves_nothing(world.fail(failed))
    await is_refused(world.complete(failed))

    bought = await moves(
        world.buy(anna, boost, quantity=4, idempotency_key="k"), "purchase", "spent", 400
    )
    await moves_nothing(world.buy(anna, boost, quantity=4, idempotency_key="k"))
    await is_refused(world.buy(boris, boost))
    await moves_nothing(world.use(anna, boost))
    await moves(world.debit(anna, 50, idempotency_key="k"), "debit", "spent", 50)
    await moves_nothing(world.debit(anna, 50, idempotency_key="k"))
    await is_refused(world.debit(boris, 50))
    await moves_nothing(world.grant(boris, boost))
    await moves_nothing(world.revoke(boris, boost))

    taken = {"if_spent": IfSpent.TAKE_WHAT_IS_LEFT, "idempotency_key": "k"}
    await is_refused(world.reverse(bought))
    await moves(world.reverse(bought, **taken), "reversal", "minted", 300)
    await moves_nothing(world.reverse(bought, **taken))
    await is_refused(world.reverse(bought))
    await moves(world.debit(anna, 1_000), "debit", "spent", 1_000)
    # of 1000 coins 850 are a debt, which the next credit repays in part
    taken |= {"idempotency_key": "k2"}
    await moves(world.reverse(top_up, **taken), "reversal", "spent", 1_000)
    assert await world.worth(anna) == (0, 850)
    await moves(world.credit(anna, 500), "top_up", "minted", 500)
    assert await world.worth(anna) == (0, 350)
