"""Generated operations answer the same, interpreted and compiled, with traces taken and without."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random
from shutil import copyfile
from typing import Any

import pytest
from graphql import GraphQLSchema, print_ast
from hypothesis_graphql import mutations, queries

from economy.api.graphql.schema import build_schema
from economy.api.traced import trace_resolvers
from economy.bootstrap import open_services
from economy.services.access import Actor
from economy.settings import Settings
from economy.tracing import Tracing
from tests.collector import Collector, collecting
from tests.compiled_both_ways import compiled, interpreted
from tests.compiled_generated import CUSTOM_SCALARS
from tests.test_compiled import NO_LIMITS, OWN, filled, ran, state_of, varied
from tests.world import SERVER, World

EXAMPLES = 300
ACTORS = [None, Actor.player(1), Actor.player(2), SERVER, SERVER]


@dataclass
class Asker:
    """Four economies that are alike, for each way one; the last two are traced."""

    worlds: list[World]
    tracing: Tracing
    collector: Collector
    plain: GraphQLSchema
    traced: GraphQLSchema
    spans: int = 0

    async def ask(self, asked: Any, actor: Any) -> bytes:
        """The answer, which is the same each way; so are the two traces."""
        answers = [
            await ran(interpreted, self.plain, asked, self.worlds[0], actor),
            await ran(compiled, self.plain, asked, self.worlds[1], actor),
        ]
        self.collector.spans.clear()
        for run, world in zip((interpreted, compiled), self.worlds[2:], strict=True):
            with self.tracing.span("asked", caller={}):
                answers.append(await ran(run, self.traced, asked, world, actor))
        # what a thread would send some time
        await asyncio.to_thread(self.tracing._provider.force_flush)
        answers = [OWN.sub(b"own", answer) for answer in answers]
        assert answers == 4 * answers[:1], (print_ast(asked[0]), asked[1])
        first, second = [self.collector.tree(span) for span in self.collector.named("asked")]
        assert first == second, print_ast(asked[0])
        self.spans += len(self.collector.spans)
        return answers[0]


@pytest.fixture
async def asker(sqlite_template: Path, tmp_path: Path) -> AsyncIterator[Asker]:
    async with AsyncExitStack() as stack:
        collector = stack.enter_context(collecting())
        tracing = Tracing(collector.url, share=1)
        stack.callback(tracing.close)
        plain, traced = (build_schema()._schema for _ in range(2))
        trace_resolvers(traced, tracing)
        worlds = []
        for number in range(4):
            file = tmp_path / f"{number}.db"
            copyfile(sqlite_template, file)
            settings = Settings(database_url=f"sqlite:///{file}", jobs_in_server=False, **NO_LIMITS)
            opened = open_services(settings, tracing=tracing if number > 1 else None)
            worlds.append(await World.create(await stack.enter_async_context(opened)))
            await filled(worlds[-1])
        yield Asker(worlds, tracing, collector, plain, traced)


async def test_queries(asker: Asker) -> None:
    random, failed = Random(2), 0
    strategy = queries(
        asker.plain, custom_scalars=CUSTOM_SCALARS, print_ast=lambda document: document
    )
    asked_ones = varied(asker.plain, strategy, random, EXAMPLES // 2)
    for asked in asked_ones:
        failed += b'"errors"' in await asker.ask(asked, random.choice(ACTORS))
    assert 0.2 * len(asked_ones) < failed < 0.9 * len(asked_ones), failed
    assert asker.spans > 4 * len(asked_ones)


async def test_mutations(asker: Asker) -> None:
    random = Random(2)
    strategy = mutations(
        asker.plain, custom_scalars=CUSTOM_SCALARS, print_ast=lambda document: document
    )
    for asked in varied(asker.plain, strategy, random, EXAMPLES // 3):
        await asker.ask(asked, random.choice(ACTORS))
    states = [await state_of(world) for world in asker.worlds]
    assert states == 4 * states[:1]
    assert [await world.broken() for world in asker.worlds] == 4 * [{}]
