"""The role that the notes on security describe is enough for a server, and cannot edit the past."""

import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import asyncpg
import httpx
import pytest
from sqlalchemy.engine import make_url

from economy.jobs import Job
from tests.documented import BLOCK, DOCS, text_of
from tests.live import TIMEOUT, LiveServer, live_server, run_economy
from tests.servers import own_postgres_server

PAST = [
    'UPDATE "transaction" SET amount = 1',
    'DELETE FROM "transaction"',
    'TRUNCATE "transaction"',
    'ALTER TABLE "transaction" DISABLE TRIGGER ALL',
    'DROP TRIGGER transaction_append_only ON "transaction"',
    "SET session_replication_role = replica",
    'DELETE FROM "user"',
]
RUNS = re.compile(r'^economy_job_runs_total\{job="(\w+)",outcome="(\w+)"\}', re.MULTILINE)


class Urls(NamedTuple):
    owner: str
    server: str


async def execute(url: str, *statements: str) -> None:
    async with asyncpg.create_pool(url.replace("+asyncpg", "", 1), min_size=1) as pool:
        for statement in statements:
            await pool.execute(statement)


@asynccontextmanager
async def two_roles() -> AsyncIterator[Urls]:
    """A migrated database of one role, with what is granted to the other."""
    [grants] = [
        sql for language, sql in BLOCK.findall(text_of(DOCS / "SECURITY.md")) if language == "sql"
    ]
    with own_postgres_server() as postgres:
        await execute(
            postgres.url,
            "CREATE ROLE economy_owner LOGIN",
            "CREATE ROLE economy LOGIN",
            "CREATE DATABASE economy OWNER economy_owner",
        )
        url = make_url(postgres.url).set(database="economy")
        urls = Urls(*(str(url.set(username=name)) for name in ("economy_owner", "economy")))
        assert run_economy("migrate", database_url=urls.owner).returncode == 0
        await execute(urls.owner, grants)
        yield urls


def outcomes_of_jobs(server: LiveServer) -> dict[str, str]:
    """Once each job has run."""
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        runs = dict(RUNS.findall(httpx.get(f"{server.url}/metrics", trust_env=False).text))
        if len(runs) == len(Job):
            return runs
        time.sleep(0.05)
    raise AssertionError(server.log.read_text())


def mutate(server: LiveServer, key: str, mutation: str) -> str:
    document = f"mutation {{ outcome: {mutation} {{ __typename }} }}"
    headers = {"X-Api-Key": key}
    answer = httpx.post(
        f"{server.url}/graphql", json={"query": document}, headers=headers, trust_env=False
    )
    return str(answer.json()["data"]["outcome"]["__typename"])


async def test_a_server_needs_to_own_nothing() -> None:
    async with two_roles() as urls:
        assert run_economy("seed", database_url=urls.server).returncode == 0
        key = run_economy("token", "--server", database_url=urls.server).stdout.strip()
        with live_server(database_url=urls.server) as server:
            told = [
                mutate(server, key, f"{mutation})")
                for mutation in (
                    'purchase(input: { userId: 1, productId: 1, idempotencyKey: "a" }',
                    'addFunds(input: { userId: 1, amount: 5, idempotencyKey: "b" }',
                    'createUser(input: { username: "maria", email: "maria@example.com" }',
                    "deleteUser(input: { userId: 3 }",
                    "updateProduct(input: { id: 1, price: 5 }",
                )
            ]
            runs = outcomes_of_jobs(server)
        assert told == [
            *("PurchaseSuccess", "AddFundsSuccess", "CreateUserSuccess", "DeleteUserSuccess"),
            "UpdateProductSuccess",
        ]
        assert runs.keys() == {job.value for job in Job}
        assert "failed" not in runs.values()


async def test_it_cannot_edit_the_past() -> None:
    async with two_roles() as urls:
        assert run_economy("seed", database_url=urls.server).returncode == 0
        for statement in PAST:
            with pytest.raises(
                (asyncpg.InsufficientPrivilegeError, asyncpg.RestrictViolationError)
            ):
                await execute(urls.server, statement)
        verified = run_economy("verify", database_url=urls.server)
        assert verified.returncode == 0
        assert verified.stdout.endswith(" invariants checked, 0 broken\n")
