import { expect, it } from 'vitest';
import { buildPath, routeOf } from './router.svelte';

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
