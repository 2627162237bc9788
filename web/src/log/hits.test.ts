import { describe, expect, it, vi } from 'vitest';
import type { LogQuery } from '../api/log';
import { parseLine } from './ansi';
import { HitsIn, indexOfByte, Matcher, shownRanges } from './hits';

const text = (words: string, differs = false): LogQuery => ({ text: words, case: differs, regex: false });

/** The parts of the shown line that are marked. */
function marked(raw: string, query: LogQuery, first: { column: number; length: number } | null = null) {
  const shown = parseLine(raw);
  const found = new Matcher(query).find(raw, first && { line: 1, ...first });
  return shownRanges(shown, found).map(({ from, to }) => `${from}:${shown.text.slice(from, to)}`);
}

describe('a text', () => {
  it('is marked wherever it stands', () => {
    expect(marked('foo bar Foo', text('foo'))).toEqual(['0:foo', '8:Foo']);
    expect(marked('foo bar Foo', text('foo', true))).toEqual(['0:foo']);
  });

  it('is no expression', () => {
    expect(marked('a.b axb (x)', text('a.b'))).toEqual(['0:a.b']);
    expect(marked('a.b axb (x)', text('(x)'))).toEqual(['8:(x)']);
  });

  it('is marked where it is shown, whatever sequences stand around it', () => {
    expect(marked('\x1b[31merror:\x1b[0m bad', text('error:'))).toEqual(['0:error:']);
    expect(marked('\x1b[32m[ 7%]\x1b[0m gcc', text('gcc'))).toEqual(['6:gcc']);
  });

  it('is found across sequences, as the service finds it', () => {
    expect(marked('\x1b[32m[ 2%]\x1b[0m gcc', text('%] gcc'))).toEqual(['3:%] gcc']);
    expect(marked('\x1b]8;;http://x\x07li\x1b[1mnk\x1b]8;;\x07 end', text('link e'))).toEqual(['0:link e']);
    expect(marked('\x1b[31mred\x1b[0m 31m', text('31m'))).toEqual(['4:31m']);
  });

  it('is not marked where it was overwritten', () => {
    expect(marked('wait\rdone', text('wait'))).toEqual([]);
    expect(marked('waiting\rdone', text('waiting'))).toEqual(['4:ing']);
  });
});

describe('a regular expression', () => {
  const query: LogQuery = { text: '(?i)\\p{Greek}+', case: true, regex: true };

  it('is marked where the service says, in bytes', () => {
    expect(marked('漢字 αβ γ', query, { column: 8, length: 4 })).toEqual(['3:αβ']);
    expect(marked('\x1b[1m🚀 αβ', query, { column: 10, length: 4 })).toEqual(['3:αβ']);
  });

  it('is marked across the sequences that its length covers', () => {
    expect(marked('[ 2%]\x1b[0m gcc', query, { column: 4, length: 10 })).toEqual(['3:%] gcc']);
  });

  it('is not marked before the service has said so', () => {
    expect(marked('αβ', query)).toEqual([]);
  });
});

it.each([
  ['abc', 2, 2],
  ['é漢🚀x', 2, 1],
  ['é漢🚀x', 5, 2],
  ['é漢🚀x', 9, 4],
  ['ab', 9, 2],
])('in %j the byte %i begins the character at %i', (line, byte, index) => {
  expect(indexOfByte(line, byte)).toBe(index);
});

