/** The repositories with their branches, by name, as far as they were scrolled; kept as they are now. */
import { asFailure, isAbort, listRepositories, type RequestFailed } from '../api/http';
import type { Build, Repository } from '../api/types';
import { connection } from './connection.svelte';
import { hasEnded } from './states';

const PAGE = 100;
const LONGEST_PAGE = 200;
/** Changes that follow one another are looked at together. */
const PAUSE_MS = 500;
/** Beyond this many changed rows everything shown is asked for again. */
const MANY = 5;

class Repositories {
  rows = $state.raw<readonly Repository[]>([]);
  loaded = $state(false);
  loading = $state(false);
  failure = $state.raw<RequestFailed | null>(null);

  private text = '';
  private next = $state<string | null>(null);
  private request: AbortController | null = null;
  private readonly changed = new Set<string>();
  private timer: ReturnType<typeof setTimeout> | undefined;

  get hasMore(): boolean {
    return this.next !== null;
  }

  /** Shows what a text filters, at least so many rows of it; until the returned function is called. */
  show(text: string, atLeast: number): () => void {
    const isSame = this.loaded && text === this.text;
    this.text = text;
    if (!isSame) this.loaded = false;
    void this.load(Math.max(atLeast, isSame ? this.rows.length : 0));
    const stop = connection.listen({
      build: (build) => this.notice(build),
      refresh: () => void this.load(this.rows.length),
    });
    return () => {
      stop();
      this.request?.abort();
      clearTimeout(this.timer);
      this.timer = undefined;
      this.changed.clear();
    };
  }

  async load(atLeast = 0): Promise<void> {
    await this.ask(async (signal) => {
      const rows: Repository[] = [];
      let after: string | null = null;
      do {
        const missing = Math.min(LONGEST_PAGE, Math.max(PAGE, atLeast - rows.length));
        const page = await listRepositories(
          { text: this.text, after: after ?? undefined, limit: missing },
          signal,
        );
        rows.push(...page.repositories);
        after = page.next;
      } while (after !== null && rows.length < atLeast);
      this.rows = rows;
      this.next = after;
      this.loaded = true;
    });
  }

  async more(): Promise<void> {
    const after = this.next;
    if (this.loading || after === null) return;
    await this.ask(async (signal) => {
      const page = await listRepositories({ text: this.text, after, limit: PAGE }, signal);
      this.rows = [...this.rows, ...page.repositories];
      this.next = page.next;
    });
  }

  private async ask(act: (signal: AbortSignal) => Promise<void>): Promise<void> {
    this.request?.abort();
    const request = new AbortController();
    this.request = request;
    this.loading = true;
    this.failure = null;
    try {
      await act(request.signal);
    } catch (error) {
      if (!isAbort(error)) this.failure = asFailure(error);
    }
    if (this.request === request) {
      this.request = null;
      this.loading = false;
    }
  }

  private notice(build: Build): void {
    if (build.kind === 'configuration') {
      // What is tracked may be different now.
      if (hasEnded(build)) this.schedule(null);
      return;
    }
    const repository = this.rows.find((row) => row.name === build.repository);
    const known = repository?.branches
      .find((branch) => branch.ref === build.ref)
      ?.builds.find((other) => other.id === build.id);
    if (known?.state !== build.state) this.schedule(build.repository);
  }

  private schedule(name: string | null): void {
    this.changed.add(name ?? '');
    this.refreshSoon();
  }

  private refreshSoon(): void {
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      // What is being loaded may be older than the change.
      if (this.loading) return this.refreshSoon();
      const names = [...this.changed];
      this.changed.clear();
      void this.refreshRows(names);
    }, PAUSE_MS);
  }

  private async refreshRows(names: readonly string[]): Promise<void> {
    const places = names.map((name) => this.rows.findIndex((row) => row.name === name));
    const isElsewhere = (name: string) =>
      !name.toLowerCase().includes(this.text.toLowerCase()) ||
      (this.next !== null && name > (this.rows.at(-1)?.name ?? ''));
    const isNew = names.some((name, at) => places[at] === -1 && (name === '' || !isElsewhere(name)));
    if (isNew || names.length > MANY) return this.load(this.rows.length);
    try {
      for (const at of places) if (at !== -1) await this.refreshRow(at);
    } catch (error) {
      // What is shown stays; the next change, or coming back to the page, asks again.
      if (!isAbort(error)) return;
    }
  }

  private async refreshRow(at: number): Promise<void> {
    const name = this.rows[at]?.name;
    const after = this.rows[at - 1]?.name;
    const { repositories } = await listRepositories({ text: this.text, after, limit: 1 });
    const row = repositories[0];
    if (row && row.name === name) this.rows = this.rows.map((other) => (other.name === name ? row : other));
    else await this.load(this.rows.length);
  }
}

export const repositories = new Repositories();
