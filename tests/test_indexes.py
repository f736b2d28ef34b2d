"""Tests that every statement of the hot paths finds its rows by the index made for it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import Engine, event
from sqlalchemy.ext.asyncio import AsyncSession

from economy.database import Database
from economy.models.inventory import InventoryRow
from economy.models.transaction import TransactionRow
from economy.models.user import UserRow
from economy.repositories import posting_postgres
from economy.repositories.analytics import count_hour, most_purchased, start_of_hour
from economy.repositories.inventory import items_held
from economy.repositories.job import NEVER
from economy.repositories.posting_rows import Changes, Wanted
from economy.repositories.server_key import find_server_key
from economy.repositories.transaction import newest_transactions, pending_top_ups
from economy.repositories.user import user_id_by_username, users_by_id
from economy.settings import Settings
from tests.grown_economy import HISTORY, grow
from tests.servers import PostgresServer, create_database, drop_database

PLAYER, BATCH = [7], list(range(101, 165))
NOW = datetime.now(UTC)
WEEK_AGO = NOW - timedelta(days=7)

Statement = tuple[str, tuple[Any, ...]]
Use = Callable[[AsyncSession], Awaitable[object]]
Node = dict[str, Any]
Explained = Callable[..., Awaitable[list[Node]]]


def items(user_ids: list[int]) -> Use:
    return lambda session: items_held(session, user_ids)


def history(user_ids: list[int], before_seq: int | None = None, kind: str | None = None) -> Use:
    return lambda session: newest_transactions(
        session, user_ids, before_seq=before_seq, kind=kind, limit=21
    )


def popular_products(counted_until: datetime) -> Use:
    return lambda session: most_purchased(
        session, since=WEEK_AGO, until=NOW, counted_until=counted_until, limit=100
    )


def posting(use: Callable[[asyncpg.Connection], Awaitable[object]]) -> Use:
    """Its statements are given the driver's own connection."""

    async def use_driver(session: AsyncSession) -> object:
        return await use(await driver_connection(session))

    return use_driver


def lock_and_find(user_ids: list[int]) -> Use:
    wanted = Wanted(
        user_ids=user_ids,
        items=[(user_id, 3) for user_id in user_ids],
        keys=[(user_id, "purchase", "key-5") for user_id in user_ids],
        references=[(f"receipt-{user_id}", user_id) for user_id in user_ids],
        targets=[(user_id, UUID(int=user_id)) for user_id in user_ids],
    )
    return posting(lambda connection: posting_postgres.lock_and_find(connection, wanted))


def write(user_ids: list[int]) -> Use:
    purchase = ("purchase", "completed", 1, 1, 10, 990, 1, None, "player:7", None, b"hash", None)
    end = (NOW, NOW, 0, None, None, HISTORY + 1, b"link", None)
    rows = [TransactionRow(id_, UUID(int=id_), HISTORY + 1, *purchase, *end) for id_ in user_ids]
    changes = Changes(
        users=[UserRow(id_, "", "", 990, HISTORY + 1, NOW) for id_ in user_ids],
        items=[InventoryRow(id_, UUID(int=id_), 1, "consumable", 1, NOW) for id_ in user_ids],
        written=rows,
        settled=[row._replace(id=UUID(int=0)) for row in rows],
        unclaimed_references=[f"receipt-{id_}" for id_ in user_ids],
    )
    return posting(lambda connection: posting_postgres.write(connection, changes))


def look_up(user_ids: list[int]) -> Use:
    keys = [(user_id, UUID(int=user_id)) for user_id in user_ids]
    return posting(lambda connection: posting_postgres.lock_and_find_transactions(connection, keys))


