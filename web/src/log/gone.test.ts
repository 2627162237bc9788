import { describe, expect, it } from 'vitest';
import { RequestFailed } from '../api/http';
import type { Build } from '../api/types';
import { goneFor } from './gone';

type Known = Pick<Build, 'state' | 'started' | 'log'>;

const ENDED: Known = { state: 'succeeded', started: '2026-01-02T03:04:05Z', log: { bytes: 600, lines: 50 } };
const RUNNING: Known = { ...ENDED, state: 'building' };
const EMPTY = { bytes: 0, lines: 0 };
const missing = new RequestFailed('the log of build x is no longer kept', 'see retention', 404);

describe('a log that is no longer kept', () => {
  it('is known by a build that was started and has none', () => {
    expect(goneFor({ ...ENDED, log: EMPTY }, [])?.what).toContain('no longer kept');
    expect(goneFor(ENDED, [null])).toBeNull();
  });

  it('is known by the answer to whatever was asked of it', () => {
    expect(goneFor(ENDED, [null, missing])).toBe(missing);
    expect(goneFor(ENDED, [new RequestFailed('the service does not answer', '', 0)])).toBeNull();
  });

  it('is none of a build that never left the queue, or still runs', () => {
    expect(goneFor({ state: 'cancelled', started: null, log: EMPTY }, [])).toBeNull();
    expect(goneFor({ ...RUNNING, log: EMPTY }, [missing])).toBeNull();
  });
});
