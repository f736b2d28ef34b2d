"""Dashboard and alerts over a real load: a Prometheus scrapes a server of two processes."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import redis

from economy.models.user import UserRow
from economy.services.access import ALL_SCOPES
from tests.due_jobs import until
from tests.live import LiveServer, live_server
from tests.monitoring.prometheus import Prometheus, running_prometheus
from tests.monitoring.shown import dashboard, shown, watched
from tests.outage import player
from tests.rival import Rival
from tests.servers import RedisServer
from tests.shop import Headers
from tests.world import World

pytestmark = pytest.mark.filterwarnings(
    "always::tests.monitoring.prometheus.MonitoringNotTriedWarning"
)

PURCHASE = """mutation ($quantity: Int!, $key: String!) {
  purchase(input: { productId: 1, quantity: $quantity, idempotencyKey: $key }) {
    ... on PurchaseSuccess { replayed }
    ... on EconomyError { code }
  }
}"""
INVENTORY = "{ inventory { quantity } }"
[ANNOTATED] = [mark["expr"] for mark in dashboard()["annotations"]["list"]]
DOWN = "EconomyDown"
ALERTS = {query.where for query in watched()}


@pytest.fixture
def database_url(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture
def server(
    postgres_url: str, breakable_redis: RedisServer, admin: redis.Redis
) -> Iterator[LiveServer]:
    """Its jobs run once: what the test makes of their times stays."""
    with live_server(
        database_url=postgres_url,
        redis_url=breakable_redis.url,
        workers="2",
        jobs_every_seconds="3600",
        lock_timeout_ms="600",
        redis_timeout_seconds="10",
        rate_limit_player_money="100000/10",
        rate_limit_player_reads="100000/10",
        rate_limit_failed_authentication="2/600",
    ) as server:
        yield server


@pytest.fixture
def prometheus(server: LiveServer) -> Iterator[Prometheus]:
    with running_prometheus(server.url.removeprefix("http://")) as prometheus:
        yield prometheus


@dataclass
class Players:
    """Some who play, and what they were told."""

    client: httpx.AsyncClient
    world: World
    server_key: Headers
    told: Counter[str] = field(default_factory=Counter)
    rounds: int = 0

    async def play(self) -> None:
        """Everything that players do: it succeeds, comes again, is declined, limited or wrong."""
        self.rounds += 1
        anna = player(self.world.anna)
        keys = [f"{self.rounds}-{number}" for number in range(20)]
        await asyncio.gather(*(self._buy(anna, 1, key) for key in keys))
        await self._buy(anna, 1, keys[0])
        await self._buy(player(self.world.boris), 1_000, f"{self.rounds}-dear")
        await self._credit(self.world.boris, 500)
        for path in ("/users/1/inventory", "/products", "/analytics/popular-products"):
            assert (await self.client.get(path, headers=anna)).status_code == 200
        used = await self.client.post("/products/1/use", headers=anna)
        assert used.status_code == 200
        assert "errors" not in await self._graphql(anna, INVENTORY)
        assert "errors" in await self._graphql({}, INVENTORY)
        refused = await self.client.get("/products", headers={"X-Api-Key": "eck_wrong"})
        assert refused.status_code in (401, 429)

    async def wait_in_vain(self, rival: Rival) -> None:
        """Somebody holds a user's row for longer than a purchase waits."""
        user = self.world.boris
        async with rival.holding_user(user.id):
            answer = await self.client.post("/products/1/purchase", headers=player(user))
        assert (answer.status_code, answer.json()["code"]) == (503, "CONFLICT")

    async def _buy(self, who: Headers, quantity: int, key: str) -> None:
        body = await self._graphql(who, PURCHASE, quantity=quantity, key=key)
        assert "errors" not in body, body
        bought = body["data"]["purchase"]
        replayed = {True: "replayed", False: "completed"}
        self.told[bought.get("code") or replayed[bought["replayed"]]] += 1

    async def _credit(self, user: UserRow, amount: int) -> None:
        path = f"/users/{user.id}/add-funds"
        headers = self.server_key | {"Idempotency-Key": f"credit-{self.rounds}"}
        answer = await self.client.post(path, headers=headers, json={"amount": amount})
        assert answer.status_code == 200, answer.text

    async def _graphql(self, who: Headers, document: str, **variables: Any) -> Any:
        body = {"query": document, "variables": variables}
        return (await self.client.post("/graphql", headers=who, json=body)).json()


