"""Many clients at once, each with connections of its own, and what PostgreSQL counted of them."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import asyncpg
import orjson

from economy.models.transaction import TransactionRow
from economy.services import Services
from tests.live import LiveServer, launched_server
from tests.shop import Headers

REQUEST_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Headers  # names in lower case
    body: Any
    seconds: float

    @property
    def booked(self) -> tuple[str, int, int | None]:
        """Transaction, balance and quantity; whatever is no success is a failure here."""
        assert self.status == 200, self.body
        item = self.body.get("item")
        quantity = None if item is None else item["quantity"]
        return self.body["transaction"]["id"], self.body["user"]["balance"], quantity


@dataclass
class Connection:
    """HTTP/1.1 and no more: what a whole client spends on a request would blur the figures."""

    host: str
    headers: Headers
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def post(self, path: str, body: object, key: str | None = None) -> Answer:
        return await self.send("POST", path, orjson.dumps(body), key)

    async def send(
        self, method: str, path: str, content: bytes = b"", key: str | None = None
    ) -> Answer:
        headers = self.headers | {"Host": self.host, "Content-Length": str(len(content))}
        if content:
            headers["Content-Type"] = "application/json"
        if key is not None:
            headers["Idempotency-Key"] = key
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        started_at = time.perf_counter()
        self.writer.write(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + content)
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        fields = (line.split(": ", 1) for line in head[1:-2])
        received = {name.lower(): value for name, value in fields}
        answer = await self.reader.readexactly(int(received["content-length"]))
        seconds = time.perf_counter() - started_at
        return Answer(int(head[0].split()[1]), received, orjson.loads(answer), seconds)


@contextlib.asynccontextmanager
async def connected(server: LiveServer, headers: Headers) -> AsyncIterator[Connection]:
    host = server.url.removeprefix("http://")
    name, _, port = host.partition(":")
    reader, writer = await asyncio.open_connection(name, int(port))
    try:
        yield Connection(host, headers, reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@contextlib.contextmanager
def live_servers(count: int, **settings: str) -> Iterator[list[LiveServer]]:
    """Processes that start and stop together: one after the other takes many times as long."""
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(launched_server(**settings)) for _ in range(count)]
        for server in servers:
            server.wait_until_ready()
        yield servers
        for server in servers:
            server.terminate()
        for server in servers:
            server.wait()


async def deadlocks(database_url: str) -> int:
    """So far, in this database. A process reports its own at the latest when it disconnects."""
    connection = await asyncpg.connect(database_url.replace("+asyncpg", "", 1))
    try:
        count: int = await connection.fetchval(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        )
        return count
    finally:
        await connection.close()


async def assert_sound(services: Services) -> None:
    findings = await services.verification.verify()
    assert len(findings) > 15
    assert [finding for finding in findings if finding.broken_rows] == []


def assert_whole(rows: list[TransactionRow], answers: dict[tuple[str, str], Answer]) -> None:
    """The keyed rows of a journal are what was answered by (kind, key), each once, and add up."""
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    booked = {
        (row.kind, row.idempotency_key): (str(row.id), row.balance_after, row.quantity_after)
        for row in rows
        if row.status == "completed"
    }
    assert len(booked) == len(rows)
    assert booked == {name: answer.booked for name, answer in answers.items()}
    balance, held = 0, 0
    for row in rows:
        balance += row.amount if row.kind == "top_up" else -row.amount
        held += {"purchase": 1, "use": -1, "top_up": 0}[row.kind] * (row.quantity or 0)
        assert row.balance_after == balance
        assert row.quantity_after in (None, held)
