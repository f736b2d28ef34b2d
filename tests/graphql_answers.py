"""What a test expects in GraphQL answers."""

from typing import Any

from economy.models.user import UserRow

PRODUCT = "id name description price type isActive"
USER = "id username email balance createdAt"
TRANSACTION = f"""id kind status product {{ {PRODUCT} }} quantity amount balanceAfter failureCode
    createdAt"""
ITEM = f"id product {{ {PRODUCT} }} quantity purchasedAt"

BOOST = {
    "id": "1",
    "name": "Буст на день",
    "description": "",
    "price": 100,
    "type": "CONSUMABLE",
    "isActive": True,
}
PREMIUM = BOOST | {"id": "2", "name": "Премиум-статус", "price": 500, "type": "PERMANENT"}
IMPOSSIBLE_IDS = ["0", "01", "-1", "abc", "", " 1", str(2**63), str(2**70), "1\u0000"]


def extensions(code: str, **changes: Any) -> dict[str, Any]:
    return {"code": code, "retryable": False, **changes}


FORBIDDEN = extensions("FORBIDDEN")
UNAUTHENTICATED = extensions("UNAUTHENTICATED")


def invalid(field: str) -> dict[str, Any]:
    return extensions("INVALID_INPUT", field=[field])


def errors_of(body: dict[str, Any]) -> list[tuple[list[str], dict[str, Any]]]:
    """Where each field failed and why, in the order of the paths."""
    errors = [(error["path"], error["extensions"]) for error in body.get("errors", [])]
    return sorted(errors, key=lambda error: error[0])


def told(user: UserRow, **changes: Any) -> dict[str, Any]:
    """All of USER, told to who may read that user."""
    fields: dict[str, Any] = {"id": str(user.id), "username": user.username, "email": user.email}
    fields |= {"balance": user.balance, "createdAt": user.created_at.isoformat()}
    return fields | changes
