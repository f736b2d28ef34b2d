"""Pending top-ups under races of two processes, and with commits whose outcome is unknown."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from economy.bootstrap import open_services
from economy.errors import AlreadyTaken, EconomyError, PaymentFailed, TopUpCompleted, TopUpExpired
from economy.jobs import Job
from economy.models.transaction import TransactionRow
from economy.models.user import UserRow
from economy.services.operations import Booking
from economy.settings import Settings
from tests.journal import journal_of
from tests.pending_top_ups import pending_since
from tests.proxy import Break, open_proxy
from tests.rival import open_rival
from tests.world import SERVER, World

ROUNDS = 12
Answer = Booking | EconomyError | bool


@asynccontextmanager
async def two_processes(url: str) -> AsyncIterator[tuple[World, World]]:
    """The same economy, from both; it is sound in the end."""
    settings = Settings(database_url=url)
    async with open_services(settings) as one, open_services(settings) as other:
        mine = await World.create(one)
        yield mine, World(other, mine.anna, mine.boris, mine.boost, mine.premium)
        assert await mine.broken() == {}


async def new_user(world: World, name: str) -> UserRow:
    create = world.services.users.create_user
    return await create(SERVER, username=name, email=f"{name}@example.com")


async def bring(world: World, news: str, row: TransactionRow) -> Answer:
    """What has come of the payment; the job only tells whether there was anything to do."""
    try:
        if news == "expired":
            return await world.services.jobs.run(Job.EXPIRE_TOP_UPS)
        return await (world.complete if news == "paid" else world.fail)(row)
    except EconomyError as error:
        return error


def end_of(row: TransactionRow) -> str:
    return row.failure_code or row.status


# who is first, who is second -> what the second is told, besides that it was settled before
SECOND: dict[tuple[str, str], type[EconomyError] | None] = {
    ("paid", "paid"): None,
    ("paid", "failed"): TopUpCompleted,
    ("paid", "expired"): None,
    ("failed", "paid"): PaymentFailed,
    ("failed", "failed"): None,
    ("failed", "expired"): None,
    ("expired", "paid"): TopUpExpired,
    ("expired", "failed"): None,
    ("expired", "expired"): None,
}
ENDS = {"paid": "completed", "failed": "PAYMENT_FAILED", "expired": "TOP_UP_EXPIRED"}


async def test_whoever_stands_first_in_line_decides(postgres_url: str) -> None:
    """Both processes wait for the user's lock, in this order, when it is let go."""
    async with two_processes(postgres_url) as (mine, theirs), open_rival(postgres_url) as rival:
        for number, ((first, second), refusal) in enumerate(SECOND.items()):
            user = await new_user(mine, f"user{number}")
            [row] = await pending_since(mine, user)
            async with rival.holding_user(user.id):
                tasks = [asyncio.create_task(bring(mine, first, row))]
                await rival.until_waiting(1)
                tasks.append(asyncio.create_task(bring(theirs, second, row)))
                await rival.until_waiting(2)
            one, other = await asyncio.gather(*tasks)
            settled, *late = await journal_of(mine.services, user)
            assert end_of(settled) == ENDS[first]
            assert one is True or (
                isinstance(one, Booking) and (one.transaction, one.replayed) == (settled, False)
            )
            if refusal is not None:
                assert type(other) is refusal
            else:
                assert other is True or (
                    isinstance(other, Booking)
                    and (other.transaction, other.replayed) == (settled, True)
                )
            assert [end_of(row) for row in late] == ([refusal.code.value] if refusal else [])
            assert await mine.worth(user) == (250 * (first == "paid"), 0)


