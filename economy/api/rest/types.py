"""Field types of request bodies: nothing is converted, so `true`, `1.0` and "1" are no integers."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict

from economy.models.transaction import MAX_QUANTITY
from economy.services.bounds import MAX_REFERENCE, is_printable

# for the document only: no control character, and not all of it blank
_CONTROL = r"\u0000-\u001f\u007f-\u009f"
_VISIBLE_SOMEWHERE = rf"^[^{_CONTROL}]*[^\s{_CONTROL}][^{_CONTROL}]*$"


def _refuse_control_characters(text: str) -> str:
    if not is_printable(text):
        raise ValueError("must not hold control characters")
    return text


class Body(BaseModel):
    """A misspelt field would otherwise be a silent default."""

    model_config = ConfigDict(extra="forbid")


StrictInteger = Annotated[int, Strict()]
Quantity = Annotated[
    StrictInteger, Field(ge=1, le=MAX_QUANTITY, description="How many", examples=[1])
]
UserId = Annotated[
    StrictInteger | None,
    Field(description="For whom: a server key must name the user, a player's is its own"),
]
Reference = Annotated[
    str,
    Strict(),
    Field(
        min_length=1, max_length=MAX_REFERENCE, json_schema_extra={"pattern": _VISIBLE_SOMEWHERE}
    ),
    AfterValidator(_refuse_control_characters),
]


def id_text(number: int | None) -> str | None:
    """Services take ids as text, as they come from outside."""
    return None if number is None else str(number)
