/** A part of a line as the runs of text that are put on screen. */
import type { ShownLine } from './ansi';
import { PLAIN, type Style } from './sgr';
import { columnAt, isSimple, measure } from './widths';

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
): Run[] {
  const runs: Run[] = [];
  const edges = edgesOf(shown, part, hits, selected);
  let column = isSimple(shown.text) ? part.from : columnAt(shown.text, part.from);
  for (let at = 0; at + 1 < edges.length; at++) {
    const from = edges[at] ?? 0;
    const text = shown.text.slice(from, edges[at + 1]);
    const hit = hits.find((one) => one.from <= from && from < one.to);
    const looks = {
      style: styleAt(shown, from),
      hit: hit ? (hit.current ? 'current' : 'hit') : null,
      selected: selected !== null && selected.from <= from && from < selected.to,
    } as const;
    column = onGrid(text, column, (piece, wide) => runs.push({ text: piece, ...looks, wide }));
  }
  return runs;
}

function edgesOf(
  shown: ShownLine,
  part: TextRange,
  hits: readonly Hit[],
  selected: TextRange | null,
): number[] {
  const edges = new Set([part.from, Math.min(part.to, shown.text.length)]);
  const add = (at: number) => at > part.from && at < part.to && at < shown.text.length && edges.add(at);
  let begin = 0;
  for (const span of shown.spans) {
    add(begin);
    begin += span.text.length;
    if (begin >= part.to) break;
  }
  for (const range of selected ? [...hits, selected] : hits) {
    add(range.from);
    add(range.to);
  }
  return [...edges].sort((one, two) => one - two);
}

function styleAt(shown: ShownLine, index: number): Style {
  let end = 0;
  for (const span of shown.spans) {
    end += span.text.length;
    if (index < end) return span.style;
  }
  return PLAIN;
}

/** Gives out text with tabs as the blanks that they are, wide characters one by one; returns the next column. */
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
      narrow += text.slice(at, end);
    }
    column += width;
    at = end;
  }
  flush();
  return column;
}
