import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { askAgain, cancelBuild, getBuild, onAnswer } from './http';
import { getLogLines } from './log';

/** What the browser was asked for, each with the ways in which it can go on. */
interface Asked {
  path: string;
  signal: AbortSignal;
  answer(body?: ConstructorParameters<typeof Response>[0], status?: number): void;
  fail(): void;
}

let asked: Asked[];
let told: number[];

beforeEach(() => {
  vi.useFakeTimers();
  [asked, told] = [[], []];
  onAnswer((_, status) => told.push(status));
  vi.stubGlobal('fetch', (path: string, { signal }: { signal: AbortSignal }) => {
    return new Promise<Response>((resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason as Error));
      asked.push({
        path,
        signal,
        // As with a browser's, what comes of the answer ends with the signal.
        answer: (body = '{}', status = 200) => {
          const pieces = new Response(body).body?.pipeThrough(new TransformStream(), { signal });
          resolve(new Response(pieces ?? null, { status }));
        },
        fail: () => reject(new TypeError('no network')),
      });
    });
  });
});
afterEach(() => {
  onAnswer(() => undefined);
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const newest = () => asked.at(-1) as Asked;
/** At which second each attempt began, of so many seconds. */
async function timesUntil(end: number): Promise<number[]> {
  const times: number[] = [];
  for (let second = 0; second < end; second++) {
    while (times.length < asked.length) times.push(second);
    await vi.advanceTimersByTimeAsync(1_000);
  }
  return times;
}
const settled = () => vi.advanceTimersByTimeAsync(0);

describe('what is read', () => {
  it('is asked for again when the connection is back, and the answer to that is given', async () => {
    const build = getBuild('b1');
    askAgain();
    await settled();
    expect(asked.map(({ path }) => path)).toEqual(['/api/v1/builds/b1', '/api/v1/builds/b1']);
    expect(asked[0]?.signal.aborted).toBe(true);
    newest().answer('{"id": "b1"}');
    expect(await build).toEqual({ id: 'b1' });
    // What has been answered is not asked for any more.
    askAgain();
    await settled();
    expect(asked).toHaveLength(2);
    expect(told).toEqual([200]);
  });

  it('is asked for again also when its answer had begun', async () => {
    const lines = getLogLines('b1', 1, 10);
    newest().answer(new ReadableStream({ start: (body) => body.enqueue(new TextEncoder().encode('half')) }));
    await settled();
    askAgain();
    await settled();
    newest().answer('whole');
    expect(new TextDecoder().decode((await lines).bytes)).toBe('whole');
  });

  it('is dropped as soon as nobody wants it, and not asked for again', async () => {
    const stop = new AbortController();
    const build = getBuild('b1', stop.signal);
    const refused = expect(build).rejects.toThrow(expect.objectContaining({ name: 'AbortError' }));
    stop.abort();
    await refused;
    askAgain();
    await vi.advanceTimersByTimeAsync(100_000);
    expect(asked).toHaveLength(1);
    expect(told).toEqual([]);
  });

  it('is asked for again, with more and more patience, while nothing comes; and then has failed', async () => {
    const refused = expect(getBuild('b1')).rejects.toThrow('the service does not answer');
    expect(await timesUntil(70)).toEqual([0, 10, 30]);
    await refused;
    expect(told).toEqual([0]);
  });

  it('soon tries another connection after an outage, as many as a browser keeps', async () => {
    const refused = expect(getBuild('b1')).rejects.toThrow('the service does not answer');
    askAgain();
    await settled();
    expect((await timesUntil(103)).slice(1)).toEqual([0, 1, 3, 7, 15, 31, 63]);
    await refused;
  });

  it('may come slowly, but has failed when it stops in the middle', async () => {
    let body!: ReadableStreamDefaultController<Uint8Array>;
    const lines = getLogLines('b1', 1, 10);
    newest().answer(new ReadableStream({ start: (controller) => void (body = controller) }));
    for (let at = 0; at < 10; at++) {
      body.enqueue(new TextEncoder().encode('x'));
      await vi.advanceTimersByTimeAsync(9_000);
    }
    expect(asked).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(asked).toHaveLength(2);
    newest().fail();
    await expect(lines).rejects.toThrow('the service does not answer');
  });
});

describe('what changes something', () => {
  it('is done once, however things stand, and has failed when no answer comes', async () => {
    const refused = expect(cancelBuild('b1')).rejects.toThrow('the service does not answer');
    askAgain();
    await vi.advanceTimersByTimeAsync(39_000);
    expect(told).toEqual([]);
    await vi.advanceTimersByTimeAsync(2_000);
    await refused;
    expect(asked).toHaveLength(1);
  });
});
