// mercurius with JIT: one SQL function for a purchase, one statement for an inventory.
import Fastify from "fastify";
import mercurius from "mercurius";
import pg from "pg";

import { inProcesses, poolSize } from "./cluster.mjs";

const schema = `
  type Query { inventory(userId: Int!): [InventoryItem!] }
  type Mutation { purchase(input: PurchaseInput!): PurchaseSuccess }
  input PurchaseInput { userId: Int!, productId: Int!, idempotencyKey: String! }
  type PurchaseSuccess { transaction: Transaction!, user: User!, item: Held!, replayed: Boolean! }
  type Transaction { id: ID! }
  type User { id: ID!, balance: Float! }
  type Held { quantity: Int! }
  type InventoryItem { id: ID!, quantity: Int!, purchasedAt: String!, product: Product! }
  type Product { id: ID!, name: String!, price: Float!, type: String! }
`;

const PURCHASE = "SELECT * FROM purchase($1, $2, $3)";
const INVENTORY = `
  SELECT i.id, i.quantity, i.purchased_at, p.id AS product_id, p.name, p.price, p.type
  FROM inventory i JOIN products p ON p.id = i.product_id
  WHERE i.user_id = $1 AND i.quantity > 0 ORDER BY i.id`;

inProcesses(async (port) => {
  const pool = new pg.Pool({ max: poolSize });

  const resolvers = {
    Query: {
      async inventory(_, { userId }) {
        const found = await pool.query({ name: "inventory", text: INVENTORY, values: [userId] });
        return found.rows.map((row) => ({
          id: row.id,
          quantity: Number(row.quantity),
          purchasedAt: row.purchased_at.toISOString(),
          product: {
            id: row.product_id,
            name: row.name,
            price: Number(row.price),
            type: row.type,
          },
        }));
      },
    },
    Mutation: {
      async purchase(_, { input }) {
        const values = [input.userId, input.productId, input.idempotencyKey];
        const { rows } = await pool.query({ name: "purchase", text: PURCHASE, values });
        const [row] = rows;
        return {
          transaction: { id: row.transaction_id },
          user: { id: input.userId, balance: Number(row.balance) },
          item: { quantity: Number(row.quantity) },
          replayed: row.replayed,
        };
      },
    },
  };

  const app = Fastify({ logger: false });
  app.register(mercurius, { schema, resolvers, jit: 1, graphiql: false });
  await app.listen({ host: "127.0.0.1", port, backlog: 1024 });
});
