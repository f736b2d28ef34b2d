"""Bodies that no endpoint takes: refused before anything runs, never an error of ours."""

import json

import httpx
import pytest

from tests.journal import nothing_changes
from tests.rest import WRITES, assert_problem, malformed, post_text, problem
from tests.shop import Shop

KEY = {"Idempotency-Key": "key"}
NOT_AN_OBJECT = "Input should be a valid dictionary or object to extract fields from"


async def post_each(shop: Shop, body: bytes, **headers: str) -> list[httpx.Response]:
    """The body to each endpoint that changes something."""
    given = shop.server | KEY | headers
    return [await post_text(shop, path, given, body) for path, _ in WRITES]


async def test_not_an_object(shop: Shop) -> None:
    async with nothing_changes(shop.world):
        for body in [b'"x"', b"1", b"[]", b"true", b'[{"amount": 50}]']:
            for response in await post_each(shop, body):
                assert_problem(response, malformed("#", NOT_AN_OBJECT))


async def test_unknown_fields(shop: Shop) -> None:
    """A misspelt field would otherwise be a silent default."""
    async with nothing_changes(shop.world):
        for path, body in WRITES:
            for name in ["Quantity", "userId", "idempotency_key", "", "__proto__", "ключ", "\x00"]:
                response = await shop.client.post(
                    path, headers=shop.server | KEY, json=body | {name: None}
                )
                expected = malformed(f"#/{name}", "Extra inputs are not permitted")
                assert_problem(response, expected)


async def test_half_of_a_character_as_a_name(shop: Shop) -> None:
    detail = "Input should be a valid string, unable to parse raw data as a unicode string"
    async with nothing_changes(shop.world):
        for path, body in WRITES:
            fields = json.dumps(body | {"\ud800": 1})
            response = await post_text(shop, path, shop.server | KEY, fields)
            assert_problem(response, malformed("#", detail))


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "application/xml", ""]
)
async def test_other_media_types(shop: Shop, media_type: str) -> None:
    expected = problem(415, "UNSUPPORTED_MEDIA_TYPE", "Send application/json.")
    async with nothing_changes(shop.world):
        for body in [b'{"amount": 50}', b"amount=50", b"{"]:
            for response in await post_each(shop, body, **{"Content-Type": media_type}):
                assert_problem(response, expected)


async def test_media_type_with_a_parameter(shop: Shop) -> None:
    headers = shop.server | KEY | {"Content-Type": "Application/JSON; charset=utf-8"}
    response = await post_text(shop, "/users/1/add-funds", headers, '{"amount": 50}')
    assert (response.status_code, response.json()["user"]["balance"]) == (200, 50)


async def test_size(shop: Shop) -> None:
    """64 KiB are read, spaces included; one byte more is not."""
    body = b'{"amount": 50}'.ljust(64 * 1024)
    too_large = problem(413, "CONTENT_TOO_LARGE", "The body is larger than 65536 bytes.")
    async with nothing_changes(shop.world):
        for response in await post_each(shop, body + b" "):
            assert_problem(response, too_large)
        for response in await post_each(shop, b" " * (2 * 1024 * 1024)):
            assert_problem(response, too_large)
    response = await post_text(shop, "/users/1/add-funds", shop.server | KEY, body)
    assert (response.status_code, response.json()["user"]["balance"]) == (200, 50)


async def test_who_asks_comes_before_what_is_asked(shop: Shop) -> None:
    """Whoever has no valid credential learns nothing about what it sent."""
    bad = problem(401, "UNAUTHENTICATED", "The server key is not valid.")
    nobody = "This needs a credential: a player token or a server key."
    anonymous = problem(401, "UNAUTHENTICATED", nobody)
    async with nothing_changes(shop.world):
        for path, _ in WRITES:
            for body in ["{", '{"quantity": 0}', "x" * 70_000]:
                response = await post_text(shop, path, {"X-Api-Key": "eck_wrong"} | KEY, body)
                assert_problem(response, bad)
                assert_problem(await post_text(shop, path, KEY, body), anonymous)
