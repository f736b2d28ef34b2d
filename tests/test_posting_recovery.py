"""Posting when the database fails: each operation happens once or not at all, and is answered."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from economy.bootstrap import open_services
from economy.errors import EconomyError, InsufficientFunds, LockNotGranted, Unavailable
from economy.services.operations import Booking
from economy.settings import Settings
from tests.conftest import migrate_url
from tests.journal import error_of, journal_of, nothing_changes, told
from tests.proxy import Break, Proxy, open_proxy
from tests.rival import Rival
from tests.servers import PostgresServer, create_database, postgres_server
from tests.world import SERVER, World


@asynccontextmanager
async def open_world(url: str, **settings: Any) -> AsyncIterator[World]:
    """Anna and Boris have 1,000 coins each."""
    async with open_services(Settings(database_url=url, **settings)) as services:
        world = await World.create(services)
        await world.credit(world.anna, 1_000)
        await world.credit(world.boris, 1_000)
        yield world


async def ask_of_all_kinds(world: World) -> list[Booking | EconomyError]:
    """One batch of what succeeds, is declined, and is told again."""
    anna, boris = world.anna, world.boris
    return await asyncio.gather(  # type: ignore[return-value]
        world.buy(anna, world.boost, quantity=2, idempotency_key="k"),
        world.credit(boris, 5, external_reference="r"),
        world.use(anna, world.boost),
        world.buy(boris, world.boost, quantity=100),
        world.buy(anna, world.boost, quantity=2, idempotency_key="k"),
        return_exceptions=True,
    )


async def assert_each_happened_once(world: World, answers: list[Booking | EconomyError]) -> None:
    bought, credited, used, declined, again = answers
    assert isinstance(bought, Booking)
    assert isinstance(credited, Booking)
    assert isinstance(used, Booking)
    assert isinstance(declined, InsufficientFunds)
    assert isinstance(again, Booking)
    assert vars(declined) == {"replayed": False, "balance": 1_005, "required": 10_000}
    assert (again.transaction, again.replayed) == (bought.transaction, True)
    assert (bought.replayed, credited.replayed, used.replayed) == (False, False, False)
    mine = (await journal_of(world.services, world.anna))[1:]
    assert mine == [bought.transaction, used.transaction]
    assert [(row.seq, row.balance_after, row.quantity_after) for row in mine] == [
        (2, 800, 2),
        (3, 800, 1),
    ]
    theirs = (await journal_of(world.services, world.boris))[1:]
    assert theirs[0] == credited.transaction
    assert [(row.seq, row.balance_after, row.failure_code) for row in theirs] == [
        (2, 1_005, None),
        (3, 1_005, "INSUFFICIENT_FUNDS"),
    ]
    state = await world.state()
    assert state["user"] == [(world.anna.id, 800, 3), (world.boris.id, 1_005, 3)]
    assert state["inventory"] == [(world.anna.id, world.boost.id, 1)]
    assert ("r", "external_reference", world.boris.id) in [tuple(row) for row in state["claim"]]


async def test_a_lost_connection_before_commit_is_tried_again(
    postgres_url: str, rival: Rival
) -> None:
    async with open_world(postgres_url) as world:
        async with rival.holding_user(world.anna.id):
            asked = asyncio.create_task(ask_of_all_kinds(world))
            await rival.until_waiting()
            assert await rival.end_connections() >= 1
            await rival.until_waiting()  # it is back, and stands in line again
        await assert_each_happened_once(world, await asked)


@pytest.mark.parametrize("table", ["claim", "product", "inventory", "transaction"])
async def test_a_connection_lost_in_any_statement(
    postgres_url: str, rival: Rival, table: str
) -> None:
    """Those that go to the driver directly leave no broken connection in the pool."""
    async with open_world(postgres_url) as world:
        async with rival.connection.transaction():
            await rival.connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            asked = asyncio.create_task(ask_of_all_kinds(world))
            await rival.until_waiting()
            await rival.end_connections()
            await rival.until_waiting()
        await assert_each_happened_once(world, await asked)


@pytest.mark.parametrize("how", [Break.BEFORE_COMMIT, Break.AFTER_COMMIT])
async def test_a_connection_lost_during_commit(postgres_url: str, how: Break) -> None:
    async with open_proxy(postgres_url) as proxy, open_world(proxy.url) as world:
        proxy.next_commit = how
        answers = await ask_of_all_kinds(world)
        assert proxy.broken == [how]
        await assert_each_happened_once(world, answers)


async def test_a_network_that_falls_silent_during_commit(postgres_url: str) -> None:
    """No packet says that the connection is dead: only the time that a command may take does."""
    async with (
        open_proxy(postgres_url) as proxy,
        open_world(proxy.url, statement_timeout_ms=500) as world,
    ):
        proxy.next_commit = Break.SILENCE
        answers = await ask_of_all_kinds(world)
        assert proxy.broken == [Break.SILENCE]
        await assert_each_happened_once(world, answers)


async def test_a_migration_under_prepared_statements(postgres_url: str) -> None:
    """Nobody is told of it: neither who buys nor who reads."""
    async with open_world(postgres_url) as world:
        for length in (120, 130, 140):
            # several connections hold the old plan
            await asyncio.gather(*(ask_for_products(world) for _ in range(10)))
            await world.buy(world.anna, world.boost)
            await world.sql(f"ALTER TABLE product ALTER COLUMN name TYPE varchar({length})")
            await world.buy(world.anna, world.boost)
            await asyncio.gather(*(ask_for_products(world) for _ in range(10)))
        rows = await journal_of(world.services, world.anna)
        assert [row.balance_after for row in rows] == [1_000, 900, 800, 700, 600, 500, 400]


async def ask_for_products(world: World) -> None:
    assert len(await world.services.products.products([world.boost.id, world.premium.id])) == 2


async def test_a_commit_that_arrives_late(postgres_url: str, rival: Rival) -> None:
    """The service looks behind the users' locks: until the commit is decided it has to wait."""
    async with open_proxy(postgres_url) as proxy, open_world(proxy.url) as world:
        proxy.next_commit = Break.LATE_COMMIT
        asked = asyncio.create_task(ask_of_all_kinds(world))
        await rival.until_waiting()
        proxy.let_commit_through.set()
        await assert_each_happened_once(world, await asked)
        assert proxy.broken == [Break.LATE_COMMIT]