INVENTORY_OF_USER = "uq_inventory_user_id_product_id"
HISTORY_OF_USER = "uq_transaction_user_id_seq"
REPLAY = "uq_transaction_user_id_kind_idempotency_key"
PURCHASES = "ix_transaction_completed_purchase"
INDEX_SCANS = {"Index Scan", "Index Only Scan", "Bitmap Index Scan"}
# users, items and replays in one (and products, so few that it may as well read them all), claims,
# targets, their reversals
FIND = [{"user_pkey", INVENTORY_OF_USER, REPLAY}, set()]
FIND += [{"pk_transaction"}, {"uq_transaction_reversal"}]
# users, items and transactions in one; transactions settled, claims
WRITE = [{"user_pkey", INVENTORY_OF_USER}, {"pk_transaction"}, {"pk_claim"}]
# what is run, and the indexes that each of its statements uses
CASES: dict[str, tuple[Use, list[set[str]]]] = {
    "inventory": (items(PLAYER), [{INVENTORY_OF_USER}]),
    "inventories": (items(BATCH), [{INVENTORY_OF_USER}]),
    "users": (lambda session: users_by_id(session, BATCH), [{"user_pkey"}]),
    "history": (history(PLAYER), [{HISTORY_OF_USER}]),
    "history, next page": (history(PLAYER, before_seq=30), [{HISTORY_OF_USER}]),
    "histories": (history(BATCH), [{HISTORY_OF_USER}]),
    "popular products": (popular_products(NEVER), [{PURCHASES}]),
    "count purchases": (
        lambda session: count_hour(session, start_of_hour(NOW)),
        [{"pk_purchase_hour"}, {PURCHASES}],
    ),
    "username": (lambda session: user_id_by_username(session, "player7"), [{"pk_claim"}]),
    "server key": (
        lambda session: find_server_key(session, b"hash"),
        [{"uq_server_key_key_hash"}],
    ),
    "posting one: find": (lock_and_find(PLAYER), FIND),
    "posting many: find": (lock_and_find(BATCH), FIND),
    "posting one: write": (write(PLAYER), WRITE),
    "posting many: write": (write(BATCH), WRITE),
    "lost commit of one": (look_up(PLAYER), [{"user_pkey"}, {"pk_transaction"}]),
    "lost commit of many": (look_up(BATCH), [{"user_pkey"}, {"pk_transaction"}]),
    "expiry": (
        lambda session: pending_top_ups(session, before=NOW, limit=500),
        [{"ix_transaction_pending"}],
    ),
}


@pytest.fixture(scope="module")
def grown_url(postgres: PostgresServer, worker_id: str) -> Iterator[str]:
    name = f"grown_{worker_id}"
    asyncio.run(create_database(postgres, name, template=f"template_{worker_id}"))
    asyncio.run(grow(postgres.database_url(name)))
    yield postgres.database_url(name)
    asyncio.run(drop_database(postgres, name))


@pytest.fixture
async def session(grown_url: str) -> AsyncIterator[AsyncSession]:
    """What it writes is rolled back."""
    database = Database(Settings(database_url=grown_url))
    async with database.unit_of_work() as session:
        yield session
        await session.rollback()
    await database.close()


async def driver_connection(session: AsyncSession) -> asyncpg.Connection:
    connection = await session.connection()
    return (await connection.get_raw_connection()).driver_connection


async def statements_of(session: AsyncSession, use: Use) -> list[Statement]:
    """What is really sent: SQLAlchemy and asyncpg each tell of what goes through them."""
    connection, sent = await driver_connection(session), list[Statement]()

    def note(*arguments: Any) -> None:
        sent.append((arguments[2], arguments[3]))

    async with session.begin_nested() as savepoint:
        await use(session)  # asyncpg asks about types that are new to it: once a connection
        await savepoint.rollback()
    event.listen(Engine, "before_cursor_execute", note)
    try:
        with connection.query_logger(lambda query: sent.append((query.query, query.args))):
            await use(session)
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    return sent


def nodes_of(plan: Node) -> list[Node]:
    return [plan, *(node for child in plan.get("Plans", []) for node in nodes_of(child))]


async def explain(session: AsyncSession, statement: str, *arguments: Any) -> list[Node]:
    connection = await driver_connection(session)
    answer = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {statement}", *arguments)
    return nodes_of(answer[0]["Plan"])  # SQLAlchemy has taught the connection JSON


