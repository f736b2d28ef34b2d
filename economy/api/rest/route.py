"""The route class of every endpoint: who asks is known before the body is read; JSON is strict."""

import json
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from economy.api.auth import Authenticator
from economy.api.body import read_body
from economy.services.access import authenticated


class Route(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            authenticator: Authenticator = request.app.state.authenticator
            request.state.actor = authenticated(await authenticator.actor_of(request.headers))
            return await handle(_StrictRequest(request.scope, request.receive))

        return handler


class _StrictRequest(Request):
    async def body(self) -> bytes:
        if not hasattr(self, "_body"):
            self._body = await read_body(self)
        return self._body

    async def json(self) -> Any:
        try:
            return json.loads(await self.body(), parse_constant=_refuse)
        except (ValueError, RecursionError):  # also invalid UTF-8, thousands of digits or brackets
            raise HTTPException(400, "The body is not JSON.") from None


def _refuse(constant: str) -> NoReturn:
    """Python reads NaN and Infinity, which JSON has not."""
    raise ValueError(constant)
