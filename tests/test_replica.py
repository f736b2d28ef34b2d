"""A streaming standby takes over reads that may be stale, and nobody sees that it is one."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from economy.bootstrap import open_services
from economy.errors import Unavailable
from economy.models.user import UserRow
from economy.settings import Settings
from tests.contention import assert_sound
from tests.due_jobs import until
from tests.live import PROGRESS, run_economy
from tests.scale.standby import FAILS, MIGRATED, Pair, database_of, running_pair
from tests.shop import Shop
from tests.world import SERVER, World

JOURNAL = "transaction"
HISTORY = "{ me { balance transactions { nodes { kind balanceAfter } } } }"
PAGE = """query ($after: String) { me { transactions(first: 3, after: $after) {
    nodes { balanceAfter } pageInfo { endCursor hasNextPage } } } }"""
BUY = """mutation { purchase(input: {productId: 1, idempotencyKey: "key"}) {
    ... on PurchaseSuccess { user { balance transactions { nodes { kind balanceAfter } } } } } }"""
POPULAR = "{ popularProducts { purchases } }"
LONG_SECONDS, SHORT_SECONDS = 600.0, 0.2


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with running_pair() as pair:
        yield pair


@pytest.fixture
async def database(pair: Pair) -> AsyncIterator[str]:
    async with database_of(pair, MIGRATED) as name:
        yield name


@pytest.fixture
def settings(pair: Pair, database: str) -> Settings:
    return Settings(
        database_url=pair.primary.database_url(database),
        database_replica_url=pair.standby.database_url(database),
        jobs_in_server=False,
        rate_limit_player_reads="",
    )


@pytest.fixture
async def shop(shop: Shop, pair: Pair) -> Shop:
    """Anna and Boris have 1,000 coins and a boost each; both servers know."""
    for user in (shop.world.anna, shop.world.boris):
        await shop.world.credit(user, 1_100)
        await shop.world.buy(user, shop.world.boost)
    await pair.until_caught_up()
    return shop


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no failure."""
    monkeypatch.setattr("economy.replica.LONGEST_READ_SECONDS", LONG_SECONDS)


