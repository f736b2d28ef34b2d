"""The previous release beside this one: one database, one Redis, and a migration under its load."""

import asyncio
import contextlib
import itertools
import tarfile
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from economy.database import Database
from economy.migrate import is_migrated
from economy.settings import Settings
from tests.conftest import NUMBERS
from tests.live import LiveServer, launched, live_server, run_economy
from tests.migrating import schema
from tests.rival import open_rival
from tests.rows import everything
from tests.servers import PostgresServer, create_database, drop_database
from tests.shop import Headers

ARCHIVE = Path(__file__).parent / "releases" / "0.1.0.tar.xz"
SECRET = "a-secret-of-production-32-bytes!"
CONNECTIONS, AT_ONCE = 8, 10
PATHS = ["/users/1/inventory", "/products", "/analytics/popular-products"]
BUY = """mutation ($key: String!) { purchase(input: {productId: "1", idempotencyKey: $key}) {
    ... on PurchaseSuccess { transaction { id balanceAfter } item { quantity } replayed }
    ... on EconomyError { code } } }"""
CREATE_USER = """mutation ($input: CreateUserInput!) { createUser(input: $input) {
    ... on CreateUserSuccess { user { id } } } }"""
CREATE_PRODUCT = """mutation ($input: CreateProductInput!) { createProduct(input: $input) {
    ... on CreateProductSuccess { product { id } } } }"""
BEGIN = """mutation ($input: BeginTopUpInput!) { beginTopUp(input: $input) {
    ... on BeginTopUpSuccess { transaction { id } replayed } } }"""
SETTLE = """mutation ($input: SettleTopUpInput!) { completeTopUp(input: $input) {
    ... on CompleteTopUpSuccess { transaction { id balanceAfter } replayed } } }"""
REVERSE = """mutation ($input: ReverseTransactionInput!) { reverseTransaction(input: $input) {
    ... on ReverseTransactionSuccess { transaction { id balanceAfter } replayed } } }"""
HISTORY = """{ me { balance debt transactions(first: 100) { edges { node {
    id kind status amount balanceAfter quantity failureCode createdAt completedAt targetId } } } }
}"""


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of the previous release."""
    folder = tmp_path_factory.mktemp("previous")
    with tarfile.open(ARCHIVE) as archive:
        # the first releases of Python 3.11 know no filter
        archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
        archive.extractall(folder)
    return str(folder)


@pytest.fixture
async def production(
    postgres: PostgresServer, own_redis_url: str, worker_id: str
) -> AsyncIterator[dict[str, str]]:
    """Settings that both releases know, with a database without any table."""
    name = f"releases_{worker_id}_{next(NUMBERS)}"
    await create_database(postgres, name)
    settings = {"environment": "production", "jwt_secret": SECRET, "jobs_every_seconds": "1"}
    settings |= {"rate_limit_player_money": "", "rate_limit_player_reads": ""}
    settings |= {"database_url": postgres.database_url(name), "redis_url": own_redis_url}
    # on a busy machine a slow answer must not look like a failure
    yield settings | {"redis_timeout_seconds": "10"}
    await drop_database(postgres, name)


@dataclass
class Release:
    """A server of one release, asked by anna and by a game server."""

    client: httpx.AsyncClient
    player: Headers
    server: Headers

    async def graphql(self, document: str, headers: Headers, **variables: Any) -> Any:
        body = {"query": document, "variables": variables}
        response = await self.client.post("/graphql", json=body, headers=headers)
        assert response.status_code == 200, response.text
        assert response.json().keys() == {"data"}, response.text
        return next(iter(response.json()["data"].values()))

    async def post(self, path: str, headers: Headers, key: str, **body: Any) -> httpx.Response:
        headers = headers | {"Idempotency-Key": key}
        return await self.client.post(path, headers=headers, json=body)

    async def reads(self) -> list[Any]:
        """Whatever both must answer alike."""
        answers = [await self.client.get(path, headers=self.player) for path in PATHS]
        assert [answer.status_code for answer in answers] == [200, 200, 200]
        history = await self.graphql(HISTORY, self.player)
        return [*(answer.json() for answer in answers), history]

    async def held(self) -> int:
        """What anna's inventory says of product 1."""
        answer = await self.client.get("/users/1/inventory", headers=self.player)
        return sum(item["quantity"] for item in answer.json()["items"])

    async def told_operations(self) -> bool:
        """Does it count requests by operation? Only this release does."""
        metrics = (await self.client.get("/metrics")).text
        return 'economy_http_requests_total{method="POST",operation="' in metrics


