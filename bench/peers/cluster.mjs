// WORKERS processes on one port; with one there is no cluster, which would only cost.
import cluster from "node:cluster";

const workers = Number(process.env.WORKERS ?? 1);

export function inProcesses(start) {
  if (workers > 1 && cluster.isPrimary) {
    for (let n = 0; n < workers; n += 1) cluster.fork();
    cluster.on("exit", () => process.exit(1));
  } else {
    start(Number(process.env.PORT));
  }
}

// As many connections to PostgreSQL as pgbench has clients, whatever the number of processes.
export const poolSize = Math.floor(Number(process.env.CONNECTIONS ?? 32) / workers);
