"""Each invariant is broken on purpose and found; sound economies, busy ones too, are clean."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from economy.bootstrap import open_services
from economy.database import Database
from economy.errors import AlreadyTaken, ConnectionLost, Decline, Unavailable
from economy.models import metadata
from economy.models.user import UserRow
from economy.settings import Settings
from tests.breakages import ANNA, BOOST, BORIS, HOLDING_BREAKAGES, PREMIUM, Breakage
from tests.journal_breakages import JOURNAL_BREAKAGES, POSTGRES_UNGUARDS, SQLITE_UNGUARDS
from tests.world import SERVER, World

TESTS = Path(__file__).parent
INVARIANTS_PAGE = TESTS.parent / "docs" / "INVARIANTS.md"
BREAKAGES = [*HOLDING_BREAKAGES, *JOURNAL_BREAKAGES]


@pytest.fixture
async def busy(world: World) -> World:
    """Completed and declined operations of each kind; Boris ends with nothing."""
    assert (world.anna.id, world.boris.id) == (ANNA, BORIS)
    assert (world.boost.id, world.premium.id) == (BOOST, PREMIUM)
    await world.credit(world.anna, 1000, external_reference="order-1", idempotency_key="a-1")
    await world.buy(world.anna, world.boost, quantity=3)
    await world.use(world.anna, world.boost)
    await world.buy(world.anna, world.premium)
    with pytest.raises(Decline):  # already owned
        await world.buy(world.anna, world.premium)
    with pytest.raises(Decline):  # costs more than what is left
        await world.buy(world.anna, world.boost, quantity=3)
    await world.credit(world.anna, 1000, external_reference="order-1", idempotency_key="a-1")

    await world.credit(world.boris, 100, idempotency_key="b-1")
    with pytest.raises(AlreadyTaken):
        await world.credit(world.boris, 100, external_reference="order-1", idempotency_key="b-2")
    with pytest.raises(Decline):  # has none
        await world.use(world.boris, world.boost)
    await world.buy(world.boris, world.boost)
    await world.use(world.boris, world.boost)
    return world


@asynccontextmanager
async def without_constraints(world: World) -> AsyncIterator[None]:
    """No constraint holds any longer, and the journal's triggers only again afterwards."""
    if world.services.database.dialect == "sqlite":
        triggers = await strip_sqlite(world)
    else:
        await world.sql(
            """DO $$ DECLARE found record; BEGIN
            FOR found IN SELECT CAST(conrelid AS regclass) AS name, conname FROM pg_constraint
                WHERE connamespace = CAST('public' AS regnamespace) AND contype IN ('c', 'f', 'u')
                ORDER BY contype = 'u'
            LOOP
                EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', found.name, found.conname);
            END LOOP; END $$"""
        )
        await world.sql("ALTER TABLE inventory DROP CONSTRAINT pk_inventory")
        await world.sql('ALTER TABLE "transaction" DISABLE TRIGGER USER')
        triggers = ['ALTER TABLE "transaction" ENABLE TRIGGER USER']
    yield
    for trigger in triggers:
        await world.sql(trigger)


async def strip_sqlite(world: World) -> list[str]:
    """SQLite cannot drop a constraint: each table is replaced by a copy, which has none."""
    made = await world.sql("SELECT type, sql FROM sqlite_master WHERE type IN ('view', 'trigger')")
    await world.sql("DROP VIEW ledger_entry")
    for table in ("transaction", "inventory", "purchase_hour", "user", "product", "claim"):
        await world.sql(f'CREATE TABLE copy AS SELECT * FROM "{table}"')
        await world.sql(f'DROP TABLE "{table}"')
        await world.sql(f'ALTER TABLE copy RENAME TO "{table}"')
    await world.sql(next(sql for type_, sql in made if type_ == "view"))
    return [sql for type_, sql in made if type_ == "trigger"]


async def broken(world: World, **arguments: int) -> dict[str, list[dict[str, Any]]]:
    """The rows that were found, by the name of the invariant that they break."""
    findings = await world.services.verification.verify(**arguments)
    return {finding.name: finding.broken_rows for finding in findings if finding.broken_rows}


