/**
 * A long list of which only the pages near the reader are kept. What was scrolled past is forgotten but for its
 * length and the cursor by which it is fetched again, so that a hundred thousand rows cost what a few hundred do.
 */

export interface Row {
  readonly id: string;
  /** Together with the id the place in the list, newest first. */
  readonly queued: string;
}

export type Ask<R> = (
  before: string | null,
  signal: AbortSignal,
) => Promise<{ builds: readonly R[]; next: string | null }>;

/** What has to be kept to come back to a place in the list: the pages, without their rows. */
export interface Marks {
  readonly pages: readonly { before: string | null; count: number; end: Row | null }[];
  readonly next: string | null;
}

interface Page<R> {
  /** The cursor that begins it; null for the newest. */
  before: string | null;
  /** Null: not fetched yet, or forgotten. */
  rows: R[] | null;
  count: number;
  /** Its oldest row when the page after it was begun; null for the oldest page. */
  end: Row | null;
  request: AbortController | null;
  /** The rows are shown, and fetched again. */
  stale: boolean;
}

interface Parts<R> {
  parts: Page<R>[];
  /** The cursor after the last of them. */
  next: string | null;
}

/** Pages that are kept around the reader. */
const KEPT = 10;
/** The next page is fetched when the end is that near, in rows. */
const AHEAD = 60;
/** A page that has grown to this by what came live is fetched again, in pages of the usual size. */
const GROWN = 300;

export class Pages<R extends Row> {
  /** Why the last request did not work out. */
  error: unknown = null;

  private pages: Page<R>[];
  private next: string | null;
  /** Rows that changed while a page was on its way; they are newer than the page. */
  private readonly meanwhile = new Map<string, R>();

  constructor(
    private readonly ask: Ask<R>,
    /** Whether a changed row is one of the list. */
    private readonly belongs: (row: R) => boolean,
    private readonly changed: () => void,
    marks: Marks | null = null,
  ) {
    this.pages = (marks?.pages ?? [{ before: null, count: 0, end: null }]).map((mark) => pageOf(mark));
    this.next = marks?.next ?? null;
  }

  /** Rows that are known of. */
  get total(): number {
    return this.pages.reduce((sum, page) => sum + page.count, 0);
  }

  /** Whether the total is that of the whole list. */
  get complete(): boolean {
    return this.next === null && this.pages.every((page) => page.rows !== null || page.count > 0);
  }

  get loading(): boolean {
    return this.pages.some((page) => page.request !== null);
  }

  /** Whether an answer has come, or the list's length is remembered. */
  get begun(): boolean {
    return this.pages.some((page) => page.rows !== null || page.count > 0);
  }

  /** The rows in a range; null for those that are not here. */
  rows(first: number, last: number): (R | null)[] {
    const found: (R | null)[] = [];
    let start = 0;
    for (const page of this.pages) {
      const end = start + page.count;
      for (let at = Math.max(first, start); at < Math.min(last, end); at++) {
        found.push(page.rows?.[at - start] ?? null);
      }
      start = end;
    }
    return found;
  }

  /** Where a row is, counted from 0; -1 if it is not here. */
  indexOf(id: string): number {
    let start = 0;
    for (const page of this.pages) {
      const at = page.rows?.findIndex((row) => row.id === id) ?? -1;
      if (at !== -1) return start + at;
      start += page.count;
    }
    return -1;
  }

  /** Fetches what is missing of a range that is on screen, and forgets what is far from it. */
  want(first: number, last: number): void {
    this.extend(last);
    let start = 0;
    const distances = new Map<Page<R>, number>();
    for (const page of [...this.pages]) {
      const end = start + page.count;
      const distance = Math.max(0, first - end, start - last);
      distances.set(page, distance);
      if (distance <= AHEAD && (page.rows === null || page.stale)) this.fetch(page);
      else if (distance > AHEAD) page.request?.abort();
      start = end;
    }
    this.forget(distances);
  }

  /** A row is new, or has changed. */
  apply(row: R): void {
    if (this.loading) this.meanwhile.set(row.id, row);
    if (this.place(row)) this.changed();
  }

  /** Everything may have changed: what is wanted is fetched again, and shown as it was until then. */
  refresh(): void {
    this.error = null;
    for (const page of this.pages) page.stale = page.rows !== null;
    this.changed();
  }

  retry(): void {
    this.error = null;
    this.changed();
  }

  marks(): Marks {
    const pages = this.pages.filter((page) => page.count > 0);
    const coming = this.pages.find((page) => page.count === 0 && page.rows === null);
    if (pages.length === 0) return { pages: [{ before: null, count: 0, end: null }], next: null };
    return {
      pages: pages.map(({ before, count, end }) => ({ before, count, end })),
      next: coming?.before ?? this.next,
    };
  }

