/**
 * Which lines are on screen, and where the scroll bar stands. The reader's place is an anchor (a line and
 * pixels into it), not a scroll position: browsers stop at some 16 to 33 million pixels, a log of ten million
 * lines would need 180 million. Up to `MAX_SCROLL_HEIGHT` one pixel of the scroll bar is one of the log;
 * beyond that, and when lines wrap to heights that are only known once seen, small movements move the anchor
 * by just as much, and large ones (the thumb was dragged) go to the same fraction of the log.
 */

export interface Anchor {
  /** The line at the top of the view; the first is 1. */
  readonly line: number;
  /** Pixels of it above the view's top. */
  readonly offset: number;
}

export interface Geometry {
  /** Lines in the log. */
  readonly total: number;
  /** Pixels of one unwrapped line. */
  readonly rowHeight: number;
  /** Pixels of the view. */
  readonly viewport: number;
  /** Pixels of one line when lines wrap; null when all have `rowHeight`. */
  readonly heightOf: ((line: number) => number) | null;
}

export const MAX_SCROLL_HEIGHT = 8_000_000;
/** Logs up to this length are summed exactly when wrapped; longer ones surely fill any screen. */
const SUMMED_LINES = 2_000;
/** A scroll event that moves further than this many screens is a jump. */
const JUMP_SCREENS = 3;

const START: Anchor = { line: 1, offset: 0 };

export function scrollHeight(geometry: Geometry): number {
  return Math.min(MAX_SCROLL_HEIGHT, contentHeight(geometry));
}

/** The scroll bar's place for an anchor. */
export function scrollTopFor(anchor: Anchor, geometry: Geometry): number {
  if (isDirect(geometry)) return position(anchor, geometry);
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
  if (isDirect(geometry)) return moveBy(START, top, geometry);
  const max = maxScrollTop(geometry);
  if (top <= 0) return START;
  if (top >= max - 1) return endAnchor(geometry);
  const delta = top - previousTop;
  if (Math.abs(delta) <= geometry.viewport * JUMP_SCREENS) return moveBy(anchor, delta, geometry);
  const end = endAnchor(geometry);
  const at = (top / max) * progress(end, geometry);
  const line = 1 + Math.floor(at);
  return atMost({ line, offset: (at % 1) * height(line, geometry) }, end);
}

/** Moves by pixels of log, never beyond its start or past its end at the bottom of the view. */
export function moveBy(anchor: Anchor, delta: number, geometry: Geometry): Anchor {
  if (!geometry.heightOf) {
    const target = Math.max(0, position(anchor, geometry) + delta);
    const line = 1 + Math.floor(target / geometry.rowHeight);
    return atMost({ line, offset: target % geometry.rowHeight }, endAnchor(geometry));
  }
  let line = anchor.line;
  let offset = anchor.offset + delta;
  while (offset < 0 && line > 1) {
    line -= 1;
    offset += height(line, geometry);
  }
  while (line < geometry.total && offset >= height(line, geometry)) {
    offset -= height(line, geometry);
    line += 1;
  }
  return atMost({ line, offset: Math.max(0, offset) }, endAnchor(geometry));
}

/** The anchor that puts the last line at the bottom of the view. */
export function endAnchor(geometry: Geometry): Anchor {
  if (!geometry.heightOf) {
    const top = geometry.total * geometry.rowHeight - geometry.viewport;
    if (top <= 0) return START;
    return { line: 1 + Math.floor(top / geometry.rowHeight), offset: top % geometry.rowHeight };
  }
  let above = 0;
  for (let line = geometry.total; line >= 1; line--) {
    above += height(line, geometry);
    if (above >= geometry.viewport) return { line, offset: above - geometry.viewport };
  }
  return START;
}

/** The anchor that shows a line with a third of the view above it. */
export function anchorOn(line: number, geometry: Geometry): Anchor {
  return moveBy({ line: Math.max(1, line), offset: 0 }, -geometry.viewport / 3, geometry);
}

export function isAtEnd(anchor: Anchor, geometry: Geometry): boolean {
  const end = endAnchor(geometry);
  // Scroll positions are rounded to device pixels.
  return anchor.line > end.line || (anchor.line === end.line && anchor.offset >= end.offset - 2);
}

export interface Rows {
  /** The first line to draw; the first of a log is 1. */
  readonly first: number;
  /** The last line to draw; below `first` for an empty log. */
  readonly last: number;
  /** Pixels from the view's top to the top of the first drawn line; at most 0. */
  readonly top: number;
}

/** The lines to draw: those in view and `overscan` on each side. */
export function visibleRows(anchor: Anchor, geometry: Geometry, overscan: number): Rows {
  const first = Math.max(1, anchor.line - overscan);
  let top = 0 - anchor.offset;
  for (let line = first; line < anchor.line; line++) top -= height(line, geometry);
  let last = anchor.line - 1;
  let bottom = -anchor.offset;
  while (last < geometry.total && bottom < geometry.viewport) {
    last += 1;
    bottom += height(last, geometry);
  }
  return { first, last: Math.min(geometry.total, last + overscan), top };
}

function isDirect(geometry: Geometry): boolean {
  return !geometry.heightOf && contentHeight(geometry) <= MAX_SCROLL_HEIGHT;
}

function contentHeight(geometry: Geometry): number {
  if (!geometry.heightOf || geometry.total > SUMMED_LINES) return geometry.total * geometry.rowHeight;
  let sum = 0;
  for (let line = 1; line <= geometry.total; line++) sum += height(line, geometry);
  return sum;
}

function maxScrollTop(geometry: Geometry): number {
  return Math.max(0, scrollHeight(geometry) - geometry.viewport);
}

function height(line: number, geometry: Geometry): number {
  return geometry.heightOf ? geometry.heightOf(line) : geometry.rowHeight;
}

function position(anchor: Anchor, geometry: Geometry): number {
  return (anchor.line - 1) * geometry.rowHeight + anchor.offset;
}

/** An anchor as a number of lines. */
function progress(anchor: Anchor, geometry: Geometry): number {
  return anchor.line - 1 + Math.min(1, anchor.offset / height(anchor.line, geometry));
}

function atMost(anchor: Anchor, limit: Anchor): Anchor {
  const beyond = anchor.line > limit.line || (anchor.line === limit.line && anchor.offset > limit.offset);
  return beyond ? limit : anchor;
}
