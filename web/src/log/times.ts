/** When each line was written: asked for in blocks of what is on screen, and again where the log has grown. */
import type { LogTimes } from '../api/log';

export type FetchTimes = (line: number, lines: number, signal: AbortSignal) => Promise<LogTimes>;

const BLOCK_LINES = 1_000;
const MAX_BLOCKS = 50;
/** A log that grows is asked no more often. */
const AGAIN_MS = 250;

interface Block {
  /** Lines at which the time changes, and the times, in ms since the epoch. */
  readonly lines: number[];
  readonly times: number[];
  /** The log's last line when this was asked for. */
  readonly upTo: number;
}

export class LineTimes {
  private blocks = new Map<number, Block>();
  private request: AbortController | null = null;
  private requested: number | null = null;
  private notBefore = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private wanted: { first: number; last: number; total: number } | null = null;

  constructor(
    private readonly fetchTimes: FetchTimes,
    private readonly changed: () => void,
  ) {}

  /**
   * Milliseconds since the epoch; null while it is not known. Of a line that was written after the last
   * answer, the time of the line before it, until the next answer comes.
   */
  at(line: number): number | null {
    const block = this.blocks.get(blockOf(line));
    if (!block) return null;
    let low = 0;
    let high = block.lines.length - 1;
    if (high < 0 || (block.lines[0] ?? 0) > line) return null;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((block.lines[middle] ?? 0) <= line) low = middle;
      else high = middle - 1;
    }
    return block.times[low] ?? null;
  }

  want(first: number, last: number, total: number): void {
    this.wanted = { first, last, total };
    if (this.requested !== null && !this.missing().includes(this.requested)) this.request?.abort();
    this.next();
  }

  close(): void {
    this.wanted = null;
    this.request?.abort();
    clearTimeout(this.timer);
  }

  private missing(): number[] {
    if (!this.wanted) return [];
    const { first, last, total } = this.wanted;
    const blocks: number[] = [];
    for (let block = blockOf(first); block <= blockOf(last); block++) {
      const known = this.blocks.get(block);
      const end = Math.min(total, (block + 1) * BLOCK_LINES, last);
      if (!known || known.upTo < end) blocks.push(block);
    }
    return blocks;
  }

  private next(): void {
    if (this.request) return;
    const [block] = this.missing();
    if (block === undefined) return;
    const wait = this.blocks.has(block) || this.notBefore > Date.now() ? this.notBefore - Date.now() : 0;
    clearTimeout(this.timer);
    if (wait > 0) this.timer = setTimeout(() => this.next(), wait);
    else void this.read(block, this.wanted?.total ?? 0);
  }

  private async read(block: number, total: number): Promise<void> {
    const request = new AbortController();
    this.request = request;
    this.requested = block;
    try {
      const { times } = await this.fetchTimes(block * BLOCK_LINES + 1, BLOCK_LINES, request.signal);
      this.keep(block, {
        lines: times.map(({ line }) => line),
        times: times.map(({ time }) => Date.parse(time)),
        upTo: Math.min(total, (block + 1) * BLOCK_LINES),
      });
      this.notBefore = Date.now() + AGAIN_MS;
    } catch {
      // A column of times is not worth an alarm: it stays empty, and is asked for again a little later.
      this.notBefore = Date.now() + (request.signal.aborted ? 0 : 10 * AGAIN_MS);
    }
    this.request = null;
    this.requested = null;
    this.changed();
    this.next();
  }

  private keep(index: number, block: Block): void {
    this.blocks.delete(index);
    this.blocks.set(index, block);
    for (const oldest of this.blocks.keys()) {
      if (this.blocks.size <= MAX_BLOCKS) break;
      this.blocks.delete(oldest);
    }
  }
}

function blockOf(line: number): number {
  return Math.floor((line - 1) / BLOCK_LINES);
}

/** `14:05:12.3`, in the reader's time zone. */
export function clockTime(ms: number): string {
  const date = new Date(ms);
  const two = (value: number) => String(value).padStart(2, '0');
  const tenth = Math.floor(date.getMilliseconds() / 100);
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${tenth}`;
}

/** `0:41.3`, `1:02:45.0`, since the build began; what was written before is at 0. */
export function sinceStart(ms: number, start: number): string {
  const tenths = Math.max(0, Math.floor((ms - start) / 100));
  const seconds = Math.floor(tenths / 10);
  const two = (value: number) => String(value).padStart(2, '0');
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  const clock = hours > 0 ? `${hours}:${two(minutes)}` : String(minutes);
  return `${clock}:${two(seconds % 60)}.${tenths % 10}`;
}
