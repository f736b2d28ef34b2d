"""The route class of every endpoint: who asks, and how often, is known before the body is read;
JSON is strict."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, NoReturn

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from economy.api.auth import Authenticator
from economy.api.body import read_body
from economy.api.limits import RequestLimits
from economy.api.rest.caching import conditional
from economy.api.rest.errors import REPLAYED, masked
from economy.errors import Decline, EconomyError, Unavailable
from economy.rate_limits import Act
from economy.services import Services
from economy.services.access import authenticated


class Route(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            services: Services = request.app.state.services
            authenticator: Authenticator = request.app.state.authenticator
            try:
                async with asyncio.timeout(services.settings.request_timeout_seconds):
                    actor = authenticated(await authenticator.actor_of(request.scope))
                    request.state.actor = actor
                    limits = RequestLimits(request.scope, services, actor)
                    strict = _StrictRequest(request.scope, request.receive)
                    if request.method == "GET":
                        await limits.take(Act.READ)
                        return conditional(request, await handle(strict))
                    return await _within_limit(limits, partial(handle, strict))
            except TimeoutError:
                raise Unavailable from None
            except (EconomyError, RequestValidationError, HTTPException):
                raise
            except Exception as error:
                # further out it would be logged once more, and the server would hang up
                return masked(error)

        return handler


async def _within_limit(
    limits: RequestLimits, handle: Callable[[], Coroutine[Any, Any, Response]]
) -> Response:
    """A money operation."""
    turn = await limits.take(Act.MONEY)
    try:
        response = await handle()
    except Decline as decline:
        if decline.replayed:
            await limits.make_replay_cheap(turn)
        raise
    if REPLAYED in response.headers:
        await limits.make_replay_cheap(turn)
    return response


class _StrictRequest(Request):
    async def body(self) -> bytes:
        if not hasattr(self, "_body"):
            self._body = await read_body(self.receive)
        return self._body

    async def json(self) -> Any:
        try:
            # decoded here: of bytes Python also reads UTF-16 and UTF-32, which JSON is not sent in
            return json.loads((await self.body()).decode(), parse_constant=_refuse)
        except (ValueError, RecursionError):  # also invalid UTF-8, thousands of digits or brackets
            raise HTTPException(400, "The body is not JSON.") from None


def _refuse(constant: str) -> NoReturn:
    """Python reads NaN and Infinity, which JSON has not."""
    raise ValueError(constant)
