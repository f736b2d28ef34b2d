"""Rate limits at the door: what a request takes of its actor's limits, and the headers that say so.

https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/ (version 10)
"""

from ipaddress import ip_address, ip_network
from typing import NamedTuple

from starlette.types import Scope

from economy.api.headers import Pairs, pairs
from economy.errors import RateLimited
from economy.rate_limits import Act, Begun, Turn
from economy.services import Services
from economy.services.access import Actor

IPV6_NETWORK_BITS = 64  # what one customer has: single addresses of it cost nothing
_STATES = "economy.rate_limits"  # in the ASGI scope


class _State(NamedTuple):
    quota: int
    window_seconds: int
    remaining: int
    reset_seconds: int


class RequestLimits:
    def __init__(self, scope: Scope, services: Services, actor: Actor | None) -> None:
        self._states: dict[str, _State] = scope.setdefault(_STATES, {})
        self._limits = services.rate_limits
        self._actor = actor
        self._begun: Begun | None = None
        self._refusal: RateLimited | None = None

    def begin(self, act: Act) -> None:
        """Take a turn while something else is under way. The next `take` gets what comes of it."""
        if self._actor is not None:
            is_player = self._actor.user_id is not None
            self._begun = self._limits.begin(act, self._actor.name, is_player=is_player)

    async def is_granted(self, act: Act) -> bool:
        """Take a turn. If it is refused, the next `take` says so."""
        try:
            await self.take(act)
        except RateLimited as error:
            self._refusal = error
        return self._refusal is None

    async def take(self, act: Act) -> Turn | None:
        """None: no limit is set, or nobody asks, who is refused anyway. Raises RateLimited."""
        refusal, self._refusal = self._refusal, None
        if refusal is not None:
            raise refusal
        if self._actor is None:
            return None
        begun, self._begun = self._begun, None
        is_player = self._actor.user_id is not None
        try:
            turn = await self._limits.take(act, self._actor.name, is_player=is_player, begun=begun)
        except RateLimited as error:
            note_refusal(self._states, error)
            raise
        if turn is not None:
            self._states[act.value] = _State(
                turn.limit.quota, turn.limit.window_seconds, turn.remaining, turn.reset_seconds
            )
        return turn

    async def make_replay_cheap(self, turn: Turn | None) -> None:
        """It did nothing: it costs a read instead, if there is one left."""
        if turn is None:
            return
        try:
            await self.take(Act.READ)
        except RateLimited:
            return
        await self._limits.give_back(turn)
        state = self._states[turn.limit.act.value]
        self._states[turn.limit.act.value] = state._replace(remaining=state.remaining + 1)


def note_refusal(states: dict[str, _State], error: RateLimited) -> None:
    states[error.limit] = _State(error.quota, error.window_seconds, 0, error.retry_after)


def headers_of(scope: Scope) -> Pairs:
    """What is left of each limit that the request took from."""
    states: dict[str, _State] = scope.get(_STATES, {})
    if not states:
        return []
    policies = (f'"{name}";q={one.quota};w={one.window_seconds}' for name, one in states.items())
    rests = (f'"{name}";r={one.remaining};t={one.reset_seconds}' for name, one in states.items())
    return pairs({"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(rests)})


async def note_failed_authentication(services: Services, scope: Scope) -> None:
    """Valid credentials are never refused for the sake of others behind the same address.

    Raises RateLimited.
    """
    try:
        await services.rate_limits.note_failed_authentication(_origin(scope))
    except RateLimited as error:
        note_refusal(scope.setdefault(_STATES, {}), error)
        raise


def _origin(scope: Scope) -> str:
    host = scope["client"][0] if scope.get("client") else ""
    try:
        address = ip_address(host)
    except ValueError:  # a Unix socket
        return host
    if address.version == 6 and address.ipv4_mapped is not None:
        # on a socket of both versions; all such addresses lie in one network
        address = address.ipv4_mapped
    if address.version == 4:
        return str(address)
    return str(ip_network((address, IPV6_NETWORK_BITS), strict=False))
