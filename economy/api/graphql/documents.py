"""Parses, validates and compiles documents, once each: the same few come again and again."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLError,
    GraphQLSchema,
    NameNode,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    parse,
    specified_rules,
    validate,
)

from economy.api.graphql.compiled import CompiledOperation, can_be_compiled, fields_of
from economy.api.graphql.cost import excess_of
from economy.api.graphql.inventory_answers import InventoryOperation

SEVERAL = "several"  # root fields: their combinations are without number
MAX_TOKENS = 1_000
MAX_ERRORS = 10
MOST_DOCUMENTS = 250  # the longest take 0.4 MB each, and anybody may send them
# that compiled operations select, of one document and of all: each takes 3 KB while it is kept
MOST_COMPILED_FIELDS = 300
MOST_COMPILED_FIELDS_OF_ALL = 10_000


class Plan(NamedTuple):
    compiled: CompiledOperation
    inventory: InventoryOperation | None


@dataclass(slots=True)
class Parsed:
    """Either a valid document, or the errors that it has."""

    document: DocumentNode | None
    errors: Sequence[GraphQLError]
    is_known: bool = False  # it has come before
    plans: dict[int, Plan | None] = field(default_factory=dict)  # by place
    compiled_fields: int = 0
    names: dict[int, str] = field(default_factory=dict)  # by place

    def name_of(self, operation: OperationDefinitionNode) -> str:
        """Of an operation of this document, which is valid: its root field, from the schema."""
        place = place_of(operation)
        if place not in self.names:
            self.names[place] = _name_of(operation)
        return self.names[place]


class Documents:
    def __init__(
        self, schema: GraphQLSchema, *, has_introspection: bool, has_suggestions: bool
    ) -> None:
        """Suggestions are of names that come close to a wrong one."""
        self._schema = schema
        self._has_suggestions = has_suggestions
        self._rules = list(specified_rules)
        if not has_introspection:
            self._rules.append(NoSchemaIntrospectionCustomRule)
        self._valid: OrderedDict[str, Parsed] = OrderedDict()  # the latest one last
        self._compiled_fields = 0

    def parsed(self, query: str) -> Parsed:
        known = self._valid.get(query)
        if known is not None:
            self._valid.move_to_end(query)
            known.is_known = True
            return known
        parsed = self._parse(query)
        if not parsed.errors:  # what is wrong is not worth keeping
            self._valid[query] = parsed
            if len(self._valid) > MOST_DOCUMENTS:
                _, oldest = self._valid.popitem(last=False)
                self._forget_plans(oldest)
        return parsed

    def plan(self, parsed: Parsed, operation: OperationDefinitionNode) -> Plan | None:
        """None: it is to be interpreted, as it came for the first time or cannot be compiled."""
        if not parsed.is_known or parsed.document is None:
            return None
        place = place_of(operation)
        if place not in parsed.plans:
            parsed.plans[place] = self._compile(parsed, parsed.document, operation)
        return parsed.plans[place]

    def _compile(
        self, parsed: Parsed, document: DocumentNode, operation: OperationDefinitionNode
    ) -> Plan | None:
        fields = parsed.compiled_fields + fields_of(document, operation)
        if fields > MOST_COMPILED_FIELDS or not can_be_compiled(document):
            return None
        self._compiled_fields += fields - parsed.compiled_fields
        parsed.compiled_fields = fields
        for older in self._valid.values():
            if self._compiled_fields > MOST_COMPILED_FIELDS_OF_ALL and older is not parsed:
                self._forget_plans(older)
        hides = not self._has_suggestions
        try:
            compiled = CompiledOperation(self._schema, document, operation, hide_suggestions=hides)
        except RecursionError:  # introspection may be nested that deep
            return None
        return Plan(compiled, InventoryOperation.of(operation))

    def _forget_plans(self, parsed: Parsed) -> None:
        self._compiled_fields -= parsed.compiled_fields
        parsed.compiled_fields = 0
        parsed.plans.clear()

    def _parse(self, query: str) -> Parsed:
        try:
            document = parse(query, max_tokens=MAX_TOKENS)
            # first, as it takes linear time, which validation does not
            excess = excess_of(self._schema, document)
            if excess is not None:
                return Parsed(None, [GraphQLError(excess)])
            errors = validate(
                self._schema,
                document,
                self._rules,
                max_errors=MAX_ERRORS,
                hide_suggestions=not self._has_suggestions,
            )
            if not self._has_suggestions:
                for error in errors:  # one rule suggests all the same
                    error.message = error.message.partition(" Did you mean ")[0]
        except GraphQLError as error:
            return Parsed(None, [error])
        except (RecursionError, ValueError):  # nested too deep; a number of thousands of digits
            return Parsed(None, [GraphQLError("The document is too complex.")])
        return Parsed(document, errors)


def place_of(operation: OperationDefinitionNode) -> int:
    return operation.loc.start if operation.loc else 0


def _name_of(operation: OperationDefinitionNode) -> str:
    match operation.selection_set.selections:
        case [FieldNode(name=NameNode(value=name))]:
            return name
    return SEVERAL