@contextlib.asynccontextmanager
async def opened(server: LiveServer, player: Headers, key: Headers) -> AsyncIterator[Release]:
    async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=60) as client:
        yield Release(client, player, key)


async def populate(server: LiveServer, **command: Any) -> tuple[Headers, Headers]:
    """Anna, a consumable for 100 coins and a permanent for 500; credentials of hers and of a game
    server."""
    made = run_economy("token", "--server", **command)
    key = {"X-Api-Key": made.stdout.strip()}
    async with opened(server, {}, key) as release:
        anna = {"username": "anna", "email": "anna@example.com"}
        assert (await release.graphql(CREATE_USER, key, input=anna))["user"]["id"] == "1"
        for name, price, type_ in (("boost", 100, "CONSUMABLE"), ("premium", 500, "PERMANENT")):
            product = {"name": name, "price": price, "type": type_}
            assert "product" in await release.graphql(CREATE_PRODUCT, key, input=product)
    made = run_economy("token", "--user", "1", **command)
    return {"Authorization": f"Bearer {made.stdout.strip()}"}, key


def assert_sound(previous: str, settings: dict[str, str]) -> None:
    """By the books of both."""
    for release in ("", previous):
        verified = run_economy("verify", release=release, **settings)
        assert verified.returncode == 0, verified.stdout + verified.stderr
        assert verified.stdout.endswith(" invariants checked, 0 broken\n")


async def assert_one_effect(one: Release, other: Release, number: int) -> None:
    """Each kind of operation through one, then the same again through the other.

    Anna has 1000 coins before and after it, and three boosts more.
    """
    key = f"key-{number}"
    for path, headers, body, balance in [
        ("/users/1/add-funds", one.server, {"amount": 300}, 1_300),
        ("/products/1/purchase", one.player, {"quantity": 3}, 1_000),
        ("/products/1/use", one.player, {}, 1_000),
    ]:
        first = await one.post(path, headers, key, **body)
        again = await other.post(path, headers, key, **body)
        assert (first.status_code, again.status_code) == (200, 200), first.text + again.text
        assert first.json()["user"]["balance"] == balance
        assert first.json() == again.json() | {"replayed": False}
        assert again.json()["replayed"] is True
        assert await one.reads() == await other.reads()
    path, dear = "/products/2/purchase", {"expected_price": 1}
    refused = [await each.post(path, one.player, f"{key}-2", **dear) for each in (one, other)]
    assert [answer.status_code for answer in refused] == [409, 409]
    assert refused[0].json() == refused[1].json()
    assert [answer.headers.get("idempotent-replayed") for answer in refused] == [None, "true"]

    bought = await other.graphql(BUY, one.player, key=key + "-3")
    assert (bought["replayed"], bought["transaction"]["balanceAfter"]) == (False, 900)
    assert await one.graphql(BUY, one.player, key=key + "-3") == bought | {"replayed": True}
    target = {"userId": "1", "transactionId": bought["transaction"]["id"]}
    for release, replayed in ((one, False), (other, True)):
        undone = await release.graphql(REVERSE, one.server, input=target | {"idempotencyKey": key})
        assert (undone["replayed"], undone["transaction"]["balanceAfter"]) == (replayed, 1_000)

    top_up = {"userId": "1", "amount": 100, "idempotencyKey": key + "-5"}
    begun = await one.graphql(BEGIN, one.server, input=top_up)
    settling = {"userId": "1", "transactionId": begun["transaction"]["id"]}
    for release, replayed in ((other, False), (one, True)):
        settled = await release.graphql(SETTLE, one.server, input=settling)
        assert (settled["replayed"], settled["transaction"]["balanceAfter"]) == (replayed, 1_100)
    assert (await other.graphql(BUY, one.player, key=key + "-4"))["replayed"] is False


