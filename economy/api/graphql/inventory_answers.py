"""Answers to queries of one inventory, kept whole: a hit is one read and builds no object.

The most frequent query of a game. Its answer depends on the document, the variables, one user's
items and the catalogue, and on nothing else: not on who asks, once that is allowed.
"""

import hashlib
from collections.abc import Awaitable
from typing import Any, NamedTuple

import orjson
from graphql import (
    ExecutionResult,
    FieldNode,
    OperationDefinitionNode,
    OperationType,
    StringValueNode,
    ValueNode,
    VariableNode,
)

from economy.api.graphql.answers import formatted
from economy.api.graphql.compiled import CompiledOperation
from economy.api.graphql.context import Context
from economy.errors import EconomyError
from economy.rate_limits import Act
from economy.services.access import reading_user_id
from economy.services.inventory import FORM_BYTES


class InventoryOperation(NamedTuple):
    """An operation that asks for one inventory alone."""

    digest: bytes  # of the document, and of its place there
    user_id: ValueNode | None  # None: of who asks

    @classmethod
    def of(cls, operation: OperationDefinitionNode) -> "InventoryOperation | None":
        if operation.operation is not OperationType.QUERY:
            return None
        match operation.selection_set.selections:
            case [FieldNode() as field] if field.name.value == "inventory":
                pass
            case _:
                return None
        assert operation.loc is not None  # it has been parsed
        text = f"{operation.loc.start} {operation.loc.source.body}"
        arguments = {argument.name.value: argument.value for argument in field.arguments or ()}
        return cls(hashlib.sha256(text.encode()).digest(), arguments.get("userId"))

    def form(self, variables: dict[str, Any]) -> bytes:
        """Names the answer among all that could be made of the same items."""
        content = self.digest + orjson.dumps(variables, option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(content).digest()[:FORM_BYTES]

    def user_id_in(self, variables: dict[str, Any]) -> str | None:
        """Raises LookupError for what is not a string: that is left to be coerced."""
        match self.user_id:
            case None:
                return None
            case StringValueNode(value=value):
                return value
            case VariableNode(name=name) if isinstance(variables.get(name.value), str):
                return str(variables[name.value])
        raise LookupError

    async def answer(
        self, compiled: CompiledOperation, context: Context, variables: dict[str, Any]
    ) -> bytes | ExecutionResult:
        """The body, or a result like any other: of what is refused, or cannot be kept."""
        inventories = context.services.inventory
        if not inventories.keeps_answers:
            return await _executed(compiled, context, variables)
        try:
            number = reading_user_id(context.actor, self.user_id_in(variables))
            form = self.form(variables)
        except (EconomyError, LookupError, TypeError):  # nested too deep for orjson
            return await _executed(compiled, context, variables)
        if not compiled.accepts(variables):  # what does not run costs no turn
            return await _executed(compiled, context, variables)
        context.limits.begin(Act.READ)  # in the round trip of the read
        result: ExecutionResult | None = None

        async def make() -> bytes | None:
            nonlocal result
            result = await _executed(compiled, context, variables)
            return None if result.errors else orjson.dumps(formatted(result))

        body = await inventories.answer_of(number, form, make)
        if result is not None:  # its resolver has taken the turn
            return result if body is None else body
        if body is None or not await context.limits.is_granted(Act.READ):
            return await _executed(compiled, context, variables)
        return body


async def _executed(
    compiled: CompiledOperation, context: Context, variables: dict[str, Any]
) -> ExecutionResult:
    result = compiled.execute(context, variables)
    return await result if isinstance(result, Awaitable) else result
