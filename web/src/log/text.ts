/**
 * A line's text as the view needs it, whether the line is kept as a whole or read in pieces: how wide it is,
 * where it wraps, and its runs for a part of the screen. A place in a line is a number that orders as the text
 * does; of a kept line it is the index into its text.
 */
import type { ShownLine } from './ansi';
import { runsOf, type Hit, type Run, type TextRange } from './drawing';
import { HitsIn, type Search } from './hits';
import { PIECE, type LongLine } from './longline';
import { Grid } from './widths';

/** Beyond so many columns a line that does not wrap is drawn where it is looked at only. */
const DRAWN_WHOLE = 1_000;
/** Columns drawn on either side of those in view. */
const MARGIN = 100;

export interface Part {
  readonly runs: readonly Run[];
  /** The column at which the runs begin. */
  readonly column: number;
}

/** What to mark in a line. */
export interface LineMarks {
  readonly search: Search | null;
  /** In places of the line. */
  readonly selected: TextRange | null;
}

export interface LineText {
  readonly columns: number;
  /** How many rows of the screen it takes when wrapped at so many columns. */
  parts(columns: number): number;
  wrapped(part: number, columns: number, marks: LineMarks): Part;
  window(fromColumn: number, toColumn: number, marks: LineMarks): Part;
  placeAt(column: number): number;
  columnOf(place: number): number;
  /** The place of a byte of the line as it came, as well as that is known. */
  placeOf(byte: number): number;
  /** The place of a point in a wrapped line. */
  placeIn(part: number, column: number, columns: number): number;
  /** The part that a place is in when wrapped. */
  partOf(place: number, columns: number): number;
}

export class KeptText implements LineText {
  private readonly grid: Grid;
  private readonly hits: HitsIn;

  constructor(
    readonly shown: ShownLine,
    raw: string,
  ) {
    this.grid = new Grid(shown.text);
    this.hits = new HitsIn(raw, shown);
  }

  get columns(): number {
    return this.grid.columns;
  }

  parts(columns: number): number {
    return this.grid.wrapAt(columns).length;
  }

  wrapped(part: number, columns: number, marks: LineMarks): Part {
    return { runs: this.runs(this.range(part, columns), marks), column: 0 };
  }

  window(fromColumn: number, toColumn: number, marks: LineMarks): Part {
    const to = this.shown.text.length;
    if (this.columns <= DRAWN_WHOLE) return { runs: this.runs({ from: 0, to }, marks), column: 0 };
    const range = { from: this.placeAt(fromColumn - MARGIN), to: this.placeAt(toColumn + MARGIN) };
    return { runs: this.runs(range, marks), column: this.columnOf(range.from) };
  }

  placeAt(column: number): number {
    return this.grid.indexAt(column);
  }

  columnOf(place: number): number {
    return this.grid.columnAt(place);
  }

  placeOf(byte: number): number {
    return this.hits.placeOf(byte);
  }

  placeIn(part: number, column: number, columns: number): number {
    const { from, to } = this.range(part, columns);
    return Math.min(to, this.placeAt(this.columnOf(from) + column));
  }

  partOf(place: number, columns: number): number {
    const starts = this.grid.wrapAt(columns);
    let part = starts.length - 1;
    while (part > 0 && (starts[part] ?? 0) > place) part -= 1;
    return part;
  }

  private runs(range: TextRange, { search, selected }: LineMarks): Run[] {
    return runsOf(this.shown, range, hitsWithin(this.hits, range, search), selected, this.grid);
  }

  private range(part: number, columns: number): TextRange {
    const starts = this.grid.wrapAt(columns);
    return { from: starts[part] ?? 0, to: starts[part + 1] ?? this.shown.text.length };
  }
}

export class PiecedText implements LineText {
  constructor(private readonly line: LongLine) {}

  get columns(): number {
    return this.line.columns;
  }

  parts(columns: number): number {
    return Math.max(1, Math.ceil(this.columns / columns));
  }

  wrapped(part: number, columns: number, marks: LineMarks): Part {
    const { runs, column } = this.between(part * columns, (part + 1) * columns, marks);
    return { runs, column: column - part * columns };
  }

  window(fromColumn: number, toColumn: number, marks: LineMarks): Part {
    return this.between(Math.max(0, fromColumn - MARGIN), toColumn + MARGIN, marks);
  }

  placeAt(column: number): number {
    return this.line.placeAt(column);
  }

  columnOf(place: number): number {
    return this.line.columnOf(place);
  }

  placeOf(byte: number): number {
    return this.line.placeOf(byte);
  }

  placeIn(part: number, column: number, columns: number): number {
    return this.line.placeAt(part * columns + Math.min(columns, column));
  }

  partOf(place: number, columns: number): number {
    return Math.floor(this.line.columnOf(place) / columns);
  }

  private between(fromColumn: number, toColumn: number, { search, selected }: LineMarks): Part {
    const runs: Run[] = [];
    let begin: number | null = null;
    for (const { piece, column, content } of this.line.cut(fromColumn, toColumn)) {
      if (!content) continue;
      const { grid } = content;
      const from = grid.indexAt(fromColumn - column);
      const to = grid.indexAt(toColumn - column);
      begin ??= column + grid.columnAt(from);
      const first = piece * PIECE;
      const within = selected && { from: selected.from - first, to: selected.to - first };
      const hits = hitsWithin(content.hits, { from, to }, search);
      runs.push(...runsOf(content.shown, { from, to }, hits, within, grid));
    }
    return { runs, column: begin ?? fromColumn };
  }
}

/** A part of a line has few of its hits. */
function hitsWithin(hits: HitsIn, { from, to }: TextRange, search: Search | null): readonly Hit[] {
  return search ? hits.of(search).filter((hit) => hit.from < to && hit.to > from) : [];
}