@pytest.mark.parametrize("how", [Break.BEFORE_COMMIT, Break.AFTER_COMMIT])
async def test_a_commit_of_nothing_new_is_lost(postgres_url: str, how: Break) -> None:
    """A batch of replays alone has no row to be looked up by."""
    async with open_proxy(postgres_url) as proxy, open_world(proxy.url) as world:
        asked = {"idempotency_key": "k", "external_reference": "r"}
        first = await world.credit(world.anna, 5, **asked)
        before = await world.state()
        proxy.next_commit = how
        again = await world.credit(world.anna, 5, **asked)
        assert proxy.broken == [how]
        assert again == first._replace(replayed=True)
        assert await world.state() == before


async def break_every_commit(proxy: Proxy) -> None:
    while True:
        proxy.next_commit = Break.BEFORE_COMMIT
        await asyncio.sleep(0)


async def test_commits_that_are_never_answered(postgres_url: str) -> None:
    async with open_proxy(postgres_url) as proxy, open_world(proxy.url) as world:
        before = await world.state()
        breaking = asyncio.create_task(break_every_commit(proxy))
        error = await error_of(world.credit(world.anna, 5, idempotency_key="k"))
        breaking.cancel()
        proxy.next_commit = None
        assert isinstance(error, Unavailable)
        assert error.retryable
        assert await world.state() == before
        assert not (await world.credit(world.anna, 5, idempotency_key="k")).replayed


