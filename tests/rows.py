"""Rows written in raw SQL, behind the services' back, in literals of both databases."""

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from economy.database import Database
from economy.models import metadata
from economy.settings import Settings

CHECK, UNIQUE, FOREIGN_KEY, NOT_NULL, RESTRICT = "23514", "23505", "23503", "23502", "23001"
SQLSTATES = {
    "SQLITE_CONSTRAINT_CHECK": CHECK,
    "SQLITE_CONSTRAINT_UNIQUE": UNIQUE,
    "SQLITE_CONSTRAINT_PRIMARYKEY": UNIQUE,
    "SQLITE_CONSTRAINT_FOREIGNKEY": FOREIGN_KEY,
    "SQLITE_CONSTRAINT_NOTNULL": NOT_NULL,
    "SQLITE_CONSTRAINT_TRIGGER": RESTRICT,
}
Row = dict[str, str]  # column -> SQL literal
NOW, LATER = "'2026-11-23 12:00:00+00'", "'2026-11-24 12:00:00+00'"


def uuid(number: int) -> str:
    return f"'{number:032x}'"


def transaction(number: int, **changes: str) -> Row:
    """A completed purchase of user 1, of which no two share what must be unique."""
    row = {"user_id": "1", "id": uuid(number), "seq": str(number), "kind": "'purchase'"}
    row |= {"status": "'completed'", "product_id": "1", "quantity": "1", "amount": "100"}
    row |= {"balance_after": "0", "quantity_after": "1", "failure_code": "NULL"}
    row |= {"actor": "'player:1'", "idempotency_key": f"'key-{number}'", "request_hash": "'hash'"}
    row |= {"external_reference": "NULL", "created_at": NOW, "completed_at": NOW}
    row |= {"debt_after": "0", "target_id": "NULL", "shortfall": "NULL"}
    row |= {"settled_seq": str(number), "hash": "'link'", "settled_hash": "NULL"}
    return row | changes


WITHOUT_PRODUCT = {"product_id": "NULL", "quantity": "NULL", "quantity_after": "NULL"}
TOP_UP = WITHOUT_PRODUCT | {"kind": "'top_up'"}
PENDING = TOP_UP | {"status": "'pending'", "balance_after": "NULL", "completed_at": "NULL"}
PENDING |= {"debt_after": "NULL", "settled_seq": "NULL"}
SETTLED_LATER = TOP_UP | {"settled_seq": "13", "settled_hash": "'settled link'"}
FAILED = {"status": "'failed'", "failure_code": "'INSUFFICIENT_FUNDS'"}
REVERSAL = {"kind": "'reversal'", "target_id": uuid(1), "shortfall": "0"}
FAILED_REVERSAL = REVERSAL | FAILED | {"shortfall": "NULL"}
TOO_LATE = FAILED | WITHOUT_PRODUCT | {"kind": "'top_up_settlement'", "target_id": uuid(11)}
USER = {"username": "'anna'", "email": "'anna@example.com'", "balance": "0", "last_seq": "0"}
USER |= {"created_at": NOW, "debt": "0", "chain_hash": "'link'", "deleted_at": "NULL"}
PRODUCT = {"name": "'Boost'", "description": "''", "price": "100", "type": "'consumable'"}
PRODUCT |= {"is_active": "true", "created_at": NOW}
ITEM = {"product_id": "1", "product_type": "'consumable'", "quantity": "1", "purchased_at": NOW}
KEY = {"key_hash": "'hash'", "scopes": "''", "created_at": NOW}
PROGRESS = {"job": "'count'", "done_until": NOW}
HOUR = {"hour": NOW, "product_id": "1", "purchases": "1"}
PERMANENT = {"product_id": "2", "product_type": "'permanent'"}
VERIFICATION = {"started_at": NOW, "finished_at": LATER, "transactions": "5"}
VERIFICATION |= {"broken_invariants": "0"}
CIRCULATION = {"measured_at": NOW, "coins": "1e16", "owed": "0.5", "users": "2"}