async def test_news_from_everywhere_at_once(postgres_url: str) -> None:
    """Each webhook twice, to two processes, while the job runs in both: settled once."""
    async with two_processes(postgres_url) as (mine, theirs):
        for number in range(ROUNDS):
            user = await new_user(mine, f"user{number}")
            [row] = await pending_since(mine, user)
            asks = [(world, news) for news in ENDS for world in (mine, theirs, mine)]
            asks = asks[number % len(asks) :] + asks[: number % len(asks)]
            answers = await asyncio.gather(*(bring(world, news, row) for world, news in asks))
            settled, *late = await journal_of(mine.services, user)
            first = next(news for news, end in ENDS.items() if end == end_of(settled))
            firsts = [
                news
                for (_, news), answer in zip(asks, answers, strict=True)
                if isinstance(answer, Booking) and not answer.replayed
            ]
            assert firsts == [first] * (first != "expired")
            for (_, news), answer in zip(asks, answers, strict=True):
                refusal = SECOND[first, news]
                assert (type(answer) is refusal) == (refusal is not None)
            # the same news that came too late more than once is one row
            told = {SECOND[first, news] for news in ENDS} - {None}
            assert [end_of(row) for row in late] == [error.code.value for error in told if error]
            assert await mine.worth(user) == (250 * (first == "paid"), 0)


async def test_a_payment_is_credited_once_under_its_id(postgres_url: str) -> None:
    """`addFunds` and `completeTopUp` of the same payment, while somebody says that it failed."""
    async with two_processes(postgres_url) as (mine, theirs):
        anna, boris = mine.anna, mine.boris
        for number in range(ROUNDS):
            name: dict[str, Any] = {"external_reference": f"payment {number}"}
            begun = (await mine.begin(anna, 1, **name)).transaction
            answers = await asyncio.gather(
                *([theirs.fail(begun)] if number % 3 else []),
                mine.complete(begun),
                theirs.credit(boris, 1, **name),
                mine.credit(anna, 1, **name),
                theirs.begin(anna, 1, **name),
                return_exceptions=True,
            )
            completed, *others = answers[-4:]
            assert isinstance(completed, Booking) or type(completed) is PaymentFailed
            taken = [answer for answer in others if isinstance(answer, Booking)]
            assert [type(answer) for answer in others if answer not in taken] == (
                [AlreadyTaken] * (3 - len(taken))
            )
            assert len(taken) <= (not isinstance(completed, Booking))
            rows = await mine.sql(
                'SELECT id FROM "transaction" WHERE external_reference = :name '
                "AND status <> 'failed'",
                name=name["external_reference"],
            )
            assert len(rows) == len(taken) + isinstance(completed, Booking)
        [[credited]] = await mine.sql(
            "SELECT count(*) FROM \"transaction\" WHERE status = 'completed'"
        )
        worth = [await mine.worth(user) for user in (anna, boris)]
        assert worth[0][0] + worth[1][0] == credited


@pytest.mark.parametrize("how", [Break.BEFORE_COMMIT, Break.AFTER_COMMIT, Break.LATE_COMMIT])
@pytest.mark.parametrize("news", ["paid", "expired"])
async def test_a_connection_lost_while_it_is_settled(
    postgres_url: str, how: Break, news: str
) -> None:
    """The row was there before: what tells that the commit has happened is its new link."""
    async with (
        open_proxy(postgres_url) as proxy,
        open_rival(postgres_url) as rival,
        open_services(Settings(database_url=proxy.url)) as services,
    ):
        world = await World.create(services)
        [row] = await pending_since(world, world.anna)
        proxy.next_commit = how
        asked = asyncio.create_task(bring(world, news, row))
        if how is Break.LATE_COMMIT:
            await rival.until_waiting()
            proxy.let_commit_through.set()
        answer = await asked
        assert proxy.broken == [how]
        [settled] = await journal_of(services, world.anna)
        assert (end_of(settled), settled.seq, settled.settled_seq) == (ENDS[news], 1, 2)
        again = await bring(world, "paid", row)
        if news == "paid":
            assert isinstance(answer, Booking)
            assert (answer.transaction, answer.replayed) == (settled, False)
            assert again == answer._replace(replayed=True)
        else:
            assert answer is True
            assert type(again) is TopUpExpired
        assert await world.worth(world.anna) == (250 * (news == "paid"), 0)
        assert await world.broken() == {}