async def explain_generic(session: AsyncSession, statement: str, *arguments: Any) -> list[Node]:
    """The plan for any arguments, to which a prepared statement may turn after five executions."""
    connection = await driver_connection(session)
    prepared = await connection.prepare(statement)
    await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
    arguments_for_any = ", ".join("NULL" for _ in arguments)
    return await explain(session, f"EXECUTE {prepared.get_name()} ({arguments_for_any})")


def indexes_of(nodes: list[Node]) -> set[str]:
    found = {node["Index Name"] for node in nodes if "Index Name" in node}
    return found.union(*(node.get("Conflict Arbiter Indexes", []) for node in nodes))


def tables_read_whole(nodes: list[Node]) -> set[str]:
    return {node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"}


@pytest.mark.parametrize("explained", [explain, explain_generic])
@pytest.mark.parametrize("case", CASES)
async def test_each_statement_uses_its_index(
    session: AsyncSession, case: str, explained: Explained
) -> None:
    use, expected = CASES[case]
    statements = await statements_of(session, use)
    plans = [await explained(session, sql, *arguments) for sql, arguments in statements]
    assert [indexes_of(plan) for plan in plans] == expected
    assert set().union(*map(tables_read_whole, plans)) <= {"product"}


async def test_no_history_page_is_sorted(session: AsyncSession) -> None:
    """The index gives the order: a page costs its own length, however long the history is."""
    ((sql, arguments),) = await statements_of(session, history(PLAYER, before_seq=30))
    for explained in (explain, explain_generic):
        kinds = [node["Node Type"] for node in await explained(session, sql, *arguments)]
        assert kinds == ["Limit", "Index Scan"]


async def test_a_page_of_one_kind_reads_only_its_user(session: AsyncSession) -> None:
    """By kind there are two ways, as good for players of ordinary length."""
    ((sql, arguments),) = await statements_of(session, history(PLAYER, kind="use"))
    for explained in (explain, explain_generic):
        nodes = await explained(session, sql, *arguments)
        assert len(indexes_of(nodes) & {HISTORY_OF_USER, REPLAY}) == 1
        assert tables_read_whole(nodes) == set()


async def assert_the_journal_is_read_by_index(
    session: AsyncSession, explained: Explained, statement: Statement, parts: int
) -> None:
    """All of what is counted may be read: it is a week, however long the history is."""
    sql, arguments = statement
    nodes = await explained(session, sql, *arguments)
    of_journal = [node for node in nodes if node.get("Index Name") == PURCHASES]
    assert len(of_journal) == parts
    assert {node["Node Type"] for node in of_journal} <= INDEX_SCANS
    assert tables_read_whole(nodes) <= {"purchase_hour"}
    assert indexes_of(nodes) <= {PURCHASES, "pk_purchase_hour"}


@pytest.mark.parametrize("explained", [explain, explain_generic])
async def test_popular_products_read_both_ends_of_the_journal_by_index(
    session: AsyncSession, explained: Explained
) -> None:
    counted_until = start_of_hour(NOW) - timedelta(hours=1)
    [statement] = await statements_of(session, popular_products(counted_until))
    await assert_the_journal_is_read_by_index(session, explained, statement, parts=2)


@pytest.mark.parametrize(("counted_until", "parts"), [(NEVER, 1), (start_of_hour(NOW), 2)])
async def test_popular_products_stay_on_their_index_when_prepared(
    session: AsyncSession, counted_until: datetime, parts: int
) -> None:
    """A condition of a partial index that comes as a parameter is lost in a generic plan."""
    use = popular_products(counted_until)
    [(sql, arguments)] = await statements_of(session, use)
    for _ in range(10):
        await use(session)
    connection = await driver_connection(session)
    (prepared,) = await connection.fetch(
        """SELECT name, generic_plans + custom_plans AS runs FROM pg_prepared_statements
        WHERE statement = $1 AND NOT from_sql""",
        sql,
    )
    assert prepared["runs"] == 12
    execution = (f"EXECUTE {prepared['name']} ({', '.join(map(repr, map(str, arguments)))})", ())
    await assert_the_journal_is_read_by_index(session, explain, execution, parts)
