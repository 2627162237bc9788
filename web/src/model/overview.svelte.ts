/** What the overview shows: builds under way, and the history as far as it was scrolled. */
import { asFailure, listBuilds, type RequestFailed } from '../api/http';
import type { Build } from '../api/types';
import { connection } from './connection.svelte';
import { matchesHistory, NO_FILTER, type Filter } from './filter';
import { hasEnded, isRunning } from './states';
import { UsualDurations } from './usual';

const PAGE = 50;
const MOST_UNDER_WAY = 200;

class Overview {
  /** Queued and running, newest first. */
  underWay = $state.raw<readonly Build[]>([]);
  /** Ended, newest first. */
  history = $state.raw<readonly Build[]>([]);
  /** Whether the first answer has come. */
  loaded = $state(false);
  loading = $state(false);
  failure = $state.raw<RequestFailed | null>(null);
  /** Kept while another page is shown, for when the reader comes back. */
  scrollTop = 0;

  private filter: Filter = NO_FILTER;
  private next = $state<string | null>(null);
  private request: AbortController | null = null;
  /** Builds that changed while a list was on its way; they are newer than the list. */
  private changedMeanwhile = new Map<string, Build>();

  readonly running = $derived(this.underWay.filter((build) => isRunning(build.state)));
  readonly waiting = $derived(this.underWay.filter((build) => build.state === 'queued'));

  readonly usual = $derived(new UsualDurations(this.history));

  get hasMore(): boolean {
    return this.next !== null;
  }

  start(): void {
    connection.listen({
      build: (build) => this.apply(build),
      refresh: () => void this.load(),
    });
  }

  /** Shows the history of another filter. */
  async show(filter: Filter): Promise<void> {
    if (this.loaded && sameFilter(filter, this.filter)) return;
    this.filter = filter;
    this.scrollTop = 0;
    await this.load();
  }

  /** Asks for what is under way and for the newest page of the history. */
  async load(): Promise<void> {
    await this.fetch(async (signal) => {
      const [underWay, history] = await Promise.all([
        listBuilds({ state: 'queued,running', limit: MOST_UNDER_WAY }, signal),
        listBuilds({ ...this.query(), limit: PAGE }, signal),
      ]);
      this.underWay = underWay.builds;
      this.history = history.builds;
      this.next = history.next;
      this.loaded = true;
    });
  }

  /** Asks for older builds. */
  async more(): Promise<void> {
    const before = this.next;
    if (this.loading || before === null) return;
    await this.fetch(async (signal) => {
      const page = await listBuilds({ ...this.query(), limit: PAGE, before }, signal);
      const known = new Set(this.history.map((build) => build.id));
      this.history = [...this.history, ...page.builds.filter((build) => !known.has(build.id))];
      this.next = page.next;
    });
  }

  private query() {
    return { ...this.filter, state: this.filter.state === '' ? 'finished' : this.filter.state };
  }

  private async fetch(ask: (signal: AbortSignal) => Promise<void>): Promise<void> {
    this.request?.abort();
    const request = new AbortController();
    this.request = request;
    this.loading = true;
    this.failure = null;
    this.changedMeanwhile.clear();
    try {
      await ask(request.signal);
      for (const build of this.changedMeanwhile.values()) this.place(build);
    } catch (error) {
      if (request.signal.aborted) return;
      this.failure = asFailure(error);
    }
    if (this.request === request) {
      this.request = null;
      this.loading = false;
    }
  }

  private apply(build: Build): void {
    if (this.loading) this.changedMeanwhile.set(build.id, build);
    this.place(build);
  }

  private place(build: Build): void {
    const underWay = this.underWay.filter((other) => other.id !== build.id);
    this.underWay = hasEnded(build) ? underWay : inserted(underWay, build);
    const known = this.history.some((other) => other.id === build.id);
    if (!known && !this.belongs(build)) return;
    const rest = this.history.filter((other) => other.id !== build.id);
    this.history = matchesHistory(build, this.filter) ? inserted(rest, build) : rest;
  }

  /** A build older than what is loaded comes with its page. */
  private belongs(build: Build): boolean {
    if (!matchesHistory(build, this.filter)) return false;
    const oldest = this.history.at(-1);
    return this.next === null || !oldest || isNewer(build, oldest);
  }
}

function inserted(builds: readonly Build[], build: Build): Build[] {
  const place = builds.findIndex((other) => isNewer(build, other));
  return place === -1 ? [...builds, build] : builds.toSpliced(place, 0, build);
}

function isNewer(build: Build, other: Build): boolean {
  const [one, two] = [build.queued, other.queued];
  return one === two ? build.id > other.id : one > two;
}

function sameFilter(one: Filter, two: Filter): boolean {
  return (
    one.repository === two.repository &&
    one.branch === two.branch &&
    one.state === two.state &&
    one.text === two.text
  );
}

export const overview = new Overview();
