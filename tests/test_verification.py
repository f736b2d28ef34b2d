"""Each invariant is broken on purpose and found; sound economies, busy ones too, are clean."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from economy.bootstrap import open_services
from economy.database import Database
from economy.errors import Decline
from economy.models import metadata
from economy.models.user import UserRow
from economy.services.verification import VerificationService
from economy.settings import Settings
from tests.breakages import HOLDING_BREAKAGES, Breakage
from tests.busy_economy import (
    BOOST,
    BORIS,
    drop_constraints,
    make_busy,
    without_constraints,
)
from tests.chain_tamperings import CHAIN_TAMPERINGS
from tests.journal_breakages import JOURNAL_BREAKAGES
from tests.rows import execute
from tests.servers import PostgresServer, create_database, drop_database
from tests.target_breakages import TARGET_BREAKAGES
from tests.unguarded_journals import POSTGRES_UNGUARDS, SQLITE_UNGUARDS
from tests.world import SERVER, World

TESTS = Path(__file__).parent
INVARIANTS_PAGE = TESTS.parent / "docs" / "INVARIANTS.md"
BREAKAGES = [*HOLDING_BREAKAGES, *JOURNAL_BREAKAGES, *TARGET_BREAKAGES, *CHAIN_TAMPERINGS]


@pytest.fixture
async def busy(world: World) -> World:
    await make_busy(world)
    return world


@dataclass(frozen=True)
class Stripped:
    """A busy economy without constraints, to copy; made once, as there are many to break."""

    url: str
    restore_triggers: list[str]


async def strip(url: str) -> Stripped:
    async with open_services(Settings(database_url=url, jobs_in_server=False)) as services:
        world = await World.create(services)
        await make_busy(world)
        return Stripped(url, await drop_constraints(world))


@pytest.fixture(scope="module")
def stripped_postgres(postgres: PostgresServer, worker_id: str) -> Iterator[Stripped]:
    name = f"stripped_{worker_id}"
    asyncio.run(create_database(postgres, name, template=f"template_{worker_id}"))
    yield asyncio.run(strip(postgres.database_url(name)))
    asyncio.run(drop_database(postgres, name))


@pytest.fixture(scope="module")
def stripped_sqlite(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Stripped:
    file = tmp_path_factory.mktemp("stripped") / "economy.db"
    file.write_bytes(sqlite_template.read_bytes())
    return asyncio.run(strip(f"sqlite:///{file}"))


@pytest.fixture
async def copy_of_postgres(
    stripped_postgres: Stripped, postgres: PostgresServer, worker_id: str
) -> AsyncIterator[Stripped]:
    name = f"broken_{worker_id}"
    await create_database(postgres, name, template=f"stripped_{worker_id}")
    yield replace(stripped_postgres, url=postgres.database_url(name))
    await drop_database(postgres, name)


@pytest.fixture
def copy_of_sqlite(stripped_sqlite: Stripped, tmp_path: Path) -> Stripped:
    file = tmp_path / "broken.db"
    file.write_bytes(Path(stripped_sqlite.url.removeprefix("sqlite:///")).read_bytes())
    return replace(stripped_sqlite, url=f"sqlite:///{file}")


@pytest.fixture(params=["postgresql", "sqlite"])
def stripped(request: pytest.FixtureRequest) -> Stripped:
    name = "copy_of_postgres" if request.param == "postgresql" else "copy_of_sqlite"
    copy: Stripped = request.getfixturevalue(name)
    return copy


async def broken(world: World, most_rows: int = 20) -> dict[str, list[dict[str, Any]]]:
    """The rows that were found, by the name of the invariant that they break."""
    findings = await world.services.verification.verify(most_rows=most_rows)
    return {finding.name: finding.broken_rows for finding in findings if finding.broken_rows}


def in_dialect(database: Database, statement: str) -> str:
    """Bytes are written in the way of SQLite."""
    return statement if database.dialect == "sqlite" else statement.replace("= x'", "= '\\x")


def seen(row: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    return {column: row[column] for column in expected}


async def test_nothing_is_broken_in_an_empty_economy(world: World) -> None:
    assert await broken(world) == {}


async def test_nothing_is_broken_in_a_busy_economy(busy: World) -> None:
    findings = await busy.services.verification.verify()
    assert [finding for finding in findings if finding.broken_rows] == []
    examined = {finding.name: finding.rows_examined for finding in findings}
    assert examined["balance_in_range"] == 4
    assert examined["quantity_in_range"] == 5
    assert examined["one_outcome_per_key"] == 24


async def test_dropping_constraints_alone_breaks_nothing(busy: World) -> None:
    async with without_constraints(busy):
        pass
    assert await broken(busy) == {}


@pytest.mark.parametrize(
    "breakage", BREAKAGES, ids=[f"{breakage.invariant}-{n}" for n, breakage in enumerate(BREAKAGES)]
)
async def test_finds_what_breaks_it(stripped: Stripped, breakage: Breakage) -> None:
    database = Database(Settings(database_url=stripped.url))
    statements = [in_dialect(database, statement) for statement in breakage.statements]
    await execute(database, *statements, *stripped.restore_triggers)
    # so few that the users stand in several pages
    findings = await VerificationService(database, events_at_once=12).verify()
    await database.close()
    found = {finding.name: finding.broken_rows for finding in findings if finding.broken_rows}
    rows = found[breakage.invariant]
    assert [
        seen(row, expected) for row, expected in zip(rows, breakage.rows, strict=True)
    ] == breakage.rows
    chained = {"journal_is_chained"} if breakage.is_of_journal else set()
    assert set(found) == {breakage.invariant} | breakage.others | chained


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
    named = {
        str(named.name) for table in metadata.tables.values() for named in table.constraints
    } | {str(index.name) for table in metadata.tables.values() for index in table.indexes}
    assert set(re.findall(r"`((?:ck|fk|pk|uq)_\w+)`", page)) <= named


def listed_invariants() -> list[str]:
    """The last column of the page's table."""
    page = INVARIANTS_PAGE.read_text(encoding="utf-8")
    return re.findall(r"`(\w+)` \|$", page, re.MULTILINE)
