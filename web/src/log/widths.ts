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

export function isSimple(text: string): boolean {
  return SIMPLE.test(text);
}

export function charWidth(point: number): 0 | 1 | 2 {
  if (point < 0x300) return point === 0xad ? 0 : 1;
  const character = String.fromCodePoint(point);
  if (ZERO.test(character)) return 0;
  return WIDE.test(character) && !HALFWIDTH.test(character) ? 2 : 1;
}

/** The columns that the character at `index` takes when it begins in `column`, and its length in units. */
export function measure(text: string, index: number, column: number): { width: number; length: number } {
  const point = text.codePointAt(index) ?? 0;
  const length = point > 0xffff ? 2 : 1;
  if (point === 0x09) return { width: TAB_STOP - (column % TAB_STOP), length };
  return { width: charWidth(point), length };
}

export function columnsOf(text: string): number {
  return isSimple(text) ? text.length : columnAt(text, text.length);
}

/** The column in which the character at `index` begins; the first is 0. */
export function columnAt(text: string, index: number): number {
  let column = 0;
  for (let at = 0; at < Math.min(index, text.length);) {
    const { width, length } = measure(text, at, column);
    column += width;
    at += length;
  }
  return column;
}

/** The character that covers a column, or the text's length beyond its end. Nothing is parted from its accents. */
export function indexAt(text: string, column: number): number {
  if (isSimple(text)) return Math.max(0, Math.min(text.length, column));
  let reached = 0;
  let at = 0;
  while (at < text.length) {
    const { width, length } = measure(text, at, reached);
    if (width > 0 && reached + width > column) return at;
    reached += width;
    at += length;
  }
  return at;
}

/** Where the rows begin that a text takes when it is wrapped at so many columns: `[0]` for a short one. */
export function wrapAt(text: string, columns: number): number[] {
  const starts = [0];
  if (isSimple(text)) {
    for (let at = columns; at < text.length; at += columns) starts.push(at);
    return starts;
  }
  let inRow = 0;
  let column = 0;
  for (let at = 0; at < text.length;) {
    const { width, length } = measure(text, at, column);
    if (inRow + width > columns && inRow > 0) {
      starts.push(at);
      inRow = 0;
    }
    inRow += width;
    column += width;
    at += length;
  }
  return starts;
}
