"""Crediting over REST: whole answers, each refusal, and who may credit."""

from typing import Any
from urllib.parse import quote

import pytest

from economy.app import create_app
from economy.models.user import BALANCE_LIMIT
from economy.services.access import ALL_SCOPES, Scope
from economy.settings import Settings
from tests.journal import nothing_changes, one_decline
from tests.rest import (
    NO_IDS,
    NOT_INTEGERS,
    assert_json,
    assert_problem,
    invalid,
    last_row,
    malformed,
    post_text,
    problem,
    transaction_of,
    user_of,
)
from tests.shop import Headers, Shop

CREDIT = "/users/1/add-funds"
KEY = {"Idempotency-Key": "pay-1"}


async def test_credit(shop: Shop) -> None:
    anna = shop.world.anna
    response = await shop.client.post(
        CREDIT,
        headers=shop.server | KEY,
        json={"amount": 1_000_000, "external_reference": "payment ☕ 77"},
    )
    row = await last_row(shop, anna)
    assert (row.external_reference, row.idempotency_key) == ("payment ☕ 77", "pay-1")
    transaction = transaction_of(
        row, kind="top_up", product=None, quantity=None, amount=1_000_000, balance_after=1_000_000
    )
    assert_json(
        response,
        {
            "transaction": transaction,
            "user": user_of(anna, balance=1_000_000),
            "replayed": False,
        },
    )
    assert "idempotent-replayed" not in response.headers


@pytest.mark.parametrize("body", ['{"amount": 1}', '{"amount": 1, "external_reference": null}'])
async def test_reference_is_optional(shop: Shop, body: str) -> None:
    response = await post_text(shop, CREDIT, shop.server | KEY, body)
    assert response.json()["user"] == user_of(shop.world.anna, balance=1)
    assert (await last_row(shop, shop.world.anna)).external_reference is None


async def test_the_right_to_credit_is_enough(shop: Shop) -> None:
    headers = await shop.key_with(Scope.FUNDS_WRITE)
    response = await shop.client.post(CREDIT, headers=headers | KEY, json={"amount": 5})
    assert response.json()["user"] == user_of(shop.world.anna, balance=5) | {"email": None}


async def test_reference_that_was_used(shop: Shop) -> None:
    await shop.world.credit(shop.world.boris, 10, external_reference="payment-77")
    async with one_decline(shop.world, shop.world.anna):
        response = await shop.client.post(
            CREDIT,
            headers=shop.server | KEY,
            json={"amount": 5, "external_reference": "payment-77"},
        )
    detail = "Already taken: external_reference."
    expected = problem(409, "ALREADY_TAKEN", detail, fields=["external_reference"])
    assert_problem(response, expected)


async def test_balance_limit(shop: Shop) -> None:
    await shop.world.sql('UPDATE "user" SET balance = :most', most=BALANCE_LIMIT - 10)
    async with one_decline(shop.world, shop.world.anna):
        response = await shop.client.post(CREDIT, headers=shop.server | KEY, json={"amount": 11})
    detail = "The balance is 9007199254740981, the limit is 9007199254740991."
    expected = problem(409, "BALANCE_LIMIT", detail, balance=2**53 - 11, limit=2**53 - 1)
    assert_problem(response, expected)
    response = await shop.client.post(
        CREDIT, headers=shop.server | {"Idempotency-Key": "pay-2"}, json={"amount": 10}
    )
    assert response.json()["user"]["balance"] == 2**53 - 1


INTEGER, TEXT = "Input should be a valid integer", "Input should be a valid string"
CONTROL = "must not hold control characters"
SURROGATE = f"{TEXT}, unable to parse raw data as a unicode string"
MALFORMED = [
    *(("amount", text, INTEGER) for text in (*NOT_INTEGERS, "null")),
    *(
        ("amount", text, "Input should be greater than or equal to 1")
        for text in ("0", "-1", str(-(2**70)))
    ),
    *(("external_reference", text, TEXT) for text in ("1", "true", "[]", "{}")),
    ("external_reference", '""', "String should have at least 1 character"),
    ("external_reference", f'"{"x" * 256}"', "String should have at most 255 characters"),
    ("external_reference", r'"a\u0000b"', CONTROL),
    ("external_reference", r'"a\nb"', CONTROL),
    ("external_reference", r'"\ud800"', SURROGATE),
]


async def test_wrong_fields(shop: Shop) -> None:
    async with nothing_changes(shop.world):
        for name, text, detail in MALFORMED:
            others = "" if name == "amount" else '"amount": 1, '
            body = f'{{{others}"{name}": {text}}}'
            response = await post_text(shop, CREDIT, shop.server | KEY, body)
            assert_problem(response, malformed(f"#/{name}", detail))


@pytest.mark.parametrize("amount", [1_000_001, 2**53, 2**63, 2**70])
async def test_more_than_is_credited_at_once(shop: Shop, amount: int) -> None:
    async with nothing_changes(shop.world):
        response = await shop.client.post(
            CREDIT, headers=shop.server | KEY, json={"amount": amount}
        )
    assert_problem(response, invalid("#/amount", "amount must be 1 to 1000000."))


async def test_blank_reference(shop: Shop) -> None:
    async with nothing_changes(shop.world):
        response = await shop.client.post(
            CREDIT, headers=shop.server | KEY, json={"amount": 1, "external_reference": " "}
        )
    detail = "external_reference must not be blank."
    assert_problem(response, invalid("#/external_reference", detail))


async def test_amount_is_required(shop: Shop) -> None:
    bodies = {"{}": "#/amount", '{"external_reference": "a"}': "#/amount", "": "#"}
    async with nothing_changes(shop.world):
        for body, pointer in bodies.items():
            response = await post_text(shop, CREDIT, shop.server | KEY, body)
            assert_problem(response, malformed(pointer, "Field required"))


async def test_users_that_do_not_exist(shop: Shop) -> None:
    async with nothing_changes(shop.world):
        for id_ in [*NO_IDS, "999"]:
            response = await shop.client.post(
                f"/users/{quote(id_)}/add-funds",
                headers=shop.server | KEY,
                json={"amount": 5, "external_reference": "payment-77"},
            )
            shown = 999 if id_ == "999" else id_
            detail = "There is no such user."
            assert_problem(response, problem(404, "USER_NOT_FOUND", detail, user_id=shown))


async def test_who_may_not_credit(shop: Shop) -> None:
    anna = shop.world.anna
    askers: list[Headers] = [
        shop.player(anna),  # a player never mints, not even for itself
        shop.player(shop.world.boris),
        await shop.key_with(*(ALL_SCOPES - {Scope.FUNDS_WRITE})),
    ]
    detail = "This needs a server key with the scope funds:write."
    async with nothing_changes(shop.world):
        for headers in askers:
            for user_id in ["1", "999", "abc"]:
                response = await shop.client.post(
                    f"/users/{user_id}/add-funds", headers=headers | KEY, json={"amount": 5}
                )
                assert_problem(response, problem(403, "FORBIDDEN", detail))


async def test_the_documented_limit_is_the_configured_one() -> None:
    app = create_app(Settings(max_top_up_amount=50))
    schemas: dict[str, Any] = app.openapi()["components"]["schemas"]
    amount = schemas["AddFundsBody"]["properties"]["amount"]
    assert (amount["minimum"], amount["maximum"]) == (1, 50)
