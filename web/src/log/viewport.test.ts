import { describe, expect, it } from 'vitest';
import {
  anchorAfterScroll,
  anchorOn,
  drawn,
  endAnchor,
  isAtEnd,
  MAX_SCROLL_HEIGHT,
  moveBy,
  scrollHeight,
  scrollTopFor,
  type Anchor,
  type Geometry,
} from './viewport';

const START = { row: 1, offset: 0 };

function plain(rows: number): Geometry {
  return { rows, rowHeight: 18, viewport: 720, heightOf: null };
}

/** Every third line wraps to three rows. */
function wrapped(rows: number): Geometry {
  return { ...plain(rows), heightOf: (row) => (row % 3 === 0 ? 54 : 18) };
}

describe('a log within the height of a scroll bar', () => {
  const geometry = plain(1000);

  it('has one pixel of scroll bar for one of log', () => {
    expect(scrollHeight(geometry)).toBe(18_000);
    expect(anchorAfterScroll(START, 0, 1805, geometry)).toEqual({ row: 101, offset: 5 });
    expect(scrollTopFor({ row: 101, offset: 5 }, geometry)).toBe(1805);
  });

  it('ends with its last line at the bottom', () => {
    expect(endAnchor(geometry)).toEqual({ row: 961, offset: 0 });
    expect(isAtEnd({ row: 961, offset: 0 }, geometry)).toBe(true);
    expect(isAtEnd({ row: 960, offset: 0 }, geometry)).toBe(false);
  });

  it('draws what is in view and a little more', () => {
    const rows = (anchor: Anchor) => {
      const { strips, top } = drawn(anchor, geometry, 10);
      return [strips[0]?.row, strips.at(-1)?.row, top];
    };
    expect(rows({ row: 101, offset: 5 })).toEqual([91, 151, -185]);
    expect(rows(START)).toEqual([1, 50, 0]);
    expect(rows(endAnchor(geometry))).toEqual([951, 1000, -180]);
  });
});

describe('a log of ten million lines', () => {
  const geometry = plain(10_000_000);
  const max = MAX_SCROLL_HEIGHT - geometry.viewport;

  it('stays below what browsers can scroll', () => {
    expect(scrollHeight(geometry)).toBe(MAX_SCROLL_HEIGHT);
  });

  it('moves line by line with the wheel', () => {
    const place = { row: 5_000_000, offset: 0 };
    const top = scrollTopFor(place, geometry);
    expect(anchorAfterScroll(place, top, top + 54, geometry)).toEqual({ row: 5_000_003, offset: 0 });
    expect(anchorAfterScroll(place, top, top - 18, geometry)).toEqual({ row: 4_999_999, offset: 0 });
  });

  it('goes to the same fraction when the thumb is dragged', () => {
    const middle = anchorAfterScroll(START, 0, max / 2, geometry);
    expect(Math.abs(middle.row - 5_000_000)).toBeLessThan(50);
  });

  it('reaches both ends', () => {
    expect(anchorAfterScroll({ row: 9, offset: 0 }, 10, 0, geometry)).toEqual(START);
    expect(anchorAfterScroll(START, 0, max, geometry)).toEqual(endAnchor(geometry));
    expect(endAnchor(geometry)).toEqual({ row: 9_999_961, offset: 0 });
  });

  it('puts the scroll bar where the anchor is', () => {
    for (const line of [1, 1234, 5_000_000, 9_999_961]) {
      const top = scrollTopFor({ row: line, offset: 0 }, geometry);
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
    expect(down).toEqual({ row: 4, offset: 10 });
    expect(moveBy(down, -100, geometry)).toEqual(START);
  });

  it('end with the last line at the bottom', () => {
    const geometry = wrapped(1000);
    const end = endAnchor(geometry);
    let below = -end.offset;
    for (let row = end.row; row <= 1000; row++) below += geometry.heightOf?.(row) ?? 0;
    expect(below).toBe(geometry.viewport);
    expect(moveBy(end, 1000, geometry)).toEqual(end);
  });

  it('have the whole height of a short log, so that all of it can be scrolled to', () => {
    expect(scrollHeight(wrapped(30))).toBe(30 * 18 + 10 * 36);
  });
});

describe('a line of a megabyte, wrapped', () => {
  /** The third of five lines takes ten thousand rows of the screen. */
  const geometry: Geometry = { ...plain(5), heightOf: (row) => (row === 3 ? 180_000 : 18) };

  it('is drawn in parts, of which only those in view are there', () => {
    const { strips, top } = drawn({ row: 3, offset: 90_007 }, geometry, 2);
    expect(strips[0]).toEqual({ row: 3, part: 4998 });
    expect(top).toBe(-43);
    expect(strips).toHaveLength(45);
    expect(drawn({ row: 2, offset: 0 }, geometry, 3).strips.slice(0, 3)).toEqual([
      { row: 1, part: 0 },
      { row: 2, part: 0 },
      { row: 3, part: 0 },
    ]);
  });

  it('has its whole height on the scroll bar', () => {
    expect(scrollHeight(geometry)).toBe(180_072);
    const middle = anchorAfterScroll(START, 0, 90_036, geometry);
    expect(middle).toEqual({ row: 3, offset: 90_000 });
    expect(scrollTopFor(middle, geometry)).toBe(90_036);
  });
});

describe('small logs', () => {
  it.each([0, 1, 39])('of %i lines do not move', (total) => {
    const geometry = plain(total);
    expect(endAnchor(geometry)).toEqual(START);
    expect(moveBy(START, 500, geometry)).toEqual(START);
    expect(drawn(START, geometry, 10).strips).toHaveLength(total);
  });
});

it('shows a line with a third of the view above it', () => {
  expect(anchorOn(500, 0, plain(1000))).toEqual({ row: 486, offset: 12 });
  expect(anchorOn(3, 0, plain(1000))).toEqual(START);
  expect(anchorOn(1000, 0, plain(1000))).toEqual(endAnchor(plain(1000)));
});