@pytest.fixture
def short_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests of what comes after it need not wait for its end."""
    monkeypatch.setattr("economy.replica.LEFT_ALONE_SECONDS", SHORT_SECONDS)


async def history(shop: Shop, user: UserRow) -> tuple[int, list[int]]:
    """The balance, and what it was after each transaction, newest first."""
    body = await shop.graphql(HISTORY, shop.player(user))
    me = body["data"]["me"]
    return me["balance"], [node["balanceAfter"] for node in me["transactions"]["nodes"]]


async def figure(shop: Shop, name: str) -> float:
    lines = (await shop.client.get("/metrics")).text.splitlines()
    [line] = [line for line in lines if line.startswith(f"{name} ")]
    return float(line.split()[1])


async def is_up(shop: Shop) -> bool:
    return await figure(shop, "economy_database_replica_up") == 1


async def test_histories_and_the_ranking_come_from_it(shop: Shop, pair: Pair) -> None:
    assert await history(shop, shop.world.anna) == (1_000, [1_000, 1_100])
    assert pair.reads_of(JOURNAL) == (0, 1)
    body = await shop.graphql(POPULAR, shop.player(shop.world.anna))
    assert body["data"]["popularProducts"] == [{"purchases": 2}]
    assert pair.reads_of(JOURNAL) == (0, 1)
    assert await is_up(shop)


async def test_nothing_else_comes_from_it(shop: Shop, pair: Pair) -> None:
    """Balance, inventory, catalogue, credentials, and whatever is decided."""
    anna = shop.player(shop.world.anna)
    document = "{ me { balance } inventory { quantity } products { nodes { price } } }"
    assert (await shop.graphql(document, anna))["data"]["me"] == {"balance": 1_000}
    for path in ("/products/1/purchase", "/products/1/use"):
        assert (await shop.client.post(path, headers=anna)).status_code == 200
    bought = (await shop.graphql(BUY, anna))["data"]["purchase"]["user"]
    assert bought["balance"] == 800
    users = "{ user(id: 1) { balance } }"
    assert (await shop.graphql(users, shop.server))["data"] == {"user": {"balance": 800}}
    await assert_sound(shop.services)
    assert pair.on_standby.news() == []


async def test_a_player_sees_its_own_writes_at_once(shop: Shop, pair: Pair) -> None:
    """While the standby does not move; others are served by it still."""
    world = shop.world
    async with pair.paused():
        await world.buy(world.anna, world.boost)
        pair.forget()
        assert await history(shop, world.anna) == (900, [900, 1_000, 1_100])
        assert pair.reads_of(JOURNAL) == (1, 0)
        assert await history(shop, world.boris) == (1_000, [1_000, 1_100])
        assert pair.reads_of(JOURNAL) == (0, 1)
        both = "{ a: user(id: 1) { %s } b: user(id: 2) { %s } }"
        nodes = "transactions { nodes { balanceAfter } }"
        told = (await shop.graphql(both % (nodes, nodes), shop.server))["data"]
        balances = [
            [node["balanceAfter"] for node in told[one]["transactions"]["nodes"]] for one in "ab"
        ]
        assert balances == [[900, 1_000, 1_100], [1_000, 1_100]]
        assert pair.reads_of(JOURNAL) == (1, 0)
        newcomer = await world.services.users.create_user(
            SERVER, username="clara", email="clara@example.com"
        )
        assert await history(shop, newcomer) == (0, [])
        assert await is_up(shop)
    await pair.until_caught_up()
    assert await history(shop, world.anna) == (900, [900, 1_000, 1_100])
    assert pair.reads_of(JOURNAL) == (0, 1)


async def test_the_answer_to_a_mutation_is_complete(shop: Shop, pair: Pair) -> None:
    async with pair.paused():
        body = await shop.graphql(BUY, shop.player(shop.world.anna))
    purchase, credit = (
        {"kind": "PURCHASE", "balanceAfter": 1_000},
        {"kind": "TOP_UP", "balanceAfter": 1_100},
    )
    assert body["data"]["purchase"]["user"] == {
        "balance": 900,
        "transactions": {"nodes": [purchase | {"balanceAfter": 900}, purchase, credit]},
    }


async def pages(shop: Shop, user: UserRow) -> AsyncIterator[list[int]]:
    after: str | None = None
    while True:
        body = await shop.graphql(PAGE, shop.player(user), after=after)
        page = body["data"]["me"]["transactions"]
        yield [node["balanceAfter"] for node in page["nodes"]]
        if not page["pageInfo"]["hasNextPage"]:
            return
        after = page["pageInfo"]["endCursor"]


async def test_pages_fit_whichever_server_each_comes_from(shop: Shop, pair: Pair) -> None:
    """The first from the standby, the second from the primary, the third from the standby."""
    world, anna = shop.world, shop.world.anna
    for _ in range(6):
        await world.buy(anna, world.boost)
    await pair.until_caught_up()
    walk = pages(shop, anna)
    found = [await anext(walk)]
    assert pair.reads_of(JOURNAL) == (0, 1)
    async with pair.paused():
        await world.buy(anna, world.boost)
        pair.forget()
        found.append(await anext(walk))
        assert pair.reads_of(JOURNAL) == (1, 0)
    await pair.until_caught_up()
    found += [page async for page in walk]
    assert pair.reads_of(JOURNAL) == (0, 1)
    assert found == [[400, 500, 600], [700, 800, 900], [1_000, 1_100]]


async def test_everybody_sees_what_they_have_just_done(shop: Shop) -> None:
    """However far the standby is at that moment."""
    world = shop.world
    users = [
        await world.services.users.create_user(SERVER, username=name, email=f"{name}@example.com")
        for name in (f"player-{number}" for number in range(8))
    ]

    async def play(user: UserRow) -> None:
        await world.credit(user, 2_000)
        expected = [2_000]
        for _ in range(20):
            booking = await world.buy(user, world.boost)
            expected.insert(0, booking.user.balance)
            assert await history(shop, user) == (booking.user.balance, expected)
        assert expected == list(range(0, 2_001, 100))

    await asyncio.gather(*(play(user) for user in users))
    assert await is_up(shop)


async def test_it_dies_and_comes_back(
    shop: Shop, pair: Pair, short_time: None, caplog: pytest.LogCaptureFixture
) -> None:
    world = shop.world
    assert await history(shop, world.anna) == (1_000, [1_000, 1_100])
    pair.kill_standby()
    try:
        answers = await asyncio.gather(*(history(shop, world.anna) for _ in range(20)))
        assert answers == [(1_000, [1_000, 1_100])] * 20
        body = await shop.graphql(POPULAR, shop.player(world.anna))
        assert body["data"]["popularProducts"] == [{"purchases": 2}]
        assert not await is_up(shop)
        assert FAILS in caplog.text
        await world.buy(world.anna, world.boost)
    finally:
        pair.start_standby()
    await pair.until_caught_up()

    async def is_read() -> bool:
        assert await history(shop, world.anna) == (900, [900, 1_000, 1_100])
        return pair.reads_of(JOURNAL) == (0, 1)

    await until(is_read)
    assert await is_up(shop)


async def test_it_is_left_alone_after_a_failure(
    shop: Shop,
    pair: Pair,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It would not be asked before that time has passed, however well it is."""
    monkeypatch.setattr("economy.replica.LEFT_ALONE_SECONDS", LONG_SECONDS)
    pair.kill_standby()
    try:
        await history(shop, shop.world.anna)
    finally:
        pair.start_standby()
    await pair.until_caught_up()
    for _ in range(20):
        assert await history(shop, shop.world.anna) == (1_000, [1_000, 1_100])
    assert pair.reads_of(JOURNAL) == (20, 0)
    assert caplog.text.count(FAILS) == 1
    assert not await is_up(shop)


