"""A small economy in the real application, which is asked as uvicorn asks it."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import uvicorn
from uvicorn.lifespan.on import LifespanOn

from bench.counted.exchange import Exchange
from bench.counted.operations import MANY, Operation
from bench.counted.servers import Servers
from bench.suite import rows
from bench.suite.requests import Request
from bench.suite.seed import PRICE, PRODUCTS, product_ids
from economy.api.tokens import PlayerTokens
from economy.app import create_app
from economy.settings import Settings

# For more purchases and uses than are made here; and neither gets another digit by them.
COINS = 1_000_000
UNITS = 500
TIMEOUT = 60.0

CREATE_USER = """mutation Create($name: String!, $email: String!) {
  createUser(input: { username: $name, email: $email }) {
    ... on CreateUserSuccess { user { id } }
  }
}"""
CREATE_PRODUCT = """mutation Create($name: String!, $price: Amount!) {
  createProduct(input: { name: $name, price: $price, type: CONSUMABLE }) {
    ... on CreateProductSuccess { product { id } }
  }
}"""
CREDIT = """mutation Credit($user: ID!, $amount: Amount!) {
  addFunds(input: { userId: $user, amount: $amount, idempotencyKey: "seed" }) {
    ... on AddFundsSuccess { user { id } }
  }
}"""
BUY = """mutation Buy($user: ID!, $product: ID!, $key: String!, $quantity: Int!) {
  purchase(input: {
    userId: $user, productId: $product, quantity: $quantity, idempotencyKey: $key
  }) {
    ... on PurchaseSuccess { item { quantity } }
  }
}"""

Watch = Callable[[], contextlib.AbstractContextManager[None]]


@dataclass(frozen=True)
class Economy:
    application: Any  # ASGI, with what uvicorn puts around it
    state: dict[str, Any]
    tokens: Sequence[str]  # of the users, in order of their ids
    server_key: str
    numbers: Iterator[int]

    def exchanges(self, operation: Operation) -> list[Exchange]:
        """One for each of the first users; keys are new each time, and all equally long."""
        request = operation.request(self.server_key)
        return [
            self._exchange(request, user_id, self.tokens[user_id - 1])
            for user_id in range(1, operation.at_once + 1)
        ]

    async def run(
        self, exchanges: Iterable[Exchange], watching: Watch = contextlib.nullcontext
    ) -> None:
        """All at once, and whatever they leave to be done after their answers."""
        others = asyncio.all_tasks()
        asked = [self.application(one.scope, one.receive, one.send) for one in exchanges]
        async with asyncio.timeout(TIMEOUT):
            with watching():
                await asyncio.gather(*asked)
            while rest := asyncio.all_tasks() - others:
                with watching():
                    await asyncio.wait(rest)

    async def forget_inventories(self, users: int) -> None:
        """As it happens in life: they buy something."""
        await self.run(self.exchanges(Operation(rows.PURCHASE, at_once=users)))

    async def seed(self) -> None:
        """Each user holds what the requests buy and use, ten rows."""
        names = [f"Product {number}" for number in range(PRODUCTS)]
        await self._ask(CREATE_PRODUCT, ({"name": name, "price": PRICE} for name in names))
        names = [f"player{number}" for number in range(MANY)]
        await self._ask(
            CREATE_USER, ({"name": name, "email": f"{name}@example.com"} for name in names)
        )
        users = range(1, MANY + 1)
        await self._ask(CREDIT, ({"user": user_id, "amount": COINS} for user_id in users))
        await self._ask(
            BUY,
            (
                {"user": user_id, "product": id_, "key": f"seed-{id_}", "quantity": UNITS}
                for user_id in users
                for id_ in product_ids(user_id)
            ),
        )

    async def _ask(self, document: str, variables: Iterable[dict[str, object]]) -> None:
        """With the server's key. Raises AssertionError unless each is a success."""
        head = "\r\n".join(
            (
                "POST /graphql HTTP/1.1",
                "Host: 127.0.0.1",
                "Content-Type: application/json",
                f"X-Api-Key: {self.server_key}\r\n\r\n",
            )
        )
        bodies = [json.dumps({"query": document, "variables": each}) for each in variables]
        exchanges = [Exchange((head + body).encode(), self.state) for body in bodies]
        await self.run(exchanges)
        for one in exchanges:
            # what is no success has nothing of what was selected
            assert b'":{"' in one.body.removeprefix(b'{"data":{"'), one.body

    def _exchange(self, request: Request, user_id: int, token: str) -> Exchange:
        key = f"counted-{next(self.numbers):06}"
        return Exchange(request.filled(user_id, key, token), self.state)


@contextlib.asynccontextmanager
async def open_economy(servers: Servers) -> AsyncIterator[Economy]:
    values: dict[str, Any] = dict(servers.settings)
    settings = Settings(**values)
    tokens = PlayerTokens(settings)
    config = uvicorn.Config(create_app(settings), lifespan="on", log_config=None)
    lifespan = LifespanOn(config)
    await lifespan.startup()
    if lifespan.should_exit:
        raise SystemExit("the application does not start")
    try:
        yield Economy(
            config.loaded_app,
            lifespan.state,
            [tokens.issue(user_id) for user_id in range(1, MANY + 1)],
            servers.server_key,
            itertools.count(),
        )
    finally:
        await lifespan.shutdown()
