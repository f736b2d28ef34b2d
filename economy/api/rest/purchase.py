"""Buying a product."""

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field

from economy.api.rest import documentation as documented
from economy.api.rest.booking import ItemBooked, item_booked
from economy.api.rest.dependencies import CurrentActor, CurrentServices, IdempotencyKey
from economy.api.rest.route import Route
from economy.api.rest.types import Body, Quantity, StrictInteger, UserId, id_text
from economy.models.user import BALANCE_LIMIT

router = APIRouter(tags=["purchase"], route_class=Route)


class PurchaseBody(Body):
    user_id: UserId = None
    quantity: Quantity = 1
    expected_price: Annotated[
        StrictInteger | None,
        Field(
            ge=0,
            le=BALANCE_LIMIT,
            description="The price of one that the player saw: another is refused",
            examples=[100],
        ),
    ] = None


@router.post(
    "/products/{product_id}/purchase",
    summary="Buy a product",
    responses=documented.problems(
        documented.FORBIDDEN,
        documented.USER_NOT_FOUND,
        documented.PRODUCT_NOT_FOUND,
        documented.INSUFFICIENT_FUNDS,
        documented.ALREADY_OWNED,
        documented.PRODUCT_UNAVAILABLE,
        documented.HOLDING_LIMIT_REACHED,
        documented.PRICE_CHANGED,
        documented.INVALID_QUANTITY,
        documented.KEY_MISSING,
        documented.KEY_REUSED,
        documented.CONFLICT,
        has_body=True,
    ),
    openapi_extra=documented.idempotency_key(is_required=False),
)
async def purchase(
    *,
    product_id: str,
    services: CurrentServices,
    actor: CurrentActor,
    idempotency_key: IdempotencyKey,
    response: Response,
    body: Annotated[
        PurchaseBody | None,
        documented.body_examples(
            player={"quantity": 2, "expected_price": 100}, server={"user_id": 1, "quantity": 2}
        ),
    ] = None,
) -> ItemBooked:
    """Debit the price and grant the items, or neither."""
    body = body or PurchaseBody()
    booking = await services.purchases.purchase(
        actor,
        product_id=product_id,
        quantity=body.quantity,
        expected_price=body.expected_price,
        user_id=id_text(body.user_id),
        idempotency_key=idempotency_key,
    )
    return item_booked(booking, actor, response)
