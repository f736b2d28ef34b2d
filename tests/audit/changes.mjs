// What has changed since the last release: breaking changes are an error.
import { readFileSync } from 'node:fs';
import { diff } from '@graphql-inspector/core';
import { buildSchema } from 'graphql';

const [released, current] = process.argv.slice(2).map((file) => buildSchema(readFileSync(file, 'utf8')));
const changes = await diff(released, current);
const breaking = changes.filter((change) => change.criticality.level === 'BREAKING');
for (const { path, message } of breaking) console.error(`${path}: ${message}`);
console.log(`${changes.length} changes since the last release, ${breaking.length} breaking`);
process.exit(breaking.length ? 1 : 0);
