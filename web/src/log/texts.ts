/** The lines that were looked at, as they are shown: of so many characters as are on screen at once, and some more. */
import { parseLine } from './ansi';
import { isError } from './errors';
import { MAX_LINE_LENGTH, type LogLine } from './lines';
import { KeptText } from './text';

/** UTF-16 units of lines as they came, each of which may take some ten bytes once its colours are known. */
export const MAX_TEXTS = 100 * MAX_LINE_LENGTH;
/** Several screens of short lines, each of which takes a kilobyte besides its text. */
export const MAX_LINES = 1000;
/** More rows than are ever added up. */
const MAX_HEIGHTS = 20_000;

export interface Text {
  readonly raw: LogLine;
  readonly text: KeptText;
  readonly error: boolean;
}

export class Texts {
  /** The oldest first. */
  private readonly texts = new Map<number, Text>();
  private size = 0;
  /** Rows of the screen that lines take, also when they themselves are no longer kept. */
  private readonly heights = new Map<number, { length: number; columns: number; rows: number }>();

  constructor(private readonly lineOf: (line: number) => LogLine | null) {}

  at(line: number): Text | null {
    const raw = this.lineOf(line);
    if (raw === null) return null;
    const before = this.texts.get(line);
    if (
      before &&
      before.raw.text === raw.text &&
      before.raw.style === raw.style &&
      before.raw.cut === raw.cut
    ) {
      return before;
    }
    if (before) this.drop(line, before);
    const text = new KeptText(parseLine(raw.text, raw.style), raw.text);
    const made = { raw, text, error: isError(raw.text) };
    this.texts.set(line, made);
    this.size += raw.text.length;
    for (const [oldest, old] of this.texts) {
      if (this.size <= MAX_TEXTS && this.texts.size <= MAX_LINES) break;
      this.drop(oldest, old);
    }
    return made;
  }

  /** The rows that a line takes when it is wrapped at so many columns; one while it is on its way. */
  rowsOf(line: number, columns: number): number {
    const raw = this.lineOf(line);
    if (raw === null) return 1;
    const before = this.heights.get(line);
    // A line only changes by growing.
    if (before?.length === raw.text.length && before.columns === columns) return before.rows;
    const rows = this.at(line)?.text.parts(columns) ?? 1;
    if (this.heights.size >= MAX_HEIGHTS) this.heights.clear();
    this.heights.set(line, { length: raw.text.length, columns, rows });
    return rows;
  }

  private drop(line: number, text: Text): void {
    this.texts.delete(line);
    this.size -= text.raw.text.length;
  }
}
