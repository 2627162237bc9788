/** The lines that are too long to be kept, as far as they were looked at. */
import { LongLine, type FetchBytes } from './longline';
import { parseLine } from './ansi';
import { MAX_LINE_LENGTH, shorten } from './lines';
import { KeptText, PiecedText, type LineText } from './text';

const MAX_OPEN = 8;

interface Open {
  /** Null while its place in the log is being asked for. */
  text: LineText | null;
  long: LongLine | null;
  failed: boolean;
}

export class LongLines {
  private lines = new Map<number, Open>();
  private readonly closing = new AbortController();

  constructor(
    private readonly offsetOf: (line: number, signal: AbortSignal) => Promise<number>,
    private readonly fetchBytes: FetchBytes,
    private readonly changed: () => void,
  ) {}

  /** The whole line, or null until it is known where it begins and ends. */
  get(line: number): LineText | null {
    const open = this.lines.get(line);
    if (open) {
      this.lines.delete(line);
      this.lines.set(line, open);
      return open.text;
    }
    void this.open(line);
    return null;
  }

  /** After each drawing: reads what was missing in it. */
  settle(): void {
    for (const { long } of this.lines.values()) long?.settle();
  }

  retry(): void {
    for (const [line, open] of this.lines) {
      if (open.failed) this.lines.delete(line);
      open.long?.retry();
    }
  }

  close(): void {
    this.closing.abort();
    for (const { long } of this.lines.values()) long?.close();
  }

  private async open(line: number): Promise<void> {
    const open: Open = { text: null, long: null, failed: false };
    this.lines.set(line, open);
    this.forget();
    const { signal } = this.closing;
    try {
      const [begin, end] = await Promise.all([this.offsetOf(line, signal), this.offsetOf(line + 1, signal)]);
      const tail = Math.min(MAX_LINE_LENGTH, end - begin);
      const last = new TextDecoder().decode(await this.fetchBytes(end - tail, tail, signal));
      const ending = last.endsWith('\r\n') ? 2 : last.endsWith('\n') ? 1 : 0;
      const text = last.slice(0, last.length - ending);
      if (text.includes('\r')) {
        // A progress bar that drew itself anew for hours: what it showed last is what there is to see.
        const raw = shorten(text.endsWith('\r') ? text.slice(0, -1) : text);
        open.text = new KeptText(parseLine(raw), raw);
      } else {
        open.long = new LongLine(this.fetchBytes, begin, end - begin - ending, this.changed);
        open.text = new PiecedText(open.long);
      }
    } catch {
      open.failed = true;
    }
    this.changed();
  }

  private forget(): void {
    for (const [line, { long }] of this.lines) {
      if (this.lines.size <= MAX_OPEN) break;
      long?.close();
      this.lines.delete(line);
    }
  }
}
