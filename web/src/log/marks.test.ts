import { expect, it } from 'vitest';
import { Layout, sectionsOf } from './layout';
import { bucketAt, pathOf, pixelOf } from './marks';

const marks = { lines: 1000, bucket_lines: 10, counts: new Array<number>(100).fill(0), matches: 3 };
marks.counts[0] = 1;
marks.counts[50] = 1;
marks.counts[51] = 1;
const open = new Layout(sectionsOf([], 1000), new Set());

it('draws marks as far down as their lines are in the log, one for each pixel', () => {
  expect(pathOf(marks, open, 100, 0, 6)).toBe('M0 0h6v2h-6zM0 50h6v2h-6zM0 51h6v2h-6z');
  expect(pathOf(marks, open, 20, 6, 6)).toBe('M6 0h6v2h-6zM6 10h6v2h-6z');
});

it('keeps the last line on the strip', () => {
  expect(pixelOf(1000, open, 100)).toBe(98);
});

it('draws the marks of a folded step where the step is', () => {
  const folded = new Layout(sectionsOf([1, 101], 1000), new Set([1]));
  expect(pixelOf(900, folded, 102)).toBe(pixelOf(101, folded, 102));
});

it('finds the mark that was meant', () => {
  expect(bucketAt(marks, open, 100, 54, 4)).toEqual({ first: 511, last: 520 });
  expect(bucketAt(marks, open, 100, 70, 4)).toBeNull();
});
