import { styleAfter } from './ansi';
import { isSameStyle, PLAIN, type Style } from './sgr';

/** One line as it came, with the style in force at its start. */
export interface LogLine {
  readonly text: string;
  readonly style: Style;
  /** The line goes on after what is kept of it. */
  readonly cut: boolean;
}

/** What is kept of one line, in UTF-16 units. The raw log has the rest. */
export const MAX_LINE_LENGTH = 65_536;

/**
 * Text cut into lines, kept as columns rather than as an object for each line: a log that runs at full speed
 * brings hundreds of thousands of lines a second, of which a screenful is ever looked at.
 */
export class Lines {
  private texts: string[] = [];
  private styles: Style[] = [];
  private cuts = new Set<number>();
  /** How many lines were dropped from the front. */
  private dropped = 0;
  private characters = 0;

  /** `style` is that of the first line. */
  constructor(private style: Style = PLAIN) {}

  /** Lines that are here; those dropped not counted. */
  get length(): number {
    return this.texts.length;
  }

  /** UTF-16 units that are here. */
  get size(): number {
    return this.characters;
  }

  /** In force after the last line. */
  get endStyle(): Style {
    return this.style;
  }

  push(text: string, cut = false): void {
    const kept = shorten(text);
    if (cut || isBeginning(kept, text)) this.cuts.add(this.dropped + this.texts.length);
    this.texts.push(kept);
    this.styles.push(this.style);
    this.style = styleAfter(kept, this.style);
    this.characters += kept.length;
  }

  /** The style at the start of a line that is here, or after the last one. */
  styleAt(index: number): Style {
    return this.styles[index] ?? this.style;
  }

  /** The next line has this style, whatever the last one left: not all of it may have been kept. */
  goOnWith(style: Style): void {
    this.style = style;
  }

  /** The first line has this style, which was not known when it came. */
  beginWith(style: Style): void {
    if (this.dropped > 0) return;
    let next = style;
    for (let at = 0; at < this.texts.length; at++) {
      if (isSameStyle(next, this.styles[at] ?? PLAIN)) return;
      this.styles[at] = next;
      next = styleAfter(this.texts[at] ?? '', next);
    }
    this.style = next;
  }

  at(index: number): LogLine | null {
    const text = this.texts[index];
    if (text === undefined) return null;
    return { text, style: this.styles[index] ?? PLAIN, cut: this.cuts.has(this.dropped + index) };
  }

  dropFirst(count: number): void {
    for (let at = 0; at < count; at++) {
      this.characters -= this.texts[at]?.length ?? 0;
      this.cuts.delete(this.dropped + at);
    }
    this.texts = this.texts.slice(count);
    this.styles = this.styles.slice(count);
    this.dropped += count;
  }
}

/**
 * What is kept of a line that is too long. Of a progress bar that overwrites itself for hours, the last state
 * is what counts; of any other line the beginning.
 */
export function shorten(text: string): string {
  if (text.length <= MAX_LINE_LENGTH) return text;
  const end = text.endsWith('\r') ? text.length - 1 : text.length;
  const redraw = text.lastIndexOf('\r', end - 1);
  const from = redraw > 0 && text.length - redraw <= MAX_LINE_LENGTH ? redraw : 0;
  return text.slice(from, from + MAX_LINE_LENGTH);
}

/** Whether what was kept of a text is its beginning only, rather than what it draws last. */
export function isBeginning(kept: string, text: string): boolean {
  return kept.length < text.length && text.startsWith(kept);
}

/**
 * Cuts a stream of bytes into lines. Frames may end anywhere, also within a character or an escape sequence;
 * bytes that are not UTF-8 become replacement characters.
 */
export class LineSplitter {
  private readonly decoder = new TextDecoder();
  private pending = '';
  private pendingCut = false;

  constructor(private readonly take: (text: string, cut: boolean) => void) {}

  /** The line that has no end yet. */
  get rest(): { text: string; cut: boolean } {
    return { text: this.pending, cut: this.pendingCut };
  }

  write(bytes: Uint8Array): void {
    this.split(this.decoder.decode(bytes, { stream: true }));
  }

  /** The stream is over: what has no line end is a line too. */
  finish(): void {
    this.split(this.decoder.decode());
    if (this.pending !== '') this.complete('');
  }

  private split(text: string): void {
    let from = 0;
    for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n', from)) {
      this.complete(text.slice(from, end));
      from = end + 1;
    }
    if (from < text.length) this.extend(text.slice(from));
  }

  private complete(text: string): void {
    if (this.pending === '') {
      this.take(text, false);
      return;
    }
    this.extend(text);
    this.take(this.pending, this.pendingCut);
    this.pending = '';
    this.pendingCut = false;
  }

  private extend(text: string): void {
    const whole = this.pending + text;
    this.pending = shorten(whole);
    if (this.pending.length < whole.length) this.pendingCut = isBeginning(this.pending, whole);
  }
}