def seen(row: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    return {column: row[column] for column in expected}


async def test_nothing_is_broken_in_an_empty_economy(world: World) -> None:
    assert await broken(world) == {}


async def test_nothing_is_broken_in_a_busy_economy(busy: World) -> None:
    findings = await busy.services.verification.verify()
    assert [finding for finding in findings if finding.broken_rows] == []
    examined = {finding.name: finding.rows_examined for finding in findings}
    assert examined["balance_in_range"] == 2
    assert examined["quantity_in_range"] == 3
    assert examined["one_outcome_per_key"] == 11


async def test_dropping_constraints_alone_breaks_nothing(busy: World) -> None:
    async with without_constraints(busy):
        pass
    assert await broken(busy) == {}


@pytest.mark.parametrize(
    "breakage", BREAKAGES, ids=[f"{breakage.invariant}-{n}" for n, breakage in enumerate(BREAKAGES)]
)
async def test_finds_what_breaks_it(busy: World, breakage: Breakage) -> None:
    async with without_constraints(busy):
        for statement in breakage.statements:
            await busy.sql(statement)
    found = await broken(busy)
    rows = found[breakage.invariant]
    assert [
        seen(row, expected) for row, expected in zip(rows, breakage.rows, strict=True)
    ] == breakage.rows
    assert set(found) == {breakage.invariant} | breakage.others


async def test_finds_two_inventory_rows_of_a_product(busy: World) -> None:
    """Each alone is in range and of the right type; together they are one row too many."""
    async with without_constraints(busy):
        await busy.sql(
            "INSERT INTO inventory SELECT user_id, id, product_id, product_type, 0, purchased_at "
            f"FROM inventory WHERE user_id = {BORIS}"
        )
    [row] = (await broken(busy))["quantity_is_sum_of_movements"]
    assert row == {
        "user_id": BORIS,
        "product_id": BOOST,
        "quantity": 0,
        "sum_of_movements": 0,
        "inventory_rows": 2,
        "movements": 2,
    }


@pytest.mark.parametrize(("statement", "problem", "triggers"), POSTGRES_UNGUARDS)
async def test_finds_a_journal_that_postgres_does_not_guard(
    postgres_url: str, statement: str, problem: str, triggers: list[str]
) -> None:
    assert await broken_after(postgres_url, [statement]) == {
        "journal_is_guarded": [{"trigger_name": name, "problem": problem} for name in triggers]
    }


@pytest.mark.parametrize(("statements", "trigger", "problem"), SQLITE_UNGUARDS)
async def test_finds_a_journal_that_sqlite_does_not_guard(
    sqlite_url: str, statements: list[str], trigger: str, problem: str
) -> None:
    assert await broken_after(sqlite_url, statements) == {
        "journal_is_guarded": [{"trigger_name": trigger, "problem": problem}]
    }


async def broken_after(url: str, statements: list[str]) -> dict[str, list[dict[str, Any]]]:
    async with open_services(Settings(database_url=url)) as services:
        world = await World.create(services)
        for statement in statements:
            await world.sql(statement)
        return await broken(world)


async def test_letters_beyond_ascii_are_lowered_as_they_were_claimed(world: World) -> None:
    for name, email in (("first", "ÄNNA@example.com"), ("second", "ΣΑΣ@Example.com")):
        await world.services.users.create_user(SERVER, username=name, email=email)
    assert await broken(world, most_rows=1) == {}
    async with without_constraints(world):
        await world.sql("UPDATE claim SET value = 'other@example.com' WHERE value LIKE '%ς@%'")
    [row] = (await broken(world, most_rows=1))["username_and_email_are_claimed"]
    assert row["claimed_value"] == "other@example.com"


async def test_no_more_rows_than_asked_for(busy: World) -> None:
    async with without_constraints(busy):
        await busy.sql("DELETE FROM claim WHERE kind <> 'external_reference'")
    found = await broken(busy, most_rows=3)
    assert {name: len(rows) for name, rows in found.items()} == {
        "username_and_email_are_claimed": 3
    }


async def test_verifying_changes_nothing_and_needs_no_lock(busy: World) -> None:
    before = await busy.state()
    async with busy.services.database.unit_of_work() as session:
        # the whole of SQLite is locked for writing now, and the change is not to be seen
        await session.execute(text('UPDATE "user" SET balance = 0'))
        assert await broken(busy) == {}
        await session.rollback()
    assert await busy.state() == before


async def test_clean_at_each_moment_while_writers_are_busy(busy: World) -> None:
    await busy.credit(busy.anna, 5_000)
    await busy.credit(busy.boris, 5_000)

    is_over = asyncio.Event()

    async def trade(user: UserRow) -> None:
        while not is_over.is_set():
            with suppress(Decline):
                await busy.buy(user, busy.boost)
                await busy.use(user, busy.boost)
                await busy.use(user, busy.boost, quantity=2)

    traders = [trade(user) for user in (busy.anna, busy.boris) for _ in range(4)]
    trading = asyncio.gather(*traders)
    rows_examined: list[int] = []
    while not rows_examined or rows_examined[-1] < rows_examined[0] + 100:
        findings = await busy.services.verification.verify()
        assert [finding for finding in findings if finding.broken_rows] == []
        rows_examined.append(findings[-1].rows_examined)
    is_over.set()
    await trading


async def test_the_page_lists_what_is_verified(world: World) -> None:
    findings = await world.services.verification.verify()
    assert listed_invariants() == [finding.name for finding in findings]


def test_what_the_page_lists_is_broken_by_a_test() -> None:
    broken_here = {breakage.invariant for breakage in BREAKAGES} | {"journal_is_guarded"}
    assert broken_here == set(listed_invariants())


def test_what_the_page_names_exists() -> None:
    page = INVARIANTS_PAGE.read_text(encoding="utf-8")
    for file, name in re.findall(r"(\w+\.py)::(\w+)", page):
        assert f"def {name}(" in (TESTS / file).read_text(encoding="utf-8")
    constraints = {
        constraint.name for table in metadata.tables.values() for constraint in table.constraints
    }
    assert set(re.findall(r"`((?:ck|fk|pk|uq)_\w+)`", page)) <= constraints


def listed_invariants() -> list[str]:
    """The last column of the page's table."""
    page = INVARIANTS_PAGE.read_text(encoding="utf-8")
    return re.findall(r"`(\w+)` \|$", page, re.MULTILINE)


async def test_a_snapshot_sees_one_moment(world: World) -> None:
    count = text('SELECT count(*) FROM "transaction"')
    async with world.services.database.snapshot() as session:
        assert await session.scalar(count) == 0
        await world.credit(world.anna, 100)
        assert await session.scalar(count) == 0


async def test_a_snapshot_is_read_only_and_leaves_no_trace_on_its_connection(
    postgres_url: str,
) -> None:
    database = Database(
        Settings(database_url=postgres_url, statement_timeout_ms=100, database_pool_size=2)
    )
    for _ in range(2):
        async with database.snapshot() as session:
            await session.execute(text("SELECT pg_sleep(0.2)"))  # longer than the timeout
            with pytest.raises(DBAPIError, match="read-only"):
                await session.execute(text("DELETE FROM claim"))
        async with database.unit_of_work() as session:
            assert await session.scalar(text("SHOW transaction_isolation")) == "read committed"
            assert await session.scalar(text("SHOW statement_timeout")) == "100ms"
            await session.execute(text("DELETE FROM claim"))
    await database.close()


async def test_a_snapshot_whose_connection_breaks_says_so(postgres_url: str) -> None:
    database = Database(Settings(database_url=postgres_url))
    with pytest.raises(ConnectionLost):
        async with database.snapshot() as session:
            await session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    await database.close()


async def test_a_snapshot_that_finds_no_free_connection_says_so(database_url: str) -> None:
    database = Database(
        Settings(database_url=database_url, database_pool_size=2, database_pool_timeout_seconds=0.1)
    )
    async with database.snapshot() as first, database.snapshot() as second:
        for session in (first, second):
            await session.execute(text("SELECT 1"))
        with pytest.raises(Unavailable):
            async with database.snapshot() as third:
                await third.execute(text("SELECT 1"))
    await database.close()