@pytest.fixture
async def players(server: LiveServer, world: World) -> AsyncIterator[Players]:
    await world.credit(world.anna, 1_000_000)
    key = {"X-Api-Key": await world.services.server_keys.create_key(ALL_SCOPES)}
    # each request on a connection of its own, so that both processes have some
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(
        base_url=server.url, timeout=60, trust_env=False, limits=limits
    ) as client:
        yield Players(client, world, key)


async def until_raised(
    prometheus: Prometheus, names: set[str], meanwhile: Callable[[], Awaitable[None]]
) -> None:
    """Until just these alerts are pending or firing, as Prometheus itself evaluates them."""
    found: set[str] = set()

    async def is_so() -> bool:
        await meanwhile()
        rules = await asyncio.to_thread(prometheus.rules)
        assert rules.keys() == ALERTS
        assert {rule["health"] for rule in rules.values()} <= {"unknown", "ok"}, rules
        found.clear()
        found.update(name for name, rule in rules.items() if rule["state"] != "inactive")
        return found == names and {rule["health"] for rule in rules.values()} == {"ok"}

    await until(is_so, why=lambda: f"{sorted(found)} are raised instead of {sorted(names)}")


async def test_panels_show_a_real_load_and_no_alert_is_raised(
    players: Players, prometheus: Prometheus, rival: Rival
) -> None:
    await until_raised(prometheus, set(), players.play)  # once the jobs have run
    await players.wait_in_vain(rival)
    empty = {(query.where, query.expression) for query in shown()}

    async def have_data() -> bool:
        await players.play()
        for panel in list(empty):
            if await asyncio.to_thread(prometheus.query, panel[1]):
                empty.remove(panel)
        return not empty

    await until(have_data, why=lambda: f"nothing to show: {sorted(empty)}")
    assert prometheus.query(ANNOTATED) == []
    await until_told_exactly(players, prometheus)


async def until_told_exactly(players: Players, prometheus: Prometheus) -> None:
    """The sums over both processes are what the players were told."""
    told = {"purchase": dict(players.told) | {"CONFLICT": 1}}
    told["minted"] = {"top_up": 500 * players.rounds}
    told["spent"] = {"purchase": 100 * players.told["completed"]}
    assert told["purchase"].keys() == {"completed", "replayed", "INSUFFICIENT_FUNDS", "CONFLICT"}
    found: dict[str, dict[str, float]] = {}

    async def is_told() -> bool:
        for name, label, metric in (
            ("purchase", "outcome", 'operations_total{kind="purchase"}'),
            ("minted", "kind", "coins_minted_total"),
            ("spent", "kind", "coins_spent_total"),
        ):
            expression = f"sum by ({label}) (economy_{metric})"
            samples = await asyncio.to_thread(prometheus.query, expression)
            found[name] = {sample.labels[label]: sample.value for sample in samples}
        return found == told

    await until(is_told, why=lambda: f"{found} is not {told}")


async def test_each_alert_is_raised_by_what_it_is_for(
    players: Players,
    server: LiveServer,
    prometheus: Prometheus,
    rival: Rival,
    breakable_redis: RedisServer,
) -> None:
    async def wait_in_vain() -> None:
        await players.wait_in_vain(rival)

    world, late = players.world, "expire_top_ups"
    await until_raised(prometheus, set(), players.play)
    old = "CURRENT_TIMESTAMP - INTERVAL '16 minutes'"
    await world.sql(f"UPDATE job_progress SET succeeded_at = {old} WHERE job = '{late}'")
    await world.sql('UPDATE "user" SET balance = balance + 1 WHERE id = 2')
    await world.services.verification.verify_and_record()
    breakable_redis.kill()
    await until_raised(prometheus, ALERTS - {DOWN}, wait_in_vain)
    [raised] = prometheus.rules()["EconomyJobLate"]["alerts"]
    assert raised["labels"]["exported_job"] == late
    # the only one that waits for nothing: it stands on the dashboard already
    marks = prometheus.query(ANNOTATED)
    assert [mark.labels["alertname"] for mark in marks] == ["EconomyLedgerBroken"]
    server.terminate()
    await until(lambda: is_raised(prometheus, DOWN))


async def is_raised(prometheus: Prometheus, name: str) -> bool:
    rules = await asyncio.to_thread(prometheus.rules)
    return bool(rules[name]["state"] != "inactive")
