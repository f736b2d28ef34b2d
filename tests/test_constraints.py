"""Tests that the database itself refuses what must never be, whoever writes it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from economy.database import Database
from economy.models import metadata
from economy.models.transaction import TransactionRow
from economy.settings import Settings
from tests.bad_rows import BAD
from tests.rows import (
    FOREIGN_KEY,
    GOOD,
    GOOD_TRANSACTIONS,
    LATER,
    NOT_NULL,
    NOW,
    RESTRICT,
    REVERSAL,
    SETTLED_LATER,
    Row,
    assert_refused,
    execute,
    fill,
    insert,
    transaction,
    uuid,
)
from tests.servers import PostgresServer, create_database, drop_database

# Each column of a settled row with another value, which would be right in a row of its own.
OTHER = transaction(5, user_id="2", kind="'use'", product_id="2", quantity="2", amount="99")
OTHER |= {"balance_after": "9", "quantity_after": "9", "failure_code": "'ALREADY_OWNED'"}
OTHER |= {"status": "'pending'", "actor": "'player:2'", "request_hash": "'other'"}
OTHER |= {"external_reference": "'receipt'", "created_at": LATER, "completed_at": LATER}
OTHER |= {"debt_after": "9", "target_id": uuid(2), "shortfall": "9", "settled_seq": "99"}
OTHER |= {"hash": "'other link'", "settled_hash": "'other link'"}
SETTLED = (
    *("status", "balance_after", "failure_code", "completed_at"),
    *("debt_after", "settled_seq", "settled_hash"),
)
KEPT = [name for name in TransactionRow._fields if name not in SETTLED]
END = f"completed_at = {NOW}, debt_after = 7, settled_seq = 20, settled_hash = 'settled link'"
COMPLETE = f"status = 'completed', balance_after = 0, {END}"
FAIL = f"status = 'failed', balance_after = 0, failure_code = 'ALREADY_OWNED', {END}"
BACK = "status = 'pending', " + ", ".join(f"{name} = NULL" for name in SETTLED[1:])
# It cannot be broken alone: `id` is the primary key.
IMPLIED = {"uq_product_id_type"}
REQUIRED = [
    (table.name, column.name)
    for table in metadata.sorted_tables
    for column in table.columns
    if not column.nullable and column is not table.autoincrement_column
]


def update(number: int, values: str) -> str:
    return f'UPDATE "transaction" SET {values} WHERE seq = {number}'


@pytest.fixture(scope="module")
def filled_sqlite_url(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("constraints") / "economy.db"
    file.write_bytes(sqlite_template.read_bytes())
    asyncio.run(fill(f"sqlite:///{file}"))
    return f"sqlite:///{file}"


@pytest.fixture(scope="module")
def filled_postgres_url(postgres: PostgresServer, worker_id: str) -> Iterator[str]:
    name = f"constraints_{worker_id}"
    asyncio.run(create_database(postgres, name, template=f"template_{worker_id}"))
    asyncio.run(fill(postgres.database_url(name)))
    yield postgres.database_url(name)
    asyncio.run(drop_database(postgres, name))


@pytest.fixture(params=["postgres", "sqlite"])
def filled_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(f"filled_{request.param}_url")
    return url


@pytest.fixture
async def database(filled_url: str) -> AsyncIterator[Database]:
    """Shared by the tests of this file: refused statements change nothing, others roll back."""
    database = Database(Settings(database_url=filled_url))
    yield database
    await database.close()


@pytest.mark.parametrize(("table", "constraint", "sqlstate", "fault"), BAD)
async def test_a_bad_row_is_refused(
    database: Database, table: str, constraint: str, sqlstate: str, fault: Row
) -> None:
    await assert_refused(database, insert(table, GOOD[table] | fault), sqlstate)


@pytest.mark.parametrize(("table", "column"), REQUIRED)
async def test_what_is_required_is_never_null(database: Database, table: str, column: str) -> None:
    await assert_refused(database, insert(table, GOOD[table] | {column: "NULL"}), NOT_NULL)


def test_every_constraint_has_a_case() -> None:
    tables = metadata.sorted_tables
    constraints = {
        str(constraint.name or f"{table.name}_pkey")
        for table in tables
        for constraint in table.constraints
    }
    constraints |= {str(index.name) for table in tables for index in table.indexes if index.unique}
    assert {constraint for _, constraint, _, _ in BAD} == constraints - IMPLIED


@pytest.mark.parametrize("table", GOOD)
async def test_a_good_row_is_let_in(database: Database, table: str) -> None:
    """So a bad row above is refused for its fault alone."""
    async with database.unit_of_work() as session:
        await session.execute(text(insert(table, GOOD[table])))
        await session.rollback()


@pytest.mark.parametrize("kind", GOOD_TRANSACTIONS)
async def test_a_good_row_of_each_kind_is_let_in(database: Database, kind: str) -> None:
    async with database.unit_of_work() as session:
        row = transaction(4) | GOOD_TRANSACTIONS[kind]
        await session.execute(text(insert("transaction", row)))
        await session.rollback()


async def test_without_a_key_every_transaction_is_an_outcome_of_its_own(
    database: Database,
) -> None:
    async with database.unit_of_work() as session:
        for number in (4, 5):
            row = transaction(number, idempotency_key="NULL")
            await session.execute(text(insert("transaction", row)))
        await session.rollback()


@pytest.mark.parametrize(
    "statement",
    [
        'DELETE FROM "user" WHERE id = 1',
        "DELETE FROM product WHERE id = 1",
        "UPDATE product SET type = 'permanent' WHERE id = 1",
        'UPDATE "user" SET id = 9 WHERE id = 1',
    ],
)
async def test_what_others_point_at_stays(database: Database, statement: str) -> None:
    await assert_refused(database, statement, FOREIGN_KEY)


@pytest.mark.parametrize(
    "number", [1, 2, 11, 12], ids=["completed", "failed", "settled later", "reversal"]
)
async def test_a_settled_row_never_changes(database: Database, number: int) -> None:
    for column in TransactionRow._fields:
        await assert_refused(database, update(number, f"{column} = {OTHER[column]}"), RESTRICT)


@pytest.mark.parametrize("outcome", [COMPLETE, FAIL], ids=["completed", "failed"])
async def test_a_pending_row_keeps_what_was_asked(database: Database, outcome: str) -> None:
    for column in KEPT:
        statement = update(3, f"{outcome}, {column} = {OTHER[column]}")
        await assert_refused(database, statement, RESTRICT)


@pytest.mark.parametrize(
    "statement",
    [
        update(1, "actor = actor"),
        update(3, "actor = actor"),
        update(3, "balance_after = 5"),
        update(3, f"completed_at = {NOW}"),
        update(3, "settled_seq = 20, settled_hash = 'settled link'"),
        *(f'DELETE FROM "transaction" WHERE seq = {number}' for number in (1, 2, 3, 11, 12)),
        f"""{insert("transaction", transaction(1))}
        ON CONFLICT (user_id, id) DO UPDATE SET amount = excluded.amount + 1""",
    ],
)
async def test_the_journal_is_append_only(database: Database, statement: str) -> None:
    await assert_refused(database, statement, RESTRICT)


@pytest.mark.parametrize("filled_url", ["postgres"], indirect=True)
@pytest.mark.parametrize("statement", ["TRUNCATE transaction", 'TRUNCATE "user", product CASCADE'])
async def test_the_journal_is_not_truncated(database: Database, statement: str) -> None:
    await assert_refused(database, statement, RESTRICT)


@pytest.mark.parametrize("filled_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "same",
    [
        {"id": uuid(1)},
        {"seq": "1", "settled_seq": "1"},
        {"idempotency_key": "'key-1'"},
        REVERSAL,
        SETTLED_LATER,
    ],
    ids=["id", "seq", "idempotency_key", "target_id", "settled_seq"],
)
async def test_the_journal_is_not_replaced(database: Database, same: Row) -> None:
    """SQLite deletes the rows in the way of an INSERT OR REPLACE."""
    row = transaction(4) | same | {"amount": "1"}
    statement = insert("transaction", row).replace("INSERT", "INSERT OR REPLACE", 1)
    await assert_refused(database, statement, RESTRICT)


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [(COMPLETE, ("completed", 0, None)), (FAIL, ("failed", 0, "ALREADY_OWNED"))],
    ids=["completed", "failed"],
)
async def test_a_pending_row_is_settled_once(
    database_url: str, outcome: str, expected: tuple[object, ...]
) -> None:
    await fill(database_url)
    database = Database(Settings(database_url=database_url))
    before = await journal(database)

    await execute(database, update(3, outcome))

    after = await journal(database)
    settled = {name: after[3][name] for name in SETTLED}
    assert str(settled["completed_at"]).startswith("2026-11-23 12:00:00")
    link = "settled link" if database.dialect == "sqlite" else b"settled link"
    told = dict(zip(SETTLED, (*expected, settled["completed_at"], 7, 20, link), strict=True))
    assert after == before | {3: before[3] | told}
    for again in (COMPLETE, FAIL, BACK):
        await assert_refused(database, update(3, again), RESTRICT)
    await database.close()


async def journal(database: Database) -> dict[int, dict[str, object]]:
    async with database.unit_of_work() as session:
        rows = await session.execute(text('SELECT * FROM "transaction"'))
        return {row["seq"]: dict(row) for row in rows.mappings()}
