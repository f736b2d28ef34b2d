// What the examples share: settings, retries, and what they tell the player.
import type { BuyMutation, InventoryQuery } from "./generated/graphql.ts";

export type Purchase = NonNullable<BuyMutation["purchase"]>;
export type Player = NonNullable<InventoryQuery["me"]>;

const token = process.env["GAME_TOKEN"];
if (!token) throw new Error("set GAME_TOKEN to a player's token: `make run` prints one");

export const url = `${process.env["GAME_URL"] ?? "http://127.0.0.1:8000"}/graphql`;
export const headers = { Authorization: `Bearer ${token}` };

/** What a client library tells of a request that failed. */
export interface Failure {
  /** The errors in the answer; none if there was no answer, or not one of the service. */
  errors: readonly { extensions?: Record<string, unknown> | undefined }[];
  /** The HTTP status, if there was an answer. */
  status?: number | undefined;
}

const ATTEMPTS = 5;

/**
 * Sends again what may succeed when it is sent again.
 *
 * An answer may be lost after the purchase was booked. The idempotency key makes that harmless:
 * make it once, outside of `send`, and the service answers again without doing anything again.
 */
export async function withRetries<T>(
  send: () => Promise<T>,
  failureOf: (error: unknown) => Failure,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await send();
    } catch (error) {
      const failure = failureOf(error);
      if (attempt === ATTEMPTS || !mayRetry(failure)) throw error;
      await new Promise((resolve) => setTimeout(resolve, delayMs(failure, attempt)));
    }
  }
}

function mayRetry({ errors, status }: Failure): boolean {
  if (errors.length > 0) return errors.every((error) => error.extensions?.["retryable"] === true);
  return status === undefined || status === 429 || status >= 500;
}

function delayMs({ errors }: Failure, attempt: number): number {
  // beyond a rate limit the service says how many seconds to wait
  const told = errors.map((error) => Number(error.extensions?.["retryAfter"] ?? 0));
  const backoff = 100 * 2 ** attempt * (1 + Math.random()); // jitter: not all at the same moment
  return Math.max(backoff, ...told.map((seconds) => seconds * 1000));
}

/** Prints what came of it, in words for the player. A refusal is an answer, not an exception. */
export function tellPurchase(purchase: Purchase | null | undefined): void {
  if (!purchase) throw new Error("the answer has neither a result nor an error");
  console.log(inWords(purchase));
  if (purchase.__typename !== "PurchaseSuccess") process.exitCode = 1;
}

function inWords(purchase: Purchase): string {
  switch (purchase.__typename) {
    case "PurchaseSuccess": {
      const { item, user, replayed } = purchase;
      const again = replayed ? " (answered again, not bought again)" : "";
      return `Bought: now ${item.quantity} x ${item.product.name}, ${user.balance} coins left${again}`;
    }
    case "InsufficientFundsError":
      return `Too few coins: ${purchase.balance}, this needs ${purchase.required}`;
    case "PriceChangedError":
      return `The price is ${purchase.price} now: ask the player again`;
    case "HoldingLimitError":
      return `Only ${purchase.limit - purchase.held} more can be held`;
    case "AlreadyOwnedError":
      return "Owned already";
    case "ProductNotFoundError":
    case "ProductUnavailableError":
      return "Not on sale";
    case "UserNotFoundError":
    case "InvalidInputError":
    case "IdempotencyError":
      return `A mistake in the game: ${purchase.code}: ${purchase.message}`;
    default:
      return unforeseen(purchase);
  }
}

/** tsc stops here when the schema has a refusal that `inWords` does not know yet. */
function unforeseen(purchase: never): string {
  const { code, message } = purchase as { code: string; message: string };
  return `Refused: ${code}: ${message}`; // a game of today meets a service of tomorrow
}

export function tellInventory(player: Player | null | undefined): void {
  if (!player?.inventory) throw new Error("the answer has no inventory");
  console.log(`${player.username} has ${player.balance} coins and holds:`);
  for (const item of player.inventory) {
    const since = new Date(item.purchasedAt).toISOString().slice(0, 10);
    console.log(`  ${item.quantity} x ${item.product.name}, since ${since}`);
  }
}
