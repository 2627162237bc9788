/** Selecting with mouse and keyboard, and copying what is selected, beyond what is on screen. */
import { asFailure } from '../api/http';
import { bytes as inBytes, plural } from '../model/format';
import { inWords } from '../model/sentences';
import { copyByEvent } from '../shell/clipboard';
import { MAX_COPIED, textOf, TooMuch, type Source } from './copy';
import { isEmpty, ordered, wholeLines, wordAt, type Place, type Selection } from './selection';

export interface Text extends Source {
  readonly total: number;
  /** The shown text of a line that is at hand as a whole. */
  textAt(line: number): string | null;
}

export interface Notice {
  readonly text: string;
  readonly bad: boolean;
  /** There is text that only waits for a click. */
  readonly ready: boolean;
}

/** Lines that are copied at once when all of them are at hand. */
const MAX_AT_ONCE = 5_000;
const NOTICE_MS = 4_000;

export class Selecting {
  selection = $state.raw<Selection | null>(null);
  notice = $state.raw<Notice | null>(null);
  /** Text that was gathered when the browser no longer let the page write to the clipboard. */
  private gathered: { selection: Selection; text: string } | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly text: Text) {}

  get isEmpty(): boolean {
    return this.selection === null || isEmpty(this.selection);
  }

  /** A press of the button: once for a place, twice for a word, three times for a line. */
  press(place: Place, clicks: number, extend: boolean): void {
    if (extend && this.selection) this.selection = { ...this.selection, focus: place };
    else if (clicks >= 3) this.selection = wholeLines(place.line, place.line);
    else if (clicks === 2) this.selection = this.word(place);
    else this.selection = { anchor: place, focus: place };
  }

  drag(place: Place): void {
    const { selection } = this;
    if (!selection || (selection.focus.line === place.line && selection.focus.at === place.at)) return;
    this.selection = { ...selection, focus: place };
  }

  all(): void {
    if (this.text.total > 0) this.selection = wholeLines(1, this.text.total);
  }

  lines(first: number, last: number): void {
    this.selection = wholeLines(first, Math.min(last, this.text.total));
  }

  clear(): void {
    this.selection = null;
    this.notice = null;
    this.gathered = null;
  }

  /** Puts the selected text on the clipboard of a copy event, or sees that it gets there. */
  copyTo(event: ClipboardEvent): void {
    const { selection } = this;
    if (!selection || isEmpty(selection)) return;
    event.preventDefault();
    const text = this.gathered?.selection === selection ? this.gathered.text : this.atHand(selection);
    if (text === null) void this.gather(selection);
    else {
      event.clipboardData?.setData('text/plain', text);
      this.copied(selection);
    }
  }

  /** As Ctrl+C does. */
  copy(): void {
    copyByEvent((event) => this.copyTo(event));
  }

  close(): void {
    clearTimeout(this.timer);
  }

  private word(place: Place): Selection {
    const text = this.text.textAt(place.line);
    const range = text === null ? { from: place.at, to: place.at } : wordAt(text, place.at);
    return { anchor: { line: place.line, at: range.from }, focus: { line: place.line, at: range.to } };
  }

  private atHand(selection: Selection): string | null {
    const { from, to } = ordered(selection);
    if (to.line - from.line > MAX_AT_ONCE) return null;
    const lines: string[] = [];
    for (let line = from.line; line <= to.line; line++) {
      const text = this.text.textAt(line);
      if (text === null) return null;
      lines.push(text.slice(line === from.line ? from.at : 0, line === to.line ? to.at : undefined));
    }
    return lines.join('\n');
  }

  private async gather(selection: Selection): Promise<void> {
    const { from, to } = ordered(selection);
    this.say({ text: `Reading ${plural(to.line - from.line + 1, 'line')} …` }, false);
    let text: string;
    try {
      text = await textOf(selection, this.text);
    } catch (error) {
      this.say({ text: whyNot(error), bad: true }, false);
      return;
    }
    if (this.selection !== selection) return;
    try {
      await navigator.clipboard.writeText(text);
      this.copied(selection);
    } catch {
      this.gathered = { selection, text };
      this.say({ text: 'Ready: copy once more.', ready: true }, false);
    }
  }

  private copied(selection: Selection): void {
    const { from, to } = ordered(selection);
    this.say({ text: `Copied ${plural(to.line - from.line + 1, 'line')}.` }, true);
  }

  private say(notice: Partial<Notice> & { text: string }, passes: boolean): void {
    clearTimeout(this.timer);
    this.notice = { bad: false, ready: false, ...notice };
    if (passes) this.timer = setTimeout(() => (this.notice = null), NOTICE_MS);
  }
}

function whyNot(error: unknown): string {
  if (error instanceof TooMuch) {
    return (
      `Not copied: ${plural(error.lines, 'line')} are ${inBytes(error.bytes)}, a clipboard takes ` +
      `${inBytes(MAX_COPIED)} from here. Download the log instead.`
    );
  }
  return `Not copied: ${inWords(asFailure(error))}`;
}
