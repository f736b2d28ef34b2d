"""What the money mutations have in common: a booking, or the member that says why not."""

from collections.abc import Awaitable, Callable
from typing import Any

import strawberry

from economy.api.graphql.context import Info
from economy.api.graphql.errors import member_of
from economy.api.graphql.inventory import InventoryItem
from economy.api.graphql.transaction import Transaction
from economy.api.graphql.user import User
from economy.errors import Decline, EconomyError
from economy.rate_limits import Act
from economy.services.operations import Booking as ServiceBooking

# the description of every idempotency key
KEY = (
    "1 to 255 visible ASCII characters, unique for each thing that you want done: sent again, it "
    "answers again and does nothing again."
)


@strawberry.interface(description="A completed operation.")
class Booking:
    transaction: Transaction = strawberry.field(description="Its row in the journal.")
    user: User = strawberry.field(
        description="The user, with the balance right after it. What is nested deeper is current."
    )
    replayed: bool = strawberry.field(
        description="True: this answers a repeated idempotency key, and nothing was done again."
    )


def _item_of(booking: ServiceBooking) -> InventoryItem | None:
    if booking.item is None or booking.product is None:
        return None
    return InventoryItem.of(booking.item, booking.product)


async def book(
    info: Info,
    call: Callable[[], Awaitable[ServiceBooking]],
    success: Callable[..., Any],
    *,
    with_item: bool,
) -> Any:
    """Run one money operation and make its answer. Raises RateLimited."""
    context = info.context
    turn = await context.limits.take(Act.MONEY)
    try:
        booking = await call()
    except EconomyError as error:
        if isinstance(error, Decline) and error.replayed:
            await context.limits.make_replay_cheap(turn)
        return member_of(error)
    finally:
        context.renew_loaders()
    if booking.replayed:
        await context.limits.make_replay_cheap(turn)
    if booking.product is not None:
        context.loaders.known_products[booking.product.id] = booking.product
    answer = {
        "transaction": Transaction.of(booking.transaction),
        "user": User.of(booking.user, context),
        "replayed": booking.replayed,
    }
    if with_item:
        answer["item"] = _item_of(booking)
    return success(**answer)
