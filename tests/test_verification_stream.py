"""A verification holds few rows at once, whatever the journal's length and whose rows they are."""

import tracemalloc

from sqlalchemy import insert, text

from bench.verify import ROWS, round_of
from economy.database import Database
from economy.models.transaction import Transaction
from economy.models.user import NO_HISTORY
from economy.repositories.tables import table_of
from economy.repositories.verification import broken_rows
from economy.repositories.verification_chain import histories_between
from economy.repositories.verification_journal import journal
from economy.services import Services
from economy.settings import Settings
from tests.world import World

FEW, MANY = 60, 600  # rounds of nine rows: more than are fetched at once
ROOM = 2**20  # for what differs by chance: MANY rounds at once would take five times as much


async def play(world: World, user_id: int, rounds: int, first: int) -> None:
    head = NO_HISTORY if first == 0 else await head_of(world, user_id)
    for start in range(first, first + rounds, 100):
        rows = []
        for number in range(start, min(start + 100, first + rounds)):
            written, head = round_of(user_id, number, head)
            rows += [row._asdict() for row in written]
        async with world.services.database.unit_of_work() as session:
            await session.execute(insert(table_of(Transaction)), rows)
    head_literal = f"x'{head.hex()}'"
    if world.services.database.dialect == "postgresql":
        head_literal = f"'\\x{head.hex()}'"
    await world.sql(
        f'UPDATE "user" SET chain_hash = {head_literal}, last_seq = {10 * (first + rounds)} '
        f"WHERE id = {user_id}"
    )


async def head_of(world: World, user_id: int) -> bytes:
    return (await world.services.users.users([user_id]))[user_id].chain_hash


async def peak_bytes(services: Services, rows: int) -> int:
    tracemalloc.start()
    try:
        findings = await services.verification.verify()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    [chain] = [finding for finding in findings if finding.name == "journal_is_chained"]
    assert (chain.rows_examined, chain.broken_rows) == (rows, [])
    return peak


async def test_memory_does_not_grow_with_a_history(world: World) -> None:
    await play(world, world.anna.id, FEW, 0)
    await world.services.verification.verify()  # what is made once, such as plans
    few = await peak_bytes(world.services, FEW * ROWS)
    await play(world, world.anna.id, MANY, FEW)
    many = await peak_bytes(world.services, (FEW + MANY) * ROWS)
    assert many < few + ROOM


async def test_progress_comes_to_its_end(world: World) -> None:
    await play(world, world.anna.id, FEW, 0)
    told: list[tuple[int, int]] = []
    await world.services.verification.verify(progress=lambda *figures: told.append(figures))
    totals = {total for _, total in told}
    done = [done for done, _ in told]
    assert len(totals) == 1
    assert done == sorted(done)
    assert done[-1] == totals.pop() > FEW * ROWS


async def test_the_server_keeps_no_cursor_open(postgres_url: str) -> None:
    """It would keep the sorted rows of each page until the end of the snapshot."""
    database = Database(Settings(database_url=postgres_url))
    async with database.snapshot() as session:
        for _ in range(3):
            for invariant in journal(database.dialect):
                assert await broken_rows(session, invariant, limit=1) == []
            async for _rows in histories_between(session, 1, 2):
                pass
        opened = await session.execute(text("SELECT name FROM pg_cursors"))
        assert [name for (name,) in opened if name] == []
    await database.close()
