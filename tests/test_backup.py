"""What docs/BACKUP.md tells to do is done, with real servers, while players are busy."""

import asyncio
import os
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from signal import SIGINT
from tempfile import mkdtemp
from uuid import UUID

import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from economy.bootstrap import open_services
from economy.errors import AlreadyTaken, UserNotFound
from economy.models.transaction import TransactionKind
from economy.services import Services
from economy.services.access import Actor
from economy.services.verification import Finding
from economy.settings import Settings
from tests.backup import (
    BusyEconomy,
    Histories,
    Operator,
    as_it_was,
    commands_of_the_page,
    histories_in,
    pay_again,
)
from tests.conftest import migrate_url
from tests.due_jobs import until
from tests.servers import (
    ACCOUNT,
    PostgresCluster,
    PostgresServer,
    create_database,
    drop_database,
    own_postgres_server,
)
from tests.world import SERVER, World

LIVE, RESTORED = "economy", "economy_restored"
TESTED_HERE = {
    ("Dump", 0),
    ("Restore a dump", 0),
    ("Archive the WAL", 0),
    ("Archive the WAL", 1),
    ("Base backup", 0),
    ("Recover to a moment", 0),
    ("Before players are let in", 0),
    ("Before players are let in", 1),
    ("Before players are let in", 2),
    ("SQLite", 0),
    ("SQLite", 1),
}


def settings_of(url: str, **others: str) -> Settings:
    return Settings.model_validate({"database_url": url, "jobs_in_server": False} | others)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """Its programs are of one version, and its files are at hand."""
    with own_postgres_server() as server:
        yield server


@pytest.fixture
async def live_url(server: PostgresServer) -> str:
    """A fresh migrated database."""
    for name in (LIVE, RESTORED):
        await drop_database(server, name)
    await create_database(server, LIVE)
    await asyncio.to_thread(asyncio.run, migrate_url(server.database_url(LIVE)))
    return server.database_url(LIVE)


@pytest.fixture
def operator(server: PostgresServer) -> Iterator[Operator]:
    assert server.cluster is not None
    home = server.cluster.data.parent
    # the server's account may enter this folder, unlike pytest's
    folder = Path(mkdtemp(dir=home))
    (folder / "wal").mkdir()
    variables = {"PGHOST": str(home), "PGPORT": "5432", "PGUSER": "postgres"}
    variables |= {"LIVE": LIVE, "RESTORED": RESTORED}
    variables |= {"BACKUPS": str(folder), "ARCHIVE": str(folder / "wal")}
    yield Operator(server.cluster.binaries, variables)
    shutil.rmtree(folder)


async def run_while_busy(
    economy: BusyEconomy, operator: Operator, title: str, file: str
) -> frozenset[UUID]:
    """The ids of what had been acknowledged before the commands of a section began. They have run
    while more was acknowledged: if none was, they are run again."""
    written = Path(operator.variables["BACKUPS"]) / file
    while True:
        before = frozenset(row.id for row in economy.acknowledged)
        await asyncio.to_thread(operator.run, title)
        if len(economy.acknowledged) > len(before):
            return before
        shutil.rmtree(written) if written.is_dir() else written.unlink()


def assert_prefix(restored: Histories, original: Histories) -> None:
    for user_id, history in restored.items():
        last_seq = max(max(row.seq, row.settled_seq or 0) for row in history)
        assert history == as_it_was(original[user_id], last_seq)


def ids_of(histories: Histories) -> frozenset[UUID]:
    return frozenset(row.id for history in histories.values() for row in history)


def kinds_in(histories: Histories) -> set[str]:
    return {row.kind for history in histories.values() for row in history}


async def newest_user_id(services: Services) -> int:
    async with services.database.snapshot() as session:
        return int(await session.scalar(text('SELECT max(id) FROM "user"')) or 0)


async def assert_economy_goes_on(services: Services, economy: BusyEconomy) -> None:
    """It is sound. All payments are sent again, twice: each is credited once."""
    assert await broken_invariants(services) == []
    there = await histories_in(services)
    kept, newest = ids_of(there), await newest_user_id(services)
    known = [credit for credit in economy.credits if credit.user.id <= newest]
    first = await asyncio.gather(*(pay_again(services, credit) for credit in known))
    second = await asyncio.gather(*(pay_again(services, credit) for credit in known))
    assert [one.transaction for one in second] == [one.transaction for one in first]
    assert all(one.replayed for one in second)
    lost = 0
    for credit, one in zip(known, first, strict=True):
        assert one.replayed == (credit.row.id in kept)
        assert (one.transaction == credit.row) == one.replayed
        lost += not one.replayed
    assert 0 < lost < len(known)
    assert len(ids_of(await histories_in(services))) == len(kept) + lost
    for credit in economy.credits:
        if credit not in known:
            with pytest.raises(UserNotFound):
                await pay_again(services, credit)
    with pytest.raises(AlreadyTaken):
        await services.wallet.add_funds(
            SERVER,
            user_id=str(economy.players[0].id),
            amount=200,
            external_reference=economy.credits[0].reference,
            idempotency_key="another-key",
        )
    assert await broken_invariants(services) == []


async def broken_invariants(services: Services) -> list[Finding]:
    return [finding for finding in await services.verification.verify() if finding.broken_rows]


