"""What holds for every request: it has an id, which log and answer carry, and is counted."""

import os
import re
import time
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from economy.api.headers import header
from economy.api.limits import headers_of
from economy.metrics import Metrics

HEADER = b"x-request-id"
OTHER = "other"  # than what there are routes for
# A caller's own id goes into the log: nothing there may break a line or be long.
_ACCEPTABLE = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(slots=True)
class Asked:
    """What is known of a request so far; log lines and figures carry it."""

    request_id: str
    scope: Scope
    actor: str | None = None  # who asks, once the credential is read
    root_field: str | None = None  # of GraphQL

    @property
    def operation(self) -> str:
        """The root field of GraphQL, also of the REST alias."""
        return self.root_field or str(getattr(self.scope.get("route"), "name", OTHER))


_asked: ContextVar[Asked | None] = ContextVar("asked", default=None)


def asked() -> Asked | None:
    """None: no request is under way, as at start or in a periodic job."""
    return _asked.get()


def note_actor(name: str) -> None:
    request = _asked.get()
    if request is not None:
        request.actor = name


def note_operation(name: str) -> None:
    request = _asked.get()
    if request is not None:
        request.root_field = name


def request_id() -> str:
    found = _asked.get()
    return "-" if found is None else found.request_id


class RequestMiddleware:
    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        # to find a figure by its labels takes longer than to count
        self._requests_of = cache(metrics.requests.labels)
        self._seconds_of = cache(metrics.request_seconds.labels)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = header(scope, HEADER)
        id_ = given if given and _ACCEPTABLE.fullmatch(given) else os.urandom(16).hex()
        asked = Asked(id_, scope)
        _asked.set(asked)
        status = 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                ours = [(HEADER, id_.encode("ascii")), *headers_of(scope)]
                message["headers"] = [*message.get("headers", ()), *ours]
            await send(message)

        started_at = time.perf_counter()
        try:
            await self._app(scope, receive, send_with_id)
        finally:
            # the route's template: paths hold ids, and each would be a time series of its own
            route = getattr(scope.get("route"), "path", OTHER)
            operation = asked.operation
            self._requests_of(scope["method"], route, operation, status).inc()
            self._seconds_of(route, operation).observe(time.perf_counter() - started_at)
