"""What posting finds of a user whom somebody moves while it waits for that user's lock."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from economy.bootstrap import open_services
from economy.database import Database
from economy.errors import InsufficientFunds
from economy.models.transaction import TransactionRow
from economy.models.user import UserRow
from economy.repositories.posting_postgres import lock_and_find
from economy.repositories.posting_rows import Found, Wanted
from economy.services.operations import Booking
from economy.settings import Settings
from tests.journal import error_of, journal_of
from tests.proxy import Proxy, open_proxy
from tests.rival import Rival, open_rival
from tests.sql_counter import recorded_sql
from tests.world import World

KEY = "order-1"

Move = Callable[["Race"], Coroutine[Any, Any, Booking]]


class Race:
    """Two processes: one looks, and the other, whose commits a test may hold up, moves users."""

    def __init__(self, looking: World, moving: World, proxy: Proxy, rival: Rival) -> None:
        self.looking = looking
        self.moving = moving
        self._proxy = proxy
        self._rival = rival
        self.begun: TransactionRow  # a pending top-up of Anna's, begun with the key

    @asynccontextmanager
    async def uncommitted(self, move: Move) -> AsyncIterator[None]:
        """Within, it is written but not committed; it is at the end, once somebody waits."""
        self._proxy.holds_next = b"COMMIT"
        moving = asyncio.create_task(move(self))
        await self._proxy.is_holding.wait()
        yield
        await self._rival.until_waiting()
        self._proxy.let_held_through.set()
        await moving

    @asynccontextmanager
    async def held(self, user: UserRow) -> AsyncIterator[None]:
        """Within, somebody holds the user and moves nothing; ends once somebody waits."""
        async with self._rival.holding_user(user.id):
            yield
            await self._rival.until_waiting()


@pytest.fixture
async def race(postgres_url: str) -> AsyncIterator[Race]:
    """Anna has 1,000 coins and one boost, Boris 1,000 coins."""
    async with (
        open_rival(postgres_url) as rival,
        open_proxy(postgres_url) as proxy,
        open_services(Settings(database_url=postgres_url)) as looking,
        open_services(Settings(database_url=proxy.url)) as moving,
    ):
        world = await World.create(looking)
        others = World(moving, world.anna, world.boris, world.boost, world.premium)
        moving.database.posts_without_locks = False  # or nothing would be written before COMMIT
        race = Race(world, others, proxy, rival)
        for user in (world.anna, world.boris):
            await world.credit(user, 1_000)
        await others.buy(world.anna, world.boost, idempotency_key="earlier")
        race.begun = (await world.begin(world.anna, 50, idempotency_key=KEY)).transaction
        yield race


def wanted_of(world: World) -> Wanted:
    """What purchases and top-ups of both players, with the key, have to know."""
    users = [world.anna.id, world.boris.id]
    return Wanted(
        user_ids=users,
        items=[(user_id, world.boost.id) for user_id in users],
        keys=[(user_id, kind, KEY) for user_id in users for kind in ("purchase", "top_up")],
        references=[],
        targets=[],
    )


async def find(database: Database, wanted: Wanted) -> tuple[Found, list[str]]:
    """In one unit of work; and the statements that were sent for it."""
    sent: list[str] = []
    async with database.posting_unit_of_work() as connection:
        with connection.query_logger(lambda record: sent.append(record.query)):
            found = await lock_and_find(connection, wanted)
    return Found._make(sorted(rows) for rows in found), sent


async def buy_for(world: World, user: UserRow, key: str = KEY, quantity: int = 1) -> Booking:
    return await world.buy(user, world.boost, idempotency_key=key, quantity=quantity)


MOVES: dict[str, Move] = {
    "a purchase": lambda race: buy_for(race.moving, race.moving.anna),
    "a purchase of the second of two": lambda race: buy_for(race.moving, race.moving.boris),
    "an item is used up": lambda race: race.moving.use(race.moving.anna, race.moving.boost),
    "a top-up is settled": lambda race: race.moving.complete(race.begun),
    "a top-up fails": lambda race: race.moving.fail(race.begun),
}


@pytest.mark.parametrize("what", MOVES)
async def test_what_is_found_is_what_the_other_has_left(race: Race, what: str) -> None:
    """Items, earlier transactions, users: all as after the other's commit, asked for once more."""
    database, wanted = race.looking.services.database, wanted_of(race.looking)
    before, first = await find(database, wanted)
    async with race.uncommitted(MOVES[what]):
        looking = asyncio.create_task(find(database, wanted))
    found, sent = await looking
    after, again = await find(database, wanted)
    assert len(first) == 1
    assert (sent, again) == (2 * first, first)
    assert found == after
    assert found.users != before.users
    assert (found.items, found.earlier) != (before.items, before.earlier)


async def test_a_target_that_is_reversed_meanwhile(race: Race) -> None:
    """Targets come later, behind the locks: only what was sent with the lock is sent again."""
    [*_, bought, _] = await journal_of(race.looking.services, race.looking.anna)
    assert bought.kind == "purchase"
    wanted = wanted_of(race.looking)._replace(targets=[(bought.user_id, bought.id)])
    database = race.looking.services.database
    before, first = await find(database, wanted)
    async with race.uncommitted(lambda race: race.moving.reverse(bought)):
        looking = asyncio.create_task(find(database, wanted))
    found, sent = await looking
    assert sent == [first[0], *first]
    assert (before.reversed_ids, found.reversed_ids) == ([], [(bought.user_id, bought.id)])
    assert [item.quantity for item in before.items] == [1]
    assert [item.quantity for item in found.items] == [0]
    assert (await find(database, wanted))[0] == found


async def test_who_waits_for_nothing_new_asks_once(race: Race) -> None:
    """The user was held, and let go as it was."""
    database, wanted = race.looking.services.database, wanted_of(race.looking)
    before, first = await find(database, wanted)
    async with race.held(race.looking.anna):
        looking = asyncio.create_task(find(database, wanted))
    assert await looking == (before, first)
    assert len(first) == 1


async def test_a_decision_is_made_of_what_the_other_has_left(race: Race) -> None:
    """All the coins are spent meanwhile: nothing is written of what was decided before, and it is
    decided again behind the lock, declined with the new balance."""
    world = race.looking
    await buy_for(world, world.anna)  # all that is asked once a connection is behind it
    with recorded_sql(world.services.database) as alone:
        await world.credit(world.anna, 1)
    with recorded_sql(world.services.database) as sent:
        async with race.uncommitted(lambda race: buy_for(race.moving, world.anna, "k", 8)):
            asked = asyncio.create_task(error_of(world.buy(world.anna, world.boost)))
        error = await asked
    assert type(error) is InsufficientFunds
    assert vars(error) == {"replayed": False, "balance": 1, "required": 100}
    find_without_lock, write_if_current = alone
    assert sent[:2] == [find_without_lock, write_if_current]
    begin, find_, write_, commit = sent[2:]
    assert (begin, commit) == ("BEGIN", "COMMIT")
    assert "FOR UPDATE" in find_
    assert "FOR UPDATE" not in write_
    rows = await journal_of(world.services, world.anna)
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    assert rows[-2:] == [
        rows[-2]._replace(kind="purchase", quantity_after=10, balance_after=1, status="completed"),
        rows[-1]._replace(kind="purchase", quantity_after=10, balance_after=1, status="failed"),
    ]
