/** What the reader has selected: from one place in the log to another, whether on screen or not. */
import type { TextRange } from './drawing';

export interface Place {
  readonly line: number;
  /** As in text.ts: of a kept line the index into its text. */
  readonly at: number;
}

export interface Selection {
  /** Where it was begun. */
  readonly anchor: Place;
  /** Where the reader is with it. */
  readonly focus: Place;
}

export function ordered({ anchor, focus }: Selection): { from: Place; to: Place } {
  return isBefore(focus, anchor) ? { from: focus, to: anchor } : { from: anchor, to: focus };
}

export function isEmpty({ anchor, focus }: Selection): boolean {
  return anchor.line === focus.line && anchor.at === focus.at;
}

/** Which part of a line is selected; null if none is. */
export function selectedIn(selection: Selection | null, line: number): TextRange | null {
  if (selection === null || isEmpty(selection)) return null;
  const { from, to } = ordered(selection);
  if (line < from.line || line > to.line) return null;
  return { from: line === from.line ? from.at : 0, to: line === to.line ? to.at : Infinity };
}

/** Whether the end of a line is selected with it. */
export function endsSelected(selection: Selection | null, line: number): boolean {
  if (selection === null) return false;
  const { from, to } = ordered(selection);
  return line >= from.line && line < to.line;
}

/** From the start of one line to the end of another. */
export function wholeLines(first: number, last: number): Selection {
  return { anchor: { line: first, at: 0 }, focus: { line: last, at: Infinity } };
}

/** The word, the blanks or the run of signs at an index: what a double click takes. */
export function wordAt(text: string, index: number): TextRange {
  const kindAt = (at: number) => {
    const character = text[at];
    if (character === undefined) return 'none';
    return /\s/.test(character)
      ? 'blank'
      : /[\p{L}\p{N}_\-./\ud800-\udfff]/u.test(character)
        ? 'word'
        : 'sign';
  };
  const at = Math.min(index, text.length - 1);
  const kind = kindAt(at);
  let from = Math.max(0, at);
  let to = at + 1;
  while (from > 0 && kindAt(from - 1) === kind) from -= 1;
  while (to < text.length && kindAt(to) === kind) to += 1;
  return { from, to: Math.max(from, to) };
}

function isBefore(one: Place, two: Place): boolean {
  return one.line < two.line || (one.line === two.line && one.at < two.at);
}
