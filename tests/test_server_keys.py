"""The life of server keys: made, listed, used, rotated, revoked."""

import asyncio
import hashlib
import logging
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update

from economy.bootstrap import open_services
from economy.models.server_key import ServerKey, ServerKeyRow
from economy.repositories.tables import table_of
from economy.services import Services
from economy.services.access import ALL_SCOPES, Actor, Scope
from economy.settings import Settings
from tests.rest import open_shop
from tests.rival import open_rival
from tests.rows import everything
from tests.shop import Headers, Shop
from tests.sql_counter import recorded_sql

READER = frozenset({Scope.READ_ANY, Scope.ITEMS_WRITE})
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
async def elsewhere(settings: Settings) -> AsyncIterator[Services]:
    """Another process of the same service."""
    async with open_services(settings) as services:
        yield services


async def rows_of(services: Services) -> dict[UUID, ServerKeyRow]:
    return {row.id: row for row in await services.server_keys.keys()}


async def make(services: Services, name: str | None = None) -> tuple[str, ServerKeyRow]:
    key = await services.server_keys.create_key(READER, name=name)
    return key, (await services.server_keys.keys())[-1]


async def test_a_key_is_kept_as_a_hash(services: Services) -> None:
    before = datetime.now(UTC)
    made = [await make(services, name) for name in ("game", None, "игра")]
    rows = await services.server_keys.keys()
    assert [row.name for row in rows] == ["game", None, "игра"]
    assert len({key for key, _ in made}) == len({row.id for row in rows}) == 3
    for (key, _), row in zip(made, rows, strict=True):
        assert re.fullmatch("eck_[A-Za-z0-9_-]{43}", key)
        assert row.key_hash == hashlib.sha256(key.encode()).digest()
        assert row.scopes == "items:write read:any"
        assert before <= row.created_at <= datetime.now(UTC)
        assert (row.expires_at, row.last_used_at) == (None, None)
        assert await services.server_keys.find_actor(key) == Actor.server(row.id, READER)
    stored = str(await everything(services.database))
    for key, _ in made:
        assert key not in stored
        assert key.removeprefix("eck_") not in stored
    for key in ("", "eck_", "eck_unknown", made[0][0][:-1], made[0][0] + " ", "\x00"):
        assert await services.server_keys.find_actor(key) is None


async def test_a_revoked_key_counts_nowhere(shop: Shop, elsewhere: Services) -> None:
    """At once, over both transports, in every process; the other keys stay."""
    headers = await shop.key_with(*ALL_SCOPES)
    row = (await elsewhere.server_keys.keys())[-1]
    assert await statuses(shop, headers) == (200, 200)
    before = datetime.now(UTC)
    assert await elsewhere.server_keys.revoke_key(row.id)
    assert await statuses(shop, headers) == (401, 401)
    assert await elsewhere.server_keys.find_actor(headers["X-Api-Key"]) is None
    assert await statuses(shop, shop.server) == (200, 200)
    revoked = (await rows_of(elsewhere))[row.id]
    assert revoked.expires_at is not None
    assert before <= revoked.expires_at <= datetime.now(UTC)
    # again is no fault, and it keeps its end
    assert await shop.services.server_keys.revoke_key(row.id)
    assert (await rows_of(elsewhere))[row.id] == revoked


async def statuses(shop: Shop, headers: Headers) -> tuple[int, int]:
    """Over REST and over GraphQL."""
    document = {"query": "{ user(id: 1) { id } }"}
    graphql = await shop.client.post("/graphql", json=document, headers=headers)
    assert ("data" in graphql.json()) == (graphql.status_code == 200)
    rest = await shop.client.get("/users/1/inventory", headers=headers)
    return rest.status_code, graphql.status_code


async def test_keys_that_do_not_exist(services: Services) -> None:
    await make(services)
    before = await everything(services.database)
    assert not await services.server_keys.revoke_key(uuid4())
    assert await services.server_keys.rotate_key(uuid4(), overlap=DAY) is None
    assert await everything(services.database) == before


async def test_rotation(services: Services, elsewhere: Services) -> None:
    """For a while both keys count, for the same; then only the new one."""
    old_key, old = await make(services, "game")
    before = datetime.now(UTC)
    new_key = await services.server_keys.rotate_key(old.id, overlap=HOUR)
    assert new_key is not None
    rows = await rows_of(elsewhere)
    assert len(rows) == 2
    new = rows[next(id_ for id_ in rows if id_ != old.id)]
    assert (new.name, new.scopes, new.expires_at) == ("game", old.scopes, None)
    expires_at = rows[old.id].expires_at
    assert expires_at is not None
    assert before + HOUR <= expires_at <= datetime.now(UTC) + HOUR
    for key, id_ in ((old_key, old.id), (new_key, new.id)):
        assert await elsewhere.server_keys.find_actor(key) == Actor.server(id_, READER)

    # a second rotation makes another key, and does not lengthen the life of the first
    assert await services.server_keys.rotate_key(old.id, overlap=DAY) is not None
    assert (await rows_of(services))[old.id].expires_at == expires_at
    # the hour has passed
    await set_column(services, old.id, "expires_at", datetime.now(UTC) - timedelta(seconds=1))
    assert await elsewhere.server_keys.find_actor(old_key) is None
    assert await elsewhere.server_keys.find_actor(new_key) is not None