PRESENT: list[tuple[str, Row]] = [
    ("user", {"id": "1"} | USER),
    ("user", {"id": "2"} | USER),
    ("product", {"id": "1"} | PRODUCT),
    ("product", {"id": "2"} | PRODUCT | {"type": "'permanent'"}),
    ("server_key", {"id": uuid(1)} | KEY),
    ("claim", {"value": "'anna'", "kind": "'username'", "user_id": "1"}),
    ("inventory", {"user_id": "1", "id": uuid(1)} | ITEM),
    ("transaction", transaction(1)),
    ("transaction", transaction(2, **FAILED)),
    ("transaction", transaction(3, **PENDING)),
    ("transaction", transaction(11, **SETTLED_LATER)),
    ("transaction", transaction(12, **REVERSAL)),
    ("job_progress", PROGRESS),
    ("purchase_hour", HOUR),
    ("verification", VERIFICATION),
    ("circulation", CIRCULATION),
]
# One more row for each table, without fault.
GOOD: dict[str, Row] = {
    "user": {"id": "3"} | USER,
    "product": {"id": "3"} | PRODUCT,
    "server_key": {"id": uuid(2)} | KEY | {"key_hash": "'other'"},
    "claim": {"value": "'anna'", "kind": "'email'", "user_id": "1"},
    "inventory": {"user_id": "2", "id": uuid(1)} | ITEM,
    "transaction": transaction(4),
    "job_progress": PROGRESS | {"job": "'reset'"},
    "purchase_hour": HOUR | {"hour": LATER},
    "verification": VERIFICATION | {"started_at": LATER},
    "circulation": CIRCULATION | {"measured_at": LATER},
}
# Rows of all kinds, without fault.
GOOD_TRANSACTIONS: dict[str, Row] = {
    "pending": PENDING,
    "settled later": SETTLED_LATER | {"settled_seq": "14"},
    "failed later": SETTLED_LATER | FAILED | {"settled_seq": "14"},
    "too late": TOO_LATE,
    "in debt": TOP_UP | {"debt_after": str(2**53 - 1)},
    "debit": WITHOUT_PRODUCT | {"kind": "'debit'"},
    "grant": {"kind": "'grant'", "amount": "0"},
    "revocation": {"kind": "'revocation'", "amount": "0"},
    "reversal of another": REVERSAL | {"target_id": uuid(11)},
    "reversal of nothing that is left": REVERSAL
    | {"target_id": uuid(11), "quantity": "0", "shortfall": "100"},
    "reversal again": FAILED_REVERSAL,
    "refused reversal of no quantity": FAILED_REVERSAL | {"quantity": "0"},
}


def insert(table: str, row: Row) -> str:
    return f'INSERT INTO "{table}" ({", ".join(row)}) VALUES ({", ".join(row.values())})'


async def execute(database: Database, *statements: str) -> None:
    """In one unit of work."""
    async with database.unit_of_work() as session:
        for statement in statements:
            await session.execute(text(statement))


async def everything(database: Database) -> dict[str, list[str]]:
    """All rows of all tables."""
    async with database.unit_of_work() as session:
        return {
            table: sorted(map(repr, await session.execute(text(f'SELECT * FROM "{table}"'))))
            for table in metadata.tables
        }


async def assert_refused(database: Database, statement: str, sqlstate: str) -> None:
    """Refused for that reason, and nothing changed.

    Told by SQLSTATE: constraint names do not reach us from every kind of PostgreSQL.
    """
    before = await everything(database)
    with pytest.raises(IntegrityError) as refusal:
        await execute(database, statement)
    cause: Any = refusal.value.orig
    is_sqlite = database.dialect == "sqlite"
    assert (SQLSTATES[cause.sqlite_errorname] if is_sqlite else cause.sqlstate) == sqlstate
    assert await everything(database) == before


async def fill(url: str) -> None:
    database = Database(Settings(database_url=url))
    await execute(database, *(insert(table, row) for table, row in PRESENT))
    await database.close()