async def test_the_victim_of_a_deadlock_is_tried_again(postgres_url: str, rival: Rival) -> None:
    async with open_world(postgres_url) as world:
        # the rival never looks for deadlocks: the batch does, and is the victim
        await rival.connection.execute("SET deadlock_timeout = '1h'")
        async with rival.holding_user(world.boris.id):
            asked = asyncio.create_task(ask_of_all_kinds(world))  # has Anna, wants Boris
            await rival.until_waiting()
            await rival.connection.execute(
                'SELECT 1 FROM "user" WHERE id = $1 FOR UPDATE', world.anna.id
            )
        await assert_each_happened_once(world, await asked)


async def test_a_lock_that_is_never_let_go(postgres_url: str, rival: Rival) -> None:
    async with open_world(postgres_url, lock_timeout_ms=100) as world:
        async with nothing_changes(world):
            async with rival.holding_user(world.anna.id):
                error = await error_of(world.buy(world.anna, world.boost, idempotency_key="k"))
            assert (type(error), error.retryable) == (LockNotGranted, True)
        assert not (await world.buy(world.anna, world.boost, idempotency_key="k")).replayed


async def test_a_poisonous_operation_fails_alone(world: World) -> None:
    """The database refuses one user's rows, for no reason that the service knows."""
    anna, boris = world.anna, world.boris
    if world.services.database.dialect == "postgresql":
        await world.sql(
            f"ALTER TABLE transaction ADD CONSTRAINT poison CHECK (user_id <> {anna.id})"
        )
    else:
        await world.sql(
            'CREATE TRIGGER poison BEFORE INSERT ON "transaction" '
            f"WHEN NEW.user_id = {anna.id} BEGIN SELECT RAISE(ABORT, 'poison'); END"
        )
    answers = await asyncio.gather(
        world.credit(boris, 1),
        world.credit(anna, 2, external_reference="anna's", idempotency_key="a"),
        world.credit(boris, 3, external_reference="boris'"),
        world.credit(anna, 4),
        world.buy(boris, world.boost),
        return_exceptions=True,
    )
    assert [type(answers[number]) for number in (0, 2, 4)] == [Booking, Booking, InsufficientFunds]
    for number in (1, 3):
        assert not isinstance(answers[number], Booking | EconomyError)
        assert "poison" in str(answers[number])
    assert told(answers[4])[1] == {"replayed": False, "balance": 4, "required": 100}  # type: ignore[arg-type]
    state = await world.state()
    assert state["user"] == [(anna.id, 0, 0), (boris.id, 4, 3)]
    assert [tuple(row) for row in state["transaction"]] == [
        (boris.id, 1, "top_up", "completed", 1),
        (boris.id, 2, "top_up", "completed", 3),
        (boris.id, 3, "purchase", "failed", 100),
    ]
    claims = [tuple(row) for row in state["claim"] if row[1] == "external_reference"]
    assert claims == [("boris'", "external_reference", boris.id)]
    if world.services.database.dialect == "postgresql":
        await world.sql("ALTER TABLE transaction DROP CONSTRAINT poison")
    else:
        await world.sql("DROP TRIGGER poison")
    booking = await world.credit(anna, 2, external_reference="anna's", idempotency_key="a")
    assert (booking.user.balance, booking.replayed) == (2, False)


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresServer]:
    """A server of this module's own, to be restarted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TEST_DATABASE_URL", raising=False)
        with postgres_server() as server:
            yield server


async def test_a_restart_between_two_operations(own_server: PostgresServer) -> None:
    await create_database(own_server, "restarted")
    url = own_server.database_url("restarted")
    await migrate_url(url)
    async with open_world(url) as world:
        # every connection of the pool has been used, and dies
        await asyncio.gather(*(world.state() for _ in range(6)))
        own_server.restart()
        booking = await world.buy(world.anna, world.boost)
        assert booking.transaction.balance_after == 900
        await asyncio.gather(*(world.services.users.users([world.anna.id]) for _ in range(6)))
        own_server.restart()
        [item] = await world.services.inventory.inventory_of(SERVER, str(world.anna.id))
        assert item.quantity == 1
        assert await world.services.users.users([world.anna.id]) == {world.anna.id: booking.user}
        rows = await journal_of(world.services, world.anna)
        assert [row.balance_after for row in rows] == [1_000, 900]
