"""A player buys two boosts, uses one and looks at what is left: GraphQL with the library gql."""

import os
import random
import sys
import time
from typing import Any
from uuid import uuid4

from gql import Client, GraphQLRequest
from gql.transport.exceptions import (
    TransportConnectionFailed,
    TransportQueryError,
    TransportServerError,
)
from gql.transport.httpx import HTTPXTransport

URL = os.environ.get("GAME_URL", "http://127.0.0.1:8000")
PRODUCT_ID = "1"
ATTEMPTS = 5

BUY = """
  mutation Buy($input: PurchaseInput!) {
    purchase(input: $input) {
      __typename
      ... on PurchaseSuccess { user { balance } item { quantity product { name } } }
      ... on InsufficientFundsError { balance required }
      ... on EconomyError { code message }
    }
  }
"""
USE = """
  mutation Use($input: UseItemInput!) {
    useItem(input: $input) {
      __typename
      ... on UseItemSuccess { item { quantity product { name } } }
      ... on NotEnoughItemsError { held }
      ... on EconomyError { code message }
    }
  }
"""
INVENTORY = """
  query Inventory {
    me { username balance inventory { quantity product { name } } }
  }
"""


def execute(client: Client, document: str, **variables: Any) -> dict[str, Any]:
    """Send again what may succeed when it is sent again.

    The idempotency key is among the variables and stays the same, so that nothing is done twice,
    not even if it was the answer that was lost.
    """
    for attempt in range(1, ATTEMPTS + 1):
        wait_seconds = 0.1 * 2.0**attempt * random.uniform(1, 2)  # jitter: not all at once
        try:
            return client.execute(GraphQLRequest(document, variable_values=variables))
        except TransportQueryError as error:
            refusals = [one.get("extensions", {}) for one in error.errors or []]
            if attempt == ATTEMPTS or not all(one.get("retryable") for one in refusals):
                raise
            wait_seconds = max(wait_seconds, *(one.get("retryAfter", 0) for one in refusals))
        except (TransportConnectionFailed, TransportServerError):
            if attempt == ATTEMPTS:
                raise
        time.sleep(wait_seconds)
    raise AssertionError("the last attempt returns or raises")


def buy(client: Client, quantity: int) -> None:
    # one key for each thing that the player wants done, made before the first attempt
    wanted = {"productId": PRODUCT_ID, "quantity": quantity, "idempotencyKey": str(uuid4())}
    outcome = execute(client, BUY, input=wanted)["purchase"]
    match outcome["__typename"]:
        case "PurchaseSuccess":
            item, balance = outcome["item"], outcome["user"]["balance"]
            print(f"Bought: now {item['quantity']} x {item['product']['name']}, {balance} coins")
        case "InsufficientFundsError":
            sys.exit(f"Too few coins: {outcome['balance']}, this needs {outcome['required']}")
        case _:  # every refusal has these, those of later versions, too
            sys.exit(f"Not bought: {outcome['code']}: {outcome['message']}")


def use(client: Client, quantity: int) -> None:
    wanted = {"productId": PRODUCT_ID, "quantity": quantity, "idempotencyKey": str(uuid4())}
    outcome = execute(client, USE, input=wanted)["useItem"]
    match outcome["__typename"]:
        case "UseItemSuccess":
            item = outcome["item"]
            print(f"Used: {item['quantity']} x {item['product']['name']} left")
        case "NotEnoughItemsError":
            sys.exit(f"Too few: {outcome['held']} held")
        case _:
            sys.exit(f"Not used: {outcome['code']}: {outcome['message']}")


def show_inventory(client: Client) -> None:
    me = execute(client, INVENTORY)["me"]
    print(f"{me['username']} has {me['balance']} coins and holds:")
    for item in me["inventory"]:
        print(f"  {item['quantity']} x {item['product']['name']}")


def main() -> None:
    token = os.environ.get("GAME_TOKEN")
    if not token:
        sys.exit("set GAME_TOKEN to a player's token: `make run` prints one")
    headers = {"Authorization": f"Bearer {token}"}
    client = Client(transport=HTTPXTransport(f"{URL}/graphql", headers=headers))
    try:
        buy(client, quantity=2)
        use(client, quantity=1)
        show_inventory(client)
    except TransportQueryError as error:
        sys.exit(f"The service refused: {error}")
    except (TransportConnectionFailed, TransportServerError) as error:
        sys.exit(f"The service cannot be reached: {error}")


if __name__ == "__main__":
    main()
