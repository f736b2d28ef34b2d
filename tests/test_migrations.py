"""Tests of the way up and down, of many who migrate at once, and of drift from the models."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from economy.migrate import alembic_config, is_migrated, migrate
from tests.migrating import count, execute, opened, rows_of, schema, upgrade
from tests.migration_drift import differences
from tests.servers import PostgresServer, create_database, drop_database

ALEMBIC = "alembic_version"
SOMEBODY = """INSERT INTO "user" (id, username, email, balance, last_seq, created_at)
VALUES (1, 'anna', 'anna@example.com', 7, 1, '2026-11-23 12:00:00')"""
TOP_UP = """INSERT INTO "transaction" (user_id, id, seq, kind, status, amount, balance_after,
    actor, request_hash, created_at, completed_at)
VALUES (1, '00000000000000000000000000000001', 1, 'top_up', 'completed', 7, 7, 'server:1', 'h',
    '2026-11-23 12:00:00', '2026-11-23 12:00:00')"""
TOP_UP_OF_NOW = TOP_UP.replace("completed_at)", "completed_at, debt_after, settled_seq, hash)")
TOP_UP_OF_NOW = TOP_UP_OF_NOW.removesuffix(")") + ", 0, 1, 'link')"
BEFORE_LIFE = "2026_11_23_1619"  # before the whole life of a transaction
SOMETHING = """INSERT INTO product (id, name, description, price, type, is_active, created_at)
VALUES (1, 'boost', '', 100, 'consumable', true, '2026-11-23 12:00:00')"""
COUNTED = "INSERT INTO purchase_hour VALUES ('2026-11-23 12:00:00', 1, 5)"
PROGRESS = "INSERT INTO job_progress VALUES ('count_purchases', '2026-11-23 12:00:00')"
OLD_TABLES, COUNTS = ("user", "transaction"), ("job_progress", "purchase_hour")


@pytest.fixture
async def empty_postgres_url(postgres: PostgresServer, worker_id: str) -> AsyncIterator[str]:
    name = f"empty_{worker_id}"
    await drop_database(postgres, name)
    await create_database(postgres, name)
    yield postgres.database_url(name)
    await drop_database(postgres, name)


@pytest.fixture
def empty_sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'empty.db'}"


@pytest.fixture(params=["postgresql", "sqlite"])
def empty_url(request: pytest.FixtureRequest) -> str:
    """A database without any table."""
    name = "empty_postgres_url" if request.param == "postgresql" else "empty_sqlite_url"
    url: str = request.getfixturevalue(name)
    return url


@pytest.fixture(params=["postgres", "sqlite"])
def migrated_and_empty_url(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Two databases of one dialect."""
    migrated: str = request.getfixturevalue(f"{request.param}_url")
    empty: str = request.getfixturevalue(f"empty_{request.param}_url")
    return migrated, empty


async def test_up_down_up(empty_url: str) -> None:
    async with opened(empty_url) as database:
        await migrate(database)
        first = await schema(empty_url)
        await execute(empty_url, SOMEBODY, TOP_UP_OF_NOW)  # rows do not hold up the way down

        await migrate(database, "base")
        left = [line for line in await schema(empty_url) if ALEMBIC not in line]
        assert left == []
        assert await count(empty_url, ALEMBIC) == 0

        await migrate(database)
        assert await schema(empty_url) == first
        assert await count(empty_url, "user") == 0


async def test_rows_of_before_survive_the_counts_of_purchases(empty_url: str) -> None:
    """Up, down and up again; the counts are derived, and go on the way down."""
    async with opened(empty_url) as database:
        await upgrade(database, "0001")
        before = await schema(empty_url)
        await execute(empty_url, SOMEBODY, TOP_UP)
        rows = await rows_of(empty_url, *OLD_TABLES)
        assert [len(found) for found in rows.values()] == [1, 1]
        await upgrade(database, BEFORE_LIFE)
        after = await schema(empty_url)
        assert await rows_of(empty_url, *OLD_TABLES, *COUNTS) == rows | {
            table: [] for table in COUNTS
        }
        await execute(empty_url, SOMETHING, COUNTED, PROGRESS)
        await migrate(database, "0001")
        assert await schema(empty_url) == before
        assert await rows_of(empty_url, *OLD_TABLES) == rows
        await upgrade(database, BEFORE_LIFE)
        assert await schema(empty_url) == after
        assert await rows_of(empty_url, *OLD_TABLES, *COUNTS) == rows | {
            table: [] for table in COUNTS
        }


