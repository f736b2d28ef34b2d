"""Runs an operation both ways, interpreted and compiled, and shows all that can be told apart."""

import asyncio
import gc
import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import isawaitable
from typing import Any, NamedTuple

from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLSchema,
    execute,
    get_operation_ast,
    parse,
    validate,
)

from economy.api.graphql.compiled import CompiledOperation, can_be_compiled

TURNS = 6  # of the loop, for what goes on in the background


class Answers(NamedTuple):
    interpreted: str
    compiled: str

    @property
    def body(self) -> Any:
        """Of both, which are the same."""
        assert self.compiled == self.interpreted
        return json.loads(self.compiled[: self.compiled.rindex("}") + 1])


def shown(result: ExecutionResult, *others: Any) -> str:
    """As JSON, keys in their order, with the errors behind the errors."""
    errors = [
        {**error.formatted, "original": repr(error.original_error)} for error in result.errors or ()
    ]
    answer = {"data": result.data, "errors": errors, "others": others}
    return json.dumps(answer, default=repr)


async def interpreted(
    schema: GraphQLSchema, document: DocumentNode, variables: Any, context: Any
) -> Any:
    result: Any = execute(
        schema,
        document,
        context_value=context,
        variable_values=variables,
        hide_suggestions=True,
    )
    return await result if isawaitable(result) else result


async def compiled(
    schema: GraphQLSchema, document: DocumentNode, variables: Any, context: Any
) -> Any:
    operation = get_operation_ast(document)
    assert operation is not None
    assert can_be_compiled(document)
    plan = CompiledOperation(schema, document, operation, hide_suggestions=True)
    result: Any = plan.execute(context, variables)
    return await result if isawaitable(result) else result


@contextmanager
def little_garbage() -> Iterator[None]:
    """Collecting what is forgotten takes little time within."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


async def both_ways(
    schema: GraphQLSchema,
    document: DocumentNode | str,
    variables: dict[str, Any] | None = None,
    context: Callable[[], Any] = list,
) -> Answers:
    """Of a valid document, with equal contexts; shows what resolvers have left in them, too."""
    if isinstance(document, str):
        document = parse(document)
        errors = validate(schema, document)
        assert not errors, errors[0].message
    answers = []
    for run in (interpreted, compiled):
        own = context()
        with warnings.catch_warnings(record=True) as forgotten:
            warnings.simplefilter("always")
            result = await run(schema, document, variables, own)
            for _ in range(TURNS):
                await asyncio.sleep(0)
            answer = shown(result, own)
            del result
            gc.collect()
        # graphql-core forgets coroutines, too: of a sibling that is cancelled before it starts
        answers.append(f"{answer} {len(forgotten)} forgotten")
    return Answers(*answers)
