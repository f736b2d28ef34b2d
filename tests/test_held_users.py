"""A transaction that somebody leaves open holds one user's row: that is no trouble of others."""

import asyncio
from collections.abc import Sequence

import httpx
import pytest

from economy.bootstrap import open_services
from economy.errors import ConcurrencyConflict, EconomyError
from economy.models.user import UserRow
from economy.services.operations import Booking
from economy.settings import Settings
from tests.contention import assert_sound
from tests.journal import journal_of, nothing_changes
from tests.rest import assert_problem, open_shop, problem
from tests.rival import Rival
from tests.world import SERVER, World

LANES = 3
# PostgreSQL's, of one wait; a statement that waits in vain is a matter of this, not of the test's
LOCK_TIMEOUT_MS = 300
TOO_LONG_SECONDS = 60.0
BUY = 'mutation { purchase(input: {productId: 1, idempotencyKey: "order-1"}) { __typename } }'
CONFLICT = "Others were changing the same rows. Nothing was changed: try again."


@pytest.fixture
def settings(postgres_url: str) -> Settings:
    return Settings(
        database_url=postgres_url,
        jobs_in_server=False,
        posting_lanes=LANES,
        lock_timeout_ms=LOCK_TIMEOUT_MS,
    )


async def new_users(world: World, count: int) -> list[UserRow]:
    create = world.services.users.create_user
    return [
        await create(SERVER, username=f"user{number}", email=f"{number}@example.com")
        for number in range(count)
    ]


def ask(world: World, users: Sequence[UserRow], key: str = "k") -> list[asyncio.Task[Booking]]:
    """All in one batch, if there is room."""
    return [
        asyncio.create_task(world.credit(user, 5, idempotency_key=f"{key}-{user.id}"))
        for user in users
    ]


async def assert_served(tasks: list[asyncio.Task[Booking]], balance: int = 5) -> None:
    """Each of them, and not one has failed."""
    async with asyncio.timeout(TOO_LONG_SECONDS):
        bookings = await asyncio.gather(*tasks)
    assert [(one.user.balance, one.replayed) for one in bookings] == [(balance, False)] * len(tasks)


async def error_in_time(task: asyncio.Task[Booking]) -> EconomyError:
    with pytest.raises(EconomyError) as caught:
        async with asyncio.timeout(TOO_LONG_SECONDS):
            await task
    return caught.value


@pytest.mark.parametrize("position", [0, 20])
async def test_neighbours_in_its_batch_are_served(
    world: World, rival: Rival, position: int
) -> None:
    """While it is held; and the user itself is told in time that nothing was done."""
    users = await new_users(world, 21)
    held = users.pop(position)
    async with rival.holding_user(held.id):
        stuck, *others = ask(world, [held, *users])
        await assert_served(others)
        error = await error_in_time(stuck)
        assert (type(error).code, error.retryable) == (ConcurrencyConflict.code, True)
        assert await journal_of(world.services, held) == []
        await assert_served(ask(world, users, "again"), balance=10)
    await assert_served(ask(world, [held]))  # with the same key
    await assert_sound(world.services)


async def pester(world: World, user: UserRow, number: int) -> int:
    """A caller who asks again and again until it is done; returns how often in vain."""
    in_vain = 0
    while True:
        try:
            booking = await world.credit(user, 5, idempotency_key=f"pest-{number}")
        except ConcurrencyConflict:
            in_vain += 1
        else:
            assert not booking.replayed
            return in_vain


async def start_pestering(world: World, user: UserRow, number: int) -> asyncio.Task[int]:
    """Each starts a batch of its own, while there are lanes."""
    pest = asyncio.create_task(pester(world, user, number))
    for _ in range(5):  # turns of the loop: until the batch that it starts is formed
        await asyncio.sleep(0)
    return pest


@pytest.mark.parametrize("count", [LANES, 3 * LANES])
async def test_as_many_held_users_as_lanes(world: World, rival: Rival, count: int) -> None:
    """Their callers never give up, and yet everybody else is served, several times over."""
    users = await new_users(world, 20 + count)
    held, others = users[:count], users[count:]
    async with rival.connection.transaction():
        ids = [user.id for user in held]
        await rival.connection.execute('SELECT 1 FROM "user" WHERE id = ANY ($1) FOR UPDATE', ids)
        pests = [await start_pestering(world, user, number) for user in held for number in (1, 2)]
        for turn in range(1, 6):
            await assert_served(ask(world, others, f"turn-{turn}"), balance=5 * turn)
        assert not [pest for pest in pests if pest.done()]
        assert [await journal_of(world.services, user) for user in held] == [[]] * count
        read = await world.services.users.users([user.id for user in users])
        assert [user.balance for user in read.values()] == [0] * count + [25] * 20
    async with asyncio.timeout(TOO_LONG_SECONDS):
        await asyncio.gather(*pests)
    for user in held:
        assert [row.balance_after for row in await journal_of(world.services, user)] == [5, 10]
    await assert_sound(world.services)


