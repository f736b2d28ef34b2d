"""Generated operations on our own schema answer the same bytes compiled as interpreted."""

import os
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from random import Random
from shutil import copyfile
from typing import Any

import orjson
import pytest
from graphql import (
    ArgumentNode,
    DocumentNode,
    GraphQLSchema,
    ListValueNode,
    ObjectFieldNode,
    ObjectValueNode,
    Visitor,
    parse,
    print_ast,
    validate,
    visit,
)
from hypothesis_graphql import mutations, nodes, queries

from economy.api.graphql.answers import formatted
from economy.api.graphql.context import Context
from economy.api.graphql.schema import build_schema
from economy.api.limits import RequestLimits
from economy.bootstrap import open_services
from economy.services.access import Actor
from economy.settings import Settings
from tests.compiled_both_ways import compiled, interpreted
from tests.compiled_generated import CUSTOM_SCALARS, generated
from tests.compiled_variations import Variation
from tests.sql_counter import recorded_sql
from tests.world import SERVER, World

EXAMPLES = int(os.environ.get("TEST_COMPILED_EXAMPLES", "300"))
NO_LIMITS: dict[str, Any] = {"rate_limit_player_money": "", "rate_limit_player_reads": ""}
# what differs between two economies that were asked the same
OWN = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT[0-9:.+]+")
POOL: dict[str, list[Any]] = {
    "id": ["1", "2", "3", "x"],
    "productId": ["1", "1", "2", "9"],
    "userId": ["1", "1", "2", "9"],
    "idempotencyKey": [f"key-{number}" for number in range(12)],
    "quantity": [1, 1, 2, 0],
    "amount": [100, 1000, 0],
    "first": [1, 2, 50, 0],
    "after": [None],
    "username": ["anna", "carla", "d"],
    "email": ["anna@example.com", "carla@example.com"],
}


class _Likely(Visitor):
    """Puts values that mean something at places of these names."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self._random = random

    def enter_argument(self, node: ArgumentNode, *_: Any) -> Any:
        return self._likely(node)

    def enter_object_field(self, node: ObjectFieldNode, *_: Any) -> Any:
        return self._likely(node)

    def _likely(self, node: Any) -> Any:
        name = node.name.value
        is_nested = isinstance(node.value, ObjectValueNode | ListValueNode)
        if name not in POOL or is_nested or self._random.random() < 0.1:
            return None
        value = self._random.choice(POOL[name])
        literal: Any = nodes.Null
        if value is not None:
            literal = nodes.String(value) if isinstance(value, str) else nodes.Int(value)
        return type(node)(name=node.name, value=literal)


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return build_schema()._schema


def varied(
    schema: GraphQLSchema, strategy: Any, random: Random, count: int
) -> list[tuple[DocumentNode, dict[str, Any]]]:
    """Valid documents with values for their variables."""
    found = []
    for document in generated(strategy, count):
        likely = visit(document, _Likely(random))
        variation, variables = Variation(schema, random).of(likely)
        printed = parse(print_ast(variation))
        if not validate(schema, printed):
            found.append((printed, variables))
    assert len(found) > 0.7 * count
    return found


async def ran(run: Any, schema: GraphQLSchema, asked: Any, world: World, actor: Any) -> bytes:
    document, variables = asked
    context = Context(world.services, actor, RequestLimits({}, world.services, actor))
    return orjson.dumps(formatted(await run(schema, document, variables, context)))


async def filled(world: World) -> None:
    await world.credit(world.anna, 5000)
    await world.credit(world.boris, 90)
    for product in (world.boost, world.boost, world.premium):
        await world.buy(world.anna, product)
    await world.use(world.anna, world.boost)
    [begun] = [await world.begin(world.anna, 10)]
    await world.fail(begun.transaction)


@pytest.fixture
async def alike(sqlite_url: str) -> AsyncIterator[list[World]]:
    """One economy, and two services of it that share no cache."""
    settings = Settings(database_url=sqlite_url, jobs_in_server=False, **NO_LIMITS)
    async with open_services(settings) as services, open_services(settings) as others:
        world = await World.create(services)
        await filled(world)
        yield [replace(world, services=one) for one in (services, others)]


async def test_queries(schema: GraphQLSchema, alike: list[World]) -> None:
    """With the same statements: what one loader gathers, the other gathers."""
    random, failed, statements = Random(1), 0, 0
    strategy = queries(schema, custom_scalars=CUSTOM_SCALARS, print_ast=lambda document: document)
    asked_ones = varied(schema, strategy, random, EXAMPLES // 3)
    for asked in asked_ones:
        actor = random.choice([None, Actor.player(1), Actor.player(2), SERVER, SERVER])
        answers = []
        for run, world in zip((interpreted, compiled), alike, strict=True):
            with recorded_sql(world.services.database) as sql:
                answer = await ran(run, schema, asked, world, actor)
            answers.append((answer, sorted(sql)))  # two connections may come in any order
        assert answers[0] == answers[1], (print_ast(asked[0]), asked[1])
        failed += b'"errors"' in answers[0][0]
        statements += len(answers[0][1])
    assert 0.2 * len(asked_ones) < failed < 0.9 * len(asked_ones), failed
    assert statements > len(asked_ones)


@pytest.fixture
async def worlds(sqlite_template: Path, tmp_path: Path) -> AsyncIterator[list[World]]:
    """Two that are alike: one is asked by interpreted, the other by compiled operations."""
    async with AsyncExitStack() as stack:
        worlds = []
        for name in ("interpreted", "compiled"):
            file = tmp_path / f"{name}.db"
            copyfile(sqlite_template, file)
            settings = Settings(database_url=f"sqlite:///{file}", jobs_in_server=False, **NO_LIMITS)
            services = await stack.enter_async_context(open_services(settings))
            worlds.append(await World.create(services))
            await worlds[-1].credit(worlds[-1].anna, 5000)
        yield worlds


async def test_mutations(schema: GraphQLSchema, worlds: list[World]) -> None:
    """Each runs once both ways, or the two economies would come apart."""
    random = Random(1)
    strategy = mutations(schema, custom_scalars=CUSTOM_SCALARS, print_ast=lambda document: document)
    for asked in varied(schema, strategy, random, EXAMPLES // 5):
        actor = random.choice([None, Actor.player(1), Actor.player(2), SERVER, SERVER])
        answers = []
        for run, world in zip((interpreted, compiled), worlds, strict=True):
            answers.append(OWN.sub(b"own", await ran(run, schema, asked, world, actor)))
        assert answers[0] == answers[1], (print_ast(asked[0]), asked[1])
    first, second = [await state_of(world) for world in worlds]
    assert first == second
    statuses = [row.status for row in first["transaction"]]
    assert statuses.count("completed") >= 3
    assert statuses.count("failed") > 1
    assert [await world.broken() for world in worlds] == [{}, {}]


async def state_of(world: World) -> dict[str, Any]:
    state: dict[str, Any] = await world.state()
    state["owing"] = [
        owing._replace(chain_hash=b"", deleted_at=owing.deleted_at is not None)
        for owing in state["owing"]
    ]
    return state
