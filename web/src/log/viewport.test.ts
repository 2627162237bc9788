import { describe, expect, it } from 'vitest';
import {
  anchorAfterScroll,
  anchorOn,
  endAnchor,
  isAtEnd,
  MAX_SCROLL_HEIGHT,
  moveBy,
  scrollHeight,
  scrollTopFor,
  visibleRows,
  type Geometry,
} from './viewport';

const START = { line: 1, offset: 0 };

function plain(total: number): Geometry {
  return { total, rowHeight: 18, viewport: 720, heightOf: null };
}

/** Every third line wraps to three rows. */
function wrapped(total: number): Geometry {
  return { ...plain(total), heightOf: (line) => (line % 3 === 0 ? 54 : 18) };
}

describe('a log within the height of a scroll bar', () => {
  const geometry = plain(1000);

  it('has one pixel of scroll bar for one of log', () => {
    expect(scrollHeight(geometry)).toBe(18_000);
    expect(anchorAfterScroll(START, 0, 1805, geometry)).toEqual({ line: 101, offset: 5 });
    expect(scrollTopFor({ line: 101, offset: 5 }, geometry)).toBe(1805);
  });

  it('ends with its last line at the bottom', () => {
    expect(endAnchor(geometry)).toEqual({ line: 961, offset: 0 });
    expect(isAtEnd({ line: 961, offset: 0 }, geometry)).toBe(true);
    expect(isAtEnd({ line: 960, offset: 0 }, geometry)).toBe(false);
  });

  it('draws what is in view and a little more', () => {
    expect(visibleRows({ line: 101, offset: 5 }, geometry, 10)).toEqual({ first: 91, last: 151, top: -185 });
    expect(visibleRows(START, geometry, 10)).toEqual({ first: 1, last: 50, top: 0 });
    expect(visibleRows(endAnchor(geometry), geometry, 10).last).toBe(1000);
  });
});

describe('a log of ten million lines', () => {
  const geometry = plain(10_000_000);
  const max = MAX_SCROLL_HEIGHT - geometry.viewport;

  it('stays below what browsers can scroll', () => {
    expect(scrollHeight(geometry)).toBe(MAX_SCROLL_HEIGHT);
  });

  it('moves line by line with the wheel', () => {
    const place = { line: 5_000_000, offset: 0 };
    const top = scrollTopFor(place, geometry);
    expect(anchorAfterScroll(place, top, top + 54, geometry)).toEqual({ line: 5_000_003, offset: 0 });
    expect(anchorAfterScroll(place, top, top - 18, geometry)).toEqual({ line: 4_999_999, offset: 0 });
  });

  it('goes to the same fraction when the thumb is dragged', () => {
    const middle = anchorAfterScroll(START, 0, max / 2, geometry);
    expect(Math.abs(middle.line - 5_000_000)).toBeLessThan(50);
  });

  it('reaches both ends', () => {
    expect(anchorAfterScroll({ line: 9, offset: 0 }, 10, 0, geometry)).toEqual(START);
    expect(anchorAfterScroll(START, 0, max, geometry)).toEqual(endAnchor(geometry));
    expect(endAnchor(geometry)).toEqual({ line: 9_999_961, offset: 0 });
  });

  it('puts the scroll bar where the anchor is', () => {
    for (const line of [1, 1234, 5_000_000, 9_999_961]) {
      const top = scrollTopFor({ line, offset: 0 }, geometry);
      expect(top).toBeGreaterThanOrEqual(0);
      expect(top).toBeLessThanOrEqual(max + 1e-6);
      if (line === 5_000_000) expect(Math.abs(top - max / 2)).toBeLessThan(50);
    }
  });
});

describe('wrapped lines', () => {
  it('are passed by their own heights, down and up again', () => {
    const geometry = wrapped(1000);
    const down = moveBy(START, 100, geometry);
    expect(down).toEqual({ line: 4, offset: 10 });
    expect(moveBy(down, -100, geometry)).toEqual(START);
  });

  it('end with the last line at the bottom', () => {
    const geometry = wrapped(1000);
    const end = endAnchor(geometry);
    let below = -end.offset;
    for (let line = end.line; line <= 1000; line++) below += geometry.heightOf?.(line) ?? 0;
    expect(below).toBe(geometry.viewport);
    expect(moveBy(end, 1000, geometry)).toEqual(end);
  });

  it('have the whole height of a short log, so that all of it can be scrolled to', () => {
    expect(scrollHeight(wrapped(30))).toBe(30 * 18 + 10 * 36);
  });
});

describe('small logs', () => {
  it.each([0, 1, 39])('of %i lines do not move', (total) => {
    const geometry = plain(total);
    expect(endAnchor(geometry)).toEqual(START);
    expect(moveBy(START, 500, geometry)).toEqual(START);
    expect(visibleRows(START, geometry, 10)).toEqual({ first: 1, last: total, top: 0 });
  });
});

it('shows a line with a third of the view above it', () => {
  expect(anchorOn(500, plain(1000))).toEqual({ line: 486, offset: 12 });
  expect(anchorOn(3, plain(1000))).toEqual(START);
  expect(anchorOn(1000, plain(1000))).toEqual(endAnchor(plain(1000)));
});