async def test_migrating_twice_changes_nothing(empty_url: str) -> None:
    async with opened(empty_url) as database:
        await migrate(database)
        first = await schema(empty_url)
        await execute(empty_url, SOMEBODY, TOP_UP_OF_NOW)

        await migrate(database)
        assert await schema(empty_url) == first
        assert await count(empty_url, "user") == 1
        assert await count(empty_url, "transaction") == 1
        assert await count(empty_url, ALEMBIC) == 1


async def test_many_migrate_an_empty_database_at_once(empty_url: str) -> None:
    async def migrate_as_a_process_of_its_own() -> None:
        async with opened(empty_url) as database:
            await migrate(database)

    await asyncio.gather(*(migrate_as_a_process_of_its_own() for _ in range(10)))

    assert await count(empty_url, ALEMBIC) == 1
    assert await count(empty_url, "user") == 0
    async with opened(empty_url) as database:
        assert await is_migrated(database)


async def test_a_failed_migration_leaves_nothing_behind(empty_url: str) -> None:
    await execute(empty_url, "CREATE TABLE ledger_entry (id INTEGER)")  # the view's name is taken
    before = await schema(empty_url)
    async with opened(empty_url) as database:
        with pytest.raises(DBAPIError, match=r"ledger_entry.* already exists"):
            await migrate(database)
    assert await schema(empty_url) == before


async def test_is_migrated(empty_url: str) -> None:
    async with opened(empty_url) as database:
        assert await is_migrated(database) is False
        await migrate(database)
        assert await is_migrated(database) is True
        await migrate(database, "base")
        assert await is_migrated(database) is False


async def test_a_later_schema_is_left_alone(empty_url: str) -> None:
    """While a later release is rolled out, and after it was rolled back."""
    async with opened(empty_url) as database:
        await migrate(database)
        await execute(
            empty_url,
            "UPDATE alembic_version SET version_num = '2999_01_01_0000'",
            "CREATE TABLE later (id INTEGER)",
        )
        before = await schema(empty_url)
        assert await is_migrated(database) is True
        await migrate(database)
        assert await schema(empty_url) == before
        assert await rows_of(empty_url, ALEMBIC) == {ALEMBIC: ["('2999_01_01_0000',)"]}


