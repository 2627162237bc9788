/**
 * How many columns characters take in a terminal. Lines are drawn on this grid, and so wrapped, searched and
 * selected by arithmetic, without asking the browser for measures.
 */

export const TAB_STOP = 8;

/** One column for each UTF-16 unit: true of nearly every line of nearly every log. */
const SIMPLE = /^[\x20-\x7e\xa0-\xac\xae-\u02ff]*$/;
const ZERO = /[\p{Mn}\p{Me}\p{Cf}]/u;
// East Asian wide characters and emoji, but not the halfwidth forms of those scripts.
const WIDE =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Emoji_Presentation}\u3000-\u303e\uff01-\uff60\uffe0-\uffe6]/u;
const HALFWIDTH = /[\uff61-\uffdc]/;
/** They have a browser draw text in another order than it stands in, to the eye another text. */
const BIDI_CONTROL = /\p{Bidi_Control}/u;

export function isSimple(text: string): boolean {
  return SIMPLE.test(text);
}

/** What stands on screen for a character that is not to act there, if it is one. */
export function markOf(point: number): string | null {
  const isMarked = point >= 0x300 && BIDI_CONTROL.test(String.fromCodePoint(point));
  return isMarked ? `<U+${point.toString(16).toUpperCase().padStart(4, '0')}>` : null;
}

/** Widths that were found out: a log has few different characters beyond the Latin ones. */
const known = new Map<number, number>();

export function charWidth(point: number): number {
  if (point < 0x300) return point === 0xad ? 0 : 1;
  let width = known.get(point);
  if (width === undefined) {
    const character = String.fromCodePoint(point);
    const isWide = WIDE.test(character) && !HALFWIDTH.test(character);
    width = markOf(point)?.length ?? (ZERO.test(character) ? 0 : isWide ? 2 : 1);
    known.set(point, width);
  }
  return width;
}

/** The columns that the character at `index` takes when it begins in `column`, and its length in units. */
export function measure(text: string, index: number, column: number): { width: number; length: number } {
  const point = text.codePointAt(index) ?? 0;
  const length = point > 0xffff ? 2 : 1;
  if (point === 0x09) return { width: TAB_STOP - (column % TAB_STOP), length };
  return { width: charWidth(point), length };
}

/** A text on the terminal's grid. */
export class Grid {
  /**
   * The column at which the character of each UTF-16 unit begins, accents counted to their letters, and last
   * the text's width; null where that is its index.
   */
  private readonly starts: Uint32Array | null = null;
  private rows: number[] = [0];
  private rowsAt = 0;

  constructor(private readonly text: string) {
    if (isSimple(text)) return;
    this.starts = new Uint32Array(text.length + 1);
    let column = 0;
    for (let at = 0; at < text.length;) {
      const { width, length } = measure(text, at, column);
      const isJoined = width === 0 && at > 0;
      this.starts.fill(isJoined ? (this.starts[at - 1] ?? 0) : column, at, at + length);
      column += width;
      at += length;
    }
    this.starts[text.length] = column;
  }

  get columns(): number {
    return this.columnAt(this.text.length);
  }

  /** The column in which the character at `index` begins; the first is 0. */
  columnAt(index: number): number {
    const at = Math.min(index, this.text.length);
    return this.starts?.[at] ?? at;
  }

  /** The character that covers a column, or the text's length beyond its end. */
  indexAt(column: number): number {
    const { starts, text } = this;
    if (!starts || column <= 0) return Math.max(0, Math.min(text.length, column));
    if (column >= this.columns) return text.length;
    let low = 0;
    let high = text.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((starts[middle] ?? 0) <= column) low = middle;
      else high = middle - 1;
    }
    while (low > 0 && starts[low - 1] === starts[low]) low -= 1;
    return low;
  }

  /** Where the rows begin that the text takes when it is wrapped at so many columns: `[0]` for a short one. */
  wrapAt(columns: number): readonly number[] {
    if (this.rowsAt === columns) return this.rows;
    this.rowsAt = columns;
    this.rows = [0];
    const { starts, text } = this;
    if (starts) {
      let begin = 0;
      let character = 0;
      for (let at = 1; at <= text.length; at++) {
        if (starts[at] === starts[character]) continue;
        if ((starts[at] ?? 0) - begin > columns && character > (this.rows.at(-1) ?? 0)) {
          this.rows.push(character);
          begin = starts[character] ?? 0;
        }
        character = at;
      }
    } else {
      for (let at = columns; at < text.length; at += columns) this.rows.push(at);
    }
    return this.rows;
  }
}
