"""A client that asks with the same key, of whichever server, until it has a final answer."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx

from tests.torture.operations import Operation, Outcome

ANSWER_SECONDS = 6.0  # after which a client gives up an attempt, and tries again
FINAL_ANSWER_SECONDS = 60.0
LONGEST_WAIT_SECONDS = 0.5
DECLINES = {
    "INSUFFICIENT_FUNDS",
    "ALREADY_OWNED",
    "ALREADY_TAKEN",
    "NOT_ENOUGH_ITEMS",
    "NOT_REVERSIBLE",
    "ALREADY_REVERSED",
    "PAYMENT_FAILED",
    "TOP_UP_COMPLETED",
}
RETRYABLE = {429: {"RATE_LIMITED"}, 503: {"UNAVAILABLE", "CONFLICT"}}


class WrongAnswer(Exception):
    """Neither a success, nor a decline of its type, nor a request to try again."""


@dataclass(frozen=True)
class TryAgain:
    why: str  # "503", "429", "lost", "timeout"


@dataclass
class PatientClient:
    urls: Callable[[], Sequence[str]]
    dice: random.Random
    attempts: int = 0
    retries: Counter[str] = field(default_factory=Counter)
    executed_unanswered: int = 0  # done at an attempt whose connection was lost

    def __post_init__(self) -> None:
        limits = httpx.Limits(max_connections=None)
        self._http = httpx.AsyncClient(limits=limits, timeout=ANSWER_SECONDS, trust_env=False)

    async def close(self) -> None:
        await self._http.aclose()

    async def ask(
        self, operation: Operation, url: str | None = None, *, is_first: bool = True
    ) -> Outcome:
        """Of one server, if `url` is given. `is_first`: nobody else asks, or has asked, the same.

        Raises WrongAnswer.
        """
        try:
            async with asyncio.timeout(FINAL_ANSWER_SECONDS):
                return await self._ask(operation, url, is_first)
        except TimeoutError:
            raise WrongAnswer(f"no final answer to {operation}: {self.retries}") from None

    async def _ask(self, operation: Operation, url: str | None, is_first: bool) -> Outcome:
        has_lost = False
        while True:
            answer = await self.ask_once(operation, url or self.dice.choice(self.urls()))
            if isinstance(answer, Outcome):
                self.executed_unanswered += is_first and has_lost and answer.replayed
                return answer
            self.retries[answer.why] += 1
            has_lost = has_lost or answer.why == "lost"
            # sooner than a server asks for: the more retries meet the fault, the better
            await asyncio.sleep(self.dice.uniform(0.02, LONGEST_WAIT_SECONDS))

    async def ask_once(self, operation: Operation, url: str) -> Outcome | TryAgain:
        is_rest = operation.has_rest and self.dice.random() < 0.5
        request = operation.as_rest() if is_rest else operation.as_graphql()
        self.attempts += 1
        try:
            response = await self._http.post(
                url + request.path, headers=request.headers, json=request.body
            )
        except httpx.TimeoutException:
            return TryAgain("timeout")
        except httpx.TransportError:
            return TryAgain("lost")
        try:
            return _read_rest(response) if is_rest else _read_graphql(response)
        except (WrongAnswer, ValueError, LookupError, TypeError) as error:
            told = f"{response.status_code} {response.text[:500]}"
            raise WrongAnswer(f"{operation}: {told} ({error!r})") from None

    async def get(self, url: str) -> httpx.Response | None:
        """None: nobody answers."""
        try:
            return await self._http.get(url)
        except httpx.TransportError:
            return None


def _read_rest(response: httpx.Response) -> Outcome | TryAgain:
    body = response.json()
    if response.status_code == 200:
        return _success(body)
    if body["code"] in RETRYABLE.get(response.status_code, ()):
        return _try_again(response)
    if body["code"] in DECLINES and response.status_code in (402, 409):
        return Outcome(body["code"], response.headers.get("idempotent-replayed") == "true")
    raise WrongAnswer("not an answer that was expected")


def _read_graphql(response: httpx.Response) -> Outcome | TryAgain:
    body = response.json()
    if "errors" in body:
        [error] = body["errors"]
        code, expected = error["extensions"]["code"], RETRYABLE.get(response.status_code, set())
        if response.status_code == 200:  # a field failed alone
            expected = set().union(*RETRYABLE.values())
        if code not in expected or not error["extensions"]["retryable"]:
            raise WrongAnswer("not an error that was expected")
        is_limit = code == "RATE_LIMITED"
        return (
            TryAgain("429" if is_limit else "503")
            if response.status_code == 200
            else _try_again(response)
        )
    answer = body["data"]["answer"]
    if response.status_code == 200 and answer["__typename"].endswith("Success"):
        return _success(answer)
    if response.status_code == 200 and answer["code"] in DECLINES:
        return Outcome(answer["code"])
    raise WrongAnswer("not an answer that was expected")


def _try_again(response: httpx.Response) -> TryAgain:
    if int(response.headers["retry-after"]) < 1:
        raise WrongAnswer("Retry-After says nothing")
    return TryAgain(str(response.status_code))


def _success(body: dict[str, Any]) -> Outcome:
    """Either transport's words made the journal's."""
    told = {_snake_case(name): value for name, value in body["transaction"].items()}
    product = told.pop("product")
    told["product_id"] = None if product is None else int(product["id"])
    told["kind"], told["status"] = told["kind"].lower(), told["status"].lower()
    for name in ("created_at", "completed_at"):
        told[name] = told[name] and datetime.fromisoformat(told[name])
    if told["status"] != "pending":
        now = (body["user"]["balance"], body["user"]["debt"])
        if now != (told["balance_after"], told["debt_after"]):
            raise WrongAnswer("the user and the transaction tell different balances")
    return Outcome(None, body["replayed"], told)


def _snake_case(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
