import { describe, expect, it } from 'vitest';
import { parseLine } from './ansi';
import { runsOf, type Hit, type TextRange } from './drawing';

function runs(
  raw: string,
  part: TextRange | null = null,
  hits: Hit[] = [],
  selected: TextRange | null = null,
) {
  const shown = parseLine(raw);
  return runsOf(shown, part ?? { from: 0, to: shown.text.length }, hits, selected).map((run) =>
    [run.text, run.style.fg, run.hit, run.selected ? 'selected' : null, run.wide ? 'wide' : null].filter(
      (one) => one !== null,
    ),
  );
}

describe('runs', () => {
  it('change with the style', () => {
    expect(runs('a\x1b[31mb\x1b[0mc')).toEqual([['a'], ['b', 1], ['c']]);
    expect(runs('')).toEqual([]);
  });

  it('change with hits and the selection, which may overlap and go over styles', () => {
    const hits = [
      { from: 1, to: 3, current: false },
      { from: 4, to: 5, current: true },
    ];
    expect(runs('ab\x1b[31mcdef', null, hits, { from: 2, to: Infinity })).toEqual([
      ['a'],
      ['b', 'hit'],
      ['c', 1, 'hit', 'selected'],
      ['d', 1, 'selected'],
      ['e', 1, 'current', 'selected'],
      ['f', 1, 'selected'],
    ]);
  });

  it('are of the part that is asked for', () => {
    expect(runs('ab\x1b[31mcd\x1b[32mef', { from: 1, to: 5 })).toEqual([['b'], ['cd', 1], ['e', 2]]);
  });

  it('have tabs as the blanks that they are, counted from the start of the line', () => {
    expect(runs('a\tb')).toEqual([['a       b']]);
    expect(runs('abc\tb', { from: 2, to: 5 })).toEqual([['c     b']]);
  });

  it('give wide characters their room, with what belongs to them', () => {
    expect(runs('a漢\u0301字b')).toEqual([['a'], ['漢\u0301', 'wide'], ['字', 'wide'], ['b']]);
  });

  it('have marks for what would turn the text around, which keep their place in it', () => {
    const text = 'a = \u202e"live"\u202c;';
    expect(runs(text)).toEqual([['a = <U+202E>"live"<U+202C>;']]);
    expect(parseLine(text).text).toBe(text);
    expect(runs(`\x1b[31m${text}`, { from: 4, to: 6 })).toEqual([['<U+202E>"', 1]]);
    expect(runs('\u200e\u200f\u061c')).toEqual([['<U+200E><U+200F><U+061C>']]);
  });
});
