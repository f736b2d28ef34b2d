"""How much a document asks for: an upper bound of the fields of its answer, told before it runs.

A thousand tokens are enough to ask for millions of fields: aliases and fragments multiply, and each
list multiplies again. Resolving them would hold up everybody else for minutes.
"""

from typing import cast

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
    SelectionNode,
    SelectionSetNode,
    get_named_type,
    get_nullable_type,
    is_introspection_type,
    is_list_type,
)

from economy.services.bounds import MAX_PAGE

MAX_FIELDS = 50_000  # about half a second
SIZE_ARGUMENTS = ("first", "limit")
# what a list is taken to hold where the document does not say it
LIST_SIZE = 50
INTROSPECTION_LIST_SIZE = 8  # lets pass what tools ask for


def count_fields(schema: GraphQLSchema, document: DocumentNode) -> int:
    """Of the operation that asks for most. The document is valid: no fragment holds itself."""
    count = _Count(schema, document)
    return max(
        count.of_operation(definition)
        for definition in document.definitions
        if isinstance(definition, OperationDefinitionNode)
    )


class _Count:
    def __init__(self, schema: GraphQLSchema, document: DocumentNode) -> None:
        self._schema = schema
        self._fragments = {
            definition.name.value: definition
            for definition in document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }
        # each fragment is counted once for a size, so that spreads within spreads take no time
        self._counted: dict[tuple[str, int], int] = {}

    def of_operation(self, operation: OperationDefinitionNode) -> int:
        root = self._schema.get_root_type(operation.operation)
        return 0 if root is None else self._of_set(operation.selection_set, root, LIST_SIZE)

    def _of_set(self, selections: SelectionSetNode, parent: GraphQLCompositeType, size: int) -> int:
        """`size`: how many a list right in this set holds."""
        return sum(self._of(selection, parent, size) for selection in selections.selections)

    def _of(self, selection: SelectionNode, parent: GraphQLCompositeType, size: int) -> int:
        match selection:
            case FieldNode():
                return self._of_field(selection, parent, size)
            case InlineFragmentNode():
                type_ = self._type(selection.type_condition) or parent
                return self._of_set(selection.selection_set, type_, size)
            case FragmentSpreadNode():
                return self._of_fragment(selection.name.value, size)
        raise AssertionError("unreachable: there are no other selections")

    def _of_field(self, node: FieldNode, parent: GraphQLCompositeType, size: int) -> int:
        field = self._schema.get_field(parent, node.name.value)
        if field is None or node.selection_set is None:
            return 1
        type_ = cast("GraphQLCompositeType", get_named_type(field.type))
        asked_for = _size_asked_for(field, node)
        unsaid = INTROSPECTION_LIST_SIZE if is_introspection_type(type_) else LIST_SIZE
        if not is_list_type(get_nullable_type(field.type)):
            # a connection hands its `first` on to its lists
            return 1 + self._of_set(node.selection_set, type_, asked_for or unsaid)
        return (asked_for or size) * (1 + self._of_set(node.selection_set, type_, unsaid))

    def _of_fragment(self, name: str, size: int) -> int:
        if (name, size) not in self._counted:
            fragment = self._fragments[name]
            type_ = self._type(fragment.type_condition)
            assert type_ is not None
            self._counted[name, size] = self._of_set(fragment.selection_set, type_, size)
        return self._counted[name, size]

    def _type(self, condition: NamedTypeNode | None) -> GraphQLCompositeType | None:
        if condition is None:
            return None
        return cast("GraphQLCompositeType", self._schema.get_type(condition.name.value))


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
