import { describe, expect, it } from 'vitest';
import type { Build, Step } from '../api/types';
import { barInWords, progressInWords, progressOf } from './progress';

const at = (second: number) => new Date(second * 1000).toISOString();

function step(name: Step['name'], from: number, to: number | null, attempt = 1): Step {
  return { name, attempt, started: at(from), ended: to === null ? null : at(to), line: 1 };
}

function running(values: Partial<Build>): Build {
  return {
    state: 'building',
    attempt: 1,
    started: at(0),
    ended: null,
    steps: [step('queued', -5, 0), step('preparing', 0, 10), step('building', 10, null)],
    usual: { total: 100, steps: { preparing: 10, building: 80, collecting: 4, publishing: 6 } },
    ...values,
  } as Build;
}

const seconds = (second: number) => second * 1000;

describe('a running build', () => {
  it('fills its steps by the time they usually take', () => {
    const { parts, mark } = progressOf(running({}), seconds(50));
    expect(parts.map(({ name, state }) => [name, state])).toEqual([
      ['preparing', 'done'],
      ['building', 'current'],
      ['collecting', 'coming'],
      ['publishing', 'coming'],
    ]);
    expect(parts.map(({ share }) => share)).toEqual([0.1, 0.8, 0.04, 0.06]);
    expect(parts.map(({ filled }) => filled)).toEqual([1, 0.5, 0, 0]);
    expect(mark).toBeNull();
  });

  it('shows where it usually ends once it takes longer', () => {
    const { parts, mark } = progressOf(running({}), seconds(200));
    expect(parts[1]).toMatchObject({ name: 'building', filled: 1, share: 190 / 210 });
    expect(mark).toBe(100 / 210);
  });

  it('has only the steps it made where nothing like it has succeeded', () => {
    const { parts, usual, mark } = progressOf(running({ usual: null }), seconds(20));
    expect(parts.map(({ name, share }) => [name, share])).toEqual([
      ['preparing', 0.5],
      ['building', 0.5],
    ]);
    expect([usual, mark]).toEqual([null, null]);
  });

  it('begins anew with its second attempt', () => {
    const steps = [step('building', 0, 50), step('queued', 50, 60, 2), step('preparing', 60, null, 2)];
    const { parts } = progressOf(running({ attempt: 2, started: at(60), steps }), seconds(65));
    expect(parts.map(({ name, filled }) => [name, filled])).toEqual([
      ['preparing', 0.5],
      ['building', 0],
      ['collecting', 0],
      ['publishing', 0],
    ]);
  });

  it('says where it is, and that its end is not known where nothing like it has succeeded', () => {
    expect(barInWords(progressOf(running({}), seconds(50)))).toBe('in step building, 50 s of about 1:40');
    expect(barInWords(progressOf(running({ usual: null }), seconds(20)))).toBe(
      'in step building, 20 s so far, how long it usually takes is not known yet',
    );
  });

  it('has no parts before its first step', () => {
    expect(progressOf(running({ steps: [], usual: null }), seconds(1)).parts).toEqual([]);
  });
});

it.each([
  [192, 245, '3:12 of about 4:05'],
  [248, 245, '4:08 of about 4:05'],
  [312, 245, '5:12, 1:07 over the usual 4:05'],
  [5, 1, '5 s, 4 s over the usual 1 s'],
  [41, null, '41 s'],
])('%s s of %s s is said as %s', (took, usual, words) => {
  expect(progressInWords({ took: seconds(took), usual: usual === null ? null : seconds(usual) })).toBe(words);
});
