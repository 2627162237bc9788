import { describe, expect, it } from 'vitest';
import type { Build } from '../api/types';
import {
  endStates,
  filterFromSearch,
  isFiltered,
  matches,
  matchesHistory,
  matchesState,
  NO_FILTER,
  searchFromFilter,
} from './filter';

function build(values: Partial<Build>): Build {
  return {
    repository: 'acme/app',
    branch: 'main',
    script: 'autobuild/build.sh',
    tag: null,
    commit: 'c0ffee00',
    state: 'failed',
    reason: 'exit code 2',
    commits: [{ id: 'c0ffee00', message: 'Fix the pager', author: 'Ada', url: null }],
    ...values,
  } as Build;
}

describe('address and filter', () => {
  it('say the same', () => {
    const filter = { repository: 'acme/app', branch: 'feature/x & y', state: 'failed', text: 'a=b ü' };
    expect(filterFromSearch(searchFromFilter(filter))).toEqual(filter);
  });

  it('have nothing to say without a filter', () => {
    expect(searchFromFilter(NO_FILTER)).toBe('');
    expect(filterFromSearch('')).toEqual(NO_FILTER);
    expect(isFiltered(NO_FILTER)).toBe(false);
  });

  it('leave out what is empty and what is unknown', () => {
    expect(searchFromFilter({ ...NO_FILTER, text: 'x' })).toBe('?text=x');
    expect(filterFromSearch('?text=x&other=1')).toEqual({ ...NO_FILTER, text: 'x' });
  });
});

describe('what matches', () => {
  it('is decided by whole names and by any part of the text', () => {
    expect(matches(build({}), { ...NO_FILTER, repository: 'acme/app' })).toBe(true);
    expect(matches(build({}), { ...NO_FILTER, repository: 'acme' })).toBe(false);
    expect(matches(build({}), { ...NO_FILTER, branch: 'mai' })).toBe(false);
    expect(matches(build({}), { ...NO_FILTER, text: 'PAGER' })).toBe(true);
    expect(matches(build({}), { ...NO_FILTER, text: 'ada' })).toBe(true);
    expect(matches(build({}), { ...NO_FILTER, text: 'kernel' })).toBe(false);
  });

  it('is in the history only when it has ended', () => {
    expect(matchesHistory(build({ state: 'building' }), NO_FILTER)).toBe(false);
    expect(matchesHistory(build({ state: 'queued' }), NO_FILTER)).toBe(false);
    expect(matchesHistory(build({}), NO_FILTER)).toBe(true);
    expect(matchesHistory(build({}), { ...NO_FILTER, state: 'succeeded' })).toBe(false);
    expect(matchesHistory(build({}), { ...NO_FILTER, state: 'errored,failed' })).toBe(true);
    expect(matchesHistory(build({}), { ...NO_FILTER, state: 'finished' })).toBe(true);
    expect(matchesHistory(build({ state: 'building' }), { ...NO_FILTER, state: 'running' })).toBe(false);
  });

  it.each([
    ['building', '', true],
    ['building', 'running', true],
    ['building', 'queued, building', true],
    ['building', 'queued', false],
    ['queued', 'running,queued', true],
    ['queued', 'running', false],
    ['building', 'failed', false],
    ['building', 'finished', false],
    ['failed', 'finished', true],
    ['failed', 'running', false],
  ] as const)('has %s with the states "%s": %s', (state, states, shown) => {
    expect(matchesState({ state }, { ...NO_FILTER, state: states })).toBe(shown);
  });

  it.each([
    ['', 'finished'],
    ['failed,errored', 'failed,errored'],
    ['running,failed', 'failed'],
    ['finished,failed', 'finished'],
    ['running,queued', null],
    ['nonsense', 'nonsense'],
  ])('asks the history for the ends among "%s": %s', (states, asked) => {
    expect(endStates({ ...NO_FILTER, state: states })).toBe(asked);
  });
});
