"""A network between a service and PostgreSQL that breaks where a test wants it to."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from enum import Enum, auto

from sqlalchemy.engine import URL, make_url

WRITES = b"SELECT is_current FROM seen"  # the end of posting's statement that commits by itself


class Break(Enum):
    """What becomes of the next COMMIT, or of the statement that does without. The service's
    connection is of no use after it."""

    BEFORE_COMMIT = auto()  # it never reaches the server
    AFTER_COMMIT = auto()  # the server has committed, its answer is lost
    LATE_COMMIT = auto()  # it reaches the server only once the test says so
    SILENCE = auto()  # the server has committed; its answer never comes, nor does an end


class Proxy:
    def __init__(self, server_url: URL) -> None:
        self._server_url = server_url
        self._server: asyncio.Server
        self._connections: set[asyncio.Task[None]] = set()
        self.next_commit: Break | None = None
        self.commits_behind: list[Break] = []  # what becomes of those that follow it
        self.broken: list[Break] = []
        self.has_broken = asyncio.Event()
        self.let_commit_through = asyncio.Event()
        self.holds_next = b""  # the next statement that begins so waits until it is let through
        self.is_holding = asyncio.Event()
        self.let_held_through = asyncio.Event()

    @property
    def url(self) -> str:
        """Where a service finds the database; unencrypted, for COMMIT to be seen."""
        port = self._server.sockets[0].getsockname()[1]
        url = self._server_url.set(host="127.0.0.1", port=port, query={"ssl": "disable"})
        return url.render_as_string(hide_password=False)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)

    async def stop(self) -> None:
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await self._connect()
        except OSError:  # the server is down
            writer.transport.abort()
            return
        down = asyncio.create_task(_copy(server_reader, writer))
        prepared: dict[bytes, bytes] = {}
        try:
            while data := await reader.read(2**16):
                statement = _executed(data, prepared)
                is_commit = statement.startswith(b"COMMIT") or statement.endswith(WRITES)
                if self.next_commit is not None and is_commit:
                    how, self.next_commit = self.next_commit, self._take_next()
                    down.cancel()
                    await asyncio.wait([down])
                    await self._break(how, data, writer, server_reader, server_writer)
                    break
                await self._hold(statement)
                server_writer.write(data)
        except ConnectionError:
            pass  # one side has gone: so does the other
        finally:
            down.cancel()
            writer.transport.abort()
            server_writer.transport.abort()

    async def _hold(self, statement: bytes) -> None:
        if self.holds_next and statement.startswith(self.holds_next):
            self.holds_next = b""
            self.is_holding.set()
            await self.let_held_through.wait()

    def _take_next(self) -> Break | None:
        return self.commits_behind.pop(0) if self.commits_behind else None

    async def _break(
        self,
        how: Break,
        commit: bytes,
        client: asyncio.StreamWriter,
        server_reader: asyncio.StreamReader,
        server: asyncio.StreamWriter,
    ) -> None:
        if how is Break.LATE_COMMIT:
            client.transport.abort()
            await self.let_commit_through.wait()
        if how is not Break.BEFORE_COMMIT:
            server.write(commit)
            if b"C" not in _kinds(await server_reader.read(2**16)):  # CommandComplete
                raise ConnectionError("the server has gone, too")
        self.broken.append(how)
        self.has_broken.set()
        if how is Break.SILENCE:
            await asyncio.Event().wait()  # until the test ends: no data, no end of data

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host = str(self._server_url.query.get("host") or self._server_url.host)
        port = int(str(self._server_url.query.get("port") or self._server_url.port or 5432))
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, port)


def _messages(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of each: https://www.postgresql.org/docs/current/protocol-message-formats.html"""
    while len(data) >= 5:
        end = 1 + int.from_bytes(data[1:5])
        yield data[:1], data[5:end]
        data = data[end:]


def _kinds(data: bytes) -> set[bytes]:
    return {kind for kind, _ in _messages(data)}


def _executed(data: bytes, prepared: dict[bytes, bytes]) -> bytes:
    """The text of the statement that is run, from where it was prepared."""
    for kind, content in _messages(data):
        match kind:
            case b"Q":  # without arguments, as BEGIN and COMMIT
                return content.rstrip(b"\0")
            case b"P":
                name, text, *_ = content.split(b"\0")
                prepared[name] = text.strip()
            case b"B":
                _portal, name, *_ = content.split(b"\0")
                return prepared.get(name, b"")
    return b""


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until the server has gone, in whatever way: then the service's side ends, too."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(2**16):
            writer.write(data)
    writer.close()


@contextlib.asynccontextmanager
async def open_proxy(database_url: str) -> AsyncIterator[Proxy]:
    proxy = Proxy(make_url(database_url))
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