async def test_a_dump_of_a_busy_economy_restores_to_a_prefix_of_each_history(
    live_url: str, server: PostgresServer, operator: Operator
) -> None:
    async with open_services(settings_of(live_url)) as services:
        economy = await BusyEconomy.create(services)
        async with economy.open():
            await economy.acknowledge(150)
            before = await run_while_busy(economy, operator, "Dump", "economy.dump")
            await economy.acknowledge(100)
        original, newest = await histories_in(services), await newest_user_id(services)
    await asyncio.to_thread(operator.run, "Restore a dump")
    verified = await asyncio.to_thread(operator.run, "Before players are let in", 0)
    assert verified.endswith(" invariants checked, 0 broken\n")

    async with open_services(settings_of(server.database_url(RESTORED))) as services:
        restored = await histories_in(services)
        assert_prefix(restored, original)
        assert kinds_in(original) == set(TransactionKind)
        # what was acknowledged before the dump began is in it
        assert before <= ids_of(restored) < ids_of(original)
        await assert_economy_goes_on(services, economy)

        await asyncio.to_thread(operator.run, "Before players are let in", 1)
        user = await services.users.create_user(SERVER, username="new", email="new@example.com")
        assert user.id > newest  # nobody who was lost has this number


async def test_a_base_backup_of_a_busy_economy_recovers_to_a_moment(
    live_url: str, server: PostgresServer, operator: Operator
) -> None:
    await asyncio.to_thread(operator.run, "Archive the WAL", 0)
    with operator.running("Archive the WAL", 1):
        async with open_services(settings_of(live_url)) as services:
            economy = await BusyEconomy.create(services)
            async with economy.open():
                await economy.acknowledge(100)
                await run_while_busy(economy, operator, "Base backup", "base")
                await economy.acknowledge(100)
            moment, original = await now(services), await histories_in(services)
            async with economy.open():
                await economy.acknowledge(100)
            await until(lambda: is_archived(services))
    assert server.cluster is not None

    data = Path(operator.variables["BACKUPS"]) / "recovered" / "data"
    data.parent.mkdir()
    operator.run("Recover to a moment", NEW_DATA=str(data), MOMENT=str(moment))
    if ACCOUNT is not None:  # root has run the commands
        for path in (data.parent.parent, *data.parent.parent.rglob("*")):
            os.chown(path, ACCOUNT.pw_uid, ACCOUNT.pw_gid)
    recovered = PostgresCluster(server.cluster.binaries, data)
    recovered.start()
    try:
        url = f"postgresql://postgres@/{LIVE}?host={data.parent}&port=5432"
        async with open_services(settings_of(url)) as services:
            assert await histories_in(services) == original
            await assert_economy_goes_on(services, economy)
    finally:
        recovered.process.send_signal(SIGINT)
        recovered.process.wait()


async def now(services: Services) -> datetime:
    async with services.database.snapshot() as session:
        moment = await session.scalar(text("SELECT clock_timestamp()"))
        assert isinstance(moment, datetime)
        return moment


async def is_archived(services: Services) -> bool:
    """Whether the WAL that is kept elsewhere holds all that is committed."""
    async with services.database.snapshot() as session:
        flushed = await session.scalar(
            text(
                "SELECT flush_lsn >= pg_current_wal_flush_lsn() FROM pg_stat_replication "
                "WHERE application_name = 'pg_receivewal'"
            )
        )
        return flushed is True


async def test_a_busy_sqlite_file_is_copied_at_one_moment(sqlite_url: str, tmp_path: Path) -> None:
    file = sqlite_url.removeprefix("sqlite:///")
    backups = tmp_path / "backups"
    backups.mkdir()
    operator = Operator(tmp_path, {"FILE": file, "BACKUPS": str(backups)})
    async with open_services(settings_of(sqlite_url)) as services:
        economy = await BusyEconomy.create(services)
        async with economy.open():
            await economy.acknowledge(100)
            before = await run_while_busy(economy, operator, "SQLite", "economy.db")
            await economy.acknowledge(100)
        original = await histories_in(services)
    await asyncio.to_thread(operator.run, "SQLite", 1)

    async with open_services(settings_of(sqlite_url)) as services:
        restored = await histories_in(services)
        assert_prefix(restored, original)
        assert before <= ids_of(restored) < ids_of(original)
        await assert_economy_goes_on(services, economy)


async def test_redis_shows_what_was_not_restored_until_it_is_emptied(
    sqlite_url: str, tmp_path: Path, own_redis_url: str, raw: Redis
) -> None:
    file, backups = sqlite_url.removeprefix("sqlite:///"), tmp_path / "backups"
    backups.mkdir()
    async with open_services(settings_of(sqlite_url, redis_url=own_redis_url)) as services:
        world = await World.create(services)
        await world.credit(world.anna, 100)
        Operator(tmp_path, {"FILE": file, "BACKUPS": str(backups)}).run("SQLite")
        await world.buy(world.anna, world.boost)
        assert await quantities(services, world) == [1]

    restored = settings_of(f"sqlite:///{backups / 'economy.db'}", redis_url=own_redis_url)
    async with open_services(restored) as services:
        assert await quantities(services, world) == [1]  # not so
        [command] = commands_of_the_page()["Before players are let in"][2:]
        assert command == 'redis-cli -u "$ECONOMY_REDIS_URL" FLUSHDB\n'
        await raw.flushdb()
        assert await quantities(services, world) == []


async def quantities(services: Services, world: World) -> list[int]:
    items = await services.inventory.inventory_of(Actor.player(world.anna.id), str(world.anna.id))
    return [item.quantity for item in items]


def test_every_command_of_the_page_is_run_here() -> None:
    commands = commands_of_the_page()
    told = {(title, block) for title, blocks in commands.items() for block in range(len(blocks))}
    assert told == TESTED_HERE
