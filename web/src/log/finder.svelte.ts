/**
 * Finds the lines that match one query: how many there are and where, the next and the previous one, and which
 * of them the reader is at. The service does the searching; answers to what is no longer asked are dropped.
 */
import { asFailure, isAbort, type RequestFailed } from '../api/http';
import type { Found, LogQuery, Marks, Match, Where } from '../api/log';

export interface SearchService {
  search(query: LogQuery, where: Where, limit: number, signal: AbortSignal): Promise<Found>;
  marks(query: LogQuery, signal: AbortSignal): Promise<Marks>;
}

/** Matches fetched at once: the ones after the next are likely to be wanted soon. */
const AHEAD = 50;
const MAX_MATCHES = 1_000;
/** A log that grows is searched again no more often, and no more than a tenth of the time. */
const AGAIN_MS = 2_000;

export class Finder {
  query = $state.raw<LogQuery | null>(null);
  marks = $state.raw<Marks | null>(null);
  current = $state.raw<Match | null>(null);
  /** The current one's number among all that match, from 1. */
  position = $state<number | null>(null);
  failure = $state.raw<RequestFailed | null>(null);
  /** Whether the reader waits for a match. */
  busy = $state(false);

  /** Matches that follow one another without a gap. */
  private run: readonly Match[] = [];
  private asked = new AbortController();
  private step: AbortController | null = null;
  private counting = false;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly service: SearchService) {}

  /** Counts the matches; what was found for another query is forgotten. */
  ask(query: LogQuery | null): void {
    this.close();
    this.asked = new AbortController();
    this.query = query;
    this.marks = this.current = this.position = this.failure = null;
    this.run = [];
    this.counting = this.busy = false;
    if (query) void this.count();
  }

  /** The log has grown to so many lines. */
  grown(lines: number): void {
    if (this.marks && lines > this.marks.lines && this.timer === undefined && !this.counting) {
      this.timer = setTimeout(() => void this.count(), this.pause);
    }
  }

  /** The first match from a line on, or else from the log's start. */
  first(from: number): Promise<Match | null> {
    return this.go(() => this.ask1({ from }, { from: 1 }));
  }

  /** The match after the current one, or after a line; behind the last comes the first. */
  next(after: number): Promise<Match | null> {
    const from = this.current?.line ?? after;
    return this.go(() => this.neighbour(1) ?? this.ask1({ from: from + 1 }, { from: 1 }), 1);
  }

  previous(before: number): Promise<Match | null> {
    const line = this.current?.line ?? before;
    const end = { before: Number.MAX_SAFE_INTEGER };
    return this.go(() => this.neighbour(-1) ?? this.ask1({ before: line }, end), -1);
  }

  /** Makes a match the current one, as when the reader chose it elsewhere. */
  async choose(from: number, to: number): Promise<Match | null> {
    const match = await this.go(() => this.ask1({ from }, { from }));
    return match && match.line <= to ? match : null;
  }

  close(): void {
    this.asked.abort();
    this.step?.abort();
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  private get pause(): number {
    return Math.max(AGAIN_MS, 10 * this.took);
  }

  private took = 0;

  private async count(): Promise<void> {
    const { query, asked } = this;
    this.timer = undefined;
    if (!query || this.counting) return;
    this.counting = true;
    const began = performance.now();
    try {
      const marks = await this.service.marks(query, asked.signal);
      if (asked.signal.aborted) return;
      this.marks = marks;
      this.failure = null;
      if (this.current && this.position === null) await this.locate(this.current.line, asked.signal);
    } catch (error) {
      if (!isAbort(error) && !asked.signal.aborted) this.failure = asFailure(error);
    } finally {
      if (this.asked === asked) {
        this.counting = false;
        this.took = performance.now() - began;
      }
    }
  }

  /** Goes to what `find` gives; `by` tells how the position changes if the match is the current one's neighbour. */
  private async go(find: () => Promise<Match | null>, by = 0): Promise<Match | null> {
    if (!this.query) return null;
    this.step?.abort();
    const step = new AbortController();
    this.step = step;
    this.busy = true;
    const { current, position } = this;
    try {
      const match = await find();
      if (step.signal.aborted) return null;
      this.failure = null;
      this.current = match;
      this.position = null;
      if (match) await this.follow(match, current, position, by, step.signal);
      return match;
    } catch (error) {
      if (!isAbort(error) && !step.signal.aborted) this.failure = asFailure(error);
      return null;
    } finally {
      if (this.step === step) this.busy = false;
    }
  }

  private async follow(
    match: Match,
    before: Match | null,
    position: number | null,
    by: number,
    signal: AbortSignal,
  ): Promise<void> {
    const isNeighbour = before !== null && by !== 0 && Math.sign(match.line - before.line) === by;
    if (isNeighbour && position !== null) this.position = position + by;
    else if (this.marks) void this.locate(match.line, signal);
  }

  private neighbour(by: number): Promise<Match | null> | null {
    const at = this.run.findIndex((match) => match.line === this.current?.line);
    const match = at === -1 ? undefined : this.run[at + by];
    return match ? Promise.resolve(match) : null;
  }

  private async ask1(where: Where, otherwise: Where): Promise<Match | null> {
    const { query, step } = this;
    if (!query || !step) return null;
    for (const place of [where, otherwise]) {
      let next: Where | null = place;
      while (next) {
        const found: Found = await this.service.search(query, next, AHEAD, step.signal);
        if (found.matches.length > 0) {
          this.run = found.matches.toSorted((one, two) => one.line - two.line);
          return found.matches[0] ?? null;
        }
        // A service that stopped for the time it took says where to go on.
        if (found.next === null) next = null;
        else next = 'before' in next ? { before: found.next } : { from: found.next };
      }
    }
    return null;
  }

  /** Counts how many match up to a line: by the marks up to its bucket, and within that one by one. */
  private async locate(line: number, signal: AbortSignal): Promise<void> {
    const { query, marks } = this;
    if (!query || !marks) return;
    const bucket = Math.floor((line - 1) / marks.bucket_lines);
    const first = bucket * marks.bucket_lines + 1;
    let position = 1;
    for (const count of marks.counts.slice(0, bucket)) position += count;
    let before = line;
    try {
      while (before > first) {
        const { matches }: Found = await this.service.search(query, { before }, MAX_MATCHES, signal);
        const inside = matches.filter((match) => match.line >= first);
        position += inside.length;
        before = inside.length === MAX_MATCHES ? (inside.at(-1)?.line ?? first) : first;
      }
      if (!signal.aborted && this.current?.line === line) this.position = position;
    } catch (error) {
      if (!isAbort(error) && !signal.aborted) this.failure = asFailure(error);
    }
  }
}
