/**
 * Which rows are on screen, and where the scroll bar stands. The reader's place is an anchor (a row and
 * pixels into it), not a scroll position: browsers stop at some 16 to 33 million pixels, a log of ten million
 * lines would need 180 million. Up to `MAX_SCROLL_HEIGHT` one pixel of the scroll bar is one of the log;
 * beyond that, and when lines wrap to heights that are only known once seen, small movements move the anchor
 * by just as much, and large ones (the thumb was dragged) go to the same fraction of the log.
 */

export interface Anchor {
  /** The row at the top of the view; the first is 1. */
  readonly row: number;
  /** Pixels of it above the view's top. */
  readonly offset: number;
}

export interface Geometry {
  readonly rows: number;
  /** Pixels of a row that is not wrapped. */
  readonly rowHeight: number;
  /** Pixels of the view. */
  readonly viewport: number;
  /** Pixels of one row when lines wrap; null when all have `rowHeight`. */
  readonly heightOf: ((row: number) => number) | null;
}

export const MAX_SCROLL_HEIGHT = 8_000_000;
/** Wrapped logs of up to so many rows are summed exactly; of longer ones the scroll bar is an estimate. */
const SUMMED_ROWS = 2_000;
/** A scroll event that moves further than this many screens is a jump. */
const JUMP_SCREENS = 3;

export const START: Anchor = { row: 1, offset: 0 };

export function scrollHeight(geometry: Geometry): number {
  return Math.min(MAX_SCROLL_HEIGHT, contentHeight(geometry));
}

/** The scroll bar's place for an anchor. */
export function scrollTopFor(anchor: Anchor, geometry: Geometry): number {
  if (isSummed(geometry)) return position(anchor, geometry);
  const end = progress(endAnchor(geometry), geometry);
  return end === 0 ? 0 : (progress(anchor, geometry) / end) * maxScrollTop(geometry);
}

/** The anchor after the scroll bar went from `previousTop` to `top`. */
export function anchorAfterScroll(
  anchor: Anchor,
  previousTop: number,
  top: number,
  geometry: Geometry,
): Anchor {
  if (isSummed(geometry) && !geometry.heightOf) return moveBy(START, top, geometry);
  const max = maxScrollTop(geometry);
  if (top <= 0) return START;
  if (top >= max - 1) return endAnchor(geometry);
  const delta = top - previousTop;
  if (Math.abs(delta) <= geometry.viewport * JUMP_SCREENS) return moveBy(anchor, delta, geometry);
  if (isSummed(geometry)) return moveBy(START, top, geometry);
  const end = endAnchor(geometry);
  const at = (top / max) * progress(end, geometry);
  const row = 1 + Math.floor(at);
  return atMost({ row, offset: (at % 1) * height(row, geometry) }, end);
}

/** Moves by pixels of log, never beyond its start or past its end at the bottom of the view. */
export function moveBy(anchor: Anchor, delta: number, geometry: Geometry): Anchor {
  if (!geometry.heightOf) {
    const target = Math.max(0, position(anchor, geometry) + delta);
    const row = 1 + Math.floor(target / geometry.rowHeight);
    return atMost({ row, offset: target % geometry.rowHeight }, endAnchor(geometry));
  }
  let row = anchor.row;
  let offset = anchor.offset + delta;
  while (offset < 0 && row > 1) {
    row -= 1;
    offset += height(row, geometry);
  }
  while (row < geometry.rows && offset >= height(row, geometry)) {
    offset -= height(row, geometry);
    row += 1;
  }
  return atMost({ row, offset: Math.max(0, offset) }, endAnchor(geometry));
}

/** The anchor that puts the last row at the bottom of the view. */
export function endAnchor(geometry: Geometry): Anchor {
  if (!geometry.heightOf) {
    const top = geometry.rows * geometry.rowHeight - geometry.viewport;
    if (top <= 0) return START;
    return { row: 1 + Math.floor(top / geometry.rowHeight), offset: top % geometry.rowHeight };
  }
  let above = 0;
  for (let row = geometry.rows; row >= 1; row--) {
    above += height(row, geometry);
    if (above >= geometry.viewport) return { row, offset: above - geometry.viewport };
  }
  return START;
}

