import { expect, it } from 'vitest';
import { buildPath, isSamePage, routeOf } from './router.svelte';

it.each([
  ['/monitor', { page: 'overview' }],
  ['/monitor/', { page: 'overview' }],
  ['/monitor/repositories', { page: 'repositories' }],
  ['/monitor/configuration/', { page: 'configuration' }],
  ['/monitor/builds/b1', { page: 'build', id: 'b1' }],
  ['/monitor/builds/b1/', { page: 'build', id: 'b1' }],
  ['/monitor/builds/', { page: 'unknown' }],
  ['/monitor/builds/%E0%A4%A', { page: 'unknown' }],
  ['/monitor/else', { page: 'unknown' }],
])('%s', (path, route) => {
  expect(routeOf(path)).toEqual(route);
});

it('makes addresses that it reads back', () => {
  expect(routeOf(buildPath('a/b c'))).toEqual({ page: 'build', id: 'a/b c' });
});

it.each([
  ['/monitor/builds/b1#L7', true],
  ['/monitor/builds/b1', true],
  ['/monitor/builds/b1?find=x#L3', false],
  ['/monitor/builds/b2#L3', false],
])('a link to %s from a line of b1 stays in the page: %s', (to, same) => {
  const url = (path: string) => new URL(path, 'http://localhost');
  expect(isSamePage(url(to), url('/monitor/builds/b1#L3'))).toBe(same);
});
