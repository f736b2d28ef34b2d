"""What is refused though an answer is kept, and what is wrong each time that it is asked."""

import json
from typing import Any

from economy.services.access import Scope
from tests.graphql_answers import FORBIDDEN, UNAUTHENTICATED, extensions, invalid
from tests.shop import Headers
from tests.twins import Twins
from tests.world import SERVER

OF = "query ($u: ID) { inventory(userId: $u) { quantity } }"
LITERAL = '{ inventory(userId: "1") { quantity } }'
OF_TYPE = "query ($t: ProductType!) { inventory(type: $t) { quantity } }"


async def assert_refused(
    twins: Twins, who: Headers, document: str, told: dict[str, Any] | None, **variables: Any
) -> None:
    """Byte for byte as by a process that keeps nothing, however often it is asked."""
    plain = await twins.plain.ask(who, document, **variables)
    [error] = plain.json()["errors"]
    assert error["extensions"] == (told or {"code": "GRAPHQL_VALIDATION_FAILED"})
    for process in (twins.one, twins.one, twins.other, twins.one, twins.other):
        response = await process.ask(who, document, **variables)
        assert response.content == plain.content
        assert response.status_code == plain.status_code
        assert "ratelimit" not in response.headers or "ratelimit" in plain.headers


async def test_who_may_not_read_is_told_nothing_that_is_kept(twins: Twins) -> None:
    async def key_with(*scopes: Scope) -> Headers:
        key = await twins.one.services.server_keys.create_key(frozenset(scopes))
        return {"X-Api-Key": key}

    others = [scope for scope in Scope if scope is not Scope.READ_ANY]
    for document, variables in ((OF, {"u": "1"}), (LITERAL, {})):
        for _ in range(3):
            assert b'"quantity":2' in await twins.one.answer(twins.anna, document, **variables)
        for who, told in (
            (twins.boris, FORBIDDEN),
            (await key_with(*others), FORBIDDEN),
            ({}, UNAUTHENTICATED),
        ):
            await assert_refused(twins, who, document, told, **variables)
        reader = await key_with(Scope.READ_ANY)
        assert b'"quantity":2' in await twins.one.answer(reader, document, **variables)


async def test_errors_are_not_kept(twins: Twins) -> None:
    for who, document, told, variables in (
        (twins.server, OF, extensions("USER_NOT_FOUND"), {"u": "99"}),
        (twins.server, OF, extensions("USER_NOT_FOUND"), {"u": "01"}),
        (twins.server, OF, invalid("userId"), {}),
        (twins.server, OF, invalid("userId"), {"u": None}),
        (twins.server, "{ inventory { quantity } }", invalid("userId"), {}),
        (twins.anna, OF, FORBIDDEN, {"u": "2"}),
        (twins.anna, OF, FORBIDDEN, {"u": "01"}),
        (twins.anna, OF, FORBIDDEN, {"u": 2}),
        (twins.anna, OF, None, {"u": True}),
        (twins.anna, OF, None, {"u": ["1", 2]}),
        (twins.anna, OF_TYPE, None, {}),
        (twins.anna, OF_TYPE, None, {"t": None}),
        (twins.anna, OF_TYPE, None, {"t": "NOTHING"}),
        (twins.anna, OF_TYPE, None, {"t": 1}),
    ):
        await assert_refused(twins, who, document, told, **variables)
    assert twins.one.kept[0] == twins.other.kept[0] == 0


async def test_a_user_who_comes_to_be(twins: Twins) -> None:
    """That there was none is not kept."""
    await assert_refused(twins, twins.server, OF, extensions("USER_NOT_FOUND"), u="3")
    users = twins.one.services.users
    vera = await users.create_user(SERVER, username="vera", email="vera@example.com")
    assert vera.id == 3
    for process in (twins.other, twins.one, twins.other):
        assert await process.answer(twins.server, OF, u="3") == b'{"data":{"inventory":[]}}'


async def test_variables_that_nobody_declared(twins: Twins) -> None:
    """They are no reason to fail, however deep they are nested."""
    deep = json.loads(300 * "[" + 300 * "]")
    expected = await twins.plain.answer(twins.anna, OF, u="1", deep=deep)
    for _ in range(3):
        assert await twins.one.answer(twins.anna, OF, u="1", deep=deep) == expected
