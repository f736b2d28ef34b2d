// Apollo Client buys something and reads the inventory: npm run apollo
import {
  ApolloClient,
  ApolloLink,
  CombinedGraphQLErrors,
  HttpLink,
  InMemoryCache,
  ServerError,
} from "@apollo/client";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";

import { type Failure, headers, tellInventory, tellPurchase, url, withRetries } from "./game.ts";
import { BuyDocument, InventoryDocument } from "./generated/graphql.ts";
import possibleTypes from "./generated/possible_types.ts";

const client = new ApolloClient({
  link: ApolloLink.from([
    // Sends the SHA-256 of a document instead of the document, and the document if the service
    // does not know it. Where persisted operations are off, the first answer says so, and the
    // link sends documents from then on.
    new PersistedQueryLink({ sha256 }),
    new HttpLink({ uri: url, headers }),
  ]),
  cache: new InMemoryCache({ possibleTypes: possibleTypes.possibleTypes }),
});

async function sha256(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function failureOf(error: unknown): Failure {
  if (CombinedGraphQLErrors.is(error)) return { errors: error.errors };
  if (ServerError.is(error)) return { errors: [], status: error.statusCode };
  return { errors: [] }; // no answer at all
}

// One key for each thing that the player wants done, made before the first attempt.
const input = { productId: "1", quantity: 2, idempotencyKey: crypto.randomUUID() };
const bought = await withRetries(
  () => client.mutate({ mutation: BuyDocument, variables: { input } }),
  failureOf,
);
tellPurchase(bought.data?.purchase);

const read = await withRetries(() => client.query({ query: InventoryDocument }), failureOf);
tellInventory(read.data?.me);
