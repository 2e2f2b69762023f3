import { fileURLToPath } from 'node:url';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  plugins: [svelte()],
  resolve: {
    alias: { $lib: here('./src/lib'), $ui: here('./src/ui') },
    ...(process.env.VITEST ? { conditions: ['browser'] } : {}),
  },
  build: {
    target: 'es2022',
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    rolldownOptions: {
      input: { organism: here('./organism.html'), landing: here('./landing.html'), docs: here('./docs.html') },
    },
  },
  worker: { format: 'es' },
  server: { proxy: { '/v1': process.env.NEXUSMON_HTTP ?? 'http://localhost:7300' } },
  test: { environment: 'happy-dom', include: ['src/**/*.test.ts'] },
});
