/**
 * A window over one build's log, which may have ten million lines: the parts that were looked at, fetched by
 * line range in blocks of which the least recently used are forgotten, and the live tail, of which the newest
 * part is kept. Memory does not grow with the log.
 */
import type { LogLines } from '../api/log';
import { Lines, LineSplitter, type LogLine } from './lines';
import { applySgr, PLAIN, type Style } from './sgr';

/** Fetches `lines` lines from `line` on (the first is 1); may answer with fewer and say where it stopped. */
export type FetchLines = (line: number, lines: number, signal: AbortSignal) => Promise<LogLines>;

export const BLOCK_LINES = 500;
const MAX_REQUESTS = 2;
/** UTF-16 units in all blocks together. */
const MAX_CACHED = 16 * 1024 * 1024;
const MAX_TAIL_LINES = 20_000;
const MAX_TAIL_SIZE = 8 * 1024 * 1024;

interface Block {
  readonly lines: Lines;
  /** The log's last line that could be fetched when this was: what is not here then, is not there either. */
  asked: number;
  /** UTF-16 units that the cache's sum holds for it. */
  counted: number;
  /** Whether its last line may go on: it had no end, and was the last one that was known. */
  unfinished: boolean;
}

export class LogStore {
  private blocks = new Map<number, Block>();
  private cached = 0;
  private requests = new Map<number, AbortController>();
  private wanted: number[] = [];
  /** The blocks that are looked at. */
  private shown = { first: 0, last: 0 };
  private failure: unknown = null;
  private readonly closed = new AbortController();

  private tail: Lines | null = null;
  private splitter: LineSplitter | null = null;
  /** The number of the first line in the tail. */
  private tailFirst = 1;
  /** After the last byte that came live. */
  private received: number | null = null;
  private known: number;
  private finished = false;

  constructor(
    private readonly fetchLines: FetchLines,
    /** What is known of the log's length before the first line is here. */
    lines: number,
    private readonly changed: () => void,
  ) {
    this.known = lines;
  }

  /** How many lines there are; the one being written counts. */
  get total(): number {
    return this.tail ? this.tailFirst + this.tail.length - 1 + (this.pendingLine ? 1 : 0) : this.known;
  }

  /** How many bytes there are, if the log is followed live. */
  get bytes(): number | null {
    return this.received;
  }

  /** Why the last fetch failed, until something is fetched again. */
  get error(): unknown {
    return this.failure;
  }

  /** The line with this number (the first is 1), if it is here. */
  line(number: number): LogLine | null {
    return this.inTail(number) ?? this.inBlocks(number);
  }

  /** Sees that these lines come, and gives up on what was asked for before and is no longer looked at. */
  want(first: number, last: number): void {
    const wanted: number[] = [];
    this.shown = { first: blockOf(Math.max(1, first)), last: blockOf(Math.min(last, this.total)) };
    for (let block = this.shown.first; block <= this.shown.last; block++) {
      if (this.isMissing(block)) wanted.push(block);
    }
    this.wanted = wanted;
    for (const [block, request] of this.requests) {
      if (!wanted.includes(block)) request.abort();
    }
    if (this.failure === null) this.fetchNext();
  }

  /** Asks again for what failed. */
  retry(): void {
    this.failure = null;
    this.fetchNext();
    this.changed();
  }

  /**
   * The live log begins at this line and byte. What the tail had before is dropped; it can be fetched. `afresh`
   * if this may be another log than before.
   */
  begin(line: number, offset: number, afresh: boolean): void {
    if (afresh && this.tail) this.forget();
    // A line that was fetched while it was being written comes whole with the tail, which may let go of it.
    for (const [index, block] of this.blocks) if (block.unfinished) this.drop(index, block);
    const style = this.styleBefore(line);
    const lines = new Lines(style ?? PLAIN);
    if (style === null) void this.askForStyle(line, lines);
    this.tail = lines;
    this.tailFirst = line;
    this.received = offset;
    this.finished = false;
    this.splitter = new LineSplitter((text, cut) => lines.push(text, cut));
    this.changed();
  }

  append(bytes: Uint8Array): void {
    this.splitter?.write(bytes);
    this.received = (this.received ?? 0) + bytes.length;
    this.trimTail();
    this.changed();
  }

  /** The build has ended; no more will come. */
  end(): void {
    this.splitter?.finish();
    this.splitter = null;
    this.finished = true;
    this.changed();
  }

  /** A build that is not followed live may still turn out to have more lines than was known. */
  grow(lines: number): void {
    if (lines <= this.known) return;
    this.known = lines;
    if (!this.tail) this.changed();
  }

  close(): void {
    this.closed.abort();
    this.wanted = [];
    for (const request of this.requests.values()) request.abort();
  }

  private forget(): void {
    for (const request of this.requests.values()) request.abort();
    this.blocks.clear();
    this.cached = 0;
  }

  private drop(index: number, block: Block): void {
    this.blocks.delete(index);
    this.cached -= block.counted;
    block.counted = 0;
  }

  private get pendingLine(): LogLine | null {
    const rest = this.splitter?.rest;
    if (!rest || rest.text === '') return null;
    return { ...rest, style: this.tail?.endStyle ?? PLAIN };
  }

  private inTail(number: number): LogLine | null {
    if (!this.tail || number < this.tailFirst) return null;
    const index = number - this.tailFirst;
    return index === this.tail.length ? this.pendingLine : this.tail.at(index);
  }

