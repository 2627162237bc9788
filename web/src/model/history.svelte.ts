/** The builds that have ended, of one filter, as far as the reader is. */
import { asFailure, listBuilds, type RequestFailed } from '../api/http';
import type { Build } from '../api/types';
import { connection } from './connection.svelte';
import { endStates, matchesHistory, NO_FILTER, searchFromFilter, type Filter } from './filter';
import { Pages, type Marks } from './pages';

const PAGE = 100;

class History {
  private version = $state(0);
  private filter: Filter = NO_FILTER;
  private pages: Pages<Build> | null = null;
  private wanted: [first: number, last: number] = [0, 0];
  private scheduled = false;

  start(): void {
    connection.listen({
      build: (build) => this.pages?.apply(build),
      refresh: () => this.pages?.refresh(),
    });
  }

  /** Shows the builds of a filter; with marks, as they were when the reader was here before. */
  show(filter: Filter, marks: Marks | null = null): void {
    if (this.pages && searchFromFilter(filter) === searchFromFilter(this.filter)) return;
    this.pages?.close();
    this.filter = filter;
    this.wanted = [0, 0];
    const state = endStates(filter);
    this.pages = new Pages<Build>(
      (before, signal) =>
        state === null
          ? Promise.resolve({ builds: [], next: null })
          : listBuilds({ ...filter, state, limit: PAGE, before: before ?? undefined }, signal),
      (build) => matchesHistory(build, filter),
      () => this.schedule(),
      marks,
    );
    this.pages.want(0, 0);
    this.version += 1;
  }

  get total(): number {
    void this.version;
    return this.pages?.total ?? 0;
  }

  get complete(): boolean {
    void this.version;
    return this.pages?.complete ?? false;
  }

  /** Whether there is anything to show yet. */
  get begun(): boolean {
    void this.version;
    return this.pages?.begun ?? false;
  }

  get failure(): RequestFailed | null {
    void this.version;
    const error = this.pages?.error ?? null;
    return error === null ? null : asFailure(error);
  }

  rows(first: number, last: number): (Build | null)[] {
    void this.version;
    return this.pages?.rows(first, last) ?? [];
  }

  indexOf(id: string): number {
    void this.version;
    return this.pages?.indexOf(id) ?? -1;
  }

  want(first: number, last: number): void {
    this.wanted = [first, last];
    this.pages?.want(first, last);
  }

  retry(): void {
    this.pages?.retry();
  }

  marks(): Marks | null {
    return this.pages?.marks() ?? null;
  }

  /** What came in one turn shows together. */
  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    queueMicrotask(() => {
      this.scheduled = false;
      this.pages?.want(...this.wanted);
      this.version += 1;
    });
  }
}

export const history = new History();
