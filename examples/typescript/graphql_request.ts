// graphql-request buys something and reads the inventory: npm run graphql-request
import { ClientError, GraphQLClient } from "graphql-request";

import { type Failure, headers, tellInventory, tellPurchase, url, withRetries } from "./game.ts";
import { BuyDocument, InventoryDocument } from "./generated/graphql.ts";

const client = new GraphQLClient(url, { headers });

function failureOf(error: unknown): Failure {
  if (!(error instanceof ClientError)) return { errors: [] }; // no answer at all
  return { errors: error.response.errors ?? [], status: error.response.status };
}

// One key for each thing that the player wants done, made before the first attempt.
const input = { productId: "1", quantity: 2, idempotencyKey: crypto.randomUUID() };
const bought = await withRetries(() => client.request(BuyDocument, { input }), failureOf);
tellPurchase(bought.purchase);

const read = await withRetries(() => client.request(InventoryDocument), failureOf);
tellInventory(read.me);
