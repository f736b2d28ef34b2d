"""External references: one completed top-up each, for ever, over all users and keys."""

import asyncio

import pytest

from economy.bootstrap import open_services
from economy.errors import AlreadyTaken, BalanceLimit, IdempotencyKeyReused
from economy.models.user import BALANCE_LIMIT, UserRow
from economy.services.operations import Booking
from economy.settings import Settings
from tests.journal import error_of, journal_of, nothing_changes, one_decline, told
from tests.rival import open_rival
from tests.world import SERVER, World

TAKEN = (
    AlreadyTaken,
    {"replayed": False, "fields": ("external_reference",)},
    "Already taken: external_reference.",
)


async def claims(world: World) -> list[tuple[str, int]]:
    rows = await world.sql(
        "SELECT value, user_id FROM claim WHERE kind = 'external_reference' ORDER BY value"
    )
    return [tuple(row) for row in rows]


async def set_balance(world: World, user: UserRow, balance: int) -> None:
    await world.sql('UPDATE "user" SET balance = :b WHERE id = :id', b=balance, id=user.id)


async def crowd(world: World, size: int) -> list[UserRow]:
    create = world.services.users.create_user
    return [
        await create(SERVER, username=f"user{number}", email=f"{number}@example.com")
        for number in range(size)
    ]


@pytest.mark.parametrize("is_same_user", [True, False])
async def test_a_reference_is_used_once(world: World, is_same_user: bool) -> None:
    first = await world.credit(world.anna, 5, external_reference="r")
    user = world.anna if is_same_user else world.boris
    async with one_decline(world, user):
        assert told(await error_of(world.credit(user, 5, external_reference="r"))) == TAKEN
    assert await claims(world) == [("r", world.anna.id)]
    assert first.transaction.external_reference == "r"


async def test_letters_matter(world: World) -> None:
    for reference in ("r", "R", "r ", "ř"):
        await world.credit(world.anna, 5, external_reference=reference)
    assert [user_id for _, user_id in await claims(world)] == [world.anna.id] * 4


async def test_a_decline_does_not_claim_it(world: World) -> None:
    await set_balance(world, world.anna, BALANCE_LIMIT)
    async with one_decline(world, world.anna):
        asked = world.credit(world.anna, 5, external_reference="r", idempotency_key="k")
        assert type(await error_of(asked)) is BalanceLimit
    booking = await world.credit(world.boris, 5, external_reference="r")
    assert booking.user.balance == 5
    async with nothing_changes(world):  # what was told under the key stays told
        asked = world.credit(world.anna, 5, external_reference="r", idempotency_key="k")
        error = await error_of(asked)
    assert (type(error), vars(error)["replayed"]) == (BalanceLimit, True)
    assert await claims(world) == [("r", world.boris.id)]


async def test_the_replay_of_a_decline_does_not_claim_it(world: World) -> None:
    await set_balance(world, world.anna, BALANCE_LIMIT)
    for _ in range(2):
        asked = world.credit(world.anna, 5, external_reference="r", idempotency_key="k")
        assert type(await error_of(asked)) is BalanceLimit
        assert await claims(world) == []
    assert (await world.credit(world.boris, 5, external_reference="r")).user.balance == 5


async def test_a_reused_key_does_not_claim_it(world: World) -> None:
    await world.credit(world.anna, 5, idempotency_key="k")
    async with nothing_changes(world):
        asked = world.credit(world.anna, 5, external_reference="r", idempotency_key="k")
        assert type(await error_of(asked)) is IdempotencyKeyReused


