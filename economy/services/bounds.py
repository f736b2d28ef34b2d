"""What input is acceptable: pure checks, one place for every door. Each raises InvalidInput."""

import re
import unicodedata

from economy.errors import FieldProblem, IdempotencyKeyMissing, InvalidInput, invalid
from economy.models.product import MAX_PRICE
from economy.models.transaction import MAX_QUANTITY
from economy.models.user import BALANCE_LIMIT

MAX_PAGE = 100
MAX_EMAIL = 254  # RFC 5321, section 4.5.3.1.3, less the angle brackets
MAX_PRODUCT_NAME = 100
MAX_DESCRIPTION = 2_000
MAX_REFERENCE = 255

_USERNAME = re.compile(r"[A-Za-z0-9._-]{3,32}", re.ASCII)
# Only claimed and shown, never written to: the form is checked, not whether mail would arrive.
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s.]+(\.[^@\s.]+)+")
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def check_quantity(quantity: int) -> None:
    _check_range("quantity", quantity, 1, MAX_QUANTITY)


def check_amount(amount: int, limit: int) -> None:
    _check_range("amount", amount, 1, limit)


def check_expected_price(price: int | None) -> None:
    if price is not None:
        _check_range("expected_price", price, 0, BALANCE_LIMIT)


def check_price(price: int) -> None:
    _check_range("price", price, 0, MAX_PRICE)


def check_page(first: int) -> None:
    _check_range("first", first, 1, MAX_PAGE)


def check_limit(limit: int) -> None:
    _check_range("limit", limit, 1, MAX_PAGE)


def check_idempotency_key(key: str | None, *, is_required: bool) -> None:
    """Raises IdempotencyKeyMissing: also for a key of the wrong form."""
    if key is None:
        if is_required:
            raise IdempotencyKeyMissing
    elif not _KEY.fullmatch(key):
        raise IdempotencyKeyMissing


def check_reference(reference: str | None) -> None:
    if reference is not None:
        check_text("external_reference", reference, 1, MAX_REFERENCE)


def check_user(username: str, email: str) -> None:
    problems = []
    if not _USERNAME.fullmatch(username):
        problems.append(
            FieldProblem(
                ("username",),
                "A username has 3 to 32 letters, digits, dots, dashes or underscores.",
            )
        )
    # it is claimed in lower case, which may be longer: "İ" becomes two characters
    is_short = len(email.lower()) <= MAX_EMAIL
    if not is_short or not _EMAIL.fullmatch(email) or not is_printable(email):
        problems.append(FieldProblem(("email",), "This is not an e-mail address."))
    if problems:
        raise InvalidInput(tuple(problems))


def check_text(field: str, text: str, shortest: int, longest: int) -> None:
    if not shortest <= len(text) <= longest:
        raise invalid(field, f"{field} must have {shortest} to {longest} characters.")
    if not is_printable(text):
        raise invalid(field, f"{field} must not hold control characters.")
    if shortest > 0 and not text.strip():
        raise invalid(field, f"{field} must not be blank.")


def is_printable(text: str) -> bool:
    """Cc: control characters (NUL breaks a whole batch on Postgres). Cs: halves of a character."""
    return not any(unicodedata.category(character) in ("Cc", "Cs") for character in text)


def _check_range(field: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise invalid(field, f"{field} must be {least} to {most}.")
