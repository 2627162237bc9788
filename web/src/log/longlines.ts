/** The lines on screen that are too long to be kept, and the last ones that were. */
import { asFailure, type RequestFailed } from '../api/http';
import { parseLine } from './ansi';
import { MAX_LINE_LENGTH, shorten } from './lines';
import { LongLine, type FetchBytes } from './longline';
import { Patience } from './patience';
import type { Style } from './sgr';
import { KeptText, PiecedText, type LineText } from './text';

/** Lines that are kept open; all that are on screen are. */
const MAX_OPEN = 8;
/** Of which it is asked at the same time where they begin and end. */
const MAX_OPENING = 2;

interface Open {
  /** Null while its place in the log is being asked for. */
  text: LineText | null;
  long: LongLine | null;
  state: 'opening' | 'open' | 'refused';
  readonly closing: AbortController;
}

export class LongLines {
  /** The one that was on screen longest ago comes first. */
  private lines = new Map<number, Open>();
  private readonly patience = new Patience();
  /** Why the last request failed, until one is answered. */
  failure: RequestFailed | null = null;

  constructor(
    private readonly offsetOf: (line: number, signal: AbortSignal) => Promise<number>,
    private readonly fetchBytes: FetchBytes,
    /** That which holds where a line begins. */
    private readonly styleOf: (line: number) => Style,
    private readonly changed: () => void,
  ) {}

  /** The whole line, or null as long as it is not known where it begins and ends. */
  get(line: number): LineText | null {
    return this.lines.get(line)?.text ?? null;
  }

  /** Sees that the lines on screen come, and gives up on what else was asked for; called after each drawing. */
  want(wanted: readonly number[]): void {
    for (const line of wanted) {
      const open = this.lines.get(line);
      if (!open) continue;
      this.lines.delete(line);
      this.lines.set(line, open);
    }
    for (const [line, open] of this.lines) {
      if (wanted.includes(line)) open.long?.settle();
      else if (open.state === 'opening' || this.lines.size > MAX_OPEN) this.drop(line, open);
      else open.long?.leave();
    }
    for (const line of wanted) {
      if (this.opening >= MAX_OPENING) break;
      if (!this.lines.has(line)) void this.open(line);
    }
  }

  retry(): void {
    for (const [line, open] of this.lines) {
      if (open.state === 'refused') this.lines.delete(line);
      open.long?.retry();
    }
    this.patience.retry();
    this.changed();
  }

  close(): void {
    for (const [line, open] of this.lines) this.drop(line, open);
  }

  private get opening(): number {
    return [...this.lines.values()].filter(({ state }) => state === 'opening').length;
  }

  private drop(line: number, { long, closing }: Open): void {
    closing.abort();
    long?.leave();
    this.lines.delete(line);
  }

  private async open(line: number): Promise<void> {
    const open: Open = { text: null, long: null, state: 'opening', closing: new AbortController() };
    this.lines.set(line, open);
    const { signal } = open.closing;
    const offsetOf = (at: number) => this.answer(() => this.offsetOf(at, signal), signal);
    try {
      const [begin, end] = await Promise.all([offsetOf(line), offsetOf(line + 1)]);
      const tail = Math.min(MAX_LINE_LENGTH, end - begin);
      const last = new TextDecoder().decode(await this.bytes(end - tail, tail, signal));
      const ending = last.endsWith('\r\n') ? 2 : last.endsWith('\n') ? 1 : 0;
      const text = last.slice(0, last.length - ending);
      if (text.includes('\r')) {
        // A progress bar that drew itself anew for hours: what it showed last is what there is to see.
        const raw = shorten(text.endsWith('\r') ? text.slice(0, -1) : text);
        open.text = new KeptText(parseLine(raw, this.styleOf(line)), raw);
      } else {
        const bytes: FetchBytes = (...asked) => this.bytes(...asked);
        open.long = new LongLine(bytes, begin, end - begin - ending, this.styleOf(line), this.changed);
        open.text = new PiecedText(open.long);
      }
      open.state = 'open';
    } catch {
      open.state = 'refused';
    }
    if (!signal.aborted) this.changed();
  }

  private bytes(offset: number, limit: number, signal: AbortSignal): Promise<Uint8Array> {
    return this.answer(() => this.fetchBytes(offset, limit, signal), signal);
  }

  private async answer<T>(ask: () => Promise<T>, signal: AbortSignal): Promise<T> {
    try {
      const answer = await this.patience.until(ask, signal, (failure) => this.fail(failure));
      if (this.failure) this.fail(null);
      return answer;
    } catch (error) {
      // What nobody looks at any more does not fail.
      this.fail(signal.aborted ? null : asFailure(error));
      throw error;
    }
  }

  private fail(failure: RequestFailed | null): void {
    this.failure = failure;
    this.changed();
  }
}
