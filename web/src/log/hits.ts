/** Which parts of a shown line match what is searched for. */
import type { LogQuery, Match } from '../api/log';
import type { ShownLine } from './ansi';
import type { Hit, TextRange } from './drawing';
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

  /** In a line, or in a piece of one that begins at this byte of it. */
  find(raw: string, first: Match | null, at = 0): TextRange[] {
    if (this.expression) return all(this.expression, raw);
    if (first === null) return [];
    const begin = first.column - 1 - at;
    const from = indexOfByte(raw, begin);
    const to = from + indexOfByte(raw.slice(from), first.length + Math.min(0, begin));
    return from < to ? [{ from, to }] : [];
  }
}

/** What is searched for, as far as it concerns one line. */
export interface Search {
  readonly matcher: Matcher;
  /** The line's first match, where the service has to tell. */
  readonly first: Match | null;
  /** The match that the reader is at, if it is in this line. */
  readonly current: Match | null;
}

/** The hits in a line, or in a piece of one: worked out once for each search, as they are drawn many times. */
export class HitsIn {
  private search: Search | null = null;
  private hits: readonly Hit[] = [];

  constructor(
    private readonly raw: string,
    private readonly shown: ShownLine,
    /** The bytes of the line that the piece is; null for a whole line, of which the first match is meant. */
    private readonly bytes: TextRange | null = null,
  ) {}

  of(search: Search): readonly Hit[] {
    const before = this.search;
    const isSame =
      search.matcher === before?.matcher &&
      search.first === before.first &&
      search.current === before.current;
    if (!isSame) this.hits = this.find(search);
    this.search = search;
    return this.hits;
  }

  /** Where in the shown text a byte of the line is to be seen, or else what follows it. */
  placeOf(byte: number): number {
    const index = indexOfByte(this.raw, byte - (this.bytes?.from ?? 0));
    const { sources, text } = this.shown;
    if (sources === null) return index;
    let nearest = text.length;
    for (let at = sources.length - 1; at >= 0; at--) {
      const source = sources[at] ?? 0;
      if (source >= index && source <= (sources[nearest] ?? Infinity)) nearest = at;
    }
    return nearest;
  }

  private find({ matcher, first, current }: Search): Hit[] {
    const found = matcher.find(this.raw, first, this.bytes?.from);
    const at = current && this.indexOf(current, found);
    return shownRanges(this.shown, found).map(({ from, to, match }) => ({ from, to, current: match === at }));
  }

  private indexOf({ column, length }: Match, found: readonly TextRange[]): number | null {
    if (!this.bytes) return 0;
    const begin = column - 1;
    if (begin + length <= this.bytes.from) return null;
    const place = indexOfByte(this.raw, begin - this.bytes.from);
    return found.findIndex(({ from, to }) => from <= place && place < to);
  }
}

interface ShownRange extends TextRange {
  /** Which of the ranges that were found it is, or is a part of. */
  readonly match: number;
}

/**
 * Where in the shown text matches in the line as it came are to be seen, in the order of the shown text: what was
 * overwritten is not. The matches are in their order.
 */
export function shownRanges({ sources }: ShownLine, found: readonly TextRange[]): ShownRange[] {
  if (sources === null) return found.map((range, match) => ({ ...range, match }));
  const ranges: ShownRange[] = [];
  let begin = 0;
  let match = -1;
  for (let at = 0; at <= sources.length; at++) {
    const source = sources[at];
    const here = source === undefined ? -1 : rangeAt(found, source, match);
    if (here === match) continue;
    if (match !== -1) ranges.push({ from: begin, to: at, match });
    [begin, match] = [at, here];
  }
  return ranges;
}

/** The range that a place is in, or -1; most often it is the one that the place before it was in. */
function rangeAt(ranges: readonly TextRange[], place: number, before: number): number {
  const isIn = (at: number) => {
    const range = ranges[at];
    return range !== undefined && range.from <= place && place < range.to;
  };
  if (isIn(before)) return before;
  let low = 0;
  let high = ranges.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((ranges[middle]?.from ?? 0) <= place) low = middle;
    else high = middle - 1;
  }
  return isIn(low) ? low : -1;
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