async def set_column(services: Services, id_: UUID, column: str, at: datetime) -> None:
    """What time would do."""
    table = table_of(ServerKey)
    async with services.database.unit_of_work() as session:
        await session.execute(update(table).where(table.c.id == id_).values({column: at}))


async def test_rotation_without_overlap(services: Services) -> None:
    key, row = await make(services)
    new_key = await services.server_keys.rotate_key(row.id, overlap=timedelta(0))
    assert new_key is not None
    assert await services.server_keys.find_actor(key) is None
    assert await services.server_keys.find_actor(new_key) is not None


async def test_a_key_that_has_ended_is_not_rotated(services: Services) -> None:
    """Whoever revokes a key because it has leaked gets no other in its place."""
    _, row = await make(services)
    await services.server_keys.revoke_key(row.id)
    before = await everything(services.database)
    assert await services.server_keys.rotate_key(row.id, overlap=DAY) is None
    assert await everything(services.database) == before


async def test_revoking_ends_an_overlap(services: Services) -> None:
    key, row = await make(services)
    assert await services.server_keys.rotate_key(row.id, overlap=DAY) is not None
    assert await services.server_keys.find_actor(key) is not None
    assert await services.server_keys.revoke_key(row.id)
    assert await services.server_keys.find_actor(key) is None


def updates(statements: list[str]) -> int:
    return sum(statement.startswith("UPDATE server_key") for statement in statements)


async def test_the_last_use_is_noted_once_a_minute(
    services: Services, elsewhere: Services, settings: Settings
) -> None:
    key, row = await make(services)
    before = datetime.now(UTC)
    with recorded_sql(services.database) as statements:
        found = await asyncio.gather(*(services.server_keys.find_actor(key) for _ in range(20)))
    assert found == [Actor.server(row.id, READER)] * 20
    assert updates(statements) == 1
    noted = (await rows_of(services))[row.id].last_used_at
    assert noted is not None
    assert before <= noted <= datetime.now(UTC)
    # other processes see that it is noted, for a minute
    for seconds, writes in ((50, 0), (61, 1)):
        used_at = datetime.now(UTC) - timedelta(seconds=seconds)
        await set_column(services, row.id, "last_used_at", used_at)
        async with open_services(settings) as fresh:
            with recorded_sql(fresh.database) as statements:
                for _ in range(3):
                    assert await fresh.server_keys.find_actor(key) is not None
        assert updates(statements) == writes
        noted = (await rows_of(elsewhere))[row.id].last_used_at
        assert noted is not None
        assert (noted > used_at) == (writes == 1)


async def test_keys_that_are_not_let_in_leave_no_trace(services: Services) -> None:
    key, row = await make(services)
    await services.server_keys.revoke_key(row.id)
    before = await everything(services.database)
    for refused in (key, "eck_unknown"):
        assert await services.server_keys.find_actor(refused) is None
    assert await everything(services.database) == before


REFUSING = {
    "postgresql": [
        """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN RAISE EXCEPTION 'no writes'; END $$""",
        "CREATE TRIGGER refuse BEFORE UPDATE ON server_key EXECUTE FUNCTION refuse()",
    ],
    "sqlite": [
        """CREATE TRIGGER refuse BEFORE UPDATE ON server_key
        BEGIN SELECT RAISE(ABORT, 'no writes'); END"""
    ],
}


async def test_a_note_that_fails_fails_no_request(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    headers = await shop.key_with(*ALL_SCOPES)
    for statement in REFUSING[shop.services.database.dialect]:
        await shop.world.sql(statement)
    for _ in range(2):
        assert await statuses(shop, headers) == (200, 200)
    [row] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    key_id = (await shop.services.server_keys.keys())[-1].id
    assert row.getMessage() == f"the use of the server key {key_id} is not noted"
    assert headers["X-Api-Key"] not in caplog.text


async def test_a_row_that_another_holds_fails_no_request(postgres_url: str) -> None:
    settings = Settings(database_url=postgres_url, lock_timeout_ms=100, jobs_in_server=False)
    async with open_shop(settings) as shop, open_rival(postgres_url) as rival:
        headers = await shop.key_with(*ALL_SCOPES)
        async with rival.connection.transaction():
            await rival.connection.execute("SELECT 1 FROM server_key FOR UPDATE")
            assert await statuses(shop, headers) == (200, 200)
