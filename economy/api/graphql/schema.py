"""The schema: every concept's queries and mutations put together."""

from typing import Any

import strawberry
from graphql import GraphQLUnionType

from economy.api.graphql.analytics import AnalyticsQuery
from economy.api.graphql.grant import GrantMutation
from economy.api.graphql.inventory import InventoryQuery
from economy.api.graphql.product import ProductMutation, ProductQuery
from economy.api.graphql.purchase import PurchaseMutation
from economy.api.graphql.reversal import ReversalMutation
from economy.api.graphql.scalars import schema_config
from economy.api.graphql.top_up import TopUpMutation
from economy.api.graphql.use_item import UseItemMutation
from economy.api.graphql.user import UserMutation, UserQuery
from economy.api.graphql.wallet import WalletMutation


@strawberry.type(
    description="Reads. A field that fails is null, and `errors` says why; its siblings stand."
)
class Query(UserQuery, ProductQuery, InventoryQuery, AnalyticsQuery):
    pass


@strawberry.type(
    description="Writes, one after the other. Each answers with a union: success, or why not."
)
class Mutation(
    PurchaseMutation,
    WalletMutation,
    UseItemMutation,
    TopUpMutation,
    GrantMutation,
    ReversalMutation,
    UserMutation,
    ProductMutation,
):
    pass


def build_schema() -> strawberry.Schema:
    schema = strawberry.Schema(query=Query, mutation=Mutation, config=schema_config())
    for type_ in schema._schema.type_map.values():
        if isinstance(type_, GraphQLUnionType):
            # Strawberry's own tries the members in turn, a third of the time of a purchase
            type_.resolve_type = _name_of_member
    return schema


def _name_of_member(member: Any, *_: object) -> str:
    name: str = member.__strawberry_definition__.name
    return name