async def test_it_freezes_and_goes_on(
    shop: Shop,
    pair: Pair,
    short_time: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is silent, with connections open and without: more readers than it has connections."""
    monkeypatch.setattr("economy.replica.LONGEST_READ_SECONDS", 2.0)
    world = shop.world
    await history(shop, world.anna)
    with pair.frozen_standby():
        answers = await asyncio.gather(*(history(shop, world.anna) for _ in range(20)))
        assert answers == [(1_000, [1_000, 1_100])] * 20
        assert not await is_up(shop)
        assert FAILS in caplog.text
    await pair.until_caught_up()

    async def is_read() -> bool:
        assert await history(shop, world.anna) == (1_000, [1_000, 1_100])
        return pair.reads_of(JOURNAL) == (0, 1)

    async def nothing_is_held() -> bool:
        return await figure(shop, "economy_database_connections_in_use") == 0

    await until(is_read)
    await until(nothing_is_held)
    assert await is_up(shop)


async def test_the_books_are_verified_on_it(shop: Shop, pair: Pair, database: str) -> None:
    """As of the moment that it has reached; and nothing can be written there."""
    url = pair.standby.database_url(database)
    run = run_economy("verify", database_url=url)
    assert (run.returncode, run.stderr) == (0, PROGRESS)
    assert run.stdout.endswith(" invariants checked, 0 broken\n")
    assert pair.reads_of(JOURNAL)[0] == 0
    before = await shop.world.state()
    async with open_services(Settings(database_url=url)) as services:
        world = shop.world
        there = World(services, world.anna, world.boris, world.boost, world.premium)
        with pytest.raises(Unavailable):
            await there.buy(world.anna, world.boost)
    await pair.until_caught_up()
    assert await shop.world.state() == before
