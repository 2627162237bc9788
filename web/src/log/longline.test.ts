import { describe, expect, it } from 'vitest';
import { Matcher } from './hits';
import { LongLine, PIECE, pieceOf } from './longline';
import { PLAIN, type Style } from './sgr';
import { PiecedText } from './text';

const encode = (text: string) => new TextEncoder().encode(text);
const settled = () => new Promise((resolve) => setTimeout(resolve, 5));
const NOTHING = { search: null, selected: null };

/** A line that begins at byte 100 of a log, and the requests for it. */
function line(text: string, style: Style = PLAIN) {
  const bytes = encode(text);
  const asked: number[] = [];
  const long = new LongLine(
    (offset, limit) => {
      asked.push(offset - 100);
      return Promise.resolve(bytes.subarray(offset - 100, offset - 100 + limit));
    },
    100,
    bytes.length,
    style,
    () => undefined,
  );
  return { long, asked, text: new PiecedText(long) };
}

async function shown(pieced: ReturnType<typeof line>, from: number, to: number): Promise<string> {
  const read = () => pieced.text.wrapped(from / (to - from), to - from, NOTHING);
  read();
  pieced.long.settle();
  await settled();
  return read()
    .runs.map((run) => run.text)
    .join('');
}

/** The text of all pieces of a line, each read by itself. */
function pieces(text: string): string {
  const bytes = encode(text);
  let all = '';
  for (let begin = 0; begin < bytes.length; begin += PIECE) {
    const before = Math.min(64, begin);
    const around = bytes.subarray(begin - before, begin + PIECE + 3);
    all += pieceOf(around, before, Math.min(PIECE, bytes.length - begin), begin).shown.text;
  }
  return all;
}

describe('pieces', () => {
  it.each([0, 1, 2, 3])('tear no character, whichever byte they begin at (%i)', (shift) => {
    const text = `${'x'.repeat(shift)}${'漢字é🚀'.repeat(20_000)}`;
    expect(pieces(text)).toBe(text);
  });

  it.each([1, 2, 5, 9, 11])('tear no sequence that begins %i bytes before their end', (before) => {
    const start = 'x'.repeat(PIECE - before);
    expect(pieces(`${start}\x1b[38;5;208morange\x1b[0m and on`)).toBe(`${start}orange and on`);
  });
});

describe('a line of ten million columns', () => {
  const long = line(Array.from({ length: 1_250_000 }, (_, at) => String(at).padStart(8)).join(''));

  it('is read where it is looked at only', async () => {
    expect(long.text.columns).toBe(10_000_000);
    expect(long.text.parts(100)).toBe(100_000);
    expect(await shown(long, 5_000_000, 5_000_100)).toMatch(/^ {2}625000 {2}625001/);
    expect(long.asked).toHaveLength(1);
    expect(await shown(long, 9_999_900, 10_000_000)).toMatch(/1249999$/);
    expect(long.asked).toHaveLength(2);
  });

  it('has places that order as its text does', () => {
    const place = long.text.placeAt(5_000_003);
    expect(long.text.columnOf(place)).toBe(5_000_003);
    expect(long.text.placeAt(5_000_004)).toBeGreaterThan(place);
    expect(long.text.partOf(place, 100)).toBe(50_000);
  });
});

it.each([
  ['é', 1],
  ['\x1b[38;5;208m', 5],
])('marks a match where its byte says, after %j over the edge of a piece', async (torn, within) => {
  const edge = 'x'.repeat(PIECE - within) + torn;
  const raw = `${edge} and a needle${'x'.repeat(PIECE)}`;
  const long = line(raw);
  const first = { line: 1, column: encode(`${edge} and a `).length + 1, length: 6 };
  const matcher = new Matcher({ text: 'n[e]+dle', case: true, regex: true });
  const read = () =>
    long.text.window(0, 2 * PIECE, { search: { matcher, first, current: first }, selected: null });
  read();
  long.long.settle();
  await settled();
  const hits = read().runs.filter(({ hit }) => hit);
  expect(hits.map(({ text, hit }) => [text, hit])).toEqual([['needle', 'current']]);
});

it('has the place of a byte, exactly once it was read', async () => {
  const long = line(`${'x'.repeat(PIECE)}${'\x1b[1mé'.repeat(1_000)}needle`);
  const byte = PIECE + 6_000;
  expect(long.text.columnOf(long.text.placeOf(byte))).toBe(byte);
  await shown(long, PIECE, 2 * PIECE);
  expect(long.text.columnOf(long.text.placeOf(byte))).toBe(PIECE + 1_000);
});

it('has no gap after a piece with fewer columns than bytes, once that was read', async () => {
  const long = line(`${'é'.repeat(PIECE / 2)}${'x'.repeat(PIECE)}`);
  expect(long.text.columns).toBe(2 * PIECE);
  await shown(long, 0, 100);
  expect(long.text.columns).toBe(1.5 * PIECE);
  // The part after the first piece begins at half its bytes; the second piece comes when it is looked at.
  const columns = PIECE / 2;
  expect(await shown(long, columns, 2 * columns)).toBe('x'.repeat(columns));
});

it('gives up on pieces that are no longer looked at', async () => {
  const signals: AbortSignal[] = [];
  const long = new LongLine(
    (_offset, _limit, signal) => {
      signals.push(signal);
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('aborted'))));
    },
    0,
    10 * PIECE,
    PLAIN,
    () => undefined,
  );
  long.cut(0, 100);
  long.settle();
  long.cut(5 * PIECE, 5 * PIECE + 100);
  long.settle();
  await settled();
  long.cut(5 * PIECE, 5 * PIECE + 100);
  long.settle();
  expect(signals.map(({ aborted }) => aborted)).toEqual([true, false]);
});

it('has the colour that was set before it, and what its own beginning sets, also far to the right', async () => {
  const green = { ...PLAIN, fg: 2 };
  const red = line(`${'x'.repeat(10)}\x1b[31m${'y'.repeat(4 * PIECE)}`, green);
  const colours = async (from: number) => {
    await shown(red, from, from + 20);
    return red.text.wrapped(from / 20, 20, NOTHING).runs.map((run) => run.style.fg);
  };
  expect(await colours(0)).toEqual([2, 1]);
  expect(await colours(3 * PIECE)).toEqual([1]);
});
