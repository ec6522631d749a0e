import type { CodegenConfig } from '@graphql-codegen/cli';

// As Apollo's documentation has it: the client preset over the documents of the app, every scalar typed.
const config: CodegenConfig = {
  schema: 'schema.graphql',
  documents: ['documents/*.graphql'],
  generates: {
    './apollo/generated/': {
      preset: 'client',
      config: {
        strictScalars: true,
        enumsAsTypes: true,
        useTypeImports: true,
        scalars: { Date: 'string', DateTime: 'string', Decimal: 'string', Time: 'string', JSON: 'unknown' },
      },
    },
  },
};

export default config;
