import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { connection } from '../model/connection.svelte';
import { SessionState } from './session.svelte';

const reload = vi.fn();
let signedIn: boolean;
let isPrivate: boolean;
const asked: string[] = [];
const channels: BroadcastChannel[] = [];

beforeEach(() => {
  [signedIn, isPrivate] = [true, false];
  asked.length = 0;
  reload.mockReset();
  vi.stubGlobal('location', { reload });
  vi.stubGlobal('document', { addEventListener: () => undefined, visibilityState: 'visible' });
  class Channel extends BroadcastChannel {
    constructor(name: string) {
      super(name);
      channels.push(this);
    }
  }
  vi.stubGlobal('BroadcastChannel', Channel);
  vi.stubGlobal('fetch', (path: string, { method = 'GET' }: RequestInit) => {
    asked.push(`${method} ${path}`);
    if (method === 'POST') signedIn = true;
    if (method === 'DELETE') signedIn = false;
    return Promise.resolve(Response.json({ signed_in: signedIn, private: isPrivate }));
  });
});
afterEach(() => {
  for (const channel of channels.splice(0)) channel.close();
  vi.unstubAllGlobals();
});

function tab(): SessionState {
  const session = new SessionState();
  session.start();
  return session;
}

it('is known once the service has said how things stand', async () => {
  [signedIn, isPrivate] = [false, true];
  const session = tab();
  expect([session.known, session.locked]).toEqual([false, false]);
  await vi.waitFor(() => expect(session.known).toBe(true));
  expect(session.locked).toBe(true);
  expect(asked).toEqual(['GET /api/v1/session']);
});

it('is known too when the service does not answer, so that the pages can say it', async () => {
  vi.stubGlobal('fetch', () => Promise.reject(new TypeError('no network')));
  const session = tab();
  await vi.waitFor(() => expect(session.known).toBe(true));
  expect(session.locked).toBe(false);
});

it('ends in all tabs, which forget what they showed of a private service', async () => {
  isPrivate = true;
  const stop = vi.spyOn(connection, 'stop');
  const [one, other] = [tab(), tab()];
  await vi.waitFor(() => expect([one.signedIn, other.signedIn]).toEqual([true, true]));
  stop.mockClear();
  await one.signOut();
  await vi.waitFor(() => expect(other.locked).toBe(true));
  await vi.waitFor(() => expect(reload).toHaveBeenCalledTimes(2));
  expect(stop).toHaveBeenCalledTimes(2);
});

it('begins in all tabs, which ask again for what was refused', async () => {
  [signedIn, isPrivate] = [false, true];
  const refresh = vi.spyOn(connection, 'refresh');
  const [one, other] = [tab(), tab()];
  await vi.waitFor(() => expect([one.locked, other.locked]).toEqual([true, true]));
  refresh.mockClear();
  expect(await one.signIn('the token')).toBeNull();
  await vi.waitFor(() => expect(other.locked).toBe(false));
  expect(refresh).toHaveBeenCalledTimes(2);
  expect(reload).not.toHaveBeenCalled();
});
