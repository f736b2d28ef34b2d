"""Variations of documents: values lifted into variables, fields merged, fragments named."""

from random import Random
from typing import Any

from graphql import (
    ArgumentNode,
    DocumentNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLSchema,
    InlineFragmentNode,
    NameNode,
    NullValueNode,
    ObjectFieldNode,
    OperationDefinitionNode,
    SelectionSetNode,
    TypeInfo,
    TypeInfoVisitor,
    VariableDefinitionNode,
    VariableNode,
    Visitor,
    is_non_null_type,
    parse_type,
    value_from_ast_untyped,
    visit,
)

ODD_VALUES: list[Any] = [None, 0, 1, 1.0, 1.5, -1, 2**31, 2**64, True, "", "1", "x\u0000é", []]
ODD_VALUES += [["1"], {}, {"a": 1}, [[None]], {"productId": "1"}]


class Variation:
    def __init__(self, schema: GraphQLSchema, random: Random) -> None:
        self._schema, self._random = schema, random

    def of(self, document: DocumentNode) -> tuple[DocumentNode, dict[str, Any]]:
        """The document has one operation; what comes of it may be invalid."""
        lifting = _Lifting(self._schema, self._random)
        lifted = visit(document, TypeInfoVisitor(lifting.type_info, lifting))
        naming = _Naming(self._random)
        named = visit(visit(lifted, _Merging(self._random)), naming)
        definitions = [
            self._with_variables(one, lifting) if isinstance(one, OperationDefinitionNode) else one
            for one in named.definitions
        ]
        return DocumentNode(definitions=(*definitions, *naming.fragments)), lifting.variables

    def _with_variables(
        self, operation: OperationDefinitionNode, lifting: "_Lifting"
    ) -> OperationDefinitionNode:
        return OperationDefinitionNode(
            operation=operation.operation,
            name=operation.name,
            variable_definitions=tuple(lifting.definitions),
            directives=(),
            selection_set=operation.selection_set,
        )


class _Lifting(Visitor):
    def __init__(self, schema: GraphQLSchema, random: Random) -> None:
        super().__init__()
        self.type_info = TypeInfo(schema)
        self.definitions: list[VariableDefinitionNode] = []
        self.variables: dict[str, Any] = {"unknown": 1} if random.random() < 0.1 else {}
        self._random = random
        self._least_chance = 0 if random.random() < 0.4 else 0.15  # no error in most documents

    def enter_argument(self, node: ArgumentNode, *_: Any) -> Any:
        return self._lifted(node)

    def enter_object_field(self, node: ObjectFieldNode, *_: Any) -> Any:
        return self._lifted(node)

    def _lifted(self, node: Any) -> Any:
        type_ = self.type_info.get_input_type()
        if type_ is None or self._random.random() < 0.5:
            return None
        name, chance = f"v{len(self.definitions)}", self._random.uniform(self._least_chance, 1)
        is_null = isinstance(node.value, NullValueNode)
        self.variables[name] = value_from_ast_untyped(node.value)
        default, declared = None, str(type_)
        if chance < 0.1:
            default = node.value  # and it may be that no other value comes
            declared = declared.removesuffix("!") if is_non_null_type(type_) else declared
            if self._random.random() < 0.6:
                del self.variables[name]
        elif chance < 0.12:
            del self.variables[name]
        elif chance < 0.15:
            self.variables[name] = self._random.choice(ODD_VALUES)
        elif chance < 0.3 and not is_non_null_type(type_) and not is_null:
            declared += "!"
        self.definitions.append(
            VariableDefinitionNode(
                variable=VariableNode(name=NameNode(value=name)),
                type=parse_type(declared),
                default_value=default,
                directives=(),
            )
        )
        return type(node)(name=node.name, value=VariableNode(name=NameNode(value=name)))


class _Merging(Visitor):
    """Asks for some fields twice."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self._random = random

    def leave_selection_set(self, node: SelectionSetNode, *_: Any) -> Any:
        if self._random.random() < 0.8:
            return None
        again = self._random.sample(node.selections, self._random.randint(1, len(node.selections)))
        return SelectionSetNode(selections=(*node.selections, *again))


class _Naming(Visitor):
    """Makes named fragments of inline ones."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self.fragments: list[FragmentDefinitionNode] = []
        self._random = random

    def leave_inline_fragment(self, node: InlineFragmentNode, *_: Any) -> Any:
        if node.type_condition is None or self._random.random() < 0.5:
            return None
        name = NameNode(value=f"F{len(self.fragments)}")
        self.fragments.append(
            FragmentDefinitionNode(
                name=name,
                type_condition=node.type_condition,
                selection_set=node.selection_set,
                directives=(),
            )
        )
        return FragmentSpreadNode(name=name, directives=())
