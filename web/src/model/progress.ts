/** How far a running build is, against what builds like it usually take: one bar made of its steps. */
import type { Build } from '../api/types';
import { duration, elapsed } from './format';

const STEPS = ['preparing', 'building', 'collecting', 'publishing'] as const;

export interface Part {
  readonly name: string;
  readonly state: 'done' | 'current' | 'coming';
  /** Of the whole bar, from 0 to 1. */
  readonly share: number;
  /** Of this part, from 0 to 1. */
  readonly filled: number;
  /** Milliseconds that it took so far. */
  readonly took: number;
}

export interface Progress {
  readonly parts: readonly Part[];
  /** Milliseconds since the build began. */
  readonly took: number;
  /** Milliseconds that it usually takes; null where none like it has succeeded. */
  readonly usual: number | null;
  /** Where the usual end is, from 0 to 1; null while it is the end of the bar. */
  readonly mark: number | null;
}

/** A step takes the width that it took, or usually takes, whichever is more; so the bar never shrinks. */
export function progressOf(build: Build, now: number): Progress {
  const took = elapsed(build, now) ?? 0;
  const usual = build.usual === null ? null : build.usual.total * 1000;
  const here = build.steps.filter((step) => step.attempt === build.attempt && step.name !== 'queued');
  const last = here.at(-1);
  const reached = STEPS.findIndex((name) => name === last?.name);
  const parts = STEPS.map((name, at) => {
    const step = here.findLast((other) => other.name === name);
    const time = step ? Math.max(0, elapsed(step, now) ?? 0) : 0;
    const expected = (build.usual?.steps[name] ?? 0) * 1000;
    if (step && step !== last) return { name, state: 'done' as const, width: time, took: time, filled: 1 };
    if (step) {
      const width = Math.max(time, expected);
      return { name, state: 'current' as const, width, took: time, filled: width === 0 ? 0 : time / width };
    }
    return { name, state: 'coming' as const, width: at > reached ? expected : 0, took: 0, filled: 0 };
  }).filter((part) => part.width > 0);
  const whole = Math.max(
    1,
    parts.reduce((sum, part) => sum + part.width, 0),
  );
  return {
    parts: parts.map(({ width, ...part }) => ({ ...part, share: width / whole })),
    took,
    usual,
    mark: usual !== null && usual < whole && took > usual ? usual / whole : null,
  };
}

/** `3:12 of about 4:05`, or `5:12, 1:07 over the usual 4:05`. */
export function progressInWords({ took, usual }: Pick<Progress, 'took' | 'usual'>): string {
  if (usual === null) return duration(took);
  const over = took - usual;
  // Below a second or a twentieth nobody would call it late.
  if (over < Math.max(1000, usual / 20)) return `${duration(took)} of about ${duration(usual)}`;
  return `${duration(took)}, ${duration(over)} over the usual ${duration(usual)}`;
}

/** The same with its step, and what a bar without an end means, for whoever does not see it. */
export function barInWords(progress: Progress): string {
  const step = progress.parts.find((part) => part.state === 'current')?.name;
  const words = `${step ? `in step ${step}, ` : ''}${progressInWords(progress)}`;
  return progress.usual === null ? `${words} so far, how long it usually takes is not known yet` : words;
}
