"""The `economy` command, run as it is installed, as a process of its own."""

import re
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from economy.database import Database
from economy.settings import Settings
from tests.live import PROGRESS, live_server, run_economy
from tests.rows import everything
from tests.servers import PostgresServer, create_database, drop_database
from tests.shop import Headers, Shop

ROOT = Path(__file__).parents[1]
NOT_MIGRATED = "Error: the database is not at the newest schema: run `economy migrate`\n"
NO_BROKER = "redis+socket:///tmp/nobody-asks-it.sock"
KEY = re.compile(r"eck_[A-Za-z0-9_-]{43}\n")
TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\n")


def done(run: subprocess.CompletedProcess[str]) -> str:
    """What a command printed that has succeeded; it complained of nothing."""
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout


def sound(run: subprocess.CompletedProcess[str]) -> str:
    """What `verify` printed, which has found nothing."""
    assert (run.returncode, run.stderr) == (0, PROGRESS)
    return run.stdout


def told(run: subprocess.CompletedProcess[str]) -> tuple[int, str, str]:
    return run.returncode, run.stdout, run.stderr


@pytest.fixture
async def postgres_without_tables(postgres: PostgresServer, worker_id: str) -> AsyncIterator[str]:
    name = f"empty_{worker_id}"
    await create_database(postgres, name)
    yield postgres.database_url(name)
    await drop_database(postgres, name)


