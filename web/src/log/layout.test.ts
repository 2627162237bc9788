import { describe, expect, it } from 'vitest';
import { keyOfStep, Layout, sectionsOf, stepOfKey } from './layout';

/** The keys of all rows, steps as names. */
function rows(begins: number[], total: number, folded: number[] = []) {
  const layout = new Layout(sectionsOf(begins, total), new Set(folded));
  const keys = Array.from({ length: layout.rows }, (_, at) => layout.keyOf(at + 1));
  for (const [at, key] of keys.entries()) expect(layout.rowOf(key)).toBe(at + 1);
  return keys.map((key) => (key < 0 ? `step ${stepOfKey(key)}` : key));
}

describe('rows', () => {
  it('are the lines, with each step named before its first', () => {
    expect(rows([1, 4], 6)).toEqual(['step 0', 1, 2, 3, 'step 1', 4, 5, 6]);
  });

  it('begin without a name when no step began there', () => {
    expect(rows([], 2)).toEqual([1, 2]);
    expect(rows([3], 3)).toEqual([1, 2, 'step 0', 3]);
  });

  it('do not name steps that wrote nothing, nor ones that have only begun', () => {
    expect(rows([1, 1, 3, 3, 4], 3)).toEqual(['step 1', 1, 2, 'step 3', 3]);
    expect(rows([1, 1, 3, 3, 4], 3, [0, 1, 2])).toEqual(['step 1', 'step 3', 3]);
    expect(rows([1], 0)).toEqual([]);
  });

  it('are somewhere for a place kept on a step that wrote nothing', () => {
    const layout = new Layout(sectionsOf([1, 1, 3, 3, 4], 3), new Set());
    const row = (step: number) => layout.keyOf(layout.rowOf(keyOfStep(step)));
    expect([row(0), row(2), row(4)]).toEqual([keyOfStep(1), keyOfStep(3), 3]);
  });

  it('leave out the lines of folded steps', () => {
    expect(rows([1, 4], 6, [0])).toEqual(['step 0', 'step 1', 4, 5, 6]);
    expect(rows([1, 4], 6, [0, 1])).toEqual(['step 0', 'step 1']);
  });
});

describe('a folded line', () => {
  const layout = new Layout(sectionsOf([1, 1000], 10_000_000), new Set([1]));

  it('is where its step is named', () => {
    expect(layout.rows).toBe(1001);
    expect(layout.rowOf(5_000_000)).toBe(layout.rowOf(keyOfStep(1)));
    expect(layout.stepOfLine(5_000_000)).toBe(1);
    expect(layout.stepOfLine(999)).toBe(0);
  });

  it('is there also when other steps follow', () => {
    const between = new Layout(sectionsOf([1, 4, 7], 9), new Set([1]));
    expect(between.keyOf(between.rowOf(6))).toBe(keyOfStep(1));
    expect(between.keyOf(between.rowOf(7))).toBe(7);
  });

  it('is not among those that are drawn', () => {
    expect(layout.linesIn(990, 1001)).toEqual({ first: 989, last: 999 });
    expect(layout.linesIn(1001, 1001)).toBeNull();
  });
});
