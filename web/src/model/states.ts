import type { Build, BuildState, EndState, RunningState } from '../api/types';

/** A state is always shown as sign, word and colour, so that none of them has to be seen. */
export interface StateLook {
  sign: string;
  word: string;
  /** Names the colour: a token and a class. */
  tone: 'waiting' | 'running' | 'good' | 'bad' | 'warn' | 'quiet';
}

const LOOKS: Record<BuildState, StateLook> = {
  queued: { sign: '…', word: 'queued', tone: 'waiting' },
  preparing: { sign: '●', word: 'preparing', tone: 'running' },
  building: { sign: '●', word: 'building', tone: 'running' },
  collecting: { sign: '●', word: 'collecting', tone: 'running' },
  publishing: { sign: '●', word: 'publishing', tone: 'running' },
  succeeded: { sign: '✓', word: 'succeeded', tone: 'good' },
  failed: { sign: '✗', word: 'failed', tone: 'bad' },
  errored: { sign: '!', word: 'errored', tone: 'bad' },
  timed_out: { sign: '◔', word: 'timed out', tone: 'warn' },
  cancelled: { sign: '⊘', word: 'cancelled', tone: 'quiet' },
  superseded: { sign: '↷', word: 'superseded', tone: 'quiet' },
  skipped: { sign: '»', word: 'skipped', tone: 'quiet' },
};

const RUNNING: readonly string[] = ['preparing', 'building', 'collecting', 'publishing'];

export const END_STATES: readonly EndState[] = [
  'succeeded',
  'failed',
  'errored',
  'timed_out',
  'cancelled',
  'superseded',
  'skipped',
];

export function look(state: BuildState): StateLook {
  // A service newer than this page may know more states.
  return LOOKS[state] ?? { sign: '?', word: String(state), tone: 'quiet' };
}

export function isRunning(state: BuildState): state is RunningState {
  return RUNNING.includes(state);
}

export function hasEnded(build: Pick<Build, 'state'>): boolean {
  return build.state !== 'queued' && !isRunning(build.state);
}
