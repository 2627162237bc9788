import { expect, it, vi } from 'vitest';
import { getService } from '../api/http';
import { answers } from './answers.svelte';

it.each([
  [() => Promise.reject(new TypeError('no network')), true],
  [() => Promise.resolve(Response.json({})), false],
  [() => Promise.resolve(new Response('', { status: 502 })), true],
  [() => Promise.resolve(new Response('', { status: 404 })), false],
])('requests fail by their last answer: %#', async (answer, failing) => {
  answers.start();
  answers.failing = !failing;
  vi.stubGlobal('fetch', answer);
  await getService().catch(() => undefined);
  expect(answers.failing).toBe(failing);
  vi.unstubAllGlobals();
});
