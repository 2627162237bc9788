import { describe, expect, it } from 'vitest';
import { shownText, textOf, TooMuch, MAX_COPIED } from './copy';
import { endsSelected, selectedIn, wholeLines, wordAt, type Selection } from './selection';

const encode = (text: string) => new TextEncoder().encode(text);

/** A log as the service has it. */
function log(text: string) {
  const bytes = encode(text);
  const starts = [0];
  for (let at = 0; at < bytes.length; at++)
    if (bytes[at] === 10 && at + 1 < bytes.length) starts.push(at + 1);
  return {
    offset: (line: number) => Promise.resolve(starts[line - 1] ?? bytes.length),
    bytes: (offset: number, limit: number) => Promise.resolve(bytes.subarray(offset, offset + limit)),
  };
}

const from = (line: number, at: number, to: number, end: number): Selection => ({
  anchor: { line, at },
  focus: { line: to, at: end },
});

describe('what is copied', () => {
  it('is what a terminal shows: no sequences, tabs and blanks kept, one newline for each line', async () => {
    const source = log('\x1b[31mred\x1b[0m\tx  \r\n50 %\r100 %\nlast\n');
    expect(await textOf(wholeLines(1, 3), source)).toBe('red\tx  \n100 %\nlast');
  });

  it('begins and ends within lines, whichever way it was selected', async () => {
    const source = log('first\nsecond\nthird\n');
    expect(await textOf(from(1, 3, 3, 2), source)).toBe('st\nsecond\nth');
    expect(await textOf(from(3, 2, 1, 3), source)).toBe('st\nsecond\nth');
    expect(await textOf(from(2, 1, 2, 4), source)).toBe('eco');
  });

  it('has empty lines, and a last line without an end', async () => {
    expect(await textOf(wholeLines(1, 4), log('a\n\n\nb'))).toBe('a\n\n\nb');
  });

  it('is the whole of a line of megabytes, and any part of it', () => {
    const line = 'é\x1b[1m漢x\x1b[0m'.repeat(300_000);
    const plain = 'é漢x'.repeat(300_000);
    expect(shownText(encode(line), null)).toBe(plain);
    expect(shownText(encode(line), { from: 1, to: 3 })).toBe('漢x');
  });

  it('is refused when it is too much for a clipboard, without being read', async () => {
    const source = {
      offset: (line: number) => Promise.resolve((line - 1) * MAX_COPIED),
      bytes: () => Promise.reject(new Error('read')),
    };
    await expect(textOf(wholeLines(1, 2), source)).rejects.toEqual(new TooMuch(2 * MAX_COPIED, 2));
  });
});

describe('what is marked as selected', () => {
  it('is a part of the first and the last line, and the whole of those between', () => {
    const selection = from(7, 3, 5, 2);
    expect(selectedIn(selection, 4)).toBeNull();
    expect(selectedIn(selection, 5)).toEqual({ from: 2, to: Infinity });
    expect(selectedIn(selection, 6)).toEqual({ from: 0, to: Infinity });
    expect(selectedIn(selection, 7)).toEqual({ from: 0, to: 3 });
    expect([4, 5, 6, 7].map((line) => endsSelected(selection, line))).toEqual([false, true, true, false]);
  });

  it('is nothing for a mere place', () => {
    expect(selectedIn(from(5, 2, 5, 2), 5)).toBeNull();
  });
});

it.each([
  ['gcc -O2 src/main.c:3', 8, 'src/main.c'],
  ['gcc  -O2', 3, '  '],
  ['a == b', 2, '=='],
  ['naïve', 0, 'naïve'],
  ['word', 9, 'word'],
  ['', 0, ''],
])('a double click in %j at %i takes %j', (text, index, word) => {
  const range = wordAt(text, index);
  expect(text.slice(range.from, range.to)).toBe(word);
});
