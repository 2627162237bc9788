import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
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
      const matches = all.slice(0, limit).map((line) => ({ line, column: 1, length: 1 }));
      const last = matches.at(-1)?.line ?? 0;
      const next = all.length <= limit ? null : 'from' in where ? last + 1 : last;
      return Promise.resolve({ matches, next });
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

  it('are taken up again from where the reader has gone', async () => {
    const { finder: found } = await finder(LINES);
    expect(await after(found, found.first(1))).toEqual([5, 1]);
    expect(await after(found, found.nearest(1650, 1))).toEqual([1700, 4]);
    expect(await after(found, found.next(1))).toEqual([9000, 5]);
    expect(await after(found, found.nearest(1650, -1))).toEqual([1600, 3]);
    expect(await after(found, found.previous(1))).toEqual([1500, 2]);
    expect(await after(found, found.nearest(9500, 1))).toEqual([5, 1]);
    expect(await after(found, found.nearest(3, -1))).toEqual([9000, 5]);
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

describe('steps asked for one after another', () => {
  /** A service that answers searches when it is told to. */
  async function slow(lines: number[]) {
    const { asked, found } = service(lines);
    const waiting: (() => void)[] = [];
    const aborted: Where[] = [];
    const finder = new Finder({
      ...found,
      search: async (query, where, limit, signal) => {
        const answer = await found.search(query, where, limit, signal);
        signal.addEventListener('abort', () => aborted.push(where));
        await new Promise<void>((resolve) => waiting.push(resolve));
        return answer;
      },
    });
    finder.ask(QUERY);
    await settled();
    const answer = async () => {
      for (const go of waiting.splice(0)) go();
      await settled();
    };
    return { finder, asked, aborted, answer };
  }

  const MANY = Array.from({ length: 500 }, (_, at) => 2 * at + 1);

  it('are all taken, though the first search is still on its way', async () => {
    const { finder, aborted, answer } = await slow(MANY);
    const steps = [finder.first(1), finder.next(1), finder.next(1), finder.next(1), finder.previous(1)];
    await settled();
    await answer();
    await Promise.all(steps);
    expect(finder.current?.line).toBe(5);
    expect(aborted).toEqual([]);
    await answer();
    expect(finder.position).toBe(3);
  });

  it('go on behind what was fetched, and never begin a search again', async () => {
    const { finder, asked, aborted, answer } = await slow(MANY);
    const first = finder.first(1);
    await settled();
    await answer();
    await first;
    for (let at = 0; at < 120; at++) void finder.next(1);
    for (let at = 0; at < 5; at++) {
      void finder.next(1);
      await settled();
      await answer();
    }
    expect(finder.current?.line).toBe(251);
    expect(aborted).toEqual([]);
    const from = asked.map((where) => ('from' in where ? where.from : -where.before));
    expect(new Set(from).size).toBe(from.length);
  });

  it('find the matches ahead here before the last one is reached', async () => {
    const { finder, answer } = await slow(MANY);
    const first = finder.first(1);
    await settled();
    await answer();
    await first;
    for (let at = 0; at < 35; at++) await finder.next(1);
    await settled();
    await answer();
    for (let at = 35; at < 70; at++) await finder.next(1);
    expect(finder.current?.line).toBe(141);
  });

  it('are forgotten with their query', async () => {
    const { finder, answer } = await slow(MANY);
    const first = finder.first(1);
    void finder.next(1);
    finder.ask({ ...QUERY, text: 'y' });
    await settled();
    await answer();
    expect(await first).toBeNull();
    expect(finder.current).toBeNull();
  });
});

describe('a service that is not there for a moment', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  function broken() {
    const { found } = service([5, 9]);
    const state = { down: true, asked: 0 };
    const answer = <T>(give: () => Promise<T>): Promise<T> => {
      state.asked += 1;
      return state.down ? Promise.reject(new RequestFailed('no answer', 'see', 503)) : give();
    };
    const finder = new Finder({
      search: (...asked) => answer(() => found.search(...asked)),
      marks: (...asked) => answer(() => found.marks(...asked)),
    });
    return { state, finder };
  }

  it('is asked again by and by, and says meanwhile that it does not answer', async () => {
    const { state, finder } = broken();
    finder.ask(QUERY);
    const first = finder.first(1);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(finder.failure?.what).toBe('no answer');
    expect(finder.isRefused).toBe(false);
    expect(state.asked).toBeGreaterThan(8);
    expect(state.asked).toBeLessThan(50);
    state.down = false;
    await vi.advanceTimersByTimeAsync(15_000);
    expect((await first)?.line).toBe(5);
    expect(finder.marks?.matches).toBe(2);
    expect(finder.failure).toBeNull();
  });

  it('is asked at once when it is known to be back, or when the reader presses again', async () => {
    const { state, finder } = broken();
    finder.ask(QUERY);
    const first = finder.first(1);
    await vi.advanceTimersByTimeAsync(60_000);
    state.down = false;
    void finder.next(1);
    await vi.advanceTimersByTimeAsync(0);
    expect((await first)?.line).toBe(5);
    expect(finder.marks?.matches).toBe(2);
  });

  it('is not asked any more once nobody wants to know', async () => {
    const { state, finder } = broken();
    finder.ask(QUERY);
    void finder.first(1);
    await vi.advanceTimersByTimeAsync(1_000);
    finder.close();
    const { asked } = state;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(state.asked).toBe(asked);
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
    expect(finder.isRefused).toBe(true);
    finder.ask(null);
    expect(finder.failure).toBeNull();
  });
});
