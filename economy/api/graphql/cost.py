"""How much a document asks for, measured before it is validated or run, in one walk.

A thousand tokens are enough to ask for millions of fields: aliases and fragments multiply, and each
list multiplies again. Each fragment is measured once for a size, so that the walk takes linear time
however fragments are nested.
"""

from typing import NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLCompositeType,
    GraphQLField,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    NamedTypeNode,
    OperationDefinitionNode,
    OperationType,
    SelectionNode,
    SelectionSetNode,
    get_named_type,
    get_nullable_type,
    is_composite_type,
    is_introspection_type,
    is_list_type,
)

from economy.services.bounds import MAX_PAGE

MAX_FIELDS = 50_000  # about half a second
MAX_DEPTH = 8
MAX_ALIASES = 15
MAX_DIRECTIVES = 8
MAX_MUTATIONS = 5
MAX_WIDTH = 60  # validation compares each of them with each other
SIZE_ARGUMENTS = ("first", "limit")
# what a list is taken to hold where the document does not say it
LIST_SIZE = 50
INTROSPECTION_LIST_SIZE = 8  # lets pass what tools ask for


class Cost(NamedTuple):
    """Of a selection with all that is nested in it, spread fragments included."""

    fields: int = 0  # an upper bound of those in the answer
    depth: int = 0
    aliases: int = 0
    directives: int = 0
    schemas: int = 0  # selections of `__schema`
    width: int = 0  # fields of the outermost level
    widest: int = 0  # fields of any level within

    def beside(self, other: "Cost") -> "Cost":
        sums = Cost._make(mine + its for mine, its in zip(self, other, strict=True))
        return sums._replace(
            depth=max(self.depth, other.depth), widest=max(self.widest, other.widest)
        )


NOTHING = Cost()


def excess_of(schema: GraphQLSchema, document: DocumentNode) -> str | None:
    """The first limit that an operation exceeds, in words. The document may be invalid."""
    measure = _Measure(schema, document)
    schemas = 0
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            cost = measure.of_operation(definition)
            schemas += cost.schemas
            is_mutation = definition.operation is OperationType.MUTATION
            for found, limit, what in (
                (cost.depth, MAX_DEPTH, "is nested deeper than {} levels"),
                (cost.aliases, MAX_ALIASES, "has more than {} aliases"),
                (cost.directives, MAX_DIRECTIVES, "has more than {} directives"),
                (schemas, 1, "asks for `__schema` more than once"),
                (cost.width if is_mutation else 0, MAX_MUTATIONS, "has more than {} mutations"),
                (max(cost.width, cost.widest), MAX_WIDTH, "has more than {} fields side by side"),
                (cost.fields, MAX_FIELDS, "asks for more than {} fields"),
            ):
                if found > limit:
                    return f"The document {what.format(limit)}."
    # validation compares the fields of a fragment that nothing spreads, too
    if any(cost.width > MAX_WIDTH or cost.widest > MAX_WIDTH for cost in measure.of_fragments()):
        return f"The document has more than {MAX_WIDTH} fields side by side."
    return None


