import { describe, expect, it } from 'vitest';
import { RequestFailed } from '../api/http';
import type { Found, LogQuery, Where } from '../api/log';
import { Finder, type SearchService } from './finder.svelte';

const QUERY: LogQuery = { text: 'x', case: false, regex: false };
const settled = () => new Promise((resolve) => setTimeout(resolve, 5));

/** A service whose log of 10,000 lines matches in these. */
function service(lines: number[]) {
  const asked: Where[] = [];
  const found: SearchService = {
    search: (_query, where, limit): Promise<Found> => {
      asked.push(where);
      const all =
        'from' in where
          ? lines.filter((line) => line >= where.from)
          : lines.filter((line) => line < where.before).reverse();
      return Promise.resolve({
        matches: all.slice(0, limit).map((line) => ({ line, column: 1, length: 1 })),
        next: null,
      });
    },
    marks: () => {
      const counts = new Array<number>(10).fill(0);
      for (const line of lines) {
        const bucket = Math.floor((line - 1) / 1000);
        counts[bucket] = (counts[bucket] ?? 0) + 1;
      }
      return Promise.resolve({ lines: 10_000, bucket_lines: 1000, counts, matches: lines.length });
    },
  };
  return { asked, found };
}

async function finder(lines: number[]) {
  const { asked, found } = service(lines);
  const finder = new Finder(found);
  finder.ask(QUERY);
  await settled();
  return { asked, finder };
}

/** Where the reader is after a step: line and position. */
async function after(finder: Finder, step: Promise<unknown>) {
  await step;
  await settled();
  return [finder.current?.line, finder.position];
}

describe('matches', () => {
  const LINES = [5, 1500, 1600, 1700, 9000];

  it('are counted, and the reader is told which one it is', async () => {
    const { finder: found } = await finder(LINES);
    expect(found.marks?.matches).toBe(5);
    expect(await after(found, found.first(1550))).toEqual([1600, 3]);
    expect(await after(found, found.next(1))).toEqual([1700, 4]);
    expect(await after(found, found.previous(1))).toEqual([1600, 3]);
    expect(await after(found, found.previous(1))).toEqual([1500, 2]);
  });

  it('go round at both ends', async () => {
    const { finder: found } = await finder(LINES);
    expect(await after(found, found.first(9500))).toEqual([5, 1]);
    expect(await after(found, found.previous(1))).toEqual([9000, 5]);
    expect(await after(found, found.next(1))).toEqual([5, 1]);
  });

  it('that come next are not asked for one by one', async () => {
    const { finder: found, asked } = await finder(Array.from({ length: 40 }, (_, at) => at + 1));
    await after(found, found.first(1));
    const before = asked.length;
    for (let at = 2; at <= 40; at++) expect(await after(found, found.next(1))).toEqual([at, at]);
    expect(asked).toHaveLength(before);
  });

  it('are placed right among more than one answer holds', async () => {
    const lines = Array.from({ length: 10_000 }, (_, at) => at + 1);
    const { found } = service(lines);
    const finder = new Finder({
      ...found,
      marks: () =>
        Promise.resolve({ lines: 10_000, bucket_lines: 10_000, counts: [10_000], matches: 10_000 }),
    });
    finder.ask(QUERY);
    await settled();
    expect(await after(finder, finder.first(2501))).toEqual([2501, 2501]);
  });
});

describe('answers', () => {
  it('to what is no longer asked are dropped', async () => {
    const answers: ((count: number) => void)[] = [];
    const finder = new Finder({
      search: () => Promise.resolve({ matches: [], next: null }),
      marks: () =>
        new Promise((resolve) =>
          answers.push((count) => resolve({ lines: 10, bucket_lines: 10, counts: [count], matches: count })),
        ),
    });
    finder.ask(QUERY);
    finder.ask({ ...QUERY, text: 'y' });
    answers[1]?.(2);
    await settled();
    answers[0]?.(1);
    await settled();
    expect(finder.marks?.matches).toBe(2);
  });

  it('that refuse are told, until something else is asked', async () => {
    const finder = new Finder({
      search: () => Promise.resolve({ matches: [], next: null }),
      marks: () => Promise.reject(new RequestFailed('unclosed group', 'look for the text', 400)),
    });
    finder.ask(QUERY);
    await settled();
    expect(finder.failure?.what).toBe('unclosed group');
    finder.ask(null);
    expect(finder.failure).toBeNull();
  });
});
