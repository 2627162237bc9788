import { describe, expect, it } from 'vitest';
import { RequestFailed } from '../api/http';
import type { Build } from '../api/types';
import { goneFor, orGone } from './gone';

type Known = Pick<Build, 'state' | 'started' | 'log'>;

const ENDED: Known = { state: 'succeeded', started: '2026-01-02T03:04:05Z', log: { bytes: 600, lines: 50 } };
const RUNNING: Known = { ...ENDED, state: 'building' };
const EMPTY = { bytes: 0, lines: 0 };
const missing = new RequestFailed('the log of build x is no longer kept', 'see retention', 404);
const nothing = { bytes: new Uint8Array(), next: null };

describe('a log that is no longer kept', () => {
  it('is known by a build that was started and has none', () => {
    expect(goneFor({ ...ENDED, log: EMPTY }, [])?.what).toContain('no longer kept');
    expect(goneFor(ENDED, [null])).toBeNull();
  });

  it('is known by the answer to whatever was asked of it', () => {
    expect(goneFor(ENDED, [null, missing])).toBe(missing);
    expect(goneFor(ENDED, [new RequestFailed('the service does not answer', '', 0)])).toBeNull();
  });

  it('is known by a line that was there and is not', () => {
    expect(() => orGone(ENDED, 50, nothing)).toThrow('no longer kept');
    expect(orGone(ENDED, 51, nothing)).toBe(nothing);
    expect(orGone(RUNNING, 50, nothing)).toBe(nothing);
  });

  it('is none of a build that never left the queue, or still runs', () => {
    expect(goneFor({ state: 'cancelled', started: null, log: EMPTY }, [])).toBeNull();
    expect(goneFor({ ...RUNNING, log: EMPTY }, [missing])).toBeNull();
  });
});