/** The anchor that shows a place in a row (pixels below its top) with a third of the view above it. */
export function anchorOn(row: number, below: number, geometry: Geometry): Anchor {
  return moveBy({ row: Math.max(1, row), offset: below }, -geometry.viewport / 3, geometry);
}

export function isAtEnd(anchor: Anchor, geometry: Geometry): boolean {
  const end = endAnchor(geometry);
  // Scroll positions are rounded to device pixels.
  return anchor.row > end.row || (anchor.row === end.row && anchor.offset >= end.offset - 2);
}

/** A part of the log as tall as `rowHeight`: a row, or of a row that wraps one of the lines it takes. */
export interface Strip {
  readonly row: number;
  /** Which part of its row it is, from 0. */
  readonly part: number;
}

export interface Drawn {
  readonly strips: readonly Strip[];
  /** Pixels from the view's top to the top of the first strip; at most 0. */
  readonly top: number;
}

/** What to draw: the strips in view and `overscan` more on each side. */
export function drawn(anchor: Anchor, geometry: Geometry, overscan: number): Drawn {
  const { rowHeight, rows } = geometry;
  if (rows === 0) return { strips: [], top: 0 };
  let row = Math.min(anchor.row, rows);
  let part = Math.floor(anchor.offset / rowHeight);
  let top = part * rowHeight - anchor.offset;
  for (let above = 0; above < overscan && (part > 0 || row > 1); above++) {
    if (part > 0) part -= 1;
    else {
      row -= 1;
      part = parts(row, geometry) - 1;
    }
    top -= rowHeight;
  }
  const strips: Strip[] = [];
  const wanted = Math.ceil((geometry.viewport - top) / rowHeight) + overscan;
  while (strips.length < wanted && row <= rows) {
    strips.push({ row, part });
    part += 1;
    if (part < parts(row, geometry)) continue;
    row += 1;
    part = 0;
  }
  return { strips, top };
}

function parts(row: number, geometry: Geometry): number {
  return Math.max(1, Math.round(height(row, geometry) / geometry.rowHeight));
}

/** Whether one pixel of the scroll bar is one of the log, and each row's place is known by adding up. */
function isSummed(geometry: Geometry): boolean {
  return (!geometry.heightOf || geometry.rows <= SUMMED_ROWS) && contentHeight(geometry) <= MAX_SCROLL_HEIGHT;
}

function contentHeight(geometry: Geometry): number {
  if (!geometry.heightOf || geometry.rows > SUMMED_ROWS) return geometry.rows * geometry.rowHeight;
  let sum = 0;
  for (let row = 1; row <= geometry.rows; row++) sum += height(row, geometry);
  return sum;
}

function maxScrollTop(geometry: Geometry): number {
  return Math.max(0, scrollHeight(geometry) - geometry.viewport);
}

function height(row: number, geometry: Geometry): number {
  return geometry.heightOf ? geometry.heightOf(row) : geometry.rowHeight;
}

function position(anchor: Anchor, geometry: Geometry): number {
  if (!geometry.heightOf) return (anchor.row - 1) * geometry.rowHeight + anchor.offset;
  let above = 0;
  for (let row = 1; row < anchor.row; row++) above += geometry.heightOf(row);
  return above + anchor.offset;
}

/** An anchor as a number of rows. */
function progress(anchor: Anchor, geometry: Geometry): number {
  return anchor.row - 1 + Math.min(1, anchor.offset / height(anchor.row, geometry));
}

function atMost(anchor: Anchor, limit: Anchor): Anchor {
  const beyond = anchor.row > limit.row || (anchor.row === limit.row && anchor.offset > limit.offset);
  return beyond ? limit : anchor;
}
