/** What a chart of durations draws. */
import type { BuildState, Duration, LaneBuild } from '../api/types';
import { duration } from './format';
import { look } from './states';

export interface Bar {
  readonly id: string;
  readonly state: BuildState;
  /** Milliseconds; null for what never ran. */
  readonly took: number | null;
  /** Of the chart's height, from 0 to 1. */
  readonly height: number;
}

export function barsOfLane(builds: readonly LaneBuild[], now: number): Bar[] {
  return scaled(
    builds.map(({ id, state, started, ended }) => ({
      id,
      state,
      took: started === null ? null : (ended === null ? now : Date.parse(ended)) - Date.parse(started),
    })),
  );
}

export function barsOfDurations(durations: readonly Duration[]): Bar[] {
  return scaled(durations.map(({ id, state, seconds }) => ({ id, state, took: seconds * 1000 })));
}

function scaled(bars: readonly Omit<Bar, 'height'>[]): Bar[] {
  const longest = Math.max(1, ...bars.map((bar) => bar.took ?? 0));
  return bars.map((bar) => ({ ...bar, height: Math.max(0, bar.took ?? 0) / longest }));
}

/** `20 builds: 17 succeeded, 3 failed; the longest took 4:05`, for whoever does not see the bars. */
export function barsInWords(bars: readonly Bar[]): string {
  if (bars.length === 0) return 'no builds yet';
  const counts = new Map<string, number>();
  for (const { state } of bars) counts.set(look(state).word, (counts.get(look(state).word) ?? 0) + 1);
  const outcomes = [...counts]
    .toSorted(([, one], [, two]) => two - one)
    .map(([word, number]) => `${number} ${word}`);
  const longest = Math.max(...bars.map((bar) => bar.took ?? 0));
  return `${bars.length === 1 ? '1 build' : `${bars.length} builds`}: ${outcomes.join(', ')}; the longest took ${duration(longest)}`;
}
