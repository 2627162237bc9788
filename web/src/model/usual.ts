import type { Build } from '../api/types';

const SAMPLES = 10;

/**
 * How long builds usually take, in milliseconds: the median of the newest successful builds of the same script
 * on the same branch, or else of the same script on any. Made once for a history, asked for each row.
 */
export class UsualDurations {
  private readonly samples = new Map<string, number[]>();

  /** @param history newest first */
  constructor(history: readonly Build[]) {
    for (const build of history) {
      if (build.state !== 'succeeded' || !build.started || !build.ended) continue;
      const took = Date.parse(build.ended) - Date.parse(build.started);
      this.add(anyBranch(build), took);
      this.add(oneBranch(build), took);
    }
  }

  /** Null when no build like this one has succeeded. */
  of(build: Build): number | null {
    return median(this.samples.get(oneBranch(build)) ?? this.samples.get(anyBranch(build)) ?? []);
  }

  private add(key: string, took: number): void {
    const samples = this.samples.get(key);
    if (!samples) this.samples.set(key, [took]);
    else if (samples.length < SAMPLES) samples.push(took);
  }
}

function anyBranch(build: Build): string {
  return JSON.stringify([build.repository, build.script, build.tag]);
}

function oneBranch(build: Build): string {
  return JSON.stringify([build.repository, build.script, build.tag, build.branch]);
}

function median(values: readonly number[]): number | null {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? null;
}
