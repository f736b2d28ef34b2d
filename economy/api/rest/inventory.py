"""What users hold: reading it, and using it up."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel

from economy.api.rest import documentation as documented
from economy.api.rest.booking import ItemBooked, item_booked
from economy.api.rest.dependencies import CurrentActor, CurrentServices, IdempotencyKey
from economy.api.rest.item import InventoryItem
from economy.api.rest.route import Route
from economy.api.rest.types import Body, Quantity, UserId, id_text
from economy.models.product import ProductType

router = APIRouter(tags=["inventory"], route_class=Route)


class Inventory(BaseModel):
    """The items in the order of first purchase, one line a product."""

    items: list[InventoryItem]


class UseBody(Body):
    user_id: UserId = None
    quantity: Quantity = 1


@router.get(
    "/users/{user_id}/inventory",
    name="inventory",
    summary="What a user holds",
    responses=documented.problems(
        documented.FORBIDDEN, documented.USER_NOT_FOUND, documented.INVALID_TYPE
    ),
)
async def read_inventory(
    user_id: str,
    services: CurrentServices,
    actor: CurrentActor,
    type: Annotated[ProductType | None, Query(description="Only of this type")] = None,  # noqa: A002
) -> Inventory:
    rows = await services.inventory.inventory_of(
        actor, user_id, type_=None if type is None else type.value
    )
    products = await services.products.products({row.product_id for row in rows}) if rows else {}
    return Inventory(items=[InventoryItem.of(row, products[row.product_id]) for row in rows])


@router.post(
    "/products/{product_id}/use",
    name="useItem",
    summary="Use up items",
    responses=documented.problems(
        documented.FORBIDDEN,
        documented.USER_NOT_FOUND,
        documented.PRODUCT_NOT_FOUND,
        documented.PRODUCT_NOT_CONSUMABLE,
        documented.NOT_ENOUGH_ITEMS,
        documented.INVALID_QUANTITY,
        documented.KEY_MISSING,
        documented.KEY_REUSED,
        documented.CONFLICT,
        has_body=True,
    ),
    openapi_extra=documented.idempotency_key(is_required=False),
)
async def use_item(
    *,
    product_id: str,
    services: CurrentServices,
    actor: CurrentActor,
    idempotency_key: IdempotencyKey,
    response: Response,
    body: Annotated[
        UseBody | None,
        documented.body_examples(player={"quantity": 1}, server={"user_id": 1, "quantity": 1}),
    ] = None,
) -> ItemBooked:
    """At quantity 0 an item is listed no longer."""
    body = body or UseBody()
    booking = await services.inventory.use_item(
        actor,
        product_id=product_id,
        quantity=body.quantity,
        user_id=id_text(body.user_id),
        idempotency_key=idempotency_key,
    )
    return item_booked(booking, actor, response)
