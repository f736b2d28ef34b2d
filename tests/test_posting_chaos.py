"""Two processes, one of them on a bad network: whatever breaks, each key has one outcome."""

import random
from asyncio import gather

import pytest

from economy.bootstrap import open_services
from economy.errors import ConcurrencyConflict, Decline, Unavailable
from economy.models.transaction import TransactionRow
from economy.models.user import UserRow
from economy.services.operations import Booking
from economy.settings import Settings
from tests.journal import journal_of
from tests.proxy import Break, open_proxy
from tests.rival import open_rival
from tests.world import SERVER, World

CLIENTS, ASKED_BY_EACH = 20, 15
Outcomes = dict[tuple[int, str | None], TransactionRow | None]  # by user and key; None: declined


async def ask(world: World, user: UserRow, number: int, key: str) -> Booking:
    match number % 4:
        case 0:
            return await world.credit(user, 150, idempotency_key=key)
        case 1:
            reference = f"reference {number}"
            return await world.credit(user, 150, idempotency_key=key, external_reference=reference)
        case 2:
            return await world.buy(user, world.boost, idempotency_key=key)
        case _:
            return await world.use(user, world.boost, idempotency_key=key)


async def ask_until_answered(
    worlds: list[World], user: UserRow, number: int, key: str, dice: random.Random
) -> TransactionRow | None:
    while True:
        try:
            return (await ask(dice.choice(worlds), user, number, key)).transaction
        except Decline:
            return None
        except (ConcurrencyConflict, Unavailable):
            continue


def assert_journal_is_whole(rows: list[TransactionRow], balance: int, outcomes: Outcomes) -> None:
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    running, held = 0, 0
    for row in rows:
        told = outcomes[row.user_id, row.idempotency_key]
        if row.status == "failed":
            assert told is None
        else:
            assert told == row
            running += row.amount if row.kind == "top_up" else -row.amount
            held += {"purchase": 1, "use": -1, "top_up": 0}[row.kind]
        assert row.balance_after == running
        assert row.quantity_after in (None, held)
    assert running == balance


@pytest.mark.parametrize("seed", [1, 2])
async def test_each_key_has_one_outcome(postgres_url: str, seed: int) -> None:
    dice, outcomes = random.Random(seed), Outcomes()
    async with (
        open_proxy(postgres_url) as proxy,
        open_rival(postgres_url) as rival,
        open_services(Settings(database_url=postgres_url, posting_batch_size=8)) as one,
        open_services(Settings(database_url=proxy.url, posting_batch_size=8)) as other,
    ):
        mine = await World.create(one)
        theirs = World(other, mine.anna, mine.boris, mine.boost, mine.premium)
        create = one.users.create_user
        users = [
            await create(SERVER, username=f"user{number}", email=f"{number}@example.com")
            for number in range(6)
        ]

        async def client(name: int) -> None:
            for number in range(ASKED_BY_EACH):
                if dice.random() < 0.1:
                    proxy.next_commit = dice.choice([Break.BEFORE_COMMIT, Break.AFTER_COMMIT])
                if name == 0 and dice.random() < 0.3:
                    await rival.end_connections()
                user, key = dice.choice(users), f"{name}-{number}"
                outcomes[user.id, key] = await ask_until_answered(
                    [mine, theirs], user, number, key, dice
                )

        await gather(*(client(name) for name in range(CLIENTS)))

        assert len(outcomes) == CLIENTS * ASKED_BY_EACH
        balances = dict(await rival.connection.fetch('SELECT id, balance FROM "user"'))
    async with open_services(Settings(database_url=postgres_url)) as services:
        journals = [await journal_of(services, user) for user in users]
    assert sum(map(len, journals)) == CLIENTS * ASKED_BY_EACH
    for user, rows in zip(users, journals, strict=True):
        assert_journal_is_whole(rows, balances[user.id], outcomes)
    completed = [row for rows in journals for row in rows if row.status == "completed"]
    references = [row.external_reference for row in completed if row.external_reference]
    assert sorted(references) == [f"reference {number}" for number in (1, 13, 5, 9)]
