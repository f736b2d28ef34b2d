// Types of the schema and of our own operations: npm run codegen
import type { CodegenConfig } from "@graphql-codegen/cli";

const config: CodegenConfig = {
  schema: "../../schema.graphql",
  documents: "operations/*.graphql",
  generates: {
    // a typed document for each operation: every client below takes them
    "generated/": {
      preset: "client",
      presetConfig: { fragmentMasking: false },
      config: {
        // an Amount is at most 2^53-1: exact in a number. JSON knows no dates: they come as text
        scalars: { Amount: "number", DateTime: "string", UUID: "string" },
        strictScalars: true, // a new scalar must be thought about
        useTypeImports: true,
        importExtension: ".ts",
      },
    },
    // which types implement which interface: Apollo's cache needs it for `... on EconomyError`
    "generated/possible_types.ts": {
      plugins: ["fragment-matcher"],
    },
  },
};

export default config;
