/** Matches that follow one another in a log without a gap; more are fetched before the reader comes to an end. */
import type { Found, Match, Where } from '../api/log';

export type Direction = 1 | -1;

/** Asks for so many matches at most. */
export type FindMatches = (where: Where, limit: number, signal: AbortSignal) => Promise<Found>;

const FETCHED = 50;
/** With fewer than this left, the ones after them are fetched. */
const NEAR = 20;
const MAX_KEPT = 1_000;

export class Run {
  private matches: Match[] = [];
  private readonly stop = new AbortController();
  private readonly fetching = new Map<Direction, Promise<void>>();
  /** The sides at which the log had no more; one that grows may have more since. */
  private readonly ended = new Set<Direction>();

  /** Nothing is known yet of the lines before and from `origin` on. */
  constructor(
    private readonly find: FindMatches,
    private readonly origin: number,
  ) {}

  /** The nearest match after a line, or before it, if there is one. */
  async beside(line: number, by: Direction): Promise<Match | null> {
    if (this.left(line, by).length === 0) await this.extend(by);
    const left = this.left(line, by);
    // Should it fail, it is asked for again once it is needed.
    if (left.length < NEAR && !this.ended.has(by)) this.extend(by).catch(() => undefined);
    return left.at(by === 1 ? 0 : -1) ?? null;
  }

  close(): void {
    this.stop.abort();
  }

  private left(line: number, by: Direction): Match[] {
    const at = this.matches.findIndex((match) => (by === 1 ? match.line > line : match.line >= line));
    if (by === 1) return at === -1 ? [] : this.matches.slice(at, at + NEAR);
    const end = at === -1 ? this.matches.length : at;
    return this.matches.slice(Math.max(0, end - NEAR), end);
  }

  private extend(by: Direction): Promise<void> {
    let extending = this.fetching.get(by);
    if (!extending) {
      extending = this.fetch(by).finally(() => this.fetching.delete(by));
      this.fetching.set(by, extending);
    }
    return extending;
  }

  private async fetch(by: Direction): Promise<void> {
    let next: number | null =
      by === 1 ? (this.matches.at(-1)?.line ?? this.origin - 1) + 1 : (this.matches[0]?.line ?? this.origin);
    while (next !== null) {
      const where: Where = by === 1 ? { from: next } : { before: next };
      const found = await this.find(where, FETCHED, this.stop.signal);
      this.add(found.matches, by);
      if (found.next === null) this.ended.add(by);
      else this.ended.delete(by);
      // A service that stopped for the time it took says where to go on.
      next = found.matches.length > 0 ? null : found.next;
    }
  }

  private add(found: readonly Match[], by: Direction): void {
    const all = by === 1 ? [...this.matches, ...found] : [...found.toReversed(), ...this.matches];
    this.matches = by === 1 ? all.slice(-MAX_KEPT) : all.slice(0, MAX_KEPT);
    const other = by === 1 ? -1 : 1;
    if (this.matches.length < all.length) this.ended.delete(other);
  }
}
