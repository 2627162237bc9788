/** The builds that run and wait now. The top line counts them on every page. */
import { asFailure, isAbort, listBuilds, type RequestFailed } from '../api/http';
import type { Build } from '../api/types';
import { connection } from './connection.svelte';
import { isNewer } from './pages';
import { hasEnded, isRunning } from './states';

const PAGE = 200;
/** A queue longer than this is shown in part. */
const MOST = 2000;
/** Reasons to wait depend on other builds; they are asked for again that long after one has changed. */
const REASONS_AFTER_MS = 400;

class UnderWay {
  /** Newest first. */
  builds = $state.raw<readonly Build[]>([]);
  /** When the build that ended last did so. */
  lastEnded = $state<string | null>(null);
  loaded = $state(false);
  failure = $state.raw<RequestFailed | null>(null);

  readonly running = $derived(this.builds.filter((build) => isRunning(build.state)));
  readonly waiting = $derived(this.builds.filter((build) => build.state === 'queued'));

  private request: AbortController | null = null;
  private reasons: ReturnType<typeof setTimeout> | undefined;
  /** Builds that changed while a list was on its way; they are newer than the list. */
  private readonly changedMeanwhile = new Map<string, Build>();

  start(): void {
    connection.listen({
      build: (build) => this.apply(build),
      refresh: () => void this.load(),
    });
  }

  async load(): Promise<void> {
    this.request?.abort();
    const request = new AbortController();
    this.request = request;
    this.failure = null;
    this.changedMeanwhile.clear();
    try {
      // What runs does not wait for what has ended.
      void this.loadLastEnded(request.signal);
      this.builds = await all('queued,running', request.signal);
      for (const build of this.changedMeanwhile.values()) this.place(build);
      this.loaded = true;
    } catch (error) {
      if (!isAbort(error)) this.failure = asFailure(error);
    } finally {
      if (this.request === request) this.request = null;
    }
  }

  private async loadLastEnded(signal: AbortSignal): Promise<void> {
    try {
      const ended = await listBuilds({ state: 'finished', limit: 10 }, signal);
      for (const build of ended.builds) this.note(build);
    } catch {
      // The sentence about it is left out.
    }
  }

  private apply(build: Build): void {
    if (this.request) this.changedMeanwhile.set(build.id, build);
    const before = this.builds.find((other) => other.id === build.id);
    this.place(build);
    if (before?.state !== build.state && !(before === undefined && hasEnded(build))) this.askForReasons();
  }

  private place(build: Build): void {
    this.note(build);
    const others = this.builds.filter((other) => other.id !== build.id);
    if (hasEnded(build)) {
      if (others.length < this.builds.length) this.builds = others;
      return;
    }
    const at = others.findIndex((other) => isNewer(build, other));
    this.builds = others.toSpliced(at === -1 ? others.length : at, 0, build);
  }

  private note(build: Build): void {
    if (build.ended && (this.lastEnded === null || build.ended > this.lastEnded))
      this.lastEnded = build.ended;
  }

  private askForReasons(): void {
    if (this.reasons !== undefined) return;
    this.reasons = setTimeout(() => {
      this.reasons = undefined;
      if (this.waiting.length > 0) void this.loadReasons();
    }, REASONS_AFTER_MS);
  }

  /** Only the reasons are taken over: what else changes comes over the live connection. */
  private async loadReasons(): Promise<void> {
    try {
      const waiting = new Map(
        (await all('queued', new AbortController().signal)).map((build) => [build.id, build.waiting]),
      );
      this.builds = this.builds.map((build) =>
        build.state === 'queued' && waiting.has(build.id)
          ? { ...build, waiting: waiting.get(build.id) ?? null }
          : build,
      );
    } catch {
      // The reasons that are shown stay; the next change asks again.
    }
  }
}

async function all(state: string, signal: AbortSignal): Promise<Build[]> {
  const builds: Build[] = [];
  let before: string | undefined;
  do {
    const page = await listBuilds({ state, limit: PAGE, before }, signal);
    builds.push(...page.builds);
    before = page.next ?? undefined;
  } while (before !== undefined && builds.length < MOST);
  return builds;
}

export const underWay = new UnderWay();
