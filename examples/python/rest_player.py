"""A player looks at the catalogue, buys the first product and uses it: REST with httpx."""

import os
import random
import sys
import time
from typing import Any
from uuid import uuid4

import httpx

URL = os.environ.get("GAME_URL", "http://127.0.0.1:8000")
ATTEMPTS = 5
TEMPORARY = {429, 502, 503, 504}


class Refused(Exception):
    """The service said no: an RFC 9457 problem, with `code`, `detail` and what belongs to it."""

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(problem["detail"])
        self.problem = problem


def send(client: httpx.Client, method: str, path: str, **options: Any) -> dict[str, Any]:
    """Send again what may succeed when it is sent again. Raises Refused.

    Give an `Idempotency-Key` to everything that spends or uses: then nothing is done twice, not
    even if it was the answer that was lost.
    """
    for attempt in range(1, ATTEMPTS + 1):
        wait_seconds = 0.1 * 2.0**attempt * random.uniform(1, 2)  # jitter: not all at once
        try:
            answer = client.request(method, path, **options)
        except httpx.TransportError:
            if attempt == ATTEMPTS:
                raise
        else:
            if answer.is_success:
                return dict(answer.json())
            if attempt == ATTEMPTS or answer.status_code not in TEMPORARY:
                raise Refused(_problem_in(answer))
            told = answer.headers.get("Retry-After", "")
            wait_seconds = max(wait_seconds, float(told) if told.isdecimal() else 0.0)
        time.sleep(wait_seconds)
    raise AssertionError("the last attempt returns or raises")


def _problem_in(answer: httpx.Response) -> dict[str, Any]:
    if answer.headers.get("Content-Type", "").startswith("application/problem+json"):
        return dict(answer.json())
    return {"code": "UNKNOWN", "detail": f"{answer.status_code} {answer.reason_phrase}"}


def play(client: httpx.Client) -> None:
    catalogue = send(client, "GET", "/products", params={"type": "consumable"})["items"]
    product = catalogue[0]
    print(f"On sale: {product['name']}, {product['price']} coins")

    bought = send(
        client,
        "POST",
        f"/products/{product['id']}/purchase",
        # the price that the player saw: if it is another by now, nothing is bought
        json={"quantity": 2, "expected_price": product["price"]},
        headers={"Idempotency-Key": str(uuid4())},
    )
    user = bought["user"]
    print(f"Bought: now {bought['item']['quantity']}, {user['balance']} coins left")

    used = send(
        client,
        "POST",
        f"/products/{product['id']}/use",
        json={"quantity": 1},
        headers={"Idempotency-Key": str(uuid4())},
    )
    print(f"Used: {used['item']['quantity']} left")

    print(f"{user['username']} holds:")
    for item in send(client, "GET", f"/users/{user['id']}/inventory")["items"]:
        print(f"  {item['quantity']} x {item['product']['name']}")


def main() -> None:
    token = os.environ.get("GAME_TOKEN")
    if not token:
        sys.exit("set GAME_TOKEN to a player's token: `make run` prints one")
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=URL, headers=headers) as client:
        try:
            play(client)
        except Refused as refused:
            match refused.problem:
                case {"code": "INSUFFICIENT_FUNDS", "balance": balance, "required": required}:
                    sys.exit(f"Too few coins: {balance}, this needs {required}")
                case {"code": code, "detail": detail}:
                    sys.exit(f"Refused: {code}: {detail}")
        except httpx.TransportError as error:
            sys.exit(f"The service cannot be reached: {error}")


if __name__ == "__main__":
    main()
