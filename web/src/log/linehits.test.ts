import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { RequestFailed } from '../api/http';
import type { LogQuery, Marks, Where } from '../api/log';
import { LineHits } from './linehits';

const QUERY: LogQuery = { text: 'x+', case: false, regex: true };

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Hits in these lines, and what was asked for them. */
function hitsIn(lines: number[]) {
  const state = { failure: null as RequestFailed | null, asked: [] as { where: Where; limit: number }[] };
  const changed = vi.fn();
  const service = {
    search: (_query: LogQuery, where: Where, limit: number) => {
      state.asked.push({ where, limit });
      if (state.failure) return Promise.reject(state.failure);
      const from = 'from' in where ? where.from : 1;
      const found = lines.filter((line) => line >= from).slice(0, limit);
      return Promise.resolve({ matches: found.map((line) => ({ line, column: 1, length: 1 })), next: null });
    },
    marks: () => Promise.reject(new Error('not asked here')),
  };
  const hits = new LineHits(service, changed);
  hits.ask(QUERY);
  return { hits, state, changed };
}

function marksOf(lines: number[], total: number, bucket = 100): Marks {
  const counts = new Array<number>(Math.ceil(total / bucket)).fill(0);
  const known = lines.filter((line) => line <= total);
  for (const line of known) {
    const at = Math.floor((line - 1) / bucket);
    counts[at] = (counts[at] ?? 0) + 1;
  }
  return { lines: total, bucket_lines: bucket, counts, matches: known.length };
}

const done = () => vi.advanceTimersByTimeAsync(0);

it('are not asked for where the marks tell of none', async () => {
  const { hits, state } = hitsIn([2_000]);
  hits.want(1, 50, marksOf([2_000], 1_000_000, 1_000));
  await done();
  expect(state.asked).toEqual([]);
});

it('are asked for no further than the marks tell of them', async () => {
  const lines = [1_100, 1_700, 900_000];
  const { hits, state, changed } = hitsIn(lines);
  hits.want(1_650, 1_720, marksOf(lines, 1_000_000, 1_000));
  await done();
  expect(state.asked).toEqual([{ where: { from: 1_001 }, limit: 2 }]);
  expect(hits.at(1_700)?.line).toBe(1_700);
  expect(hits.at(1_701)).toBeNull();
  expect(changed).toHaveBeenCalledOnce();
});

it('among very many are asked for from the block on', async () => {
  const lines = Array.from({ length: 20_000 }, (_, at) => at + 1);
  const { hits, state } = hitsIn(lines);
  hits.want(15_010, 15_050, marksOf(lines, 20_000, 10_000));
  await done();
  expect(state.asked).toEqual([{ where: { from: 15_001 }, limit: 500 }]);
  expect(hits.at(15_500)?.line).toBe(15_500);
});

it('at the end of a log that grows are asked for when the marks tell of more', async () => {
  const lines = [10, 120, 160];
  const { hits, state } = hitsIn(lines);
  for (let total = 100; total < 150; total++) {
    hits.want(1, total, marksOf(lines, 100));
    await done();
  }
  expect(state.asked).toHaveLength(1);
  hits.want(1, 150, marksOf(lines, 150));
  await done();
  expect(state.asked).toHaveLength(2);
  expect(hits.at(120)).not.toBeNull();
  hits.want(1, 155, marksOf(lines, 155));
  await done();
  expect(state.asked).toHaveLength(2);
  hits.want(1, 170, marksOf(lines, 170));
  await done();
  expect(hits.at(160)).not.toBeNull();
});

it('that the service could not give are asked for again', async () => {
  const { hits, state } = hitsIn([10]);
  state.failure = new RequestFailed('no answer', 'see', 503);
  const marks = marksOf([10], 100);
  hits.want(1, 50, marks);
  await vi.advanceTimersByTimeAsync(30_000);
  expect(hits.at(10)).toBeNull();
  expect(state.asked.length).toBeLessThan(20);
  state.failure = null;
  await vi.advanceTimersByTimeAsync(15_000);
  expect(hits.at(10)?.line).toBe(10);
});

it('that the service refuses are asked for again on demand only', async () => {
  const { hits, state } = hitsIn([10]);
  state.failure = new RequestFailed('not signed in', 'sign in', 401);
  const marks = marksOf([10], 100);
  for (let at = 0; at < 5; at++) {
    hits.want(1, 50, marks);
    await done();
  }
  expect(state.asked).toHaveLength(1);
  state.failure = null;
  hits.retry();
  hits.want(1, 50, marks);
  await done();
  expect(hits.at(10)?.line).toBe(10);
});
