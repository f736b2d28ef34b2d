"""SQL of what sells: purchases counted by the hour, and those that are not counted yet."""

from datetime import datetime, timedelta

from sqlalchemy import (
    Select,
    delete,
    func,
    insert,
    literal,
    select,
    text,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncSession

from economy.models.analytics import PurchaseHour
from economy.models.columns import Instant
from economy.models.transaction import COMPLETED_PURCHASE, Transaction
from economy.repositories.tables import is_postgres, table_of

_HOURS = table_of(PurchaseHour)
_JOURNAL = table_of(Transaction)
HOUR = timedelta(hours=1)


def start_of_hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


async def most_purchased(
    session: AsyncSession, *, since: datetime, until: datetime, counted_until: datetime, limit: int
) -> list[tuple[int, int]]:
    """(product id, purchases) of since <= time < until; of equals the older product first.

    Whole hours before `counted_until` come from the counts, the rest from the journal: both ends of
    the time are exact.
    """
    first_hour = start_of_hour(since) + (HOUR if since != start_of_hour(since) else timedelta())
    parts = [_in_journal(since, until)]
    if first_hour < counted_until:
        counted = select(_HOURS.c.product_id, _HOURS.c.purchases).where(
            _HOURS.c.hour >= first_hour, _HOURS.c.hour < counted_until
        )
        parts = [_in_journal(since, first_hour), counted, _in_journal(counted_until, until)]
    found = union_all(*parts).subquery()
    purchases = func.sum(found.c.purchases).label("purchases")
    statement = (
        select(found.c.product_id, purchases)
        .group_by(found.c.product_id)
        .order_by(purchases.desc(), found.c.product_id)
        .limit(limit)
    )
    return [(product_id, int(count)) for product_id, count in await session.execute(statement)]


async def count_hour(session: AsyncSession, hour: datetime) -> None:
    """Count the purchases of one hour. Counting it again changes nothing."""
    await session.execute(delete(_HOURS).where(_HOURS.c.hour == hour))
    counts = _in_journal(hour, hour + HOUR).subquery()
    row = select(literal(hour, Instant), counts.c.product_id, counts.c.purchases)
    await session.execute(insert(_HOURS).from_select(["hour", "product_id", "purchases"], row))


async def delete_hours(session: AsyncSession, *, before: datetime) -> None:
    await session.execute(delete(_HOURS).where(_HOURS.c.hour < before))


async def is_written_since_before(session: AsyncSession, moment: datetime) -> bool:
    """Whether a transaction that began before then has written, and has not ended yet."""
    if not is_postgres(session):
        return False  # whoever writes waits for the only writer's lock: here that is us
    statement = text(
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid() AND backend_xid IS NOT NULL AND xact_start < :moment)"
    )
    return bool(await session.scalar(statement, {"moment": moment}))


def _in_journal(since: datetime, until: datetime) -> Select[tuple[int, int]]:
    return (
        select(_JOURNAL.c.product_id, func.count().label("purchases"))
        .where(
            # literally the predicate of the partial index: a planner cannot prove a parameter
            text(COMPLETED_PURCHASE),
            _JOURNAL.c.created_at >= since,
            _JOURNAL.c.created_at < until,
        )
        .group_by(_JOURNAL.c.product_id)
    )
