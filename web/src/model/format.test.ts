import { describe, expect, it } from 'vitest';
import type { Status } from '../api/types';
import { baseInWords, bytes, deliveryInWords, duration, plural, relative, whyOf } from './format';

describe('durations', () => {
  it.each([
    [0, '0 s'],
    [41_000, '41 s'],
    [192_000, '3:12'],
    [3_765_000, '1:02:45'],
    [-5, '0 s'],
  ])('%i ms read %s', (ms, words) => expect(duration(ms)).toBe(words));
});

describe('times', () => {
  it.each([
    [3, 'just now'],
    [45, '45 s ago'],
    [300, '5 min ago'],
    [7200, '2 h ago'],
    [3 * 86_400, '3 d ago'],
  ])('%i s before now read %s', (seconds, words) => {
    expect(relative(1_000_000_000_000 - seconds * 1000, 1_000_000_000_000)).toBe(words);
  });
});

describe('what GitHub was told', () => {
  const now = Date.parse('2026-01-05T09:00:00.000Z');
  const told = (values: Partial<Status>) =>
    deliveryInWords(
      {
        context: 'autobuilder/build.sh',
        state: 'failure',
        reported: null,
        attempts: 1,
        problem: null,
        next_try: null,
        given_up: false,
        ...values,
      },
      now,
    );
  const problem = 'GitHub answers 503';

  it('reads as one line', () => {
    expect(told({ reported: '2026-01-05T08:59:00.000Z' })).toBe('GitHub shows failure');
    expect(told({})).toBe('failure is on its way to GitHub');
    expect(told({ problem, given_up: true })).toBe('failure was given up: GitHub answers 503');
    expect(told({ problem, next_try: '2026-01-05T09:00:41.000Z' })).toBe(
      'failure waits: GitHub answers 503; next try in 41 s',
    );
    expect(told({ problem, next_try: '2026-01-05T08:59:59.000Z' })).toBe(
      'failure waits: GitHub answers 503; tried again now',
    );
  });
});

it('sizes and counts', () => {
  expect(bytes(0)).toBe('0 B');
  expect(bytes(1536)).toBe('1.5 KiB');
  expect(bytes(1024 ** 3 * 8)).toBe('8.0 GiB');
  expect(plural(1, 'line')).toBe('1 line');
  expect(plural(1204, 'line')).toBe('1,204 lines');
});

describe('the base of a kernel', () => {
  const base = { image: 'acme/base:1.1', branch: '1.1', commit: 'a'.repeat(40), match: 'same' } as const;

  it('is named with its commit and the reason', () => {
    expect(baseInWords(base)).toBe('1.1 at aaaaaaaa, the branch of the same name');
    expect(baseInWords({ ...base, commit: null, match: 'fallback' })).toBe(
      "1.1, as no other branch begins this one's name",
    );
  });
});

it('tells why a build is in its state, and of one that waits, for what', () => {
  const build = { waiting: 'waits for a free place', reason: 'asked for by hand' };
  expect(whyOf({ ...build, state: 'queued' })).toBe('waits for a free place');
  expect(whyOf({ ...build, state: 'queued', waiting: null })).toBe('asked for by hand');
  expect(whyOf({ ...build, state: 'failed' })).toBe('asked for by hand');
});
