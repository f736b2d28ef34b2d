"""The life of a transaction over GraphQL: refusals, scopes, input of the wrong form, deletion."""

from typing import Any

import pytest

from economy.bootstrap import open_services
from economy.jobs import Job
from economy.models.user import BALANCE_LIMIT
from economy.services.access import ALL_SCOPES
from tests.graphql_answers import FORBIDDEN, UNAUTHENTICATED, errors_of
from tests.graphql_life import INPUTS, MEMBERS, NIL, SCOPES, document, mutate
from tests.graphql_mutations import invalid_input, refusal
from tests.journal import error_of, journal_of, nothing_changes
from tests.shop import Shop
from tests.world import SERVER


@pytest.fixture
async def rich(shop: Shop) -> Shop:
    """Anna has 1,000 coins and a boost."""
    await shop.world.credit(shop.world.anna, 1_100)
    await shop.world.buy(shop.world.anna, shop.world.boost)
    return shop


def not_found(member: str, code: str, what: str, **fields: Any) -> dict[str, Any]:
    return refusal(f"{member}NotFoundError", f"{code}_NOT_FOUND", what, **fields)


NO_USER, NO_PRODUCT = "There is no such user.", "There is no such product."
WRONG_KEY = invalid_input(
    "idempotencyKey", "An idempotency key of 1 to 255 visible ASCII characters is needed."
)
WRONG_QUANTITY = invalid_input("quantity", "quantity must be 1 to 1000.")


async def test_what_never_happens(rich: Shop) -> None:
    async with nothing_changes(rich.world):
        for field, members in MEMBERS.items():
            for id_ in ("999", "abc", str(2**70)):
                answer = await mutate(rich, field, userId=id_)
                assert answer == not_found("User", "USER", NO_USER, userId=id_)
            if "TransactionNotFound" in members:
                answer = await mutate(rich, field)
                message = "The user has no such transaction."
                told = not_found("Transaction", "TRANSACTION", message, transactionId=NIL)
                assert answer == told
            if "ProductNotFound" in members:
                answer = await mutate(rich, field, productId="abc")
                assert answer == not_found("Product", "PRODUCT", NO_PRODUCT, productId="abc")
                assert await mutate(rich, field, quantity=0) == WRONG_QUANTITY
                assert await mutate(rich, field, quantity=1_001) == WRONG_QUANTITY
            if "Idempotency" in members:
                assert await mutate(rich, field, idempotencyKey="a b") == WRONG_KEY
        answer = await mutate(rich, "beginTopUp", amount=1_000_001)
        assert answer == invalid_input("amount", "amount must be 1 to 1000000.")
        answer = await mutate(rich, "beginTopUp", externalReference="")
        message = "external_reference must have 1 to 255 characters."
        assert answer == invalid_input("externalReference", message)
        answer = await mutate(rich, "debitFunds", amount=0)
        assert answer == invalid_input("amount", f"amount must be 1 to {BALANCE_LIMIT}.")
        answer = await mutate(rich, "grantItem", productId="2", quantity=2)
        message = "A permanent product is granted one at a time."
        assert answer == invalid_input("quantity", message)


async def test_a_key_with_other_input(rich: Shop) -> None:
    [paid, _] = await journal_of(rich.services, rich.world.anna)
    others: dict[str, dict[str, Any]] = {
        "beginTopUp": {"externalReference": "r"},
        "reverseTransaction": {"ifSpent": "TAKE_WHAT_IS_LEFT"},
        "grantItem": {"quantity": 2},
        "revokeItem": {"quantity": 2},
        "debitFunds": {"amount": 6},
    }
    for field, changes in others.items():
        target: dict[str, Any] = (
            {"transactionId": str(paid.id)} if field == "reverseTransaction" else {}
        )
        await mutate(rich, field, **target)
        async with nothing_changes(rich.world):
            answer = await mutate(rich, field, **target, **changes)
        message = "This idempotency key was used before with other input."
        told = {"message": message, "idempotencyKey": "new"}
        assert answer == refusal("IdempotencyError", "IDEMPOTENCY_KEY_REUSED", **told)


async def test_who_may_not(rich: Shop) -> None:
    """Nobody, no player, and no server key that lacks a scope that is needed."""
    keys = [
        (field, await rich.key_with(*(ALL_SCOPES - {scope})))
        for field, scopes in SCOPES.items()
        for scope in scopes
    ]
    player = rich.player(rich.world.anna)
    async with nothing_changes(rich.world):
        for field in INPUTS:
            body = await rich.graphql(document(field), None, input=INPUTS[field])
            assert body["data"] == {field: None}
            assert errors_of(body) == [([field], UNAUTHENTICATED)]
        for field, headers in [*keys, *((field, player) for field in INPUTS)]:
            for user_id in ("1", "2", "abc"):
                values = INPUTS[field] | {"userId": user_id}
                body = await rich.graphql(document(field), headers, input=values)
                assert body["data"] == {field: None}
                assert errors_of(body) == [([field], FORBIDDEN)]
    for field, scopes in SCOPES.items():  # enough: what answers is no refusal of the right
        answer = await mutate(rich, field, await rich.key_with(*scopes))
        assert answer["__typename"].removesuffix("Error") in {
            "TransactionNotFound",
            f"{field[0].upper()}{field[1:]}Success",
        } | ({"UserNotFound"} if field == "deleteUser" else set())