async def test_both_releases_serve_one_economy(previous: str, production: dict[str, str]) -> None:
    """While a release is rolled out, and after it was rolled back, on the newer schema."""
    assert run_economy("migrate", **production).returncode == 0
    newest = await schema(production["database_url"])
    # it has nothing to do here, and leaves the schema alone
    assert run_economy("migrate", release=previous, **production).returncode == 0
    assert await schema(production["database_url"]) == newest
    with (
        live_server(release=previous, **production) as old_server,
        live_server(**production) as new_server,
    ):
        player, key = await populate(old_server, release=previous, **production)
        opened_old, opened_new = (opened(one, player, key) for one in (old_server, new_server))
        async with opened_old as old, opened_new as new:
            credited = await old.post("/users/1/add-funds", key, "first", amount=1_000)
            assert credited.json()["user"]["balance"] == 1_000
            for number, (one, other) in enumerate([(old, new), (new, old), (old, new)], start=1):
                await assert_one_effect(one, other, number)
                # four bought, one used; nobody reads an inventory of before
                assert [await one.held(), await other.held()] == [3 * number, 3 * number]
            assert [await old.told_operations(), await new.told_operations()] == [False, True]
            await assert_race_has_one_effect(old, new)
    assert_sound(previous, production)


async def assert_race_has_one_effect(old: Release, new: Release) -> None:
    """Of twenty equal requests at once, half of them to each."""
    before = await old.held()
    asked = (release.graphql(BUY, old.player, key="race") for release in 10 * [old, new])
    answers = await asyncio.gather(*asked)
    assert Counter(answer["replayed"] for answer in answers) == {False: 1, True: 19}
    assert {answer["transaction"]["id"] for answer in answers} == {answers[0]["transaction"]["id"]}
    assert [await old.held(), await new.held()] == [before + 1, before + 1]


@dataclass
class Load:
    """Players who never stop to buy and to look; each answer is kept."""

    release: Release
    bought: dict[str, str] = field(default_factory=dict)  # key -> transaction
    statuses: Counter[int] = field(default_factory=Counter)
    has_ended: bool = False

    async def run(self, name: int) -> None:
        for number in itertools.count():
            if self.has_ended:
                return
            key = f"load-{name}-{number}"
            answer = await self.release.post("/products/1/purchase", self.release.player, key)
            self.statuses[answer.status_code] += 1
            if answer.status_code == 200:
                self.bought[key] = answer.json()["transaction"]["id"]
            read = await self.release.client.get(PATHS[number % 3], headers=self.release.player)
            self.statuses[read.status_code] += 1

    async def until_more(self, purchases: int) -> None:
        expected = len(self.bought) + purchases
        while len(self.bought) < expected:
            assert self.statuses.keys() <= {200}
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def loaded(release: Release) -> AsyncIterator[Load]:
    load = Load(release)
    async with asyncio.timeout(120), asyncio.TaskGroup() as together:
        for name in range(CONNECTIONS):
            together.create_task(load.run(name))
        await load.until_more(50)
        try:
            yield load
            await load.until_more(50)
        finally:
            load.has_ended = True


async def test_ten_migrate_under_the_load_of_the_previous_release(
    previous: str, production: dict[str, str]
) -> None:
    """And behind somebody who keeps a table locked: nobody waits for them, nothing is lost."""
    url = production["database_url"]
    assert run_economy("migrate", release=previous, **production).returncode == 0
    database = Database(Settings(database_url=url))
    with live_server(release=previous, **production) as server:
        player, key = await populate(server, release=previous, **production)
        async with opened(server, player, key) as old, open_rival(url) as rival:
            for number in range(5):
                await old.post("/users/1/add-funds", key, f"{number}", amount=1_000_000)
            async with loaded(old) as load, rival.connection.transaction():
                await rival.connection.execute("LOCK TABLE job_progress IN ACCESS SHARE MODE")
                before = await schema(url)
                with contextlib.ExitStack() as stack:
                    processes = [
                        stack.enter_context(launched("migrate", **production))
                        for _ in range(AT_ONCE)
                    ]
                    while not any("tried again" in one.log.read_text() for one in processes):
                        await load.until_more(1)
                    assert await schema(url) == before
                    assert not await is_migrated(database)
                    await rival.connection.execute("ROLLBACK")
                    while any(one.process.poll() is None for one in processes):
                        await load.until_more(1)
                    logs = [one.log.read_text() for one in processes]
                    assert [one.process.returncode for one in processes] == AT_ONCE * [0], logs
            assert load.statuses.keys() == {200}
    assert await is_migrated(database)
    found = await everything(database)
    assert len(found["transaction"]) == 5 + len(load.bought)
    await database.close()
    assert_sound(previous, production)
    with live_server(**production) as server:
        async with opened(server, player, key) as new:
            assert await new.held() == len(load.bought)
            for order, transaction in itertools.islice(load.bought.items(), 20):
                again = await new.post("/products/1/purchase", player, order)
                assert again.json()["replayed"] is True
                assert again.json()["transaction"]["id"] == transaction
