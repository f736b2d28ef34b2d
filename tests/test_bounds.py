"""What input is acceptable: the last good value and the first bad one of each."""

from collections.abc import Callable
from functools import partial

import pytest

from economy.errors import IdempotencyKeyMissing, InvalidInput
from economy.services import bounds


@pytest.mark.parametrize(
    ("check", "field", "least", "most"),
    [
        (bounds.check_quantity, "quantity", 1, 1_000),
        (partial(bounds.check_amount, limit=250), "amount", 1, 250),
        (bounds.check_expected_price, "expected_price", 0, 2**53 - 1),
        (bounds.check_price, "price", 0, 10**12),
        (bounds.check_page, "first", 1, 100),
        (bounds.check_limit, "limit", 1, 100),
    ],
)
def test_ranges(check: Callable[[int], None], field: str, least: int, most: int) -> None:
    check(least)
    check(most)
    for value in (least - 1, most + 1, -(2**70), 2**70):
        with pytest.raises(InvalidInput) as caught:
            check(value)
        [problem] = caught.value.problems
        assert (problem.path, problem.message) == ((field,), f"{field} must be {least} to {most}.")


def test_no_price_need_be_expected() -> None:
    bounds.check_expected_price(None)


@pytest.mark.parametrize("key", ["k", "!", "~", "x" * 255, '{"a":"\\"}'])
def test_idempotency_keys(key: str) -> None:
    for is_required in (True, False):
        bounds.check_idempotency_key(key, is_required=is_required)


@pytest.mark.parametrize(
    "key", ["", " ", "a b", "x" * 256, "k\n", "\x00", "\x7f", "ключ", "é", "\ud800"]
)
def test_idempotency_keys_of_the_wrong_form(key: str) -> None:
    for is_required in (True, False):
        with pytest.raises(IdempotencyKeyMissing):
            bounds.check_idempotency_key(key, is_required=is_required)


def test_a_key_is_missing_only_where_it_is_required() -> None:
    bounds.check_idempotency_key(None, is_required=False)
    with pytest.raises(IdempotencyKeyMissing):
        bounds.check_idempotency_key(None, is_required=True)


@pytest.mark.parametrize("text", ["x", "x" * 255, "заказ 17", "☕", " x", "a‍b"])
def test_references(text: str) -> None:
    bounds.check_reference(text)
    bounds.check_reference(None)


@pytest.mark.parametrize(
    "text",
    ["", " ", "\u2003", "x" * 256, "a\x00b", "a\nb", "a\x7fb", "a\x9fb", "\ud800", "a\udfff"],
)
def test_references_that_are_none(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        bounds.check_reference(text)
    assert [problem.path for problem in caught.value.problems] == [("external_reference",)]


def test_a_text_that_may_be_empty() -> None:
    bounds.check_text("description", "", 0, 10)
    bounds.check_text("description", " ", 0, 10)
    with pytest.raises(InvalidInput):
        bounds.check_text("description", "x" * 11, 0, 10)


@pytest.mark.parametrize(
    ("username", "email"),
    [
        ("abc", "a@b.c"),
        ("A.b_c-9", "first.last+tag@sub.example.com"),
        ("x" * 32, "x" * 64 + "@" + "y" * 185 + ".com"),
        ("...", "почта@пример.рф"),
    ],
)
def test_users(username: str, email: str) -> None:
    bounds.check_user(username, email)


@pytest.mark.parametrize(
    "username", ["", "ab", "x" * 33, "a b", "имя", "abc\n", "abc\x00", "a@b", "٣٣٣", "abc/"]
)
def test_usernames_of_the_wrong_form(username: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        bounds.check_user(username, "a@b.c")
    assert [problem.path for problem in caught.value.problems] == [("username",)]


@pytest.mark.parametrize(
    "email",
    [
        "",
        "a",
        "@b.c",
        "a@",
        "a@b",
        "a@b.",
        "a@.c",
        "a@b..c",
        "a@b@c.d",
        "a b@c.d",
        "a@b.c\n",
        "a\x00@b.c",
        "\ud800@b.c",
        "x" * 65 + "@b.c",
        "x" * 64 + "@" + "y" * 186 + ".com",
        # 254 characters, but more in lower case, in which they are claimed
        "İ" * 64 + "@" + "İ" * 185 + ".com",
    ],
)
def test_addresses_of_the_wrong_form(email: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        bounds.check_user("anna", email)
    assert [problem.path for problem in caught.value.problems] == [("email",)]


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        bounds.check_user("", "")
    assert [problem.path for problem in caught.value.problems] == [("username",), ("email",)]
    assert str(caught.value) == (
        "A username has 3 to 32 letters, digits, dots, dashes or underscores. "
        "This is not an e-mail address."
    )
