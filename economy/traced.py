"""Where traces are taken below the transports: posting, SQL and Redis. Only if they are wanted."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from opentelemetry.trace import SpanContext

from economy.database import Database
from economy.redis_client import Command, RedisClient
from economy.replica import Replica
from economy.services.operations import Booking, Operation
from economy.services.posting import Posting
from economy.services.posting_queue import PostingQueue
from economy.services.settlement import Answer, Entry
from economy.tracing import Tracing

LONGEST_STATEMENT = 2_000  # characters


def trace_services(
    tracing: Tracing,
    *,
    database: Database,
    replica: Replica,
    posting: Posting,
    queue: PostingQueue,
    redis: RedisClient | None,
) -> None:
    _trace_posting(posting, queue, tracing)
    for one in (database, replica):
        _trace_statements(one, database.dialect, tracing)
    if redis is not None:
        _trace_redis(redis, tracing)


def _trace_posting(posting: Posting, queue: PostingQueue, tracing: Tracing) -> None:
    """A span for each operation, and one for each batch, with links to its operations."""
    post_one, post_batch = queue.post, posting.post
    asked: dict[int, SpanContext] = {}  # by the identity of the operation

    async def traced_post(operation: Operation) -> Booking:
        with tracing.span(f"post {operation.kind.value}") as span:
            asked[id(operation)] = span.get_span_context()
            try:
                return await post_one(operation)
            finally:
                del asked[id(operation)]

    async def traced_batch(batch: Sequence[Entry]) -> list[Answer]:
        links = [asked[id(one.operation)] for one in batch if id(one.operation) in asked]
        attributes = {"economy.batch.operations": len(batch)}
        with tracing.span(
            "post batch", attributes=attributes, links=links, within=_recorded(links)
        ):
            return await post_batch(batch)

    vars(queue)["post"] = traced_post
    vars(posting)["post"] = traced_batch


def _recorded(operations: Sequence[SpanContext]) -> SpanContext | None:
    """The first that is sent: a batch is seen where one of its operations is."""
    return next((one for one in operations if one.trace_flags.sampled), None)


def _trace_redis(client: RedisClient, tracing: Tracing) -> None:
    """A span for what one caller asks at once; several may share a round trip."""
    begin = client.begin

    def traced(commands: Sequence[Command]) -> asyncio.Future[list[Any]]:
        names = " ".join(dict.fromkeys(str(command[0]) for command in commands))
        attributes = {"db.system.name": "redis", "db.operation.name": names}
        started_at = time.perf_counter()

        def note(answers: asyncio.Future[list[Any]]) -> None:
            seconds = time.perf_counter() - started_at
            error = None if answers.cancelled() else answers.exception()
            tracing.note(f"redis {names}", seconds=seconds, attributes=attributes, error=error)

        answers = begin(commands)
        answers.add_done_callback(note)
        return answers

    vars(client)["begin"] = traced


def _trace_statements(database: Database | Replica, dialect: str, tracing: Tracing) -> None:
    """A span for each statement."""

    def note(statement: str, seconds: float, error: BaseException | None) -> None:
        text = " ".join(statement.split())[:LONGEST_STATEMENT]
        attributes = {"db.system.name": dialect, "db.query.text": text}
        tracing.note(text.partition(" ")[0], seconds=seconds, attributes=attributes, error=error)

    database.watch(note)
