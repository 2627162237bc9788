import { afterEach, expect, it, vi } from 'vitest';
import type { Build, Repository } from '../api/types';
import { connection } from './connection.svelte';
import { repositories } from './repositories.svelte';

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const rowOf = (name: string, state: string) =>
  ({ name, branches: [{ ref: 'refs/heads/main', builds: [{ id: 'b1', state }] }] }) as unknown as Repository;

const changeOf = (repository: string, state: string) =>
  ({ kind: 'build', id: 'b1', repository, ref: 'refs/heads/main', state }) as unknown as Build;

it('shows a change that comes while more rows are loaded', async () => {
  vi.useFakeTimers();
  let tell: (build: Build) => void = () => undefined;
  vi.spyOn(connection, 'listen').mockImplementation(({ build }) => {
    if (build) tell = build;
    return () => undefined;
  });
  let state = 'building';
  let go: (() => void) | undefined;
  vi.stubGlobal('fetch', async (path: string) => {
    const parameters = new URL(path, 'http://service').searchParams;
    const isMore = parameters.get('after') === 'acme/one';
    if (isMore) await new Promise<void>((resolve) => (go = resolve));
    return Response.json(
      isMore
        ? { repositories: [rowOf('acme/two', 'succeeded')], next: null }
        : { repositories: [rowOf('acme/one', state)], next: 'acme/one' },
    );
  });
  const hide = repositories.show('', 0);
  await vi.waitFor(() => expect(repositories.rows).toHaveLength(1));

  const more = repositories.more();
  await vi.waitFor(() => expect(go).toBeDefined());
  state = 'failed';
  tell(changeOf('acme/one', state));
  await vi.advanceTimersByTimeAsync(2000);
  go?.();
  await more;
  await vi.advanceTimersByTimeAsync(2000);
  expect(repositories.rows).toEqual([rowOf('acme/one', 'failed'), rowOf('acme/two', 'succeeded')]);
  hide();
});
