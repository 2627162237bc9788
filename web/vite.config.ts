import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

// The service that the development server passes API calls on to.
const service = process.env['AUTOBUILDER_URL'] ?? 'http://127.0.0.1:5560';

export default defineConfig({
  base: '/monitor/',
  plugins: [svelte()],
  build: {
    target: 'es2022',
    // The service sends a policy that allows files of its own only; nothing may turn into data: or inline code.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: {
      '/api': { target: service, ws: true },
    },
  },
  test: {
    include: ['src/**/*.test.ts'],
    environment: 'node',
  },
});
