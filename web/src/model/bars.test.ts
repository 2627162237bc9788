import { expect, it } from 'vitest';
import { barsInWords, barsOfDurations, barsOfLane } from './bars';

const lane = (
  id: string,
  state: 'succeeded' | 'building' | 'skipped',
  from: number | null,
  to: number | null,
) => ({
  id,
  state,
  commit: 'c'.repeat(40),
  queued: new Date(0).toISOString(),
  started: from === null ? null : new Date(from).toISOString(),
  ended: to === null ? null : new Date(to).toISOString(),
});

it('bars are as high as the longest allows, and grow with what runs', () => {
  const builds = [
    lane('a', 'succeeded', 0, 1000),
    lane('b', 'skipped', null, 10),
    lane('c', 'building', 2000, null),
  ];
  expect(barsOfLane(builds, 6000).map(({ took, height }) => [took, height])).toEqual([
    [1000, 0.25],
    [null, 0],
    [4000, 1],
  ]);
});

it('are told in words, the most frequent outcome first', () => {
  const ended = new Date(0).toISOString();
  const bars = barsOfDurations([
    { id: 'a', state: 'failed', seconds: 12, ended },
    { id: 'b', state: 'succeeded', seconds: 245, ended },
    { id: 'c', state: 'succeeded', seconds: 60, ended },
  ]);
  expect(barsInWords(bars)).toBe('3 builds: 2 succeeded, 1 failed; the longest took 4:05');
  expect(barsInWords(bars.slice(0, 1))).toBe('1 build: 1 failed; the longest took 12 s');
  expect(barsInWords([])).toBe('no builds yet');
});
