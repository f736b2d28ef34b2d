"""Who may do what. Checked in services, so that every door is the same."""

import re
from dataclasses import dataclass
from enum import StrEnum

from economy.errors import Forbidden, ProductNotFound, Unauthenticated, UserNotFound, invalid

_ID = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
_GREATEST_ID = 2**63 - 1


class Scope(StrEnum):
    FUNDS_WRITE = "funds:write"  # credit users
    ITEMS_WRITE = "items:write"  # buy and use for a user
    CATALOG_WRITE = "catalog:write"  # create and edit products
    USERS_WRITE = "users:write"  # create users
    READ_ANY = "read:any"  # read any user


ALL_SCOPES = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks: a player is its user id and has no scopes; a server key has no user."""

    name: str  # as the journal records it: "player:42", "server:<id of the key>"
    user_id: int | None
    scopes: frozenset[Scope] = frozenset()

    @classmethod
    def player(cls, user_id: int) -> "Actor":
        return cls(f"player:{user_id}", user_id)

    @classmethod
    def server(cls, key_id: object, scopes: frozenset[Scope]) -> "Actor":
        return cls(f"server:{key_id}", None, scopes)

    def may_read(self, user_id: int | None) -> bool:
        """None stands for an id that cannot exist: only who may read anybody may ask for it."""
        is_itself = user_id is not None and user_id == self.user_id
        return is_itself or Scope.READ_ANY in self.scopes


def parse_id(text: str) -> int | None:
    """None: an id of that form cannot exist."""
    if not _ID.fullmatch(text):
        return None
    number = int(text)
    return number if number <= _GREATEST_ID else None


def authenticated(actor: Actor | None) -> Actor:
    if actor is None:
        raise Unauthenticated
    return actor


def require_scope(actor: Actor | None, scope: Scope) -> Actor:
    """For what no player may ever do."""
    actor = authenticated(actor)
    if scope not in actor.scopes:
        raise Forbidden(f"This needs a server key with the scope {scope}.")
    return actor


def acting_user_id(actor: Actor, user_id: str | None, scope: Scope) -> int:
    """Whose economy the actor acts on. A player's is its own; a server names the user.

    Another's id is Forbidden to a player whether it exists or not: ids cannot be probed.
    """
    if actor.user_id is not None:
        if user_id is not None and user_id != str(actor.user_id):
            raise Forbidden("A player acts for itself only.")
        return actor.user_id
    require_scope(actor, scope)
    if user_id is None:
        raise invalid("user_id", "A server key must name the user.")
    return existing_user_id(user_id)


def existing_user_id(user_id: str) -> int:
    number = parse_id(user_id)
    if number is None:
        raise UserNotFound(user_id)
    return number


def existing_product_id(product_id: str) -> int:
    number = parse_id(product_id)
    if number is None:
        raise ProductNotFound(product_id)
    return number


def require_may_read(actor: Actor | None, user_id: int | None) -> None:
    if not authenticated(actor).may_read(user_id):
        raise Forbidden("This credential may not read that user.")


def reading_user_id(actor: Actor | None, user_id: str | None) -> int:
    """Whom the actor reads: a player itself by default, a server key must name the user."""
    if user_id is not None:
        return readable_user_id(actor, user_id)
    own_id = authenticated(actor).user_id
    if own_id is None:
        raise invalid("user_id", "A server key must name the user.")
    return own_id


def readable_user_id(actor: Actor | None, user_id: str) -> int:
    """Forbidden comes before UserNotFound: whoever may not read an id cannot probe it either."""
    require_may_read(actor, parse_id(user_id))
    return existing_user_id(user_id)