async def test_many_references_in_one_batch(world: World) -> None:
    """A used one, fresh ones, and a declined one, all from one statement each."""
    await world.credit(world.anna, 5, external_reference="used")
    await set_balance(world, world.boris, BALANCE_LIMIT)
    answers = await asyncio.gather(
        world.credit(world.anna, 1, external_reference="b"),
        world.credit(world.boris, 1, external_reference="declined"),
        world.credit(world.anna, 1, external_reference="used"),
        world.credit(world.anna, 1, external_reference="a"),
        world.credit(world.anna, 1),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [
        Booking,
        BalanceLimit,
        AlreadyTaken,
        Booking,
        Booking,
    ]
    assert await claims(world) == [
        ("a", world.anna.id),
        ("b", world.anna.id),
        ("used", world.anna.id),
    ]
    rows = await journal_of(world.services, world.anna)
    assert [(row.seq, row.external_reference, row.balance_after) for row in rows] == [
        (1, "used", 5),
        (2, "b", 6),
        (3, "used", 6),
        (4, "a", 7),
        (5, None, 8),
    ]


@pytest.mark.parametrize("is_one_user", [True, False])
async def test_a_race_for_one_reference(world: World, is_one_user: bool) -> None:
    users = [world.anna] * 10 if is_one_user else await crowd(world, 10)
    answers = await asyncio.gather(
        *(world.credit(user, 5, external_reference="r") for user in users), return_exceptions=True
    )
    bookings = [answer for answer in answers if isinstance(answer, Booking)]
    declines = [answer for answer in answers if isinstance(answer, AlreadyTaken)]
    assert (len(bookings), len(declines)) == (1, 9)
    assert all(told(decline) == TAKEN for decline in declines)
    assert await claims(world) == [("r", bookings[0].user.id)]
    rows = await world.sql(
        'SELECT status, failure_code, external_reference FROM "transaction" WHERE amount = 5'
    )
    assert sorted(map(tuple, rows)) == [
        ("completed", None, "r"),
        *[("failed", "ALREADY_TAKEN", "r")] * 9,
    ]
    assert (await world.sql('SELECT sum(balance) FROM "user"'))[0][0] == 5


async def test_the_next_in_line_gets_what_a_decline_gives_back(world: World) -> None:
    """The first may not have it after all; the others were told to wait, not to go away."""
    users = await crowd(world, 5)
    await set_balance(world, users[0], BALANCE_LIMIT)
    answers = await asyncio.gather(
        *(world.credit(user, 5, external_reference="r") for user in users), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [
        BalanceLimit,
        Booking,
        AlreadyTaken,
        AlreadyTaken,
        AlreadyTaken,
    ]
    assert await claims(world) == [("r", users[1].id)]


@pytest.mark.parametrize("is_declined", [True, False])
async def test_two_processes_race_for_a_reference(postgres_url: str, is_declined: bool) -> None:
    """One claims it and must wait for its commit; the other waits for that claim's fate."""
    settings = Settings(database_url=postgres_url)
    async with (
        open_services(settings) as one,
        open_services(settings) as other,
        open_rival(postgres_url) as rival,
    ):
        mine = await World.create(one)
        theirs = World(other, mine.anna, mine.boris, mine.boost, mine.premium)
        if is_declined:
            await set_balance(mine, mine.anna, BALANCE_LIMIT)
        # holds up the insert into the journal: the claim is made, not committed
        async with rival.connection.transaction():
            await rival.connection.execute("LOCK TABLE transaction IN SHARE ROW EXCLUSIVE MODE")
            first = asyncio.create_task(mine.credit(mine.anna, 5, external_reference="r"))
            await rival.until_waiting(1)
            second = asyncio.create_task(theirs.credit(mine.boris, 5, external_reference="r"))
            await rival.until_waiting(2)
        answers = await asyncio.gather(first, second, return_exceptions=True)
        kinds = [BalanceLimit, Booking] if is_declined else [Booking, AlreadyTaken]
        assert [type(answer) for answer in answers] == kinds
        owner = mine.boris if is_declined else mine.anna
        assert await claims(mine) == [("r", owner.id)]


async def test_processes_that_claim_many_do_not_deadlock(postgres_url: str) -> None:
    settings = Settings(database_url=postgres_url)
    references = [f"r{number}" for number in range(30)]
    async with open_services(settings) as one, open_services(settings) as other:
        world = await World.create(one)
        theirs = World(other, world.anna, world.boris, world.boost, world.premium)
        answers = await asyncio.gather(
            *(world.credit(world.anna, 1, external_reference=name) for name in references),
            *(theirs.credit(world.boris, 1, external_reference=name) for name in references[::-1]),
            return_exceptions=True,
        )
        kinds = [type(answer) for answer in answers]
        assert (kinds.count(Booking), kinds.count(AlreadyTaken)) == (30, 30)
        assert sorted(value for value, _ in await claims(world)) == sorted(references)
        assert (await world.sql('SELECT sum(balance) FROM "user"'))[0][0] == 30
