"""What holds for every request: it has an id, which log and answer carry, and is counted."""

import re
import time
from contextvars import ContextVar
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from economy.api.limits import headers_of
from economy.metrics import Metrics

HEADER = "X-Request-Id"
# A caller's own id goes into the log: nothing there may break a line or be long.
_ACCEPTABLE = re.compile(r"[A-Za-z0-9._-]{1,64}")

request_id: ContextVar[str] = ContextVar("request_id", default="-")


class RequestMiddleware:
    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        id_ = given if _ACCEPTABLE.fullmatch(given) else uuid4().hex
        request_id.set(id_)
        status = 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[HEADER] = id_
                headers.update(headers_of(scope))
            await send(message)

        started_at = time.perf_counter()
        try:
            await self._app(scope, receive, send_with_id)
        finally:
            # the route's template: paths hold ids, and each would be a time series of its own
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(scope["method"], route, status).inc()
            self._metrics.request_seconds.labels(route).observe(time.perf_counter() - started_at)
