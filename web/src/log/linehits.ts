/** Where the service found a regular expression in the lines on screen: asked for in blocks of lines. */
import { isAbort } from '../api/http';
import type { LogQuery, Match } from '../api/log';
import type { SearchService } from './finder.svelte';

const BLOCK_LINES = 500;
const MAX_BLOCKS = 40;

interface Block {
  readonly matches: ReadonlyMap<number, Match>;
  /** The log's last line when this was asked for. */
  readonly upTo: number;
}

export class LineHits {
  private query: LogQuery | null = null;
  private blocks = new Map<number, Block>();
  private request: { block: number; stop: AbortController } | null = null;

  constructor(
    private readonly service: SearchService,
    private readonly changed: () => void,
  ) {}

  ask(query: LogQuery | null): void {
    this.close();
    this.query = query;
    this.blocks.clear();
  }

  at(line: number): Match | null {
    return this.blocks.get(blockOf(line))?.matches.get(line) ?? null;
  }

  want(first: number, last: number, total: number): void {
    const missing: number[] = [];
    for (let block = blockOf(first); block <= blockOf(last); block++) {
      const known = this.blocks.get(block);
      if (!known || known.upTo < Math.min(total, (block + 1) * BLOCK_LINES)) missing.push(block);
    }
    if (this.request && !missing.includes(this.request.block)) this.close();
    const [block] = missing;
    if (this.query && !this.request && block !== undefined) void this.read(this.query, block, total);
  }

  close(): void {
    this.request?.stop.abort();
    this.request = null;
  }

  private async read(query: LogQuery, block: number, total: number): Promise<void> {
    const request = { block, stop: new AbortController() };
    this.request = request;
    const from = block * BLOCK_LINES + 1;
    const matches = new Map<number, Match>();
    try {
      const found = await this.service.search(query, { from }, BLOCK_LINES, request.stop.signal);
      for (const match of found.matches) if (blockOf(match.line) === block) matches.set(match.line, match);
    } catch (error) {
      // What is wrong with the query is told where it is written.
      if (isAbort(error) || this.request !== request) return;
    }
    if (this.request !== request) return;
    this.request = null;
    this.blocks.set(block, { matches, upTo: Math.min(total, (block + 1) * BLOCK_LINES) });
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
