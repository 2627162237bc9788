import { describe, expect, it } from 'vitest';
import { charWidth, Grid } from './widths';

const wrapped = (text: string, columns: number) => {
  const starts = new Grid(text).wrapAt(columns);
  return starts.map((from, at) => text.slice(from, starts[at + 1]));
};

it.each([
  ['a', 1],
  ['é', 1],
  ['█', 1],
  ['漢', 2],
  ['한', 2],
  ['ａ', 2],
  ['ｱ', 1],
  ['🛠', 1],
  ['🚀', 2],
  ['\u0301', 0],
  ['\u200d', 0],
  ['\u202e', 8],
  ['\u2069', 8],
  ['\u061c', 8],
])('%s takes %i columns', (character, width) => {
  expect(charWidth(character.codePointAt(0) ?? 0)).toBe(width);
});

describe('wrapping', () => {
  it('is after so many columns, whatever is there', () => {
    expect(wrapped('abcdefgh', 3)).toEqual(['abc', 'def', 'gh']);
    expect(wrapped('abcdef', 3)).toEqual(['abc', 'def']);
    expect(wrapped('', 3)).toEqual(['']);
  });

  it('does not part a wide character, nor a letter from its accents', () => {
    expect(wrapped('a漢字b', 3)).toEqual(['a漢', '字b']);
    expect(wrapped('ab漢字', 3)).toEqual(['ab', '漢', '字']);
    expect(wrapped('abe\u0301x', 3)).toEqual(['abe\u0301', 'x']);
    expect(wrapped('a🚀🚀', 3)).toEqual(['a🚀', '🚀']);
  });

  it('counts tabs to their stops', () => {
    expect(wrapped('a\tb', 8)).toEqual(['a\t', 'b']);
  });
});

describe('columns and characters', () => {
  it('are found from one another', () => {
    const text = 'a\t漢e\u0301🚀z';
    const grid = new Grid(text);
    expect(grid.columns).toBe(14);
    for (const [index, column] of [
      [0, 0],
      [1, 1],
      [2, 8],
      [3, 10],
      [5, 11],
      [7, 13],
    ] as const) {
      expect(grid.columnAt(index)).toBe(column);
      expect(grid.indexAt(column)).toBe(index);
    }
    expect(grid.indexAt(5)).toBe(1);
    expect(grid.indexAt(9)).toBe(2);
    expect(grid.indexAt(12)).toBe(5);
    expect(grid.indexAt(99)).toBe(text.length);
  });
});