describe('a line of many colours and many matches', () => {
  const raw = '\x1b[31mneedle\x1b[0m hay '.repeat(3_000);
  const match = { line: 1, column: 6, length: 6 };

  it('is passed through once', () => {
    const shown = parseLine(raw);
    const { sources } = shown;
    if (!sources) throw new Error('nothing stands elsewhere than it came');
    let reads = 0;
    const counted = new Proxy(sources, {
      get(target, key) {
        if (key !== 'length') reads += 1;
        return Reflect.get(target, key, target) as unknown;
      },
    });
    const found = new Matcher(text('needle')).find(raw, null);
    const ranges = shownRanges({ ...shown, sources: counted }, found);
    expect(ranges).toHaveLength(1_000);
    expect(ranges[999]).toEqual({ from: 999 * 11, to: 999 * 11 + 6, match: 999 });
    expect(reads).toBeLessThanOrEqual(sources.length + 1);
  });

  it('is searched once for each query and place in it', () => {
    const matcher = new Matcher(text('needle'));
    const find = vi.spyOn(matcher, 'find');
    const hits = new HitsIn(raw, parseLine(raw));
    const first = hits.of({ matcher, first: null, current: null });
    expect(hits.of({ matcher, first: null, current: null })).toBe(first);
    expect(find).toHaveBeenCalledTimes(1);
    expect(first.filter(({ current }) => current)).toEqual([]);
    expect(hits.of({ matcher, first: null, current: match }).findIndex(({ current }) => current)).toBe(0);
    expect(hits.of({ matcher: new Matcher(text('hay')), first: null, current: null })[0]?.from).toBe(7);
  });
});

it('marks all that is left of a match that was partly overwritten as the current one', () => {
  const shown = parseLine('a needle\x1b[5DX');
  const hits = new HitsIn('a needle\x1b[5DX', shown).of({
    matcher: new Matcher(text('needle')),
    first: null,
    current: { line: 1, column: 3, length: 6 },
  });
  expect(hits.map(({ from, to, current }) => [shown.text.slice(from, to), current])).toEqual([
    ['n', true],
    ['edle', true],
  ]);
});

describe('a piece of a line', () => {
  /** What is marked in a piece that begins at byte 1,000, with a star where the reader is. */
  function inPiece(raw: string, query: LogQuery, column: number, length: number): string[] {
    const match = { line: 1, column, length };
    const shown = parseLine(raw);
    const hits = new HitsIn(raw, shown, { from: 1000, to: 1000 + raw.length });
    const found = hits.of({ matcher: new Matcher(query), first: query.regex ? match : null, current: match });
    return found.map(({ from, to, current }) => `${from}:${shown.text.slice(from, to)}${current ? '*' : ''}`);
  }
  const regex: LogQuery = { text: 'n.+?e', case: true, regex: true };

  it('has the match of an expression only if that is in it', () => {
    expect(inPiece('hay needle', regex, 1005, 6)).toEqual(['4:needle*']);
    expect(inPiece('hay needle', regex, 5, 6)).toEqual([]);
    expect(inPiece('hay needle', regex, 1011, 6)).toEqual([]);
  });

  it('has a part of a match that goes over its edges', () => {
    expect(inPiece('dle hay', regex, 998, 6)).toEqual(['0:dle*']);
    expect(inPiece('hay need', regex, 1005, 6)).toEqual(['4:need*']);
  });

  it('has the current one only if that is in it', () => {
    expect(inPiece('hay needle needle', text('needle'), 1005, 6)).toEqual(['4:needle*', '11:needle']);
    expect(inPiece('hay needle needle', text('needle'), 5, 6)).toEqual(['4:needle', '11:needle']);
    expect(inPiece('hay needle needle', text('needle'), 1018, 6)).toEqual(['4:needle', '11:needle']);
  });
});

it.each([
  ['plain', 3, 'i'],
  ['\x1b[31mré\x1b[0md', 5, 'r'],
  ['\x1b[31mré\x1b[0md', 8, 'd'],
  ['waiting\rdone', 0, 'i'],
  ['waiting\rdone', 8, 'd'],
  ['end', 9, undefined],
  ['\x1b[1mend', 9, undefined],
])('of %j the byte %i is seen at %j', (raw, byte, character) => {
  const shown = parseLine(raw);
  expect(shown.text[new HitsIn(raw, shown).placeOf(byte)]).toBe(character);
});
