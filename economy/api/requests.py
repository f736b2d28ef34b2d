"""What holds for every request: it has an id, which log and answer carry, and is counted."""

import os
import re
import time
from contextvars import ContextVar
from functools import cache

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from economy.api.headers import header
from economy.api.limits import headers_of
from economy.metrics import Metrics

HEADER = b"x-request-id"
# A caller's own id goes into the log: nothing there may break a line or be long.
_ACCEPTABLE = re.compile(r"[A-Za-z0-9._-]{1,64}")

request_id: ContextVar[str] = ContextVar("request_id", default="-")


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
        request_id.set(id_)
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
            route = getattr(scope.get("route"), "path", "other")
            self._requests_of(scope["method"], route, status).inc()
            self._seconds_of(route).observe(time.perf_counter() - started_at)
