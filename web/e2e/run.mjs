// Runs a TypeScript file of this folder by Vite's own means:   node e2e/run.mjs FILE
import { runnerImport } from 'vite';

await runnerImport(new URL(process.argv[2], import.meta.url).pathname);
