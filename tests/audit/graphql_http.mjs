// The audits of GraphQL over HTTP by the working group's own suite: MUST, SHOULD and MAY.
import { auditServer } from 'graphql-http';

const results = await auditServer({ url: process.argv[2] });
const bad = results.filter((result) => result.status !== 'ok');
for (const { id, name, reason } of bad) console.error(`${id} ${name}: ${reason}`);
console.log(`${results.length - bad.length} of ${results.length} audits`);
process.exit(bad.length ? 1 : 0);
