// urql buys something and reads the inventory: npm run urql
import { cacheExchange, Client, CombinedError, fetchExchange, type OperationResult } from "@urql/core";

import { type Failure, headers, tellInventory, tellPurchase, url, withRetries } from "./game.ts";
import { BuyDocument, InventoryDocument } from "./generated/graphql.ts";

const client = new Client({
  url,
  exchanges: [cacheExchange, fetchExchange],
  fetchOptions: { headers },
});

/** urql returns an error beside the data: thrown, it can be tried again. */
async function dataOf<Data>(result: PromiseLike<OperationResult<Data>>): Promise<Data | undefined> {
  const { data, error } = await result;
  if (error) throw error;
  return data;
}

function failureOf(error: unknown): Failure {
  if (!(error instanceof CombinedError)) return { errors: [] };
  const response: Response | undefined = error.response;
  return { errors: error.graphQLErrors, status: response?.status };
}

// One key for each thing that the player wants done, made before the first attempt.
const input = { productId: "1", quantity: 2, idempotencyKey: crypto.randomUUID() };
const bought = await withRetries(() => dataOf(client.mutation(BuyDocument, { input })), failureOf);
tellPurchase(bought?.purchase);

const read = await withRetries(() => dataOf(client.query(InventoryDocument, {})), failureOf);
tellInventory(read?.me);
