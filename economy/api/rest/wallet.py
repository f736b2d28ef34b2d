"""Crediting a user's balance."""

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field

from economy.api.rest import documentation as documented
from economy.api.rest.booking import FundsAdded, funds_added
from economy.api.rest.dependencies import CurrentActor, CurrentServices, IdempotencyKey
from economy.api.rest.route import Route
from economy.api.rest.types import Body, Reference, StrictInteger

router = APIRouter(tags=["wallet"], route_class=Route)


class AddFundsBody(Body):
    amount: Annotated[
        StrictInteger,
        Field(ge=1, description="Coins, at most what the service credits at once", examples=[500]),
    ]
    external_reference: Annotated[
        Reference | None,
        Field(description="The payment's id elsewhere: it can be credited once only, for ever"),
    ] = None


@router.post(
    "/users/{user_id}/add-funds",
    name="addFunds",
    summary="Credit coins to a user (server key only)",
    responses=documented.problems(
        documented.FORBIDDEN,
        documented.USER_NOT_FOUND,
        documented.ALREADY_TAKEN,
        documented.BALANCE_LIMIT_REACHED,
        documented.INVALID_AMOUNT,
        documented.KEY_MISSING,
        documented.KEY_REUSED,
        documented.CONFLICT,
        has_body=True,
    ),
    openapi_extra=documented.idempotency_key(is_required=True),
)
async def add_funds(
    *,
    user_id: str,
    body: Annotated[
        AddFundsBody,
        documented.body_examples(server={"amount": 500, "external_reference": "payment-77"}),
    ],
    services: CurrentServices,
    actor: CurrentActor,
    idempotency_key: IdempotencyKey,
    response: Response,
) -> FundsAdded:
    """The `Idempotency-Key` header is required here."""
    booking = await services.wallet.add_funds(
        actor,
        user_id=user_id,
        amount=body.amount,
        external_reference=body.external_reference,
        idempotency_key=idempotency_key,
    )
    return funds_added(booking, actor, response)
