import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { getConfiguration, getService, listBuilds } from '../api/http';
import { answers } from './answers.svelte';
import { connection } from './connection.svelte';

beforeEach(() => answers.start());
afterEach(() => {
  answers.forget();
  vi.unstubAllGlobals();
});

function answering(answer: () => Promise<Response>): void {
  vi.stubGlobal('fetch', answer);
}

const fine = () => Promise.resolve(Response.json({}));

it.each([
  ['nothing', () => Promise.reject(new TypeError('no network')), true],
  ['502', () => Promise.resolve(new Response('', { status: 502 })), true],
  ['404', () => Promise.resolve(new Response('', { status: 404 })), false],
  ['200', fine, false],
])('requests that are answered by %s fail: %#', async (_, answer, failing) => {
  answering(answer);
  await getService().catch(() => undefined);
  expect(answers.failing).toBe(failing);
});

it('fails until the same is asked for with success, or another page is shown', async () => {
  answering(() => Promise.resolve(new Response('', { status: 502 })));
  await listBuilds({ text: 'x' }).catch(() => undefined);
  answering(fine);
  await getConfiguration();
  expect(answers.failing).toBe(true);
  await listBuilds({});
  expect(answers.failing).toBe(false);
  answering(() => Promise.reject(new TypeError('no network')));
  await getService().catch(() => undefined);
  answers.forget();
  expect(answers.failing).toBe(false);
});

it('starts anew when everything is asked for again', async () => {
  answering(() => Promise.reject(new TypeError('no network')));
  await listBuilds({}).catch(() => undefined);
  connection.refresh();
  expect(answers.failing).toBe(false);
  await listBuilds({}).catch(() => undefined);
  expect(answers.failing).toBe(true);
});
