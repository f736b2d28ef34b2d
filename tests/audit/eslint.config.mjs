// Every rule for schemas and for Relay's pages, but those that contradict what we chose.
import graphql from '@graphql-eslint/eslint-plugin';

const off = [
  'alphabetize', // our order is meaning
  'no-typename-prefix', // User.username is the field's own word
  'no-root-type', // there are mutations
  'require-type-pattern-with-oneof', // wants a wrapper of success and error; we use unions
  'strict-id-in-types', // errors and answers have no id
];
const relay = graphql.configs['flat/schema-relay'].rules;

export default [
  {
    files: ['*.graphql'],
    plugins: { '@graphql-eslint': graphql },
    languageOptions: {
      parser: graphql.parser,
      parserOptions: { graphQLConfig: { schema: './schema.graphql' } },
    },
    rules: {
      ...graphql.configs['flat/schema-all'].rules,
      ...relay,
      ...Object.fromEntries(off.map((rule) => [`@graphql-eslint/${rule}`, 'off'])),
      '@graphql-eslint/no-scalar-result-type-on-mutation': 'error',
      '@graphql-eslint/relay-arguments': ['error', { includeBoth: false }], // forward is enough
      '@graphql-eslint/relay-edge-types': [
        'error',
        { withEdgeSuffix: true, shouldImplementNode: false, listTypeCanWrapOnlyEdgeType: false },
      ],
    },
  },
];
