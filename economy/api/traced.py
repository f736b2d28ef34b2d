"""Where traces are taken in the transports: each request, and each root field of GraphQL."""

from collections.abc import Callable
from inspect import isawaitable
from typing import Any

from graphql import GraphQLField, GraphQLSchema
from opentelemetry.trace import SpanKind, StatusCode
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from economy.api.headers import header
from economy.api.requests import asked
from economy.tracing import Tracing

WATCHED = ("/health/", "/metrics")  # by machines, all the time


class TracingMiddleware:
    """Within that which gives a request its id. The trace may have begun with the caller."""

    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(WATCHED):
            await self._app(scope, receive, send)
            return
        names = ("traceparent", "tracestate")
        caller = {name: header(scope, name.encode()) or "" for name in names}
        attributes = {"http.request.method": scope["method"]}
        with self._tracing.span(
            scope["method"], kind=SpanKind.SERVER, attributes=attributes, caller=caller
        ) as span:

            async def send_and_note(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= 500:
                        span.set_status(StatusCode.ERROR)
                await send(message)

            try:
                await self._app(scope, receive, send_and_note)
            finally:
                route, request = getattr(scope.get("route"), "path", None), asked()
                if route is not None:
                    span.update_name(f"{scope['method']} {route}")
                    span.set_attribute("http.route", route)
                if request is not None:
                    span.set_attribute("economy.request_id", request.request_id)
                    span.set_attribute("economy.actor", request.actor or "")
                    span.set_attribute("economy.operation", request.operation)


def trace_resolvers(schema: GraphQLSchema, tracing: Tracing) -> None:
    """A span for each root field that an operation asks for."""
    for type_ in (schema.query_type, schema.mutation_type):
        for name, field in type_.fields.items() if type_ else ():
            _trace_field(f"resolve {name}", field, tracing)


def _trace_field(name: str, field: GraphQLField, tracing: Tracing) -> None:
    resolve: Callable[..., Any] | None = field.resolve
    assert resolve is not None  # root fields have one

    async def traced(source: Any, info: Any, **arguments: Any) -> Any:
        with tracing.span(name):
            result = resolve(source, info, **arguments)
            return await result if isawaitable(result) else result

    field.resolve = traced
    field.extensions = {}  # by which compiled operations would find the resolver itself
