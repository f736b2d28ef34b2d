"""The chain of hashes: each link depends on the whole row, in a form that stays for ever."""

import hashlib
import json
from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy.exc import DBAPIError

from economy.models.transaction import TransactionRow
from economy.models.user import NO_HISTORY
from economy.services.chain import ChainWalk, as_written, link
from tests.busy_economy import CLARA, make_busy
from tests.journal import journal_of
from tests.world import World

ID, TARGET = UUID(int=1), UUID(int=2)
NOW, LATER = (datetime(2026, 11, 23, 12, minute, 0, 25, tzinfo=UTC) for minute in (0, 1))
ROW = TransactionRow(
    *(7, ID, 3, "top_up", "completed", 1, 2, 100, 300, 4, "CODE", "player:7", "key-1"),
    *(b"\x01\xff", "ordér-1", NOW, LATER, 5, TARGET, 6, 8, b"\xaa" * 32, b"\xbb" * 32),
)
OTHERS = TransactionRow(  # of each column another value
    *(8, TARGET, 4, "purchase", "failed", 2, 3, 101, 301, 5, "OTHER", "player:8", "key-2"),
    *(b"\x02", "order-2", LATER, NOW, 6, ID, 7, 9, b"\xaa" * 32, b"\xbb" * 32),
)
LINKED = ROW._fields[: ROW._fields.index("hash")]


def test_the_form_of_a_link() -> None:
    """Written out here, not called: links that are stored must stay comparable for ever."""
    moments = ["2026-11-23T12:00:00.000025+00:00", "2026-11-23T12:01:00.000025+00:00"]
    content = [7, str(ID), 3, "top_up", "completed", 1, 2, 100, 300, 4, "CODE", "player:7", "key-1"]
    content += ["01ff", "ordér-1", *moments, 5, str(TARGET), 6, 8]
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
    assert link(b"\xcc" * 32, ROW) == hashlib.sha256(b"\xcc" * 32 + text.encode()).digest()


@pytest.mark.parametrize("name", LINKED)
def test_a_link_depends_on_each_column(name: str) -> None:
    other = ROW._replace(**{name: getattr(OTHERS, name)})
    assert other != ROW
    assert link(NO_HISTORY, other) != link(NO_HISTORY, ROW)
    if getattr(as_written(ROW), name) == getattr(ROW, name):  # else it came with the settlement
        assert link(NO_HISTORY, as_written(other)) != link(NO_HISTORY, as_written(ROW))


def test_a_link_depends_on_the_one_before_it() -> None:
    assert link(NO_HISTORY, ROW) != link(b"\x01" * 32, ROW)


async def test_a_history_is_linked_from_its_first_row_to_the_user(world: World) -> None:
    """By hand, in the order of the numbers: 1 and 2 were settled as 3 and 4."""
    await make_busy(world)
    user = (await world.services.users.users([CLARA]))[CLARA]
    rows = {row.seq: row for row in await journal_of(world.services, user)}
    newest = NO_HISTORY
    for number in range(1, user.last_seq + 1):
        if number in rows:
            row = rows[number]
            newest = link(newest, as_written(row))
            assert row.hash == newest
        else:
            row = rows[number - 2]
            newest = link(newest, row)
            assert (row.settled_seq, row.settled_hash) == (number, newest)
    assert user.chain_hash == newest
    assert {row.seq for row in rows.values() if row.settled_hash is not None} == {1, 2}


async def test_a_row_that_is_edited_with_all_constraints_in_force_is_named(world: World) -> None:
    """As the owner of the tables can: the trigger off, the edit, the trigger on again."""
    await make_busy(world)
    edit = "UPDATE \"transaction\" SET external_reference = 'pay-4' WHERE user_id = 3 AND seq = 2"
    with pytest.raises(DBAPIError, match="append-only"):
        await world.sql(edit)
    if world.services.database.dialect == "sqlite":
        [[restore]] = await world.sql(
            "SELECT sql FROM sqlite_master WHERE name = 'transaction_append_only'"
        )
        off, on = "DROP TRIGGER transaction_append_only", restore
    else:
        off, on = (
            f'ALTER TABLE "transaction" {state} TRIGGER USER' for state in ("DISABLE", "ENABLE")
        )
    for statement in (off, edit, on):
        await world.sql(statement)
    user = (await world.services.users.users([CLARA]))[CLARA]
    edited = (await journal_of(world.services, user))[1]
    findings = await world.services.verification.verify()
    assert {one.name: one.broken_rows for one in findings if one.broken_rows} == {
        "journal_is_chained": [
            {
                "user_id": CLARA,
                "seq": 2,
                "transaction_id": str(edited.id),
                "problem": "the row does not fit its link",
            }
        ]
    }


def test_rows_that_wait_for_their_end_are_the_only_ones_kept() -> None:
    """Whatever the length of a history: one of a thousand top-ups, each settled before the next."""
    walk, newest, most_kept = ChainWalk(), NO_HISTORY, 0
    for number in range(1, 2_000, 2):
        row = ROW._replace(seq=number, settled_seq=number + 1)
        row = row._replace(hash=link(newest, as_written(row)))
        newest = link(row.hash, row)
        assert walk.step(row._replace(settled_hash=newest)) == []
        most_kept = max(most_kept, len(walk._settled_later))
    assert walk.end() == []
    assert (walk.newest, most_kept) == (newest, 1)