class _Measure:
    def __init__(self, schema: GraphQLSchema, document: DocumentNode) -> None:
        self._schema = schema
        self._fragments = {
            definition.name.value: definition
            for definition in document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }
        self._measured: dict[tuple[str, int], Cost] = {}

    def of_operation(self, operation: OperationDefinitionNode) -> Cost:
        root = self._schema.get_root_type(operation.operation)
        cost = self._of_set(operation.selection_set, root, LIST_SIZE)
        own = len(operation.directives or ()) + sum(
            len(variable.directives or ()) for variable in operation.variable_definitions or ()
        )
        return cost._replace(directives=cost.directives + own)

    def of_fragments(self) -> list[Cost]:
        return [self._of_fragment(name, LIST_SIZE) for name in self._fragments]

    def _of_set(
        self, selections: SelectionSetNode, parent: GraphQLCompositeType | None, size: int
    ) -> Cost:
        """`size`: how many a list right in this set holds. `parent` is None where it is unknown."""
        total = NOTHING
        for selection in selections.selections:
            total = total.beside(self._of(selection, parent, size))
        return total

    def _of(self, selection: SelectionNode, parent: GraphQLCompositeType | None, size: int) -> Cost:
        directives = len(selection.directives or ())
        match selection:
            case FieldNode():
                cost = self._of_field(selection, parent, size)
            case InlineFragmentNode():
                type_ = self._type(selection.type_condition) or parent
                cost = self._of_set(selection.selection_set, type_, size)
            case FragmentSpreadNode():
                cost = self._of_fragment(selection.name.value, size)
            case _:
                raise AssertionError("unreachable: there are no other selections")
        return cost._replace(directives=cost.directives + directives) if directives else cost

    def _of_field(self, node: FieldNode, parent: GraphQLCompositeType | None, size: int) -> Cost:
        field = None if parent is None else self._schema.get_field(parent, node.name.value)
        aliases = 0 if node.alias is None else 1
        if node.selection_set is None:
            return Cost(fields=1, depth=1, aliases=aliases, width=1)
        inner, fields = self._of_inner(node, node.selection_set, field, size)
        is_schema = node.name.value == "__schema"
        return Cost(
            fields=fields,
            # tools ask for types within types within types
            depth=1 if is_schema else 1 + inner.depth,
            aliases=inner.aliases + aliases,
            directives=inner.directives,
            schemas=inner.schemas + is_schema,
            width=1,
            widest=max(inner.width, inner.widest),
        )

    def _of_inner(
        self, node: FieldNode, selections: SelectionSetNode, field: GraphQLField | None, size: int
    ) -> tuple[Cost, int]:
        """What is within a field, and how many fields it comes to with the field itself."""
        type_ = None if field is None else get_named_type(field.type)
        if field is None or not is_composite_type(type_):
            inner = self._of_set(selections, None, LIST_SIZE)
            return inner, 1 + inner.fields
        asked_for = _size_asked_for(field, node)
        unsaid = INTROSPECTION_LIST_SIZE if is_introspection_type(type_) else LIST_SIZE
        if not is_list_type(get_nullable_type(field.type)):
            # a connection hands its `first` on to its lists
            inner = self._of_set(selections, type_, asked_for or unsaid)
            return inner, 1 + inner.fields
        inner = self._of_set(selections, type_, unsaid)
        return inner, (asked_for or size) * (1 + inner.fields)

    def _of_fragment(self, name: str, size: int) -> Cost:
        fragment = self._fragments.get(name)
        if fragment is None:
            return NOTHING  # validation will say so
        if (name, size) not in self._measured:
            self._measured[name, size] = NOTHING  # what holds itself, too, validation refuses
            type_ = self._type(fragment.type_condition)
            cost = self._of_set(fragment.selection_set, type_, size)
            own = len(fragment.directives or ())
            self._measured[name, size] = cost._replace(directives=cost.directives + own)
        return self._measured[name, size]

    def _type(self, condition: NamedTypeNode | None) -> GraphQLCompositeType | None:
        type_ = None if condition is None else self._schema.get_type(condition.name.value)
        return type_ if is_composite_type(type_) else None


def _size_asked_for(field: GraphQLField, node: FieldNode) -> int | None:
    """None: the field takes no size. A variable counts as the most that is answered."""
    given = {argument.name.value: argument.value for argument in node.arguments or ()}
    for name in SIZE_ARGUMENTS:
        if name in field.args:
            value = given.get(name)
            if value is None:
                return int(field.args[name].default_value)
            if isinstance(value, IntValueNode):
                # what is out of bounds is refused later: it must not make others cheaper
                return min(max(int(value.value), 1), MAX_PAGE)
            return MAX_PAGE
    return None
