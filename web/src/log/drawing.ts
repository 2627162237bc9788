/** A part of a line as the runs of text that are put on screen. */
import type { ShownLine, Span } from './ansi';
import type { Style } from './sgr';
import { Grid, isSimple, markOf, measure } from './widths';

/** UTF-16 units of a line's text, `to` excluded. */
export interface TextRange {
  readonly from: number;
  readonly to: number;
}

export interface Hit extends TextRange {
  /** Whether this is the hit that the reader is at. */
  readonly current: boolean;
}

export interface Run {
  readonly text: string;
  readonly style: Style;
  readonly hit: 'hit' | 'current' | null;
  readonly selected: boolean;
  /** One character that takes two columns; fonts have other ideas, so it is given its room. */
  readonly wide: boolean;
}

/** The runs of `text[part.from…part.to)`: one for each change of style, of hits and of the selection. */
export function runsOf(
  shown: ShownLine,
  part: TextRange,
  hits: readonly Hit[] = [],
  selected: TextRange | null = null,
  grid: Grid = new Grid(shown.text),
): Run[] {
  const runs: Run[] = [];
  let column = grid.columnAt(part.from);
  for (let at = spanAt(shown.spans, part.from); at < shown.spans.length; at++) {
    const span = shown.spans[at];
    if (!span || span.from >= part.to) break;
    const to = Math.min(part.to, span.from + span.text.length);
    const edges = edgesWithin(Math.max(part.from, span.from), to, selected ? [...hits, selected] : hits);
    for (let edge = 0; edge + 1 < edges.length; edge++) {
      const from = edges[edge] ?? 0;
      const hit = hits.find((one) => one.from <= from && from < one.to);
      const looks = {
        style: span.style,
        hit: hit ? (hit.current ? 'current' : 'hit') : null,
        selected: selected !== null && selected.from <= from && from < selected.to,
      } as const;
      const give = (text: string, wide: boolean) => runs.push({ text, ...looks, wide });
      column = onGrid(shown.text.slice(from, edges[edge + 1]), column, give);
    }
  }
  return runs;
}

/** The span that an index is in. */
function spanAt(spans: readonly Span[], index: number): number {
  let low = 0;
  let high = spans.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((spans[middle]?.from ?? 0) <= index) low = middle;
    else high = middle - 1;
  }
  return low;
}

function edgesWithin(from: number, to: number, ranges: readonly TextRange[]): number[] {
  const inside = ranges.flatMap((range) => [range.from, range.to]).filter((at) => at > from && at < to);
  return [...new Set([from, ...inside, to])].sort((one, two) => one - two);
}

/**
 * Gives out text with tabs as the blanks that they are, marks for what is not to act, wide characters one by one;
 * returns the next column.
 */
function onGrid(text: string, column: number, give: (text: string, wide: boolean) => void): number {
  if (text === '') return column;
  if (isSimple(text)) {
    give(text, false);
    return column + text.length;
  }
  let narrow = '';
  let at = 0;
  const flush = () => {
    if (narrow !== '') give(narrow, false);
    narrow = '';
  };
  while (at < text.length) {
    const { width, length } = measure(text, at, column);
    let end = at + length;
    if (text[at] === '\t') {
      narrow += ' '.repeat(width);
    } else if (width === 2) {
      while (end < text.length && measure(text, end, 0).width === 0) end += measure(text, end, 0).length;
      flush();
      give(text.slice(at, end), true);
    } else {
      narrow += markOf(text.codePointAt(at) ?? 0) ?? text.slice(at, end);
    }
    column += width;
    at = end;
  }
  flush();
  return column;
}
