"""Each invariant is broken on purpose and found; sound economies, busy ones too, are clean."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from economy.bootstrap import open_services
from economy.database import Database
from economy.errors import AlreadyTaken, ConnectionLost, Decline, Unavailable
from economy.models import metadata
from economy.models.user import BALANCE_LIMIT, UserRow
from economy.settings import Settings
from tests.world import SERVER, World

TESTS = Path(__file__).parent
INVARIANTS_PAGE = TESTS.parent / "docs" / "INVARIANTS.md"
ANNA, BORIS, BOOST, PREMIUM = 1, 2, 1, 2  # the first ids of a fresh database
NOBODY = 99


class Breakage(NamedTuple):
    invariant: str
    statements: list[str]
    rows: list[dict[str, Any]]  # with the columns that matter
    others: frozenset[str] = frozenset()  # what is no longer true either


def change(table: str, assignment: str, **where: int) -> str:
    condition = " AND ".join(f"{column} = {value}" for column, value in where.items())
    return f'UPDATE "{table}" SET {assignment} WHERE {condition}'


BALANCES = [
    Breakage(
        "balance_in_range",
        [change("user", "balance = -1", id=ANNA)],
        [{"user_id": ANNA, "balance": -1}],
        frozenset({"balance_is_sum_of_transactions"}),
    ),
    Breakage(
        "balance_in_range",
        [change("user", f"balance = {BALANCE_LIMIT + 1}", id=ANNA)],
        [{"user_id": ANNA, "balance": BALANCE_LIMIT + 1}],
        frozenset({"balance_is_sum_of_transactions"}),
    ),
    Breakage(
        "balance_is_sum_of_transactions",
        [change("user", "balance = 201", id=ANNA)],
        [{"user_id": ANNA, "balance": 201, "sum_of_transactions": 200}],
    ),
    Breakage(
        "balance_after_is_running_balance",
        [change("transaction", "balance_after = 650", user_id=ANNA, seq=3)],
        [
            {"user_id": ANNA, "seq": 3, "balance_before": 700, "balance_after": 650},
            {"user_id": ANNA, "seq": 4, "balance_before": 650, "balance_after": 200},
        ],
    ),
    Breakage(  # a decline repeats it
        "balance_after_is_running_balance",
        [change("transaction", "balance_after = 0", user_id=ANNA, seq=6)],
        [{"seq": 6, "status": "failed", "balance_before": 200, "balance_after": 0}],
    ),
    Breakage(  # it all adds up, but to a debt
        "balance_after_is_running_balance",
        [
            change("transaction", "amount = 1000", user_id=ANNA, seq=4),
            f'UPDATE "transaction" SET balance_after = -300 WHERE user_id = {ANNA} AND seq >= 4',
            change("user", "balance = -300", id=ANNA),
        ],
        [{"seq": seq, "balance_after": -300} for seq in (4, 5, 6)],
        frozenset({"balance_in_range"}),
    ),
]

QUANTITIES = [
    Breakage(
        "quantity_in_range",
        [change("inventory", "quantity = -1", user_id=ANNA, product_id=BOOST)],
        [{"user_id": ANNA, "product_id": BOOST, "quantity": -1}],
        frozenset({"quantity_is_sum_of_movements"}),
    ),
    Breakage(
        "quantity_in_range",
        [change("inventory", "quantity = 1000000001", user_id=ANNA, product_id=BOOST)],
        [{"user_id": ANNA, "product_id": BOOST, "quantity": 1_000_000_001}],
        frozenset({"quantity_is_sum_of_movements"}),
    ),
    Breakage(
        "quantity_is_sum_of_movements",
        [change("inventory", "quantity = 3", user_id=ANNA, product_id=BOOST)],
        [{"user_id": ANNA, "product_id": BOOST, "quantity": 3, "sum_of_movements": 2}],
    ),
    Breakage(  # all of it is used up, but the row should stay
        "quantity_is_sum_of_movements",
        [f"DELETE FROM inventory WHERE user_id = {BORIS}"],
        [{"user_id": BORIS, "product_id": BOOST, "inventory_rows": 0, "movements": 2}],
    ),
    Breakage(  # never bought
        "quantity_is_sum_of_movements",
        [
            f"""INSERT INTO inventory SELECT user_id, id, {PREMIUM}, 'permanent', 0, purchased_at
            FROM inventory WHERE user_id = {BORIS}"""
        ],
        [{"user_id": BORIS, "product_id": PREMIUM, "inventory_rows": 1, "movements": 0}],
    ),
    Breakage(
        "quantity_after_is_running_quantity",
        [change("transaction", "quantity_after = 7", user_id=ANNA, seq=6)],
        [{"user_id": ANNA, "product_id": BOOST, "seq": 6, "quantity_before": 2}],
    ),
    Breakage(
        "permanent_product_once",
        [change("inventory", "quantity = 2", user_id=ANNA, product_id=PREMIUM)],
        [{"user_id": ANNA, "product_id": PREMIUM, "quantity": 2, "bought": 1}],
        frozenset({"quantity_is_sum_of_movements"}),
    ),
    Breakage(  # a decline that becomes a second one
        "permanent_product_once",
        [change("transaction", "status = 'completed', failure_code = NULL", user_id=ANNA, seq=5)],
        [{"user_id": ANNA, "product_id": PREMIUM, "quantity": 1, "bought": 2}],
        frozenset(
            {
                "balance_is_sum_of_transactions",
                "balance_after_is_running_balance",
                "quantity_is_sum_of_movements",
                "quantity_after_is_running_quantity",
            }
        ),
    ),
    Breakage(
        "inventory_has_user_and_product",
        [change("inventory", "product_type = 'permanent'", user_id=ANNA, product_id=BOOST)],
        [{"user_id": ANNA, "product_id": BOOST, "missing": "product"}],
    ),
    Breakage(
        "inventory_has_user_and_product",
        [f'DELETE FROM "user" WHERE id = {BORIS}'],
        [{"user_id": BORIS, "product_id": BOOST, "missing": "user"}],
        frozenset({"transaction_has_user_and_product", "username_and_email_are_claimed"}),
    ),
]

CLAIMS = [
    Breakage(
        "username_and_email_are_claimed",
        ["DELETE FROM claim WHERE value = 'anna'"],
        [{"user_id": ANNA, "kind": "username", "value": "anna", "claimed_value": None}],
    ),
    Breakage(
        "username_and_email_are_claimed",
        ["UPDATE claim SET value = 'Anna@example.com' WHERE value = 'anna@example.com'"],
        [{"user_id": ANNA, "kind": "email", "claimed_value": "Anna@example.com"}],
    ),
    Breakage(
        "username_and_email_are_claimed",
        [f"INSERT INTO claim (value, kind, user_id) VALUES ('annie', 'username', {ANNA})"],
        [{"user_id": ANNA, "kind": "username", "claims": 2}],
    ),
    Breakage(
        "username_and_email_are_claimed",
        [f"INSERT INTO claim (value, kind, user_id) VALUES ('ghost', 'username', {NOBODY})"],
        [{"user_id": NOBODY, "value": None, "claimed_value": "ghost"}],
    ),
    Breakage(
        "one_transaction_per_external_reference",
        [change("transaction", "external_reference = 'order-1'", user_id=BORIS, seq=1)],
        [{"external_reference": "order-1", "transactions": 2, "greatest_user_id": BORIS}],
        frozenset({"external_references_are_claimed"}),
    ),
    Breakage(
        "external_references_are_claimed",
        ["DELETE FROM claim WHERE value = 'order-1'"],
        [{"external_reference": "order-1", "user_id": ANNA, "transactions": 1, "claims": 0}],
    ),
    Breakage(
        "external_references_are_claimed",
        [f"INSERT INTO claim (value, kind, user_id) VALUES ('o-2', 'external_reference', {ANNA})"],
        [{"external_reference": "o-2", "user_id": ANNA, "transactions": 0, "claims": 1}],
    ),
    Breakage(
        "external_references_are_claimed",
        [f"UPDATE claim SET user_id = {BORIS} WHERE value = 'order-1'"],
        [
            {"user_id": ANNA, "transactions": 1, "claims": 0},
            {"user_id": BORIS, "transactions": 0, "claims": 1},
        ],
    ),
]

JOURNAL = [
    Breakage(  # the newest
        "seq_without_gaps",
        [f'DELETE FROM "transaction" WHERE user_id = {ANNA} AND seq = 6'],
        [{"user_id": ANNA, "last_seq": 6, "transactions": 5, "newest_seq": 5}],
    ),
    Breakage(  # one in between
        "seq_without_gaps",
        [f'DELETE FROM "transaction" WHERE user_id = {ANNA} AND seq = 3'],
        [{"user_id": ANNA, "last_seq": 6, "transactions": 5, "newest_seq": 6}],
        frozenset({"quantity_is_sum_of_movements", "quantity_after_is_running_quantity"}),
    ),
    Breakage(
        "seq_without_gaps",
        [change("transaction", "seq = 6", user_id=ANNA, seq=5)],
        [{"user_id": ANNA, "last_seq": 6, "transactions": 6, "numbers": 5, "newest_seq": 6}],
    ),
    Breakage(
        "seq_without_gaps",
        [change("transaction", "seq = 7", user_id=ANNA, seq=6)],
        [{"user_id": ANNA, "last_seq": 6, "transactions": 6, "numbers": 6, "newest_seq": 7}],
    ),
    Breakage(
        "seq_without_gaps",
        [change("transaction", "seq = 0", user_id=ANNA, seq=1)],
        [{"user_id": ANNA, "last_seq": 6, "transactions": 6, "first_seq": 0, "newest_seq": 6}],
    ),
    Breakage(  # counted on, but not booked
        "seq_without_gaps",
        [change("user", "last_seq = 7", id=ANNA)],
        [{"user_id": ANNA, "last_seq": 7, "transactions": 6, "newest_seq": 6}],
    ),
    Breakage(
        "one_outcome_per_key",
        [change("transaction", "idempotency_key = 'b-1'", user_id=BORIS, seq=2)],
        [{"user_id": BORIS, "kind": "top_up", "idempotency_key": "b-1", "outcomes": 2}],
    ),
    Breakage(
        "status_and_columns_agree",
        [change("transaction", "failure_code = 'ALREADY_OWNED'", user_id=ANNA, seq=3)],
        [{"user_id": ANNA, "seq": 3, "status": "completed", "failure_code": "ALREADY_OWNED"}],
    ),
    Breakage(
        "status_and_columns_agree",
        [change("transaction", "failure_code = NULL", user_id=ANNA, seq=5)],
        [{"user_id": ANNA, "seq": 5, "status": "failed", "failure_code": None}],
    ),
    Breakage(
        "status_and_columns_agree",
        [change("transaction", "completed_at = NULL", user_id=ANNA, seq=2)],
        [{"user_id": ANNA, "seq": 2, "status": "completed", "completed_at": None}],
    ),
    Breakage(
        "status_and_columns_agree",
        [change("transaction", "balance_after = NULL", user_id=ANNA, seq=2)],
        [{"user_id": ANNA, "seq": 2, "status": "completed", "balance_after": None}],
    ),
    Breakage(
        "status_and_columns_agree",
        [change("transaction", "status = 'odd'", user_id=ANNA, seq=6)],
        [{"user_id": ANNA, "seq": 6, "status": "odd"}],
    ),
    Breakage(
        "kind_and_columns_agree",
        [change("transaction", "product_id = NULL", user_id=ANNA, seq=6)],
        [{"user_id": ANNA, "seq": 6, "kind": "purchase", "product_id": None, "quantity": 3}],
    ),
    Breakage(
        "kind_and_columns_agree",
        [change("transaction", "quantity = NULL", user_id=ANNA, seq=6)],
        [{"user_id": ANNA, "seq": 6, "kind": "purchase", "product_id": BOOST, "quantity": None}],
    ),
    Breakage(
        "kind_and_columns_agree",
        [change("transaction", "quantity_after = NULL", user_id=ANNA, seq=6)],
        [{"user_id": ANNA, "seq": 6, "product_id": BOOST, "quantity_after": None}],
    ),
    Breakage(
        "kind_and_columns_agree",
        [change("transaction", "external_reference = 'order-2'", user_id=ANNA, seq=6)],
        [{"user_id": ANNA, "seq": 6, "kind": "purchase", "external_reference": "order-2"}],
    ),
    Breakage(
        "amount_fits_kind",
        [change("transaction", "amount = 5", user_id=ANNA, seq=3)],
        [{"user_id": ANNA, "seq": 3, "kind": "use", "amount": 5}],
    ),
    Breakage(
        "amount_fits_kind",
        [change("transaction", "amount = 0", user_id=BORIS, seq=2)],
        [{"user_id": BORIS, "seq": 2, "kind": "top_up", "amount": 0}],
    ),
    Breakage(
        "amount_fits_kind",
        [change("transaction", "amount = -300", user_id=ANNA, seq=6)],
        [{"user_id": ANNA, "seq": 6, "kind": "purchase", "amount": -300}],
    ),
    Breakage(
        "amount_fits_kind",
        [change("transaction", "quantity = 1001", user_id=ANNA, seq=6)],
        [{"user_id": ANNA, "seq": 6, "amount": 300, "quantity": 1001}],
    ),
    Breakage(  # so much that adding it up overflows
        "amount_fits_kind",
        [f"UPDATE \"transaction\" SET amount = {2**63 - 1} WHERE kind = 'top_up'"],
        [
            {"user_id": user_id, "seq": seq, "amount": 2**63 - 1}
            for user_id, seq in ((ANNA, 1), (BORIS, 1), (BORIS, 2))
        ],
        frozenset({"balance_is_sum_of_transactions", "balance_after_is_running_balance"}),
    ),
    Breakage(
        "transaction_has_user_and_product",
        [f"DELETE FROM product WHERE id = {PREMIUM}"],
        [{"user_id": ANNA, "seq": seq, "product_id": PREMIUM} for seq in (4, 5)],
        frozenset({"inventory_has_user_and_product"}),
    ),
    Breakage(  # one leg only
        "ledger_entries_balance",
        [
            "DROP VIEW ledger_entry",
            """CREATE VIEW ledger_entry AS SELECT user_id, id AS transaction_id, amount
            FROM "transaction" WHERE status = 'completed' AND amount > 0""",
        ],
        [
            {"user_id": ANNA, "entries": 1, "sum_of_entries": 1000},
            {"user_id": ANNA, "entries": 1, "sum_of_entries": 300},
            {"user_id": ANNA, "entries": 0, "sum_of_entries": 0},
            {"user_id": ANNA, "entries": 1, "sum_of_entries": 500},
            {"user_id": BORIS, "entries": 1, "sum_of_entries": 100},
            {"user_id": BORIS, "entries": 1, "sum_of_entries": 100},
            {"user_id": BORIS, "entries": 0, "sum_of_entries": 0},
        ],
    ),
]

BREAKAGES = [*BALANCES, *QUANTITIES, *CLAIMS, *JOURNAL]

APPEND_ONLY, NO_TRUNCATE = "transaction_append_only", "transaction_no_truncate"
POSTGRES_UNGUARDS = [
    (f'DROP TRIGGER {APPEND_ONLY} ON "transaction"', "missing", [APPEND_ONLY]),
    (f'ALTER TABLE "transaction" DISABLE TRIGGER {APPEND_ONLY}', "disabled", [APPEND_ONLY]),
    (f'ALTER TABLE "transaction" ENABLE REPLICA TRIGGER {NO_TRUNCATE}', "disabled", [NO_TRUNCATE]),
    (
        f"""CREATE OR REPLACE TRIGGER {APPEND_ONLY} BEFORE DELETE ON "transaction"
        FOR EACH ROW EXECUTE FUNCTION transaction_is_append_only()""",
        "changed",
        [APPEND_ONLY],
    ),
    (
        f"""CREATE OR REPLACE TRIGGER {APPEND_ONLY} BEFORE UPDATE OR DELETE ON "transaction"
        FOR EACH ROW WHEN (OLD.amount > 5) EXECUTE FUNCTION transaction_is_append_only()""",
        "changed",
        [APPEND_ONLY],
    ),
    (
        """CREATE OR REPLACE FUNCTION transaction_is_append_only() RETURNS trigger
        LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'""",
        "changed",
        [APPEND_ONLY, NO_TRUNCATE],
    ),
]
SQLITE_UNGUARDS = [
    ([f"DROP TRIGGER {APPEND_ONLY}"], APPEND_ONLY, "missing"),
    (["DROP TRIGGER transaction_no_delete"], "transaction_no_delete", "missing"),
    (
        [
            f"DROP TRIGGER {APPEND_ONLY}",
            f'CREATE TRIGGER {APPEND_ONLY} BEFORE UPDATE ON "transaction" BEGIN SELECT 1; END',
        ],
        APPEND_ONLY,
        "changed",
    ),
    (
        [
            f"DROP TRIGGER {APPEND_ONLY}",
            f"""CREATE TRIGGER {APPEND_ONLY} BEFORE INSERT ON "transaction"
            BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END""",
        ],
        APPEND_ONLY,
        "changed",
    ),
]


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
    for table in ("transaction", "inventory", "user", "product", "claim"):
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
