export interface RowWindow {
  /** The first row to draw; the first of a table is 0. */
  readonly first: number;
  /** After the last row to draw. */
  readonly last: number;
}

const SCREENS_AROUND = 1;

/** The rows to draw of a table whose top is `above` pixels above the screen's (negative: below it). */
export function windowOf(rows: number, rowHeight: number, above: number, screen: number): RowWindow {
  const margin = screen * SCREENS_AROUND;
  const first = Math.floor((above - margin) / rowHeight);
  const last = Math.ceil((above + screen + margin) / rowHeight);
  return { first: clamp(first, rows), last: clamp(last, rows) };
}

function clamp(row: number, rows: number): number {
  return Math.min(rows, Math.max(0, row));
}
