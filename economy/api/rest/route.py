"""The route class of every endpoint: who asks, and how often, is known before the body is read;
JSON is strict."""

import json
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from economy.api.auth import Authenticator
from economy.api.body import read_body
from economy.api.limits import RequestLimits
from economy.api.rest.errors import REPLAYED
from economy.errors import Decline
from economy.rate_limits import Act
from economy.services.access import authenticated


class Route(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            authenticator: Authenticator = request.app.state.authenticator
            actor = authenticated(await authenticator.actor_of(request))
            request.state.actor = actor
            limits = RequestLimits(request.scope, request.app.state.services, actor)
            turn = await limits.take(Act.READ if request.method == "GET" else Act.MONEY)
            try:
                response = await handle(_StrictRequest(request.scope, request.receive))
            except Decline as decline:
                if decline.replayed:
                    await limits.make_replay_cheap(turn)
                raise
            if REPLAYED in response.headers:
                await limits.make_replay_cheap(turn)
            return response

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