async def test_a_user_held_in_the_middle_of_a_rush(world: World, rival: Rival) -> None:
    """Hundreds wait for it: each is answered, in order or with CONFLICT, and done once or never."""
    others = await new_users(world, 8)
    async with rival.holding_user(world.anna.id):
        stuck = ask_many(world, world.anna, 200)
        await assert_served(ask(world, others))
        async with asyncio.timeout(TOO_LONG_SECONDS):
            await asyncio.wait(stuck, return_when=asyncio.FIRST_COMPLETED)
        assert await journal_of(world.services, world.anna) == []
    async with asyncio.timeout(TOO_LONG_SECONDS):
        answers = await asyncio.gather(*stuck, return_exceptions=True)
    done = [number for number, answer in enumerate(answers) if isinstance(answer, Booking)]
    refused = [answer for answer in answers if not isinstance(answer, Booking)]
    assert done
    assert refused
    assert all(isinstance(answer, ConcurrencyConflict) for answer in refused)
    rows = await journal_of(world.services, world.anna)
    assert [row.idempotency_key for row in rows] == [f"rush-{number}" for number in done]
    assert [row.balance_after for row in rows] == list(range(1, len(done) + 1))
    retried = await asyncio.gather(*ask_many(world, world.anna, 200))
    assert [booking.replayed for booking in retried] == [number in done for number in range(200)]
    assert (await world.state())["user"][0] == (world.anna.id, 200, 200)
    await assert_sound(world.services)


def ask_many(world: World, user: UserRow, count: int) -> list[asyncio.Task[Booking]]:
    return [
        asyncio.create_task(world.credit(user, 1, idempotency_key=f"rush-{number}"))
        for number in range(count)
    ]


async def test_what_its_callers_are_told(settings: Settings, rival: Rival) -> None:
    """Over both transports: to come again, and after that it is done."""
    async with open_shop(settings) as shop:
        anna = shop.player(shop.world.anna)
        await shop.world.credit(shop.world.anna, 200)

        async def buy_over_rest() -> httpx.Response:
            headers = anna | {"Idempotency-Key": "order-1"}
            return await shop.client.post("/products/1/purchase", headers=headers)

        async with rival.holding_user(shop.world.anna.id):
            async with nothing_changes(shop.world):
                expected = problem(503, "CONFLICT", CONFLICT, retryable=True)
                assert_problem(await buy_over_rest(), expected)
                body = await shop.graphql(BUY, anna)
                assert body["data"] == {"purchase": None}
                [error] = body["errors"]
                assert error["extensions"] == {"code": "CONFLICT", "retryable": True}
            boris = shop.player(shop.world.boris)
            answer = await shop.client.post("/products/1/purchase", headers=boris)
            assert (answer.status_code, answer.json()["code"]) == (402, "INSUFFICIENT_FUNDS")
        bought = await buy_over_rest()
        assert (bought.status_code, bought.json()["replayed"]) == (200, False)


@pytest.fixture
def one_lane(database_url: str) -> Settings:
    return Settings(
        database_url=database_url, posting_lanes=1, posting_batch_size=16, jobs_in_server=False
    )


async def test_a_hot_user_starves_nobody(one_lane: Settings) -> None:
    """In one lane, where the order is known: who comes is served after the batch that runs."""
    async with open_services(one_lane) as services:
        world, order = await World.create(services), list[str]()
        users = await new_users(world, 5)
        hot = ask_many(world, world.anna, 320)
        await asyncio.sleep(0)  # all are accepted
        lone = ask(world, users)
        for number, task in enumerate(hot + lone):
            name = "hot" if number < 320 else "lone"
            task.add_done_callback(lambda _, name=name: order.append(name))  # type: ignore[misc]
        await asyncio.gather(*hot, *lone)
        await asyncio.sleep(0)
    assert len(order) == 325
    assert order[:21] == ["hot"] * 16 + ["lone"] * 5


async def test_a_reference_that_somebody_holds(world: World, rival: Rival) -> None:
    """An open transaction has claimed it: the neighbours of who wants it, too, are no matter."""
    users = await new_users(world, 6)
    async with rival.connection.transaction():
        claim = "INSERT INTO claim (value, kind, user_id) VALUES ('r', 'external_reference', $1)"
        await rival.connection.execute(claim, world.boris.id)
        stuck = asyncio.create_task(world.credit(world.anna, 5, external_reference="r"))
        await assert_served(ask(world, users))
        assert type(await error_in_time(stuck)).code == ConcurrencyConflict.code
