"""Products: type, queries, mutations."""

from functools import lru_cache
from typing import Annotated, Any

import strawberry

from economy.api.graphql.context import Info
from economy.api.graphql.errors import InvalidInputError, ProductNotFoundError, member_of
from economy.api.graphql.pages import PageInfo
from economy.api.graphql.scalars import Amount, ProductType, given, value_of
from economy.errors import EconomyError
from economy.models import product as model
from economy.models.product import ProductRow
from economy.rate_limits import Act
from economy.services.access import authenticated, parse_id
from economy.services.pages import Page


@strawberry.type(description="Something that coins buy.")
class Product:
    id: strawberry.ID = strawberry.field(description="Stable for ever.")
    name: str = strawberry.field(description="What players read.")
    description: str = strawberry.field(description="More for players to read; may be empty.")
    price: Amount = strawberry.field(description="What one costs now.")
    type: ProductType = strawberry.field(description="Whether it is used up or owned for ever.")
    is_active: bool = strawberry.field(description="Whether it is on sale.")

    @staticmethod
    @lru_cache(1_000)  # the same few stand in every inventory, and nobody changes them
    def of(row: ProductRow) -> "Product":
        return Product(
            id=strawberry.ID(str(row.id)),
            name=row.name,
            description=row.description,
            price=Amount(row.price),
            type=ProductType(row.type),
            is_active=row.is_active,
        )


async def load_product(info: Info, product_id: int) -> Product:
    """Products are never deleted: an id that a row holds can be loaded."""
    return Product.of((await load_products(info, {product_id}))[product_id])


async def load_products(info: Info, ids: set[int]) -> dict[int, ProductRow]:
    """Without waiting, where the operation or the process has them at hand."""
    context = info.context
    found = context.services.products.at_hand(ids) | context.loaders.known_products
    missing = [id_ for id_ in ids if id_ not in found]
    if missing:
        rows = await context.loaders.products.load_many(missing)
        found.update({row.id: row for row in rows if row is not None})
    return found


@strawberry.type(description="A product and its place in the list.")
class ProductEdge:
    cursor: str = strawberry.field(description="Give it as `after` to go on behind this product.")
    node: Product = strawberry.field(description="The product.")


@strawberry.type(description="A page of products.")
class ProductConnection:
    edges: list[ProductEdge] = strawberry.field(description="The products with their cursors.")
    nodes: list[Product] = strawberry.field(description="The products alone.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")

    @classmethod
    def of(cls, page: Page[ProductRow]) -> "ProductConnection":
        nodes = [Product.of(row) for row in page.rows]
        edges = [
            ProductEdge(cursor=cursor, node=node)
            for cursor, node in zip(page.cursors, nodes, strict=True)
        ]
        return cls(edges=edges, nodes=nodes, page_info=PageInfo.of(page))


@strawberry.type
class ProductQuery:
    @strawberry.field(description="A product by id; null if there is none.")
    async def product(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The product's id.")],  # noqa: A002
    ) -> Product | None:
        authenticated(info.context.actor)
        await info.context.limits.take(Act.READ)
        number = parse_id(id)
        row = None if number is None else await info.context.loaders.products.load(number)
        return None if row is None else Product.of(row)

    @strawberry.field(
        description="The catalogue, oldest first: what is on sale; to a server key that may edit "
        "the catalogue, all of it."
    )
    async def products(
        self,
        info: Info,
        type_: Annotated[
            ProductType | None,
            strawberry.argument(name="type", description="Only products of this type."),
        ] = strawberry.UNSET,
        first: Annotated[int, strawberry.argument(description="How many at most, 1 to 100.")] = 50,
        after: Annotated[
            str | None, strawberry.argument(description="The cursor of the last product seen.")
        ] = strawberry.UNSET,
    ) -> ProductConnection | None:
        await info.context.limits.take(Act.READ)
        page = await info.context.services.products.list_products(
            info.context.actor,
            type_=value_of(type_),
            first=first,
            after=given(after),
        )
        return ProductConnection.of(page)


@strawberry.input(description="A product to create.")
class CreateProductInput:
    name: str = strawberry.field(description="1 to 100 characters.")
    description: str = strawberry.field(description="Up to 2,000 characters.", default="")
    price: Amount = strawberry.field(description="What one costs, 0 to 10^12.")
    type: ProductType = strawberry.field(description="It cannot be changed later.")
    is_active: bool = strawberry.field(description="Whether it is on sale.", default=True)


@strawberry.input(description="What to change of a product. What is left out stays as it is.")
class UpdateProductInput:
    id: strawberry.ID = strawberry.field(description="Which product.")
    name: str | None = strawberry.field(
        description="1 to 100 characters.", default=strawberry.UNSET
    )
    description: str | None = strawberry.field(
        description="Up to 2,000 characters.", default=strawberry.UNSET
    )
    price: Amount | None = strawberry.field(
        description="What one costs from now on, 0 to 10^12.", default=strawberry.UNSET
    )
    is_active: bool | None = strawberry.field(
        description="Whether it is on sale.", default=strawberry.UNSET
    )


@strawberry.type(description="The product was created.")
class CreateProductSuccess:
    product: Product = strawberry.field(description="The new product.")


@strawberry.type(description="The product was changed.")
class UpdateProductSuccess:
    product: Product = strawberry.field(description="The product as it is now.")


CreateProductResult = Annotated[
    CreateProductSuccess | InvalidInputError,
    strawberry.union("CreateProductResult", description="What came of `createProduct`."),
]
UpdateProductResult = Annotated[
    UpdateProductSuccess | ProductNotFoundError | InvalidInputError,
    strawberry.union("UpdateProductResult", description="What came of `updateProduct`."),
]


@strawberry.type
class ProductMutation:
    @strawberry.mutation(description="Add a product to the catalogue. Server key only.")
    async def create_product(
        self,
        info: Info,
        input: Annotated[CreateProductInput, strawberry.argument(description="The product.")],  # noqa: A002
    ) -> CreateProductResult | None:
        info.context.renew_loaders()
        try:
            row = await info.context.services.products.create_product(
                info.context.actor,
                name=input.name,
                description=input.description,
                price=input.price,
                type_=model.ProductType[input.type.name],
                is_active=input.is_active,
            )
        except EconomyError as error:
            return member_of(error)
        return CreateProductSuccess(product=Product.of(row))

    @strawberry.mutation(description="Change a product. Server key only.")
    async def update_product(
        self,
        info: Info,
        input: Annotated[UpdateProductInput, strawberry.argument(description="What to change.")],  # noqa: A002
    ) -> UpdateProductResult | None:
        info.context.renew_loaders()
        given: dict[str, Any] = {
            "name": input.name,
            "description": input.description,
            "price": input.price,
            "is_active": input.is_active,
        }
        changes = {name: value for name, value in given.items() if value is not strawberry.UNSET}
        try:
            row = await info.context.services.products.update_product(
                info.context.actor, input.id, changes
            )
        except EconomyError as error:
            return member_of(error)
        return UpdateProductSuccess(product=Product.of(row))