async def test_a_migration_lets_others_go_first(
    empty_postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It gives up its place in the queue for a lock, and comes back until it has got it."""
    async with opened(empty_postgres_url) as database, opened(empty_postgres_url) as other:
        await upgrade(database, BEFORE_LIFE)
        before = await schema(empty_postgres_url)
        async with other.unit_of_work() as session:
            await session.execute(text("LOCK TABLE transaction IN ACCESS SHARE MODE"))
            migrating = asyncio.create_task(migrate(database))
            waited = "a table is in use: tried again, 1 of 20"
            while waited not in caplog.messages:  # noqa: ASYNC110 - nothing else tells
                await asyncio.sleep(0.05)
            assert await schema(empty_postgres_url) == before
            assert not migrating.done()
        await migrating
        assert await is_migrated(database)


async def test_every_migration_bounds_its_wait_for_locks(empty_postgres_url: str) -> None:
    """Behind a migration that waits for a lock, every query on that table waits, too."""
    scripts = ScriptDirectory.from_config(alembic_config())
    revisions = [script.revision for script in scripts.walk_revisions()][::-1]

    def limits(connection: Connection) -> list[str | None]:
        found = []
        steps = [(command.upgrade, revision) for revision in revisions]
        steps += [(command.downgrade, "-1") for _ in revisions]
        for step, target in steps:
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            step(alembic_config(connection), target)
            found.append(connection.scalar(text("SHOW lock_timeout")))
        return found

    async with opened(empty_postgres_url) as database, database.unit_of_work() as session:
        connection = await session.connection()
        assert await connection.run_sync(limits) == ["5s", "5s"] * len(revisions)


def test_a_new_migration_bounds_its_wait_for_locks_and_knows_the_types_of_models() -> None:
    folder = Path(str(alembic_config().get_main_option("script_location")))
    lines = (folder / "script.py.mako").read_text().splitlines()
    assert "import sqlmodel" in lines
    for start in map(lines.index, ("def upgrade() -> None:", "def downgrade() -> None:")):
        assert lines[start + 1 : start + 3] == [
            '    if op.get_bind().dialect.name == "postgresql":',
            "        op.execute(\"SET LOCAL lock_timeout = '5s'\")",
        ]


async def test_migrations_build_what_the_models_say(
    migrated_and_empty_url: tuple[str, str],
) -> None:
    assert await differences(*migrated_and_empty_url) == []


async def test_a_column_that_the_models_lack_is_drift(
    migrated_and_empty_url: tuple[str, str],
) -> None:
    await execute(migrated_and_empty_url[0], 'ALTER TABLE "user" ADD COLUMN nickname VARCHAR(32)')
    (line,) = await differences(*migrated_and_empty_url)
    assert line.startswith("New upgrade operations detected: [('remove_column', None, 'user',")


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ("ALTER TABLE product ALTER name DROP NOT NULL", "modify_nullable"),
        ("ALTER TABLE product ALTER name TYPE VARCHAR(99)", "modify_type"),
        ("ALTER TABLE inventory DROP CONSTRAINT fk_inventory_user_id", "add_fk"),
        ("ALTER TABLE server_key DROP CONSTRAINT uq_server_key_key_hash", "add_constraint"),
        ("DROP INDEX ix_transaction_completed_purchase", "add_index"),
        (
            'ALTER TABLE "user" DROP CONSTRAINT ck_user_last_seq',
            "only in the models: user: ck_user_last_seq CHECK last_seq >= 0",
        ),
        (
            """ALTER TABLE "user" DROP CONSTRAINT ck_user_last_seq,
            ADD CONSTRAINT ck_user_last_seq CHECK (last_seq >= 1)""",
            "only in the migrations: user: ck_user_last_seq CHECK last_seq >= 1",
        ),
        (
            """ALTER TABLE claim DROP CONSTRAINT pk_claim,
            ADD CONSTRAINT pk_claim PRIMARY KEY (kind, value)""",
            "only in the migrations: claim: PRIMARY KEY ['kind', 'value']",
        ),
        (
            """DROP INDEX ix_transaction_completed_purchase;
            CREATE INDEX ix_transaction_completed_purchase ON transaction (created_at, product_id)
            WHERE kind = 'purchase'""",
            "only in the migrations: transaction: ix_transaction_completed_purchase"
            " WHERE ((kind)::text = 'purchase'::text)",
        ),
    ],
)
async def test_drift_is_seen(
    postgres_url: str, empty_postgres_url: str, change: str, difference: str
) -> None:
    await execute(postgres_url, *change.split(";"))
    assert difference in (await differences(postgres_url, empty_postgres_url))[0]


@pytest.mark.parametrize(
    ("preparation", "exit_code", "verdict"),
    [
        ("", 0, "the migrations build what the models say"),
        (
            "import sqlalchemy as sa; from economy.models import metadata;"
            "sa.Table('forgotten', metadata, sa.Column('id', sa.Integer, primary_key=True));",
            1,
            "New upgrade operations detected: [('add_table', Table('forgotten', ",
        ),
    ],
    ids=["no drift", "drift"],
)
def test_drift_is_the_exit_code(preparation: str, exit_code: int, verdict: str) -> None:
    program = f"{preparation}import sys; from tests.migration_drift import main; sys.exit(main())"
    result = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert (result.returncode, result.stderr) == (exit_code, "")
    postgres_line, sqlite_line = result.stdout.splitlines()
    assert postgres_line.startswith(f"PostgreSQL: {verdict}")
    assert sqlite_line.startswith(f"SQLite: {verdict}")
