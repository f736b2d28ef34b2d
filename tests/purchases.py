"""Purchases of any time, written straight into the journal, and how a plain query ranks them."""

import itertools
import random
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, insert, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from economy.database import Database
from economy.jobs import Job
from economy.metrics import Metrics
from economy.models.analytics import PurchaseHour
from economy.models.columns import Instant
from economy.models.product import Product
from economy.models.transaction import Transaction
from economy.models.user import NO_HISTORY, User
from economy.replica import Replica
from economy.repositories.job import job_done_until
from economy.repositories.tables import table_of
from economy.services.analytics import AnalyticsService
from economy.settings import Settings
from tests.world import SERVER

ANNA, PRODUCTS = 1, range(1, 13)
TICK, HOUR, DAY, WEEK = (
    *(timedelta(microseconds=1), timedelta(hours=1), timedelta(days=1), timedelta(days=7)),
)
Ranking = list[tuple[int, int]]
Counts = dict[tuple[datetime, int], int]
Row = dict[str, Any]
PLAIN_QUERY = text(
    """SELECT product_id, count(*) FROM "transaction"
    WHERE kind = 'purchase' AND status = 'completed'
    AND created_at >= :since AND created_at < :until
    GROUP BY product_id ORDER BY count(*) DESC, product_id"""
).bindparams(bindparam("since", type_=Instant), bindparam("until", type_=Instant))
GRACE = timedelta(minutes=5)  # after which an hour that is over is counted
NUMBERS = itertools.count(1)


def hour_of(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def purchase(product_id: int, at: datetime) -> Row:
    """A completed one of Anna's."""
    number = next(NUMBERS)
    row = {"user_id": ANNA, "id": UUID(int=number), "seq": number, "kind": "purchase"}
    row |= {"status": "completed", "product_id": product_id, "quantity": 1, "amount": 5}
    row |= {"balance_after": 0, "quantity_after": 1, "failure_code": None, "actor": "player:1"}
    row |= {"idempotency_key": None, "request_hash": b"hash", "external_reference": None}
    row |= {"debt_after": 0, "target_id": None, "shortfall": None, "settled_seq": number}
    row |= {"hash": b"link", "settled_hash": None}
    return row | {"created_at": at, "completed_at": at}


DECLINED = {"status": "failed", "failure_code": "INSUFFICIENT_FUNDS"}
TOP_UP = {"kind": "top_up", "product_id": None, "quantity": None, "quantity_after": None}
PENDING = TOP_UP | {"status": "pending", "balance_after": None, "completed_at": None}
PENDING |= {"debt_after": None, "settled_seq": None}
USE, GRANT = {"kind": "use", "amount": 0}, {"kind": "grant", "amount": 0}
OTHERS: list[Row] = [DECLINED, PENDING, TOP_UP, USE, GRANT]


def nine_days(dice: random.Random, until: datetime, count: int) -> list[Row]:
    """Of all kinds, at any moment before `until` and at those where a mistake would show."""
    hours = [hour_of(until) - number * HOUR for number in range(9 * 24)]
    edges = [until - WEEK, until - DAY, until, *dice.sample(hours, 5), hours[0], hours[7 * 24]]
    moments = [edge + step for edge in edges for step in (-TICK, timedelta(), TICK)]
    moments += [until - 9 * DAY * dice.random() for _ in range(count - len(moments))]
    return [
        purchase(min(dice.choice(PRODUCTS), dice.choice(PRODUCTS)), moment)
        | (dice.choice(OTHERS) if dice.random() < 0.3 else {})
        for moment in moments
    ]


async def write_catalogue(session: AsyncSession) -> None:
    at = datetime.now(UTC)
    user = {"id": ANNA, "username": "anna", "email": "anna@example.com", "balance": 0}
    user |= {"last_seq": 0, "created_at": at, "debt": 0, "chain_hash": NO_HISTORY}
    await session.execute(insert(table_of(User)), [user])
    product = {"description": "", "price": 5, "type": "consumable", "is_active": True}
    await session.execute(
        insert(table_of(Product)),
        [product | {"id": id_, "name": f"product {id_}", "created_at": at} for id_ in PRODUCTS],
    )


async def write_journal(session: AsyncSession, rows: list[Row]) -> None:
    await session.execute(insert(table_of(Transaction)), rows)


async def plain_ranking(session: AsyncSession, since: datetime, until: datetime) -> Ranking:
    found = await session.execute(PLAIN_QUERY, {"since": since, "until": until})
    return [(product_id, count) for product_id, count in found]


async def write(database: Database, rows: list[Row]) -> None:
    async with database.unit_of_work() as session:
        await write_journal(session, rows)


async def stock(database: Database, rows: list[Row]) -> None:
    """Into an empty database."""
    async with database.unit_of_work() as session:
        await write_catalogue(session)
        await write_journal(session, rows)


async def ranking_told(database: Database) -> Ranking:
    """By a service that has nothing in its cache."""
    metrics = Metrics()
    replica = Replica(Settings(), database, metrics)
    service = AnalyticsService(database, replica, None, ttl_seconds=3600, metrics=metrics)
    found = await service.popular_products(SERVER, limit=100)
    assert [product.rank for product in found] == list(range(1, len(found) + 1))
    return [(product.product_id, product.purchases) for product in found]


async def assert_ranked_as_plainly(database: Database) -> Ranking:
    """As of the moment before or after: the window moves on meanwhile."""
    plain, told = [], []
    for _ in range(2):
        now = datetime.now(UTC)
        async with database.unit_of_work() as session:
            plain.append(await plain_ranking(session, now - WEEK, now))
        told.append(await ranking_told(database))
    assert told[0] in plain
    return told[0]


async def counted_until(database: Database) -> datetime:
    return await database.read(job_done_until, Job.COUNT_PURCHASES)


async def assert_all_is_counted(database: Database, rows: list[Row], started_at: datetime) -> None:
    """All hours of the window that are over and no other: as of the start, or of now."""
    found = await counts_in(database), await counted_until(database)
    possible = []
    for now in (started_at, datetime.now(UTC)):
        until = hour_of(now - GRACE)
        possible += [
            (counts_of(rows, hour_of(first - WEEK), until), until) for first in (started_at, now)
        ]
    assert found in possible


async def counts_in(database: Database) -> Counts:
    """What the table of counted hours holds."""
    table = table_of(PurchaseHour)
    async with database.unit_of_work() as session:
        found = await session.execute(select(table.c.hour, table.c.product_id, table.c.purchases))
        return {(hour, product_id): purchases for hour, product_id, purchases in found}


def counts_of(rows: Iterable[Row], since: datetime, until: datetime) -> Counts:
    """What the table of counted hours must hold for since <= hour < until, and nothing else."""
    return Counter(
        (hour_of(row["created_at"]), row["product_id"])
        for row in rows
        if (row["kind"], row["status"]) == ("purchase", "completed")
        and since <= hour_of(row["created_at"]) < until
    )
