"""Pending top-ups that are refused: who may not, what is wrong, and that nothing has changed."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from economy.errors import (
    EconomyError,
    Forbidden,
    IdempotencyKeyMissing,
    IdempotencyKeyReused,
    InvalidInput,
    TransactionNotFound,
    Unauthenticated,
    UserNotFound,
)
from economy.services.access import ALL_SCOPES, Actor, Scope
from economy.services.top_up import TopUpService
from tests.journal import error_of, nothing_changes, told
from tests.world import World

OUT_OF_BOUNDS: list[tuple[dict[str, Any], type[EconomyError]]] = [
    ({"amount": 0}, InvalidInput),
    ({"amount": 1_000_001}, InvalidInput),
    ({"external_reference": ""}, InvalidInput),
    ({"external_reference": "a\x00b"}, InvalidInput),
    ({"idempotency_key": None}, IdempotencyKeyMissing),
    ({"idempotency_key": "a b"}, IdempotencyKeyMissing),
    ({"user_id": "abc"}, UserNotFound),
    ({"user_id": "999999"}, UserNotFound),
    # both ways to top up share their keys, and other input is refused
    ({"idempotency_key": "credited"}, IdempotencyKeyReused),
    ({"idempotency_key": "begun", "amount": 2}, IdempotencyKeyReused),
    ({"idempotency_key": "begun", "external_reference": "r"}, IdempotencyKeyReused),
]


@pytest.fixture
async def sound(world: World) -> AsyncIterator[World]:
    """Whatever a test does to it, every invariant holds afterwards."""
    yield world
    assert await world.broken() == {}


async def test_what_is_never_begun(sound: World) -> None:
    await sound.credit(sound.anna, 1, idempotency_key="credited")
    await sound.begin(sound.anna, 1, idempotency_key="begun")
    async with nothing_changes(sound):
        for changes, refusal in OUT_OF_BOUNDS:
            values: dict[str, Any] = {"amount": 1} | changes
            assert type(await error_of(sound.begin(sound.anna, **values))) is refusal
        error = await error_of(sound.credit(sound.anna, 1, idempotency_key="begun"))
        assert type(error) is IdempotencyKeyReused


async def test_whom_and_what_is_settled(sound: World) -> None:
    """Another's top-up, an unknown one and what is no top-up all answer alike."""
    begun = (await sound.begin(sound.anna, 250)).transaction
    granted = (await sound.grant(sound.anna, sound.boost)).transaction
    of_boris = begun._replace(user_id=sound.boris.id)
    unknown = begun._replace(id=uuid4())
    async with nothing_changes(sound):
        for settle in (sound.complete, sound.fail):
            for row in (of_boris, unknown, granted):
                error = await error_of(settle(row))
                assert told(error)[:2] == (TransactionNotFound, {"transaction_id": str(row.id)})
            error = await error_of(settle(begun._replace(user_id=999)))
            assert told(error)[:2] == (UserNotFound, {"user_id": "999"})


async def ask_all(top_ups: TopUpService, actor: Actor | None, id_: UUID) -> list[EconomyError]:
    values: dict[str, Any] = {"external_reference": None, "idempotency_key": "new"}
    return [
        await error_of(top_ups.begin(actor, user_id="1", amount=1, **values)),
        await error_of(top_ups.complete(actor, user_id="1", transaction_id=id_)),
        await error_of(top_ups.fail(actor, user_id="1", transaction_id=id_)),
    ]


async def test_who_may_not(sound: World) -> None:
    begun = (await sound.begin(sound.anna, 250)).transaction
    without = Actor.server("s", ALL_SCOPES - {Scope.FUNDS_WRITE})
    async with nothing_changes(sound):
        for actor, refusal in (
            (None, Unauthenticated),
            (Actor.player(sound.anna.id), Forbidden),
            (without, Forbidden),
        ):
            answers = await ask_all(sound.services.top_ups, actor, begun.id)
            assert [type(answer) for answer in answers] == [refusal] * 3
    right = Actor.server("pay", frozenset({Scope.FUNDS_WRITE}))
    completed = await sound.services.top_ups.complete(right, user_id="1", transaction_id=begun.id)
    assert completed.user.balance == 250
