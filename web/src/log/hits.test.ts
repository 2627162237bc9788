import { describe, expect, it } from 'vitest';
import type { LogQuery } from '../api/log';
import { parseLine } from './ansi';
import { indexOfByte, Matcher, shownRanges } from './hits';

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
