"""How much a document asks for: an upper bound of the fields of its answer, told before it runs.

A thousand tokens are enough to ask for millions of fields: aliases and fragments multiply, and each
list multiplies again. Resolving them would hold up everybody else for minutes.
"""

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLSchema,
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

MAX_FIELDS = 50_000  # half a second
LIST_SIZE = 50  # of a list that the document gives no size
INTROSPECTION_LIST_SIZE = 10
SIZE_ARGUMENTS = ("first", "limit")


def count_fields(schema: GraphQLSchema, document: DocumentNode) -> int:
    """Of the operation that asks for most. The document is valid: its fragments have no cycle."""
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
        # each fragment is counted once for each size: spreads in spreads take no time
        self._counted: dict[tuple[str, int], int] = {}

    def of_operation(self, operation: OperationDefinitionNode) -> int:
        root = self._schema.get_root_type(operation.operation)
        return 0 if root is None else self._of_set(operation.selection_set, root, LIST_SIZE)

    def _of_set(self, selections: SelectionSetNode, parent: object, size: int) -> int:
        """`size`: how many a list among these fields holds."""
        return sum(self._of(selection, parent, size) for selection in selections.selections)

    def _of(self, selection: SelectionNode, parent: object, size: int) -> int:
        if isinstance(selection, FragmentSpreadNode):
            return self._of_fragment(selection.name.value, size)
        if isinstance(selection, FieldNode):
            return self._of_field(selection, parent, size)
        
    def _of_fragment(self, name: str, size: int) -> int:
        ...
