"""Our schema keeps the contract, is the committed one, and describes itself."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from graphql import (
    DirectiveDefinitionNode,
    EnumValueDefinitionNode,
    FieldDefinitionNode,
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLUnionType,
    InputValueDefinitionNode,
    Node,
    TypeDefinitionNode,
    Visitor,
    build_schema,
    is_introspection_type,
    is_required_argument,
    is_required_input_field,
    is_specified_scalar_type,
    parse,
    visit,
)

from economy.cli import main

FOLDER = Path(__file__).parent
COMMITTED = (FOLDER.parent / "schema.graphql").read_text()
CONTRACT = build_schema((FOLDER / "contract.graphql").read_text())
OURS = build_schema(COMMITTED)

DESCRIBED = (
    TypeDefinitionNode,
    DirectiveDefinitionNode,
    FieldDefinitionNode,
    InputValueDefinitionNode,
    EnumValueDefinitionNode,
)
Input = GraphQLArgument | GraphQLInputField


def named_types(types: dict[str, GraphQLNamedType]) -> list[GraphQLNamedType]:
    return [
        type_
        for type_ in types.values()
        if not is_specified_scalar_type(type_) and not is_introspection_type(type_)
    ]


def inputs_of(inputs: dict[str, Input]) -> dict[str, tuple[str, object]]:
    return {name: (str(one.type), one.default_value) for name, one in inputs.items()}


def assert_fields_kept(
    expected: GraphQLObjectType | GraphQLInterfaceType,
    actual: GraphQLObjectType | GraphQLInterfaceType,
) -> None:
    for name, field in expected.fields.items():
        ours = actual.fields[name]
        assert str(ours.type) == str(field.type), name
        assert inputs_of({**ours.args}).items() >= inputs_of({**field.args}).items(), name
        added = [ours.args[argument] for argument in ours.args.keys() - field.args.keys()]
        assert not any(is_required_argument(argument) for argument in added), name


@pytest.mark.parametrize(
    "expected", named_types(CONTRACT.type_map), ids=lambda type_: str(type_.name)
)
def test_the_contract_is_kept(expected: GraphQLNamedType) -> None:
    actual = OURS.type_map[expected.name]
    assert type(actual) is type(expected)
    if isinstance(expected, GraphQLObjectType | GraphQLInterfaceType):
        assert isinstance(actual, GraphQLObjectType | GraphQLInterfaceType)
        assert_fields_kept(expected, actual)
        assert {one.name for one in actual.interfaces} >= {one.name for one in expected.interfaces}
    elif isinstance(expected, GraphQLInputObjectType):
        assert isinstance(actual, GraphQLInputObjectType)
        assert inputs_of({**actual.fields}).items() >= inputs_of({**expected.fields}).items()
        added = [actual.fields[name] for name in actual.fields.keys() - expected.fields.keys()]
        assert not any(is_required_input_field(field) for field in added)
    elif isinstance(expected, GraphQLEnumType):
        assert isinstance(actual, GraphQLEnumType)
        assert actual.values.keys() >= expected.values.keys()
    elif isinstance(expected, GraphQLUnionType):
        assert isinstance(actual, GraphQLUnionType)
        assert {one.name for one in actual.types} >= {one.name for one in expected.types}
    else:
        assert isinstance(actual, GraphQLScalarType)


def test_the_roots_are_the_contract_s() -> None:
    assert OURS.query_type is OURS.type_map["Query"]
    assert OURS.mutation_type is OURS.type_map["Mutation"]
    assert OURS.subscription_type is None


@pytest.mark.parametrize("root", ["Query", "Mutation"])
def test_every_root_field_may_be_null(root: str) -> None:
    """One field that fails never erases its booked siblings: also of what the contract lacks."""
    type_ = OURS.type_map[root]
    assert isinstance(type_, GraphQLObjectType)
    assert [name for name, field in type_.fields.items() if str(field.type).endswith("!")] == []


def test_the_committed_schema_is_the_exported_one() -> None:
    result = CliRunner().invoke(main, ["export-schema"])
    assert result.exit_code == 0
    assert result.output == COMMITTED


class Undescribed(Visitor):
    """Collects what lacks a description."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[int] = []

    def enter(self, node: Node, *_: object) -> None:
        if isinstance(node, DESCRIBED) and node.description is None:
            assert node.loc is not None
            self.lines.append(node.loc.start_token.line)


def test_every_element_is_described() -> None:
    undescribed = Undescribed()
    visit(parse(COMMITTED), undescribed)
    assert undescribed.lines == []