@pytest.fixture(params=["postgresql", "sqlite"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without any table."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/empty.db"
    url: str = request.getfixturevalue("postgres_without_tables")
    return url


@pytest.fixture
def refusing_url() -> Iterator[str]:
    """A port that is taken, so that nobody else may listen there, and refuses connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"postgresql://me:secret@127.0.0.1:{taken.getsockname()[1]}/economy"


async def rows(url: str) -> dict[str, list[str]]:
    database = Database(Settings(database_url=url))
    try:
        return await everything(database)
    finally:
        await database.close()


async def test_from_nothing_to_the_first_purchase(empty_url: str) -> None:
    """As `make run` does it: what `seed` prints works against the server."""
    assert told(run_economy("serve", database_url=empty_url)) == (1, "", NOT_MIGRATED)
    for _ in range(2):
        assert done(run_economy("migrate", database_url=empty_url)) == ""
    first = done(run_economy("seed", database_url=empty_url)).splitlines()
    seeded = await rows(empty_url)
    again = done(run_economy("seed", database_url=empty_url)).splitlines()
    assert await rows(empty_url) == seeded
    assert {table: len(found) for table, found in seeded.items()} == {
        "user": 2,
        "product": 2,
        "inventory": 0,
        "transaction": 2,
        "claim": 4,
        "server_key": 1,
        "job_progress": 0,
        "purchase_hour": 0,
        "verification": 0,
        "circulation": 0,
    }
    assert first[:2] == again[:2]  # a token tells when it was made
    assert first[0] == "GraphiQL          http://127.0.0.1:8000/graphql"
    key = first[1].removeprefix("demo server key   ")
    token = first[2].removeprefix("demo player token ")
    buy = "curl -X POST http://127.0.0.1:8000/products/1/purchase"
    assert first[3:] == ["buy something:", f"  {buy} -H 'Authorization: Bearer {token}'"]
    with live_server(database_url=empty_url) as server:
        async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
            for headers in [{"Authorization": f"Bearer {token}"}, {"X-Api-Key": key}]:
                answer = await client.post(
                    "/products/1/purchase", headers=headers, json={"user_id": 1}
                )
                assert answer.status_code == 200
    assert sound(run_economy("verify", database_url=empty_url)).endswith(" checked, 0 broken\n")


async def test_seed_in_production(postgres_url: str, redis_url: str) -> None:
    """The catalogue, and nobody who could log in."""
    run = run_economy(
        "seed",
        environment="production",
        jwt_secret="a-secret-of-production-32-bytes!",
        database_url=postgres_url,
        redis_url=redis_url,
    )
    assert done(run) == "catalogue: Буст на день, Премиум-статус\n"
    sizes = {table: len(found) for table, found in (await rows(postgres_url)).items()}
    assert sizes == dict.fromkeys(sizes, 0) | {"product": 2}


def test_migrate_to_a_revision(sqlite_url: str) -> None:
    assert done(run_economy("migrate", "--revision", "base", database_url=sqlite_url)) == ""
    assert told(run_economy("verify", database_url=sqlite_url)) == (1, "", NOT_MIGRATED)
    run = run_economy("migrate", "--revision", "nonsense", database_url=sqlite_url)
    assert told(run) == (1, "", "Error: Can't locate revision identified by 'nonsense'\n")


async def test_token(shop: Shop, database_url: str) -> None:
    """The bare credential and nothing else, which a running server takes at once."""
    token = done(run_economy("token", "--user", "1", database_url=database_url))
    assert TOKEN.fullmatch(token)
    player = {"Authorization": f"Bearer {token.strip()}"}
    assert await statuses(shop, player) == (200, 403, 403)

    key = done(run_economy("token", "--server", database_url=database_url))
    assert KEY.fullmatch(key)
    assert await statuses(shop, {"X-Api-Key": key.strip()}) == (200, 200, 200)

    arguments = ["--server", "--scope", "read:any", "--scope", "items:write"]
    key = done(run_economy("token", *arguments, database_url=database_url))
    assert KEY.fullmatch(key)
    assert await statuses(shop, {"X-Api-Key": key.strip()}) == (200, 200, 403)

    secret = "another-secret-of-at-least-32-bytes"
    run = run_economy("token", "--user", "1", database_url=database_url, jwt_secret=secret)
    assert await statuses(shop, {"Authorization": f"Bearer {done(run).strip()}"}) == (401, 401, 401)


async def statuses(shop: Shop, headers: Headers) -> tuple[int, int, int]:
    """Of reading anna, of reading boris, of crediting anna."""
    credit = await shop.client.post(
        "/users/1/add-funds", headers=headers | {"Idempotency-Key": "k"}, json={"amount": 5}
    )
    anna = await shop.client.get("/users/1/inventory", headers=headers)
    boris = await shop.client.get("/users/2/inventory", headers=headers)
    return anna.status_code, boris.status_code, credit.status_code


async def test_token_for_nobody(sqlite_url: str) -> None:
    before = await rows(sqlite_url)
    for user in ["1", "abc"]:
        run = run_economy("token", "--user", user, database_url=sqlite_url)
        assert told(run) == (1, "", f"Error: there is no user {user}\n")
    assert await rows(sqlite_url) == before


@pytest.mark.parametrize(
    "arguments",
    [[], ["--user", "1", "--server"], ["--user", "1", "--scope", "read:any"]],
    ids=" ".join,
)
def test_token_for_whom(sqlite_url: str, arguments: list[str]) -> None:
    run = run_economy("token", *arguments, database_url=sqlite_url)
    assert (run.returncode, run.stdout) == (2, "")
    usage = "give either --user ID, or --server [--scope SCOPE]... [--name N]"
    assert run.stderr.endswith(f"Error: {usage}\n")


async def test_verify(shop: Shop, database_url: str) -> None:
    await shop.world.credit(shop.world.anna, 1_000)
    await shop.world.buy(shop.world.anna, shop.world.boost)
    lines = sound(run_economy("verify", database_url=database_url)).splitlines()
    assert all(line.startswith("ok      ") for line in lines[:-1])
    assert lines[-1] == f"{len(lines) - 1} invariants checked, 0 broken"

    await shop.world.sql('UPDATE "user" SET balance = 901 WHERE id = 1')
    run = run_economy("verify", database_url=database_url)
    assert (run.returncode, run.stderr) == (1, PROGRESS)
    broken, row, total = [line for line in run.stdout.splitlines() if not line.startswith("ok ")]
    assert broken.startswith("BROKEN  balance_is_sum_of_transactions  (2 rows): ")
    assert row == "        {'user_id': 1, 'balance': 901, 'debt': 0, 'sum_of_transactions': 900}"
    assert total == f"{len(lines) - 1} invariants checked, 1 broken"


def test_export_schema() -> None:
    """The file in the repository is what the code says."""
    assert done(run_economy("export-schema")) == (ROOT / "schema.graphql").read_text()


@pytest.mark.parametrize(
    ("settings", "complaints"),
    [
        ({"port": "abc"}, ["ECONOMY_PORT: Input should be a valid integer, unable to parse"]),
        ({"colour": "blue"}, ["there is no such setting: ECONOMY_COLOUR"]),
        ({"database_url": "mysql://db"}, ["ECONOMY_DATABASE_URL: must start with postgresql://"]),
        (
            {"workers": "0", "log_level": "loud"},
            [
                "ECONOMY_LOG_LEVEL: Input should be 'DEBUG'",
                "ECONOMY_WORKERS: Input should be greater",
            ],
        ),
        (
            {"environment": "production", "jwt_secret": "hush"},
            ["production refuses to start: ECONOMY_JWT_SECRET needs at least 32 bytes; set "],
        ),
    ],
)
@pytest.mark.parametrize("command", ["serve", "worker"])
def test_wrong_settings(command: str, settings: dict[str, str], complaints: list[str]) -> None:
    """One clear line each, without a value that may be secret."""
    run = run_economy(command, **settings)
    assert (run.returncode, run.stdout) == (2, "")
    lines = run.stderr.splitlines()
    assert len(lines) == len(complaints)
    for line, complaint in zip(lines, complaints, strict=True):
        assert line.startswith(f"economy: {complaint}")
        assert "hush" not in line


@pytest.mark.parametrize("command", ["serve", "worker", "seed", "token --server", "verify"])
def test_database_that_is_not_migrated(tmp_path: Path, command: str) -> None:
    url = f"sqlite:///{tmp_path}/empty.db"
    run = run_economy(*command.split(), database_url=url, broker_url=NO_BROKER)
    assert told(run) == (1, "", NOT_MIGRATED)


@pytest.mark.parametrize("command", ["serve", "serve --workers 2", "worker", "migrate"])
def test_database_that_cannot_be_reached(refusing_url: str, command: str) -> None:
    """Fails at once and in one line, which does not show the password."""
    run = run_economy(*command.split(), database_url=refusing_url, broker_url=NO_BROKER)
    assert (run.returncode, run.stdout) == (1, "")
    [line] = run.stderr.splitlines()
    failed = "Error: the database of ECONOMY_DATABASE_URL failed: ConnectionRefusedError: [Errno "
    assert line.startswith(failed)
    assert "secret" not in line


def test_database_that_does_not_exist(postgres: PostgresServer) -> None:
    run = run_economy("serve", database_url=postgres.database_url("nowhere"))
    assert (run.returncode, run.stdout) == (1, "")
    [line] = run.stderr.splitlines()
    assert 'database "nowhere" does not exist' in line


@pytest.mark.parametrize("workers", ["1", "2"])
def test_port_that_is_taken(sqlite_url: str, workers: str) -> None:
    """In one line, before anything of the server starts."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        run = run_economy("serve", database_url=sqlite_url, port=port, workers=workers)
    where = f"ECONOMY_HOST=127.0.0.1, ECONOMY_PORT={port}"
    assert told(run) == (1, "", f"Error: {where}: Address already in use\n")


@pytest.mark.parametrize("content", [None, "nonsense", "[]", '{"keys": []}'])
def test_keys_that_are_not_there(sqlite_url: str, tmp_path: Path, content: str | None) -> None:
    """Without them every player would be refused, and the server look well."""
    file = tmp_path / "jwks.json"
    if content is not None:
        file.write_text(content)
    run = run_economy("serve", database_url=sqlite_url, jwt_jwks=str(file))
    assert (run.returncode, run.stdout) == (1, "")
    [line] = run.stderr.splitlines()
    assert line.startswith("Error: ECONOMY_JWT_JWKS: no set of keys is there: ")


def test_folder_that_does_not_exist(tmp_path: Path) -> None:
    run = run_economy("serve", database_url=f"sqlite:///{tmp_path}/nowhere/economy.db")
    expected = "economy: ECONOMY_DATABASE_URL: unable to open database file\n"
    assert told(run) == (2, "", expected)
