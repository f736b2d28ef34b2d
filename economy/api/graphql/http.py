"""GraphQL over HTTP: one ASGI endpoint for POST, GET and the GraphiQL page.

https://graphql.github.io/graphql-over-http/draft/
"""

import asyncio
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, NamedTuple

import orjson
from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLSchema,
    OperationType,
    execute,
    get_operation_ast,
)
from starlette.types import Receive, Scope, Send

from economy.api.auth import Authenticator
from economy.api.graphql.answers import (
    INVALID_DOCUMENT,
    formatted,
    internal_error,
    refusal,
    request_error,
)
from economy.api.graphql.context import Context
from economy.api.graphql.documents import Documents, Plan
from economy.api.graphql.graphiql import graphiql_response
from economy.api.graphql.negotiation import GRAPHQL_RESPONSE, JSON, response_type, wants_page
from economy.api.graphql.parameters import BadRequest, Parameters, read_parameters
from economy.api.graphql.persisted import PersistedOperations, UnknownOperation
from economy.api.headers import Pairs, joined_header, pairs
from economy.api.limits import RequestLimits
from economy.api.refusals import headers_of_refusal
from economy.api.requests import asked, note_operation
from economy.errors import EconomyError, RateLimited, Unavailable
from economy.metrics import Metrics
from economy.services import Services
from economy.services.access import Actor
from economy.settings import Introspection, Settings

# of every answer, by its media type
_HEADERS = {
    media: pairs(
        {
            "Content-Type": f"{media}; charset=utf-8",
            "Vary": "Accept",
            "Cache-Control": "no-store",
        }
    )
    for media in (GRAPHQL_RESPONSE, JSON)
}


class Answer(NamedTuple):
    status: int
    headers: Pairs
    body: bytes


class GraphQLEndpoint:
    """Built before the services are open: they are found on the application's state."""

    path, name = "/graphql", "graphql"

    def __init__(
        self,
        schema: GraphQLSchema,
        settings: Settings,
        demo_token: Callable[[Services], Awaitable[str | None]],
        metrics: Metrics,
    ) -> None:
        """Raises InvalidManifest."""
        self._schema = schema
        self._errors = metrics.graphql_errors
        self._settings = settings
        self._documents, self._documents_with_introspection = (
            Documents(
                schema,
                has_introspection=has_introspection,
                has_suggestions=settings.is_development,
            )
            for has_introspection in (False, True)
        )
        self._persisted = PersistedOperations.of(settings)
        self._demo_token = demo_token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = self  # path and name tell it in the metrics, as FastAPI does for its own
        accept = joined_header(scope, b"accept")
        if self._settings.has_graphiql and scope["method"] == "GET" and wants_page(accept):
            try:
                page = graphiql_response(await self._demo_token(scope["app"].state.services))
            except Exception as error:
                answer = self._answer(internal_error(error), JSON, 500)
            else:
                await page(scope, receive, send)
                return
        elif (media := response_type(accept)) is None:
            message = f"This answers with {GRAPHQL_RESPONSE} or {JSON}."
            answer = self._answer(request_error(message), JSON, 406)
        else:
            answer = await self._answer_to(scope, receive, media)
        start = {"type": "http.response.start", "status": answer.status, "headers": answer.headers}
        await send(start)
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer_to(self, scope: Scope, receive: Receive, media: str) -> Answer:
        services: Services = scope["app"].state.services
        authenticator: Authenticator = scope["app"].state.authenticator
        try:
            async with asyncio.timeout(self._settings.request_timeout_seconds):
                parameters = await read_parameters(scope, receive)
                actor = await authenticator.actor_of(scope)
                context = Context(services, actor, RequestLimits(scope, services, actor))
                return await self._execute(parameters, context, media)
        except BadRequest as error:
            return self._answer(request_error(error.message), media, error.status, error.headers)
        except (EconomyError, TimeoutError) as error:
            refused = error if isinstance(error, EconomyError) else Unavailable()
            return self._answer(
                refusal(refused), media, _status_of(refused), headers_of_refusal(refused)
            )
        except Exception as error:
            return self._answer(internal_error(error), media, 500)

    async def _execute(self, parameters: Parameters, context: Context, media: str) -> Answer:
        # clients that ask for plain JSON look for errors in the body, not in the status
        refused = 400 if media == GRAPHQL_RESPONSE else 200
        try:
            query = self._persisted.document_of(parameters.query, parameters.sha256)
        except UnknownOperation as error:
            return self._answer(request_error(error.message, error.code), media, refused)
        documents = self._documents_for(context.actor)
        parsed = documents.parsed(query)
        document = parsed.document
        if document is None or parsed.errors:
            return self._answer(
                formatted(ExecutionResult(None, list(parsed.errors))), media, refused
            )
        operation = get_operation_ast(document, parameters.operation_name)
        if operation is None:
            message = "Name the operation to run: `operationName` must be one of the document's."
            return self._answer(request_error(message, INVALID_DOCUMENT), media, refused)
        note_operation(parsed.name_of(operation))
        if parameters.is_get and operation.operation is not OperationType.QUERY:
            return self._answer(
                request_error("Only queries by GET."), media, 405, {"Allow": "POST"}
            )
        plan = documents.plan(parsed, operation)
        result = await self._run(plan, document, parameters, context)
        if isinstance(result, bytes):
            return _answered(result, media, 200)
        return self._answer(formatted(result), media, refused if result.data is None else 200)

    async def _run(
        self, plan: Plan | None, document: DocumentNode, parameters: Parameters, context: Context
    ) -> ExecutionResult | bytes:
        """Bytes are the whole body of an answer."""
        if plan is None:
            result = execute(
                self._schema,
                document,
                context_value=context,
                variable_values=parameters.variables,
                operation_name=parameters.operation_name,
                hide_suggestions=not self._settings.is_development,
            )
        elif plan.inventory is not None:
            return await plan.inventory.answer(plan.compiled, context, parameters.variables)
        else:
            result = plan.compiled.execute(context, parameters.variables)
        return await result if isawaitable(result) else result

    def _answer(
        self, body: dict[str, Any], media: str, status: int, headers: dict[str, str] | None = None
    ) -> Answer:
        request = asked()
        operation = request.operation if request is not None else self.name
        for error in body.get("errors", ()):
            self._errors.labels(operation, error["extensions"]["code"]).inc()
        return _answered(orjson.dumps(body), media, status, headers)

    def _documents_for(self, actor: Actor | None) -> Documents:
        match self._settings.introspection_for:
            case Introspection.EVERYBODY:
                return self._documents_with_introspection
            case Introspection.SERVER_KEYS if actor is not None and actor.user_id is None:
                return self._documents_with_introspection
        return self._documents


def _status_of(error: EconomyError) -> int:
    """Where nothing was executed: who asks is unknown, or has to wait."""
    if isinstance(error, RateLimited):
        return 429
    return 503 if error.retryable else 401


def _answered(
    content: bytes, media: str, status: int, headers: dict[str, str] | None = None
) -> Answer:
    own = [(b"content-length", b"%d" % len(content)), *_HEADERS[media], *pairs(headers or {})]
    return Answer(status, own, content)
