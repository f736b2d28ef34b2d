"""The wheel, installed in an empty environment and run from elsewhere: it needs nothing else."""

import asyncio
import contextlib
import os
import re
import subprocess
import tomllib
import zipfile
from collections.abc import AsyncIterator
from email import message_from_string
from pathlib import Path

import httpx
import pytest

from tests import live
from tests.live import PROGRESS, live_server, run_economy
from tests.servers import PostgresServer, create_database, drop_database
from tests.shipped import ROOT, build_wheel, install

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NAMED = re.compile(r"[A-Za-z0-9._-]+")
PURCHASE = """mutation {
  purchase(input: { productId: 1, quantity: 2, idempotencyKey: "order-1" }) {
    ... on PurchaseSuccess { user { balance } item { quantity product { id } } }
  }
}"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("dist"))


@pytest.fixture
async def unmigrated_url(postgres: PostgresServer, worker_id: str) -> AsyncIterator[str]:
    """A PostgreSQL database without any table."""
    name = f"wheel_{worker_id}"
    await create_database(postgres, name)
    yield postgres.database_url(name)
    await drop_database(postgres, name)


def package_files() -> set[str]:
    """What git knows of the package, named as in the wheel."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "economy", "migrations"],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    files = {name for name in listed.stdout.splitlines() if (ROOT / name).is_file()}
    return {re.sub(r"^migrations/", "economy/_migrations/", name) for name in files}


def test_it_holds_the_package_with_migrations_and_assets_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    files = {name for name in names if ".dist-info/" not in name}
    assert files == package_files()
    assert {Path(name).name for name in names - files} == {
        "METADATA",
        "WHEEL",
        "RECORD",
        "LICENSE",
        "entry_points.txt",
    }
    assert "economy/_migrations/env.py" in files
    for folder in ("economy/api/graphql/static/graphiql", "economy/api/rest/static"):
        assert any(name.startswith(folder) and name.endswith(".LICENSE") for name in files), folder


def test_it_asks_for_what_runs_and_for_nothing_that_builds_or_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        [metadata] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        message = message_from_string(archive.read(metadata).decode())
    assert message["Version"] == PROJECT["version"]
    assert not message.get_all("Provides-Extra")
    asked = [NAMED.match(line) for line in message.get_all("Requires-Dist") or []]
    runs = [NAMED.match(line) for line in PROJECT["dependencies"]]
    assert sorted(name[0] for name in asked if name) == sorted(name[0] for name in runs if name)


def distributions(environment: Path) -> set[str]:
    [packages] = environment.glob("lib/python*/site-packages")
    return {path.name.split("-")[0].lower() for path in packages.glob("*.dist-info")}


@pytest.mark.timeout(400)  # all that it needs is downloaded where pip has not kept it
async def test_it_sells_from_an_empty_environment(
    wheel: Path, unmigrated_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment, elsewhere = tmp_path / "environment", tmp_path / "elsewhere"
    await asyncio.to_thread(install, wheel, environment)
    installed = distributions(environment)
    assert {"economy", "fastapi", "asyncpg", "aiosqlite", "celery"} <= installed
    assert not installed & {"hatchling", "pip", "setuptools", "pytest", "mypy", "httpx"}
    assert not list(environment.glob("lib/python*/site-packages/tests"))

    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setattr(live, "ECONOMY", environment / "bin" / "economy")
    monkeypatch.setenv("PATH", f"{environment / 'bin'}:{os.defpath}")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    for url in (f"sqlite:///{elsewhere}/economy.db", unmigrated_url):
        await asyncio.to_thread(sells, url)
    # only the database of SQLite was left behind
    assert {path.name.split("-")[0] for path in elsewhere.iterdir()} == {"economy.db"}


def printed(*arguments: str, database_url: str) -> str:
    """What a command printed that has succeeded."""
    run = run_economy(*arguments, database_url=database_url)
    assert run.returncode == 0, run.stderr
    return run.stdout


def sells(database_url: str) -> None:
    """From a database without tables to a purchase and sound books; SIGTERM then ends it with 0."""
    refused = run_economy("serve", "--port", "0", database_url=database_url)
    assert refused.returncode == 1
    assert "economy migrate" in refused.stderr
    printed("migrate", database_url=database_url)
    printed("seed", database_url=database_url)
    token = printed("token", "--user", "1", database_url=database_url).strip()
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(live_server(database_url=database_url))
        client = stack.enter_context(httpx.Client(base_url=server.url, trust_env=False))
        buys(client, {"Authorization": f"Bearer {token}"})
        shows_its_pages(client)
    verified = run_economy("verify", database_url=database_url)
    assert (verified.returncode, verified.stderr) == (0, PROGRESS)
    assert verified.stdout.splitlines()[-1].endswith(" invariants checked, 0 broken")


def buys(client: httpx.Client, player: dict[str, str]) -> None:
    answer = client.post("/graphql", json={"query": PURCHASE}, headers=player).json()
    assert answer == {
        "data": {
            "purchase": {
                "user": {"balance": 9_800},
                "item": {"quantity": 2, "product": {"id": "1"}},
            }
        }
    }
    items = client.get("/users/1/inventory", headers=player).json()["items"]
    assert [(item["product"]["id"], item["quantity"]) for item in items] == [(1, 2)]


def shows_its_pages(client: httpx.Client) -> None:
    """GraphiQL, Swagger UI and ReDoc with every file that they load, and the document's version."""
    for path in ("/graphql", "/docs", "/redoc"):
        page = client.get(path, headers={"Accept": "text/html"})
        assert page.status_code == 200, path
        loaded = re.findall(r'(?:src|href)="(?!data:)([^"]+)"', page.text)
        assert len(loaded) >= 3, path
        for address in loaded:
            assert client.get(page.url.join(address)).status_code == 200, address
    document = client.get("/openapi.json").json()
    assert document["info"]["version"] == PROJECT["version"]
