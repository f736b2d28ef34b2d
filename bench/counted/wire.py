"""Sockets between the application and its servers, which count what passes through them."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import hiredis

PIECE_BYTES = 2**20
MORE = object()  # says hiredis: the message is not whole yet


@dataclass
class Traffic:
    """Of all connections together, since the start."""

    sent: int = 0  # bytes to the server
    received: int = 0
    round_trips: int = 0  # times that a client spoke, and had been answered before
    statements: int = 0  # that PostgreSQL says it has executed


class Conversation:
    """One connection. Both sides hand over what they say, and are told what may pass now."""

    def __init__(self, traffic: Traffic) -> None:
        self.traffic = traffic
        self.is_answered = True

    def ask(self, data: bytes) -> bytes:
        self.traffic.sent += len(data)
        self.traffic.round_trips += self.is_answered
        self.is_answered = False
        return data

    def answer(self, data: bytes) -> bytes:
        self.traffic.received += len(data)
        self.is_answered = True
        return data


class PostgresConversation(Conversation):
    # https://www.postgresql.org/docs/current/protocol-message-formats.html
    EXECUTED = (b"C", b"s")  # CommandComplete; PortalSuspended, when as many rows as were asked for

    def __init__(self, traffic: Traffic) -> None:
        super().__init__(traffic)
        self._rest = b""  # of a message that is not whole yet

    def answer(self, data: bytes) -> bytes:
        messages, start = self._rest + data, 0
        while len(messages) >= start + 5:
            end = start + 1 + int.from_bytes(messages[start + 1 : start + 5], "big")
            if end > len(messages):
                break
            self.traffic.statements += messages[start : start + 1] in self.EXECUTED
            start = end
        self._rest = messages[start:]
        return super().answer(data)


class RedisConversation(Conversation):
    """The answers to commands that are sent together pass together: in how many pieces the server
    reads and writes is chance, and would decide what the client does at once."""

    def __init__(self, traffic: Traffic) -> None:
        super().__init__(traffic)
        self._commands = hiredis.Reader(notEnoughData=MORE)
        self._answers = hiredis.Reader(notEnoughData=MORE)
        self._unanswered = 0
        self._held = b""

    def ask(self, data: bytes) -> bytes:
        self._unanswered += _messages(self._commands, data)
        return super().ask(data)

    def answer(self, data: bytes) -> bytes:
        self._unanswered -= _messages(self._answers, data)
        self._held += data
        if self._unanswered > 0 or self._commands.has_data():
            return b""
        whole, self._held = self._held, b""
        return super().answer(whole)


def _messages(reader: hiredis.Reader, data: bytes) -> int:
    """How many became whole with it."""
    reader.feed(data)
    count = 0
    while reader.gets() is not MORE:
        count += 1
    return count


@contextlib.contextmanager
def counting_socket(
    path: Path, server: Path, conversation: type[Conversation]
) -> Iterator[Traffic]:
    """In a thread of its own: its work is not the application's."""
    traffic, loop = Traffic(), asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_unix_connection(server, limit=PIECE_BYTES)
        one = conversation(traffic)
        await asyncio.gather(
            _pass_on(reader, to_server, one.ask), _pass_on(from_server, writer, one.answer)
        )

    def run(work: Awaitable[object]) -> None:
        async def awaited() -> None:
            await work

        asyncio.run_coroutine_threadsafe(awaited(), loop).result()

    thread.start()
    try:
        run(asyncio.start_unix_server(serve, path, limit=PIECE_BYTES))
        yield traffic
        run(_end_connections())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _pass_on(
    source: asyncio.StreamReader, target: asyncio.StreamWriter, note: Callable[[bytes], bytes]
) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await source.read(PIECE_BYTES):
            target.write(note(data))
    target.close()


async def _end_connections() -> None:
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
