/** Where the service found a regular expression in the lines on screen: asked for in blocks of lines. */
import type { LogQuery, Marks, Match } from '../api/log';
import type { SearchService } from './finder.svelte';
import { Patience } from './patience';

const BLOCK_LINES = 500;
const MAX_BLOCKS = 40;
const MAX_MATCHES = 1_000;

/** What is asked for a block of lines. */
interface Asked {
  readonly block: number;
  readonly from: number;
  readonly limit: number;
  /** The block's last line that there was. */
  readonly upTo: number;
  /** How many lines match in the buckets that it is in, and how large these were. */
  readonly counted: number;
  readonly bucketLines: number;
}

interface Block extends Asked {
  readonly matches: ReadonlyMap<number, Match>;
}

export class LineHits {
  private query: LogQuery | null = null;
  private blocks = new Map<number, Block>();
  private request: { block: number; stop: AbortController } | null = null;
  /** What the service refused once, it is not asked for again by itself. */
  private isRefused = false;
  private readonly patience = new Patience();

  constructor(
    private readonly service: SearchService,
    private readonly changed: () => void,
  ) {}

  ask(query: LogQuery | null): void {
    this.close();
    this.query = query;
    this.isRefused = false;
    this.blocks.clear();
  }

  at(line: number): Match | null {
    return this.blocks.get(blockOf(line))?.matches.get(line) ?? null;
  }

  /**
   * Sees that the hits in these lines come. The marks tell where there are any, so that nothing is searched in
   * vain; of a log that grows they tell it anew from time to time, and no line is asked for more often.
   */
  want(first: number, last: number, marks: Marks): void {
    const missing: Asked[] = [];
    for (let block = blockOf(first); block <= blockOf(last); block++) {
      const asked = this.missingOf(block, marks);
      if (asked) missing.push(asked);
    }
    const { request } = this;
    if (request && !missing.some(({ block }) => block === request.block)) this.close();
    const [next] = missing;
    if (this.query && !this.request && !this.isRefused && next) void this.read(this.query, next);
  }

  retry(): void {
    this.isRefused = false;
    this.patience.retry();
  }

  close(): void {
    this.request?.stop.abort();
    this.request = null;
  }

  private missingOf(block: number, marks: Marks): Asked | null {
    const begin = block * BLOCK_LINES + 1;
    const upTo = Math.min(marks.lines, (block + 1) * BLOCK_LINES);
    if (upTo < begin) return null;
    const bucket = (line: number) => Math.floor((line - 1) / marks.bucket_lines);
    let counted = 0;
    for (const count of marks.counts.slice(bucket(begin), bucket(upTo) + 1)) counted += count;
    if (counted === 0) return null;
    const bucketLines = marks.bucket_lines;
    const known = this.blocks.get(block);
    const isCountedAlike = known?.counted === counted && known.bucketLines === bucketLines;
    if (known && (known.upTo >= upTo || isCountedAlike)) return null;
    const asked = { block, upTo, counted, bucketLines };
    // So many matches from there on end with the last in these buckets: the search goes no further.
    if (counted <= MAX_MATCHES) return { ...asked, from: bucket(begin) * bucketLines + 1, limit: counted };
    return { ...asked, from: begin, limit: BLOCK_LINES };
  }

  private async read(query: LogQuery, asked: Asked): Promise<void> {
    const { block, from, limit } = asked;
    const request = { block, stop: new AbortController() };
    this.request = request;
    const { signal } = request.stop;
    const matches = new Map<number, Match>();
    try {
      // That the service does not answer is told by the search itself, which asks for the marks.
      const found = await this.patience.until(
        () => this.service.search(query, { from }, limit, signal),
        signal,
        () => undefined,
      );
      for (const match of found.matches) if (blockOf(match.line) === block) matches.set(match.line, match);
    } catch {
      if (this.request !== request) return;
      this.request = null;
      this.isRefused = true;
      return;
    }
    if (this.request !== request) return;
    this.request = null;
    this.blocks.delete(block);
    this.blocks.set(block, { ...asked, matches });
    for (const oldest of this.blocks.keys()) {
      if (this.blocks.size <= MAX_BLOCKS) break;
      this.blocks.delete(oldest);
    }
    this.changed();
  }
}

function blockOf(line: number): number {
  return Math.floor((line - 1) / BLOCK_LINES);
}
