import { describe, expect, it, vi } from 'vitest';
import { RequestFailed } from '../api/http';
import { LongLines } from './longlines';
import { PLAIN } from './sgr';
import { PiecedText } from './text';

const LENGTH = 100_000;
const settled = () => new Promise((resolve) => setTimeout(resolve, 5));
const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, at) => from + at);
const nothing = { search: null, selected: null };

/** A log of long lines, and a page that draws those in view whenever something has changed. */
function page(answers: () => boolean = () => true) {
  const asked: { what: string; signal: AbortSignal }[] = [];
  const drawn = new Map<number, string>();
  let inView: number[] = [];
  let column = 0;
  let failing: RequestFailed | null = new RequestFailed('The service is starting', '', 503);
  async function answer<T>(what: string, signal: AbortSignal, value: () => T): Promise<T> {
    asked.push({ what, signal });
    await Promise.resolve();
    signal.throwIfAborted();
    if (failing && !answers()) throw failing;
    return value();
  }
  const line = (at: number) => `${String(at).padEnd(LENGTH, 'x')}\n`;
  const lines = new LongLines(
    (at, signal) => answer(`where ${at}`, signal, () => (at - 1) * (LENGTH + 1)),
    (offset, limit, signal) =>
      answer(`bytes ${offset}`, signal, () => {
        const at = Math.floor(offset / (LENGTH + 1)) + 1;
        const from = offset - (at - 1) * (LENGTH + 1);
        return new TextEncoder().encode(line(at).slice(from, from + limit));
      }),
    () => PLAIN,
    () => draw(),
  );
  function draw(): void {
    for (const at of inView) {
      const runs = lines.get(at)?.window(column, column + 10, nothing).runs ?? [];
      drawn.set(at, runs.map((run) => run.text).join(''));
    }
    queueMicrotask(() => lines.want(inView));
  }
  return {
    lines,
    asked,
    drawn,
    refuse: (failure: RequestFailed) => (failing = failure),
    look: async (at: number[], from = 0) => {
      [inView, column] = [at, from];
      drawn.clear();
      draw();
      await settled();
    },
  };
}

describe('lines that are too long to be kept', () => {
  it('come all and once, also when more are on screen than are kept', async () => {
    const { look, drawn, asked } = page();
    await look(numbers(1, 40));
    await vi.waitFor(() =>
      expect(numbers(1, 40).every((at) => drawn.get(at)?.startsWith(`${at}x`))).toBe(true),
    );
    const { length } = asked;
    // Where each begins and ends, how it ends, and its first piece.
    expect(length).toBe(40 * 4);
    await look(numbers(1, 40));
    expect(asked).toHaveLength(length);
  });

  it('are asked for by who wants them, not by who looks what is here', async () => {
    const { lines, asked } = page();
    for (const at of numbers(1, 2000)) expect(lines.get(at)).toBeNull();
    await settled();
    expect(asked).toEqual([]);
  });

  it('are given up when they leave the screen before they are here', async () => {
    const { look, lines, asked } = page();
    const begun = look([1, 2]);
    await Promise.resolve();
    const first = [...asked];
    expect(first.map(({ what }) => what)).toEqual(['where 1', 'where 2', 'where 2', 'where 3']);
    await look([2, 3]);
    await begun;
    expect(first.map(({ signal }) => signal.aborted)).toEqual([true, true, false, false]);
    expect([1, 2, 3].map((at) => lines.get(at) instanceof PiecedText)).toEqual([false, true, true]);
  });

  it('are forgotten when others are looked at, the ones longest ago first', async () => {
    const { look, lines } = page();
    for (const first of [1, 5, 1, 9]) await look(numbers(first, first + 3));
    expect(numbers(1, 12).filter((at) => lines.get(at))).toEqual([1, 2, 3, 4, 9, 10, 11, 12]);
  });

  it('ask again when the service is back, and tell meanwhile why there is nothing', async () => {
    let isBack = false;
    const { look, lines, drawn } = page(() => isBack);
    await look([1]);
    expect(lines.failure?.status).toBe(503);
    isBack = true;
    lines.retry();
    await vi.waitFor(() => expect(drawn.get(1)).toMatch(/^1x/));
    expect(lines.failure).toBeNull();
  });

  it('tell also that a piece of one does not come', async () => {
    let isThere = true;
    const { look, lines, drawn } = page(() => isThere);
    await look([1]);
    await vi.waitFor(() => expect(drawn.get(1)).toMatch(/^1x/));
    isThere = false;
    await look([1], 90_000);
    expect(lines.failure?.status).toBe(503);
    expect(drawn.get(1)).toBe('');
    isThere = true;
    lines.retry();
    await vi.waitFor(() => expect(drawn.get(1)).toMatch(/^x+$/));
    expect(lines.failure).toBeNull();
  });

  it('fail no more when nobody looks at what did not come', async () => {
    const { look, lines } = page(() => false);
    await look([1]);
    expect(lines.failure).not.toBeNull();
    await look([]);
    expect(lines.failure).toBeNull();
  });

  it('are not asked for again by themselves when they were refused', async () => {
    const { look, lines, asked, refuse } = page(() => false);
    refuse(new RequestFailed('There is no such log', '', 404));
    await look([1]);
    expect(lines.failure?.status).toBe(404);
    const { length } = asked;
    await look([1]);
    expect(asked).toHaveLength(length);
    lines.retry();
    await settled();
    expect(asked.length).toBeGreaterThan(length);
  });
});
