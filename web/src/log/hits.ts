/** Which parts of a shown line match what is searched for. */
import type { LogQuery, Match } from '../api/log';
import type { ShownLine } from './ansi';
import type { TextRange } from './drawing';
import { plainText } from './plain';

/** A line with more is marked no further. */
const MAX_HITS = 1_000;

/**
 * Finds a query's matches in lines as they came. Of a regular expression, the service alone tells where its
 * first match in a line is: its syntax is Rust's, and JavaScript would take any time it likes for some of them,
 * which may come with a link.
 */
export class Matcher {
  private readonly expression: RegExp | null;

  constructor({ text, case: differs, regex }: LogQuery) {
    const escaped = text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
    this.expression = regex ? null : new RegExp(escaped, differs ? 'gu' : 'giu');
  }

  /** Whether the service has to be asked where the first match of a line is. */
  get needsService(): boolean {
    return this.expression === null;
  }

  find(raw: string, first: Match | null): TextRange[] {
    if (this.expression) return all(this.expression, raw);
    if (first === null) return [];
    const from = indexOfByte(raw, first.column - 1);
    return [{ from, to: from + indexOfByte(raw.slice(from), first.length) }];
  }
}

/** Where in the shown text matches in the line as it came are to be seen: what was overwritten is not. */
export function shownRanges(shown: ShownLine, found: readonly TextRange[]): TextRange[] {
  const { sources } = shown;
  if (sources === null) return [...found];
  const ranges: TextRange[] = [];
  for (const { from, to } of found) {
    let begin: number | null = null;
    for (let at = 0; at <= sources.length; at++) {
      const source = sources[at];
      const isIn = source !== undefined && source >= from && source < to;
      if (isIn) begin ??= at;
      else if (begin !== null) {
        ranges.push({ from: begin, to: at });
        begin = null;
      }
    }
  }
  return ranges;
}

/** The index of the character that begins at a byte of the text's UTF-8. */
export function indexOfByte(text: string, byte: number): number {
  let bytes = 0;
  let at = 0;
  while (at < text.length && bytes < byte) {
    const point = text.codePointAt(at) ?? 0;
    bytes += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    at += point > 0xffff ? 2 : 1;
  }
  return at;
}

/** Sequences within a match belong to it. */
function all(expression: RegExp, raw: string): TextRange[] {
  const { text, sourceOf } = plainText(raw);
  const found: TextRange[] = [];
  for (const match of text.matchAll(expression)) {
    const last = match.index + match[0].length - 1;
    found.push({ from: sourceOf(match.index), to: sourceOf(last) + 1 });
    if (found.length >= MAX_HITS) break;
  }
  return found;
}