WRONG_FORMS: list[tuple[str, dict[str, Any]]] = [
    ("beginTopUp", {"amount": "5"}),
    ("beginTopUp", {"amount": 5.5}),
    ("beginTopUp", {"amount": True}),
    ("beginTopUp", {"amount": None}),
    ("beginTopUp", {"amount": 2**53}),
    ("beginTopUp", {"idempotencyKey": None}),
    ("completeTopUp", {"transactionId": "abc"}),
    ("completeTopUp", {"transactionId": NIL.replace("-", "")}),
    ("completeTopUp", {"transactionId": f"{{{NIL}}}"}),
    ("completeTopUp", {"transactionId": f"{NIL}\u0000"}),
    ("completeTopUp", {"transactionId": 5}),
    ("failTopUp", {"transactionId": None}),
    ("reverseTransaction", {"ifSpent": "take_what_is_left"}),
    ("reverseTransaction", {"ifSpent": None}),
    ("grantItem", {"quantity": 2**31}),
    ("revokeItem", {"quantity": "1"}),
    ("debitFunds", {"amount": -1}),
    ("deleteUser", {"userId": None}),
    ("deleteUser", {"more": 1}),
]


async def test_variables_of_the_wrong_form(rich: Shop) -> None:
    async with nothing_changes(rich.world):
        for field, changes in WRONG_FORMS:
            values = INPUTS[field] | changes
            body = await rich.graphql(document(field), rich.server, input=values)
            assert body.get("data") is None, (field, changes)
            assert [error["message"][:9] for error in body["errors"]] == ["Variable "]


async def test_limits_and_references_of_top_ups(rich: Shop) -> None:
    world, anna = rich.world, rich.world.anna
    begun = await mutate(rich, "beginTopUp", externalReference="r")
    taken = await mutate(rich, "beginTopUp", externalReference="r", idempotencyKey="2")
    told: dict[str, Any] = {"message": "Already taken: external_reference."}
    told |= {"field": ["externalReference"]}
    assert taken == refusal("AlreadyTakenError", "ALREADY_TAKEN", **told)
    declined: dict[str, Any] = {
        "transactionId": str((await journal_of(rich.services, anna))[-1].id)
    }
    assert await mutate(rich, "completeTopUp", **declined) == taken
    failed = await mutate(rich, "failTopUp", **declined)  # it has, as the provider says
    assert (failed["__typename"], failed["replayed"]) == ("FailTopUpSuccess", True)
    assert failed["transaction"]["failureCode"] == "ALREADY_TAKEN"

    soon = rich.services.settings.model_copy(update={"top_up_expires_after_seconds": 0})
    async with open_services(soon) as services:
        assert await services.jobs.run(Job.EXPIRE_TOP_UPS) is True
    id_ = begun["transaction"]["id"]
    for _ in range(2):
        late = await mutate(rich, "completeTopUp", transactionId=id_)
        message = "This top-up had expired before. Nothing was credited."
        told = {"message": message, "transactionId": id_}
        assert late == refusal("TopUpExpiredError", "TOP_UP_EXPIRED", **told)
    assert await world.broken() == {}

    begun = await mutate(rich, "beginTopUp", idempotencyKey="3")
    await world.sql('UPDATE "user" SET balance = :most WHERE id = 1', most=BALANCE_LIMIT)
    message = f"The balance is {BALANCE_LIMIT}, the limit is {BALANCE_LIMIT}."
    told = {"message": message, "balance": BALANCE_LIMIT, "limit": BALANCE_LIMIT}
    too_much = refusal("BalanceLimitError", "BALANCE_LIMIT", **told)
    assert await mutate(rich, "beginTopUp", idempotencyKey="4") == too_much
    for _ in range(2):
        answer = await mutate(rich, "completeTopUp", transactionId=begun["transaction"]["id"])
        assert answer == too_much


async def test_a_user_is_deleted(rich: Shop) -> None:
    world, anna = rich.world, rich.world.anna
    deleted = await mutate(rich, "deleteUser")
    assert deleted["__typename"] == "DeleteUserSuccess"
    at = deleted["user"].pop("deletedAt")
    nobody = {"username": "deleted:1", "email": "deleted:1"}
    assert deleted["user"] == {"id": "1", "balance": 1_000, "debt": 0} | nobody
    async with nothing_changes(world):
        again = await mutate(rich, "deleteUser")
        assert again["user"] == deleted["user"] | {"deletedAt": at}
        gone = not_found("User", "USER", NO_USER, userId="1")
        for field in ("beginTopUp", "grantItem"):
            assert await mutate(rich, field) == gone
        assert type(await error_of(world.buy(anna, world.boost))).__name__ == "UserNotFound"
    # the token that it still has reads what is left
    query = "{ me { username deletedAt inventory { quantity } transactions { nodes { kind } } } }"
    body = await rich.graphql(query, rich.player(anna))
    me = {"username": "deleted:1", "deletedAt": at, "inventory": [{"quantity": 1}]}
    nodes = [{"kind": "PURCHASE"}, {"kind": "TOP_UP"}]
    assert body == {"data": {"me": me | {"transactions": {"nodes": nodes}}}}
    create = rich.services.users.create_user
    new = await create(SERVER, username="anna", email="anna@example.com")
    assert new.id == 3
    assert await world.broken() == {}
