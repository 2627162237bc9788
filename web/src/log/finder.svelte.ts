/**
 * Finds the lines that match one query: how many there are and where, the next and the previous one, and which
 * of them the reader is at. The service does the searching; answers to what is no longer asked are dropped.
 */
import { asFailure, isAbort, type RequestFailed } from '../api/http';
import type { Found, LogQuery, Marks, Match, Where } from '../api/log';
import { isPassing, Patience } from './patience';
import { Run, type Direction } from './run';

export interface SearchService {
  search(query: LogQuery, where: Where, limit: number, signal: AbortSignal): Promise<Found>;
  marks(query: LogQuery, signal: AbortSignal): Promise<Marks>;
}

const MAX_MATCHES = 1_000;
/** A log that grows is searched again no more often, and no more than a tenth of the time. */
const AGAIN_MS = 2_000;

export class Finder {
  query = $state.raw<LogQuery | null>(null);
  marks = $state.raw<Marks | null>(null);
  current = $state.raw<Match | null>(null);
  /** The current one's number among all that match, from 1. */
  position = $state<number | null>(null);
  /** Why there is no answer; it is asked for again by itself unless the query was refused. */
  failure = $state.raw<RequestFailed | null>(null);

  /** The matches around the current one. */
  private run: Run | null = null;
  private asked = new AbortController();
  /** What goes to another match, until it is there. */
  private going: { stop: AbortController; there: Promise<Match | null> } | null = null;
  /** Steps to the next match (or, negative, to the previous one) that were asked for and not taken yet. */
  private owed = 0;
  private locating = new AbortController();
  private readonly patience = new Patience();
  private counting = false;
  private took = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly service: SearchService) {}

  /** Whether the service will not answer what is asked, however often. */
  get isRefused(): boolean {
    return this.failure !== null && !isPassing(this.failure);
  }

  /** Counts the matches; what was found for another query is forgotten. */
  ask(query: LogQuery | null): void {
    this.close();
    this.asked = new AbortController();
    this.query = query;
    this.marks = this.current = this.position = this.failure = null;
    this.counting = false;
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
    return this.nearest(from, 1);
  }

  /** The match after the current one, or after a line; behind the last comes the first. */
  next(after: number): Promise<Match | null> {
    return this.step(1, after);
  }

  previous(before: number): Promise<Match | null> {
    return this.step(-1, before);
  }

  /** The nearest match after a line, or before it, wherever the current one is. */
  nearest(line: number, by: Direction): Promise<Match | null> {
    return this.go(line, async () => (await this.begin(line, by)) ?? this.around(by));
  }

  /** Whether it is on its way to a match, from which the next steps are taken. */
  get isGoing(): boolean {
    return this.going !== null;
  }

  /** Makes a match the current one, as when the reader chose it elsewhere. */
  async choose(from: number, to: number): Promise<Match | null> {
    const match = await this.go(from, () => this.begin(from, 1));
    return match && match.line <= to ? match : null;
  }

  /** Asks at once for what failed, as when the service is back. */
  retry(): void {
    this.patience.retry();
    if (this.query && !this.marks && this.timer === undefined) void this.count();
  }

  close(): void {
    this.asked.abort();
    this.locating.abort();
    this.leave();
    this.run?.close();
    this.run = null;
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  private get pause(): number {
    return Math.max(AGAIN_MS, 10 * this.took);
  }

  private async count(): Promise<void> {
    const { query, asked } = this;
    this.timer = undefined;
    if (!query || this.counting) return;
    this.counting = true;
    const began = performance.now();
    try {
      const marks = await this.answer(() => this.service.marks(query, asked.signal), asked.signal);
      if (asked.signal.aborted) return;
      this.marks = marks;
      if (this.position === null) void this.locate();
    } catch (error) {
      if (!isAbort(error) && !asked.signal.aborted) this.failure = asFailure(error);
    } finally {
      if (this.asked === asked) {
        this.counting = false;
        this.took = performance.now() - began;
      }
    }
  }

  /** Steps that are asked for while the reader is still on the way to a match are taken from there. */
  private step(by: Direction, line: number): Promise<Match | null> {
    // Whoever presses again while there is no answer wants it, and not to be further on.
    if (this.going && this.failure) this.retry();
    else this.owed += by;
    return this.going?.there ?? this.go(line, null);
  }

  /** Goes to what `find` gives, and from there (or from the current match, or else the line) the steps owed. */
  private go(line: number, find: (() => Promise<Match | null>) | null): Promise<Match | null> {
    if (!this.query) return Promise.resolve(null);
    if (find) this.leave();
    const stop = new AbortController();
    const there = this.travel(line, find, stop.signal).finally(() => {
      if (this.going?.stop === stop) this.leave();
    });
    this.going = { stop, there };
    return there;
  }

  private leave(): void {
    this.going?.stop.abort();
    this.going = null;
    this.owed = 0;
  }

  private async travel(
    line: number,
    find: (() => Promise<Match | null>) | null,
    signal: AbortSignal,
  ): Promise<Match | null> {
    try {
      if (find) {
        const match = await this.answer(find, signal);
        if (signal.aborted) return null;
        this.current = match;
        this.position = null;
      }
      while (this.owed !== 0) {
        const by = this.owed > 0 ? 1 : -1;
        const at = this.current?.line ?? line;
        const match = await this.answer(() => this.beside(at, by), signal);
        if (signal.aborted) return null;
        this.owed -= by;
        const isNeighbour = this.current !== null && match !== null && (match.line - at) * by > 0;
        this.position = isNeighbour && this.position !== null ? this.position + by : null;
        this.current = match;
        if (!match) break;
      }
      if (this.position === null) void this.locate();
      return this.current;
    } catch (error) {
      if (!isAbort(error) && !signal.aborted) this.failure = asFailure(error);
      return null;
    }
  }

  private async beside(line: number, by: Direction): Promise<Match | null> {
    const match = await (this.run ??= this.runAt(by === 1 ? line + 1 : line)).beside(line, by);
    return match ?? this.around(by);
  }

  /** Behind the last match comes the first, and before the first the last. */
  private around(by: Direction): Promise<Match | null> {
    return this.begin(by === 1 ? 1 : Number.MAX_SAFE_INTEGER, by);
  }

  /** Leaves the matches around the current one for those from a line on, or before it. */
  private begin(line: number, by: Direction): Promise<Match | null> {
    this.run?.close();
    this.run = this.runAt(line);
    return this.run.beside(by === 1 ? line - 1 : line, by);
  }

  private runAt(line: number): Run {
    const { query, service } = this;
    if (!query) throw new DOMException('Nothing is asked.', 'AbortError');
    return new Run((where, limit, signal) => service.search(query, where, limit, signal), line);
  }

  private async answer<T>(ask: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const answer = await this.patience.until(ask, signal, (failure) => (this.failure = failure));
    if (!signal.aborted) this.failure = null;
    return answer;
  }

  /** Counts how many match up to the current one: by the marks up to its bucket, and within that one by one. */
  private async locate(): Promise<void> {
    const { query, marks, current } = this;
    this.locating.abort();
    if (!query || !marks || !current) return;
    const { signal } = (this.locating = new AbortController());
    const bucket = Math.floor((current.line - 1) / marks.bucket_lines);
    const first = bucket * marks.bucket_lines + 1;
    let position = 1;
    for (const count of marks.counts.slice(0, bucket)) position += count;
    let before = current.line;
    const ask = () => this.service.search(query, { before }, MAX_MATCHES, signal);
    try {
      while (before > first) {
        const { matches } = await this.answer(ask, signal);
        const inside = matches.filter((match) => match.line >= first);
        position += inside.length;
        before = inside.length === MAX_MATCHES ? (inside.at(-1)?.line ?? first) : first;
      }
      if (!signal.aborted && this.current === current) this.position = position;
    } catch (error) {
      if (!isAbort(error) && !signal.aborted) this.failure = asFailure(error);
    }
  }
}