  close(): void {
    for (const page of this.pages) page.request?.abort();
  }

  private extend(last: number): void {
    const oldest = this.pages.at(-1);
    if (this.next === null || oldest?.rows === null || last + AHEAD < this.total) return;
    this.pages.push(pageOf({ before: this.next, count: 0, end: null }));
    this.next = null;
  }

  private forget(distances: ReadonlyMap<Page<R>, number>): void {
    const kept = [...distances].filter(([page]) => page.rows !== null && page.count > 0);
    kept.sort(([, one], [, two]) => one - two);
    for (const [page, distance] of kept.slice(KEPT)) if (distance > AHEAD) page.rows = null;
  }

  private fetch(page: Page<R>): void {
    if (page.request !== null || this.error !== null) return;
    const request = new AbortController();
    page.request = request;
    const done = () => {
      page.request = null;
      if (!this.loading) this.meanwhile.clear();
      this.changed();
    };
    this.read(page, request.signal).then(
      ({ parts, next }) => {
        if (!request.signal.aborted) this.replace(page, parts, next);
        for (const row of this.meanwhile.values()) this.place(row);
        done();
      },
      (error: unknown) => {
        if (!request.signal.aborted) this.error = error;
        done();
      },
    );
  }

  /** Asks until the page's end: it may have more rows than when it was fetched before. */
  private async read(page: Page<R>, signal: AbortSignal): Promise<Parts<R>> {
    const parts: Page<R>[] = [];
    const { end } = page;
    let { before } = page;
    for (;;) {
      const answer = await this.ask(before, signal);
      const past = end === null ? -1 : answer.builds.findIndex((row) => row.queued < end.queued);
      const last = end === null ? -1 : answer.builds.findIndex((row) => row.id === end.id);
      const length = last !== -1 ? last + 1 : past !== -1 ? past : answer.builds.length;
      const rows = answer.builds.slice(0, length);
      const isLast = end === null || last !== -1 || past !== -1 || answer.next === null;
      const oldest = rows.at(-1);
      const partEnd = isLast && end !== null ? end : answer.next === null ? null : rowOf(oldest);
      parts.push({ before, rows, count: rows.length, end: partEnd, request: null, stale: false });
      if (isLast) return { parts, next: answer.next };
      before = answer.next;
    }
  }

  private replace(page: Page<R>, parts: Page<R>[], next: string | null): void {
    const at = this.pages.indexOf(page);
    if (page.end === null) this.next = next;
    const newer = this.pages[at - 1];
    if (newer && page.count > 0 && parts.every((part) => part.count === 0)) {
      // The build that was its cursor is no longer kept: the page before it takes its place too.
      newer.end = page.end;
      newer.count += page.count;
      newer.rows = null;
      this.pages.splice(at, 1);
      return;
    }
    const elsewhere = new Set(
      this.pages.flatMap((other) => (other === page ? [] : (other.rows ?? []).map((row) => row.id))),
    );
    for (const part of parts) {
      part.rows = (part.rows ?? []).filter((row) => !elsewhere.has(row.id));
      part.count = part.rows.length;
    }
    const whole = parts.filter((part) => part.count > 0);
    this.pages.splice(at, 1, ...(whole.length > 0 ? whole : parts.slice(0, 1)));
  }

  /** Whether anything that is here is different now. */
  private place(row: R): boolean {
    for (const page of this.pages) {
      const at = page.rows?.findIndex((other) => other.id === row.id) ?? -1;
      if (page.rows === null || at === -1) continue;
      if (this.belongs(row)) page.rows = page.rows.with(at, row);
      else page.rows = page.rows.toSpliced(at, 1);
      page.count = page.rows.length;
      return true;
    }
    if (!this.belongs(row)) return false;
    const page = this.pages.find(({ end }) => end === null || !isNewer(end, row));
    // What belongs to a page that is not here comes with it.
    if (!page || page.rows === null) return false;
    const at = page.rows.findIndex((other) => isNewer(row, other));
    page.rows = page.rows.toSpliced(at === -1 ? page.rows.length : at, 0, row);
    page.count = page.rows.length;
    if (page.count > GROWN) page.stale = true;
    return true;
  }
}

function pageOf<R>(mark: Marks['pages'][number]): Page<R> {
  return { ...mark, rows: null, request: null, stale: false };
}

function rowOf(row: Row | undefined): Row | null {
  return row ? { id: row.id, queued: row.queued } : null;
}

export function isNewer(row: Row, other: Row): boolean {
  return row.queued === other.queued ? row.id > other.id : row.queued > other.queued;
}
