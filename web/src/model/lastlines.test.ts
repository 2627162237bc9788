import { beforeEach, expect, it, vi } from 'vitest';
import type { LogReader } from '../api/live';
import { LastLines, MAX_SHOWN } from './lastlines.svelte';

const live = vi.hoisted(() => ({ reader: null as LogReader | null }));
vi.mock('./connection.svelte', () => ({
  connection: {
    live: {
      follow: (_build: string, _from: unknown, reader: LogReader) => {
        live.reader = reader;
        return () => undefined;
      },
    },
  },
}));

beforeEach(() => {
  vi.stubGlobal('requestAnimationFrame', (draw: () => void) => {
    draw();
    return 0;
  });
});

/** The last three lines after these have come. */
function lastOf(log: string): (string | undefined)[] {
  const lines = new LastLines(3);
  lines.follow('a build');
  live.reader?.begin({ line: 1, offset: 0, afresh: true });
  live.reader?.bytes(new TextEncoder().encode(log));
  return lines.lines.map((line) => line?.text);
}

it('gives the last lines, with the one that is being written', () => {
  expect(lastOf('one\ntwo\nthree\nfour')).toEqual(['two', 'three', 'four']);
});

it('gives no more of a long line than a card has room for', () => {
  const long = 'x'.repeat(60_000);
  expect(lastOf(`short\n${long}\n${long}`)).toEqual(['short', 'x'.repeat(MAX_SHOWN), 'x'.repeat(MAX_SHOWN)]);
});

it.each(['', '\r'])('gives what a line that draws itself anew has drawn last, also before %j', (end) => {
  const steps = Array.from({ length: 2_000 }, (_, at) => `${at} of 2,000`).join('\r');
  expect(lastOf(`${steps}${end}`)).toEqual([`1999 of 2,000${end}`]);
  expect(lastOf(`${steps}\r${'y'.repeat(10_000)}${end}`)).toEqual(['y'.repeat(MAX_SHOWN)]);
});
