import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: ['*.test.ts'],
    // For a machine with two busy cores; nothing takes this long when all is well.
    testTimeout: 90_000,
    hookTimeout: 120_000,
  },
});
