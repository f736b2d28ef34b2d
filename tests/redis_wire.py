"""A way to Redis that writes down what is sent on it: round trip by round trip."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from hiredis import Reader

IDLE = ["PING"]  # the heartbeat's


@dataclass
class Wire:
    url: str
    sent: list[list[str]] = field(default_factory=list)  # names of commands that came together

    def note(self, data: bytes) -> None:
        reader, names = Reader(), []
        reader.feed(data)
        while command := reader.gets():
            names.append(command[0].decode())
        if names != IDLE:
            self.sent.append(names)


@asynccontextmanager
async def open_wire(redis_url: str, folder: Path) -> AsyncIterator[Wire]:
    """`redis_url` as the tests have it: over a socket in the file system, or over TCP."""
    target, path = urlsplit(redis_url), folder / "wire.sock"
    wire = Wire(f"unix://{path}?{target.query}")
    carried: set[asyncio.Task[None]] = set()

    async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if target.scheme == "unix":
            return await asyncio.open_unix_connection(target.path)
        return await asyncio.open_connection(target.hostname, target.port or 6379)

    async def carry(client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        server, commands = await connect()
        back = asyncio.create_task(_copy(server, answers))
        while data := await client.read(1 << 20):
            wire.note(data)
            commands.write(data)
            await commands.drain()
        commands.close()
        await commands.wait_closed()
        await back

    def carry_on(client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        carried.add(asyncio.create_task(carry(client, answers)))

    async with await asyncio.start_unix_server(carry_on, path):
        yield wire
    await asyncio.gather(*carried)  # whoever spoke has gone


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(1 << 20):
        target.write(data)
        await target.drain()
    target.close()
    await target.wait_closed()
