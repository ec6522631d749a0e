import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

export default defineConfig({
  base: '/graphql/static/',
  plugins: [react()],
  worker: { format: 'es' },
  build: {
    outDir: '../api/static/graphiql',
    emptyOutDir: true,
    target: 'es2022',
    // A data: worker would need a wider content security policy.
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 8_000,
    modulePreload: { polyfill: false },
  },
});