  private inBlocks(number: number): LogLine | null {
    const index = blockOf(number);
    const block = this.blocks.get(index);
    if (!block) return null;
    // Taken out and put back, it is the newest in the map's order, which is the order of forgetting.
    this.blocks.delete(index);
    this.blocks.set(index, block);
    return block.lines.at(number - firstOf(index));
  }

  /** The style at a line's start, if what is before it is here. */
  private styleBefore(line: number): Style | null {
    if (line <= 1) return PLAIN;
    const index = blockOf(line - 1);
    const lines = this.blocks.get(index)?.lines;
    const within = line - firstOf(index);
    return lines && within <= lines.length ? lines.styleAt(within) : null;
  }

  /** For a tail of whose beginning nothing is here. Without an answer it stays as it is. */
  private async askForStyle(line: number, tail: Lines): Promise<void> {
    try {
      const { style } = await this.fetchLines(line, 0, this.closed.signal);
      tail.beginWith(styleOf(style));
      this.changed();
    } catch {
      // Its lines are right but for their colours, and those only until the next reset.
    }
  }

  /** A block is missing while a line that it should have is neither in it nor in the tail. */
  private isMissing(index: number): boolean {
    const last = Math.min(firstOf(index) + BLOCK_LINES - 1, this.lastFetchable);
    if (last < firstOf(index)) return false;
    const block = this.blocks.get(index);
    return !block || (block.lines.length < last - firstOf(index) + 1 && block.asked < last);
  }

  private get lastFetchable(): number {
    return this.tail ? this.tailFirst - 1 : this.known;
  }

  private fetchNext(): void {
    for (const block of this.wanted) {
      if (this.requests.size >= MAX_REQUESTS) return;
      if (!this.requests.has(block) && this.isMissing(block)) void this.fetchBlock(block);
    }
  }

  private async fetchBlock(index: number): Promise<void> {
    const request = new AbortController();
    this.requests.set(index, request);
    try {
      await this.read(index, request.signal);
      this.failure = null;
      // Once is enough: of blocks too large to be kept together, each would ask for the other again for ever.
      this.wanted = this.wanted.filter((block) => block !== index);
    } catch (error) {
      if (!request.signal.aborted) this.failure = error;
    }
    this.requests.delete(index);
    if (this.failure === null) this.fetchNext();
    this.changed();
  }

  /** Reads what a block does not have yet, showing each answer: one holds at most 1 MiB, which may be few lines. */
  private async read(index: number, signal: AbortSignal): Promise<void> {
    const first = firstOf(index);
    const asked = this.lastFetchable;
    const known = this.blocks.get(index);
    const block = known ?? {
      lines: new Lines(),
      asked: 0,
      counted: 0,
      unfinished: false,
    };
    while (block.lines.length < BLOCK_LINES) {
      const at = first + block.lines.length;
      const answer = await this.fetchLines(at, BLOCK_LINES - block.lines.length, signal);
      if (answer.bytes.length === 0) break;
      block.lines.goOnWith(styleOf(answer.style));
      this.addAnswer(block, answer, at);
      if (first + block.lines.length === at) break;
      this.keep(index, block);
      this.changed();
      const stoppedEarly = answer.next !== null && answer.next <= Math.min(asked, first + BLOCK_LINES - 1);
      if (!stoppedEarly) break;
    }
    block.asked = asked;
    this.keep(index, block);
  }

  /**
   * A line without its end is one that did not fit into the answer, which then says that the line after it
   * follows; or the log's last one; or one that is still being written, which comes with the tail.
   */
  private addAnswer(block: Block, answer: LogLines, at: number): void {
    const { lines } = block;
    const before = lines.length;
    const splitter = new LineSplitter((text, cut) => lines.push(text, cut));
    splitter.write(answer.bytes);
    const count = lines.length - before;
    const { rest } = splitter;
    if (rest.text === '') return;
    if (answer.next !== null) lines.push(rest.text, true);
    else if (this.isLast(at + count)) {
      splitter.finish();
      block.unfinished = !this.finished;
    }
  }

  private isLast(line: number): boolean {
    return (this.finished || !this.tail) && line >= this.known;
  }

  private keep(index: number, block: Block): void {
    this.cached += block.lines.size - block.counted;
    block.counted = block.lines.size;
    this.blocks.delete(index);
    this.blocks.set(index, block);
    for (const [oldest, old] of this.blocks) {
      if (this.cached <= MAX_CACHED) break;
      // What is looked at stays.
      if (oldest < this.shown.first || oldest > this.shown.last) this.drop(oldest, old);
    }
    this.grow(firstOf(index) + block.lines.length - 1);
  }

  private trimTail(): void {
    const tail = this.tail;
    if (!tail || (tail.length <= MAX_TAIL_LINES && tail.size <= MAX_TAIL_SIZE)) return;
    // Half at once, so that trimming costs little for each line.
    const drop = Math.ceil(tail.length / 2);
    tail.dropFirst(drop);
    this.tailFirst += drop;
  }
}

function styleOf(parameters: string): Style {
  return parameters === '' ? PLAIN : applySgr(PLAIN, parameters);
}

function blockOf(line: number): number {
  return Math.floor((line - 1) / BLOCK_LINES);
}

function firstOf(block: number): number {
  return block * BLOCK_LINES + 1;
}
