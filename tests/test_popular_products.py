"""The ranking is what a plain query finds, whatever of it has been counted by the hour."""

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import text

from economy.database import Database
from economy.jobs import Job
from economy.repositories.analytics import count_hour, delete_hours, most_purchased
from economy.repositories.job import NEVER, set_job_done_until
from economy.services import Services
from economy.settings import Settings
from tests.purchases import (
    DAY,
    DECLINED,
    HOUR,
    TICK,
    TOP_UP,
    USE,
    WEEK,
    Ranking,
    assert_all_is_counted,
    assert_ranked_as_plainly,
    counts_in,
    hour_of,
    nine_days,
    plain_ranking,
    purchase,
    ranking_told,
    stock,
    write,
    write_catalogue,
    write_journal,
)
from tests.world import SERVER

# no whole second, and written down in another time zone
NOW = datetime(2026, 11, 23, 15, 0, 0, 123456, tzinfo=timezone(timedelta(hours=3)))
BOOST, SHIELD, PREMIUM = 1, 2, 3


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(Settings(database_url=database_url))
    yield database
    await database.close()


@pytest.mark.parametrize("seed", range(4))
async def test_the_ranking_is_exact_however_much_is_counted(database: Database, seed: int) -> None:
    """Counts and journal meet at any hour; the ends of the time are at any microsecond."""
    dice = random.Random(seed)
    until = datetime(2026, 11, 23, 16, 20, 30, 123456, tzinfo=UTC)
    async with database.unit_of_work() as session:
        await write_catalogue(session)
        await write_journal(session, nine_days(dice, until, 600))
        spans = [(until - WEEK, until), (until - WEEK + TICK, until + TICK)]
        spans += [(hour_of(until) - WEEK, until), (hour_of(until) - WEEK + TICK, hour_of(until))]
        plain = [await plain_ranking(session, *span) for span in spans]
        hours = [hour_of(until - WEEK) + number * HOUR for number in range(7 * 24)]
        stops = {NEVER, *dice.sample(hours, 3), hours[0], hours[1], hours[-1]}
        for hour in [NEVER, *hours]:
            if hour != NEVER:
                await count_hour(session, hour)
            if hour not in stops:
                continue
            counted_until = NEVER if hour == NEVER else hour + HOUR
            for (since, end), ranking in zip(spans, plain, strict=True):
                arguments = {"since": since, "until": end, "counted_until": counted_until}
                assert len(ranking) >= 10
                assert await most_purchased(session, limit=100, **arguments) == ranking
                assert await most_purchased(session, limit=3, **arguments) == ranking[:3]


async def test_the_service_ranks_as_the_plain_query(services: Services) -> None:
    database, started_at = services.database, datetime.now(UTC)
    rows = nine_days(random.Random(5), started_at, 600)
    await stock(database, rows)
    assert len(await assert_ranked_as_plainly(database)) >= 10  # nothing is counted yet
    assert await services.analytics.count_purchases() is True
    await assert_all_is_counted(database, rows, started_at)
    await assert_ranked_as_plainly(database)
    for days in (6, 3):  # some of it is: it may also be counted again
        async with database.unit_of_work() as session:
            hour = hour_of(started_at) - days * DAY
            await set_job_done_until(session, Job.COUNT_PURCHASES, hour)
        await assert_ranked_as_plainly(database)
        assert await services.analytics.count_purchases() is True
        await assert_all_is_counted(database, rows, started_at)
    await write(database, [purchase(12, datetime.now(UTC)) for _ in range(700)])
    assert (await assert_ranked_as_plainly(database))[0][0] == 12


async def test_of_equals_the_older_product_is_first(services: Services) -> None:
    database, now = services.database, datetime.now(UTC)
    products = [7, 3, 9, 3, 7, 9, 12, 1]
    rows = [purchase(id_, now - n * 20 * HOUR) for n, id_ in enumerate(products)]
    rows += [purchase(2, now - HOUR) | {"quantity": 1000}, purchase(5, now - WEEK - TICK)]
    rows += [purchase(12, now - HOUR) | others for others in (DECLINED, TOP_UP, USE)]
    await stock(database, rows)
    ranking = [(3, 2), (7, 2), (9, 2), (1, 1), (2, 1), (12, 1)]
    for _ in range(2):
        assert await ranking_told(database) == ranking
        await services.analytics.count_purchases()
    found = await services.analytics.popular_products(SERVER, limit=4)
    assert [tuple(product) for product in found] == [(1, 3, 2), (2, 7, 2), (3, 9, 2), (4, 1, 1)]


async def ranking_of(
    database: Database, since: datetime, *, until: datetime = NOW + 9 * DAY, **changes: Any
) -> Ranking:
    arguments: dict[str, Any] = {"counted_until": NEVER, "limit": 10} | changes
    return await database.read(most_purchased, since=since, until=until, **arguments)


async def test_completed_purchases_of_a_time_are_counted_each_as_one(database: Database) -> None:
    just_before, tomorrow = NOW - TICK, NOW + DAY
    rows = [purchase(SHIELD, NOW), purchase(SHIELD, NOW), purchase(PREMIUM, tomorrow)]
    rows += [purchase(BOOST, NOW) | {"quantity": 1000}, purchase(BOOST, just_before)]
    rows += [purchase(BOOST, NOW) | others for others in (DECLINED, TOP_UP, USE)]
    await stock(database, rows)
    ranking = [(SHIELD, 2), (BOOST, 1), (PREMIUM, 1)]  # of equals the smaller id
    assert await ranking_of(database, NOW) == ranking
    assert await ranking_of(database, NOW.astimezone(UTC)) == ranking
    assert await ranking_of(database, NOW, limit=2) == ranking[:2]
    assert await ranking_of(database, just_before) == [(BOOST, 2), (SHIELD, 2), (PREMIUM, 1)]
    assert await ranking_of(database, NOW, until=tomorrow) == ranking[:2]
    assert await ranking_of(database, NOW, until=tomorrow + TICK) == ranking
    assert await ranking_of(database, tomorrow + TICK) == []


async def test_an_hour_that_is_counted_is_no_longer_looked_up(database: Database) -> None:
    """What is counted is added to what is not: told apart by a count that is made wrong."""
    hour = hour_of(NOW)
    await stock(database, [purchase(id_, NOW) for id_ in (BOOST, BOOST, SHIELD)])
    async with database.unit_of_work() as session:
        for _ in range(2):  # twice is once
            await count_hour(session, hour)
    assert await counts_in(database) == {(hour, BOOST): 2, (hour, SHIELD): 1}
    async with database.unit_of_work() as session:
        await session.execute(text("UPDATE purchase_hour SET purchases = 7 WHERE product_id = 2"))
    counted, not_counted = [(SHIELD, 7), (BOOST, 2)], [(BOOST, 2), (SHIELD, 1)]
    end = hour + HOUR
    assert await ranking_of(database, hour, counted_until=end) == counted
    assert await ranking_of(database, hour - HOUR, counted_until=end + HOUR) == counted
    assert await ranking_of(database, hour, counted_until=hour) == not_counted
    # a part of an hour is no count's
    assert await ranking_of(database, NOW, counted_until=end) == not_counted
    async with database.unit_of_work() as session:
        await delete_hours(session, before=hour)
    assert await ranking_of(database, hour, counted_until=end) == counted
    async with database.unit_of_work() as session:
        await delete_hours(session, before=end)
    assert await ranking_of(database, hour, counted_until=end) == []
