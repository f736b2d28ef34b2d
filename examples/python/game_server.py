"""A game server credits players for their payments, each payment exactly once: REST with httpx.

The payment's id is the idempotency key: if the answer is lost, if this process dies, if the whole
batch is sent again tomorrow, the same payment is answered again and not credited again.

    python game_server.py payment-77:1:500 payment-78:2:250
"""

import os
import random
import sys
import time
from typing import NamedTuple

import httpx

URL = os.environ.get("GAME_URL", "http://127.0.0.1:8000")
ATTEMPTS = 8
LONGEST_BACKOFF_SECONDS = 30.0
TEMPORARY = {429, 502, 503, 504}


class Payment(NamedTuple):
    id: str
    user_id: int
    coins: int


class Credit(NamedTuple):
    username: str
    balance: int  # right after it
    replayed: bool  # credited by an earlier request: this one did nothing


class NotCredited(Exception):
    """`may_retry`: nobody knows, or the service was busy: send the same payment again later."""

    def __init__(self, why: str, *, may_retry: bool) -> None:
        super().__init__(why)
        self.may_retry = may_retry


def credit(client: httpx.Client, payment: Payment) -> Credit:
    """Raises NotCredited."""
    for attempt in range(1, ATTEMPTS + 1):
        answer = _send(client, payment)
        if answer is not None and answer.status_code not in TEMPORARY:
            return _credit_in(answer)
        if attempt < ATTEMPTS:
            time.sleep(_seconds_to_wait(answer, attempt))
    raise NotCredited("no answer" if answer is None else _why(answer), may_retry=True)


def _send(client: httpx.Client, payment: Payment) -> httpx.Response | None:
    """None: no answer came. The payment may have been credited or not: only sending it again with
    the same key tells."""
    try:
        return client.post(
            f"/users/{payment.user_id}/add-funds",
            json={
                "amount": payment.coins,
                # unique for ever, whatever the idempotency key: a second guard, for the day when
                # other code credits the same payment under a key of its own
                "external_reference": payment.id,
            },
            headers={"Idempotency-Key": payment.id},
        )
    except httpx.TransportError:
        return None


def _credit_in(answer: httpx.Response) -> Credit:
    if not answer.is_success:
        raise NotCredited(_why(answer), may_retry=answer.status_code >= 500)
    body = answer.json()
    return Credit(body["user"]["username"], body["user"]["balance"], body["replayed"])


def _why(answer: httpx.Response) -> str:
    if answer.headers.get("Content-Type", "").startswith("application/problem+json"):
        problem = answer.json()  # RFC 9457
        return f"{problem['code']}: {problem['detail']}"
    return f"{answer.status_code} {answer.reason_phrase}"


def _seconds_to_wait(answer: httpx.Response | None, attempt: int) -> float:
    backoff = min(LONGEST_BACKOFF_SECONDS, 0.1 * 2.0**attempt)
    jittered = backoff * random.uniform(0.5, 1)  # not all servers at the same moment
    told = "" if answer is None else answer.headers.get("Retry-After", "")
    return max(jittered, float(told) if told.isdecimal() else 0.0)


def main(arguments: list[str]) -> int:
    key = os.environ.get("GAME_SERVER_KEY")
    if not key:
        sys.exit("set GAME_SERVER_KEY to a server key: `make run` prints one")
    try:
        fields = [argument.rsplit(":", 2) for argument in arguments]
        payments = [Payment(id_, int(user_id), int(coins)) for id_, user_id, coins in fields]
    except ValueError:
        sys.exit("usage: game_server.py PAYMENT:USER:COINS ...")
    failed = 0
    with httpx.Client(base_url=URL, headers={"X-Api-Key": key}) as client:
        for payment in payments:
            try:
                username, balance, replayed = credit(client, payment)
            except NotCredited as error:
                failed += 1
                advice = "send it again later" if error.may_retry else "a person must look at it"
                print(f"{payment.id}: NOT CREDITED ({error}): {advice}", file=sys.stderr)
            else:
                how = "was credited before" if replayed else "credited"
                print(f"{payment.id}: {how}: {payment.coins} to {username}, then {balance}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
