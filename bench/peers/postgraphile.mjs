// PostGraphile over the same tables and functions.
import { createServer } from "node:http";

import { makePgService } from "@dataplan/pg/adaptors/pg";
import { grafserv } from "grafserv/node";
import pg from "pg";
import { postgraphile } from "postgraphile";
import { PostGraphileAmberPreset } from "postgraphile/presets/amber";

import { inProcesses, poolSize } from "./cluster.mjs";

inProcesses(async (port) => {
  const pool = new pg.Pool({ max: poolSize });
  pool.on("error", () => {});
  const instance = postgraphile({
    extends: [PostGraphileAmberPreset],
    pgServices: [makePgService({ pool, schemas: ["public"] })],
    grafserv: { graphiql: false, watch: false },
  });
  const server = createServer();
  server.on("error", (error) => {
    throw error;
  });
  await instance.createServ(grafserv).addTo(server);
  server.listen({ host: "127.0.0.1", port, backlog: 1024 });
});
