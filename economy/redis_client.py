"""The connection to Redis: commands of one moment share a round trip, and a breaker for bad days.

The first failure cuts Redis off: nobody waits for it, or asks it, until it has come back. Meanwhile
others may have missed what this process could not tell them. So a comeback takes two steps: first
writes go through again, then what is cached is declared void, and only then is it read again. A
full Redis is told of writes all the time: forgetting needs no memory.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from enum import Enum
from typing import Any, cast

from hiredis import pack_command
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.maint_notifications import MaintNotificationsConfig

from economy.metrics import Metrics

logger = logging.getLogger(__name__)

Command = tuple[str | bytes | int | float, ...]

PREFIX = "economy:2"  # of every key; the number is the form of the values: raise it when it changes
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 0.5
# An idle process, too, shall notice an outage: others could not tell Redis of their writes then.
HEARTBEAT_SECONDS = 0.5
ROUND_TRIPS = 2  # under way at once: what arrives meanwhile shares the next one
MOST_COMMANDS = 500  # in one round trip


class RedisUnavailable(Exception):
    """Redis has failed, or is cut off because it has."""


class State(Enum):
    UP = "up"
    UNTRUSTED = "untrusted"  # is told of writes; what it has cached is not believed
    DOWN = "down"


class RedisClient:
    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float,
        greeting: Command,
        renewal: Command,
        metrics: Metrics,
    ) -> None:
        """`greeting` is the first command on each new connection; `renewal` voids what is cached:
        Redis is back once it has succeeded."""
        # it makes connections; what it does to lend one costs more than a round trip
        self._pool = ConnectionPool.from_url(
            url,
            socket_timeout=None,  # `_send` has a timeout for all of it
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 0),
            redis_connect_func=self._greet,
            # with them redis-py does not see that the server has closed an idle connection
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )
        self._idle: list[AbstractConnection] = []
        self._timeout_seconds = timeout_seconds
        self._greeting = greeting
        self._renewal = renewal
        self._state_metric = metrics.redis_up
        self._state = State.UP
        self._state_metric.set(1)
        self._waiting: deque[tuple[Sequence[Command], asyncio.Future[list[Any]]]] = deque()
        self._trips: set[asyncio.Task[None]] = set()
        self._comeback: asyncio.Task[None] | None = None
        self._heartbeat: asyncio.Task[None] | None = None

    async def watch(self) -> None:
        """Find out whether Redis answers, and go on doing so until `close`."""
        await self.ping()
        self._heartbeat = asyncio.create_task(self._beat())

    @property
    def is_trusted(self) -> bool:
        """Whether what is read from Redis may be believed."""
        return self._state is State.UP

    async def execute(self, *command: str | bytes | int | float) -> Any:
        """The answer to one command. Raises RedisUnavailable."""
        return (await self.execute_all([command]))[0]

    async def execute_all(self, commands: Sequence[Command]) -> list[Any]:
        """The answers to commands that are sent together. Raises RedisUnavailable."""
        return await self.begin(commands)

    def begin(self, commands: Sequence[Command]) -> asyncio.Future[list[Any]]:
        """As `execute_all`, while the caller does something else: a task for that would cost more
        than the commands. Nobody needs to wait for the answers."""
        loop = asyncio.get_running_loop()
        answers: asyncio.Future[list[Any]] = loop.create_future()
        if self._state is State.DOWN:
            _refuse(answers)
        else:
            self._waiting.append((commands, answers))
            loop.call_soon(self._start_trips)  # at the end of this tick
        return answers

    async def ping(self) -> bool:
        try:
            await self.execute("PING")
        except RedisUnavailable:
            return False
        return self._state is State.UP

    async def close(self) -> None:
        """What was asked before is answered, or refused, first."""
        if self._heartbeat is not None:
            self._heartbeat.cancel()
            await asyncio.wait([self._heartbeat])
        while self._waiting or self._trips:
            self._start_trips()
            await asyncio.wait(self._trips)
        if self._comeback is not None:
            self._comeback.cancel()
            await asyncio.wait([self._comeback])
        self._state = State.DOWN
        await self._disconnect()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            await self.ping()

    async def _greet(self, connection: AbstractConnection) -> None:
        await connection.on_connect()
        await connection.send_command(*self._greeting)
        await connection.read_response()

    def _start_trips(self) -> None:
        while self._waiting and len(self._trips) < ROUND_TRIPS:
            batch, length = [], 0
            while self._waiting and length < MOST_COMMANDS:
                batch.append(self._waiting.popleft())
                length += len(batch[-1][0])
            self._trips.add(asyncio.create_task(self._make_trip(batch)))

    async def _make_trip(
        self, batch: Sequence[tuple[Sequence[Command], asyncio.Future[list[Any]]]]
    ) -> None:
        try:
            found = iter(
                await self._send([command for commands, _ in batch for command in commands])
            )
            for commands, answers in batch:
                mine = [next(found) for _ in commands]
                failure = next((one for one in mine if isinstance(one, Exception)), None)
                if failure is not None:
                    self._cut_off(failure)
                    _refuse(answers)
                elif not answers.done():  # its caller may have been cancelled
                    answers.set_result(mine)
        except Exception as error:  # whatever it is: nobody may wait for ever
            self._cut_off(error)
            for _, answers in batch:
                _refuse(answers)
        finally:
            self._trips.discard(cast("asyncio.Task[None]", asyncio.current_task()))
            self._start_trips()

    async def _send(self, commands: Sequence[Command]) -> list[Any]:
        """The answers; errors of single commands are among them. Raises whatever else fails."""
        connection = self._idle.pop() if self._idle else self._new_connection()
        try:
            async with asyncio.timeout(self._timeout_seconds):
                if connection.is_connected and await connection.can_read():
                    await connection.disconnect(nowait=True)  # the server has closed it
                await connection.connect()  # type: ignore[no-untyped-call]
                await connection.send_packed_command(
                    [pack_command(cast("Any", one)) for one in commands]
                )
                answers = [await _answer_of(connection) for _ in commands]
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        self._idle.append(connection)
        return answers

    def _new_connection(self) -> AbstractConnection:
        connection: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        return connection

    async def _disconnect(self) -> None:
        """All that are idle."""
        while self._idle:
            with suppress(RedisError):  # one that does not answer does not say goodbye either
                await self._idle.pop().disconnect(nowait=True)

    def _cut_off(self, error: Exception) -> None:
        if self._state is State.UP:
            why = str(error) or type(error).__name__
            logger.warning("Redis fails, going on without it: %s", why)
            self._comeback = asyncio.create_task(self._come_back())
            self._state_metric.set(0)
        self._distrust(error)

    def _distrust(self, error: Exception) -> None:
        if _is_out_of_memory(error):
            self._state = State.UNTRUSTED
            return
        self._state = State.DOWN
        while self._waiting:
            _refuse(self._waiting.popleft()[1])

    async def _come_back(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            # what is left of old connections may lead to a server that is no longer the one
            await self._disconnect()
            if not await self._renew():
                continue
            self._state = State.UNTRUSTED
            # again: what others cached before this process could tell them of its writes is void
            if await self._renew() and self._state is State.UNTRUSTED:
                break
        self._state = State.UP
        self._state_metric.set(1)
        logger.warning("Redis answers again")

    async def _renew(self) -> bool:
        try:
            [answer] = await self._send([self._renewal])
        except Exception as error:  # whatever it is: it is not back
            answer = error
        if isinstance(answer, Exception):
            self._distrust(answer)
            return False
        return True


async def _answer_of(connection: AbstractConnection) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


def _is_out_of_memory(error: Exception) -> bool:
    # of a script that fails half-way the library makes no class of its own
    return isinstance(error, ResponseError) and "'maxmemory'" in str(error)


def _refuse(answers: asyncio.Future[list[Any]]) -> None:
    if not answers.done():
        answers.set_exception(RedisUnavailable())
        answers.exception()  # seen: else asyncio would tell of one that nobody waits for
