import { expect, it } from 'vitest';
import { Layout, sectionsOf } from './layout';
import { Place, ROW_HEIGHT } from './place.svelte';

/** A log of 1,000 lines in a view of 10 rows and 100 columns, and what is known of where bytes are seen. */
function inView(wrap = false) {
  const columns = new Map<string, number>();
  const columnOf = (line: number, byte: number) => columns.get(`${line}:${byte}`) ?? null;
  const place = new Place({
    layout: new Layout(sectionsOf([], 1000), new Set()),
    wrap,
    parts: (line) => (columns.size > 0 && line === 500 ? 200 : 1),
    partOf: (line, byte, width) => Math.floor((columnOf(line, byte) ?? 0) / width),
    columnOf,
  });
  place.viewport = 10 * ROW_HEIGHT;
  place.textWidth = 700;
  const isSeen = (column: number) => column * 7 >= place.x && (column + 1) * 7 <= place.x + 700;
  return { place, columns, isSeen };
}

/** As the browser tells that its scroll bars were moved. */
const scrolledTo = (scrollLeft: number) =>
  ({
    scrollTop: 0,
    scrollLeft,
    scrollHeight: 18_036,
    clientHeight: 180,
    scrollWidth: 100_000,
    clientWidth: 700,
  }) as HTMLElement;

it('comes to a byte of a line that is not here yet once it is', () => {
  const { place, columns, isSeen } = inView();
  place.toLine(500, 5000);
  place.aim();
  expect(place.x).toBe(0);
  columns.set('500:5000', 4000);
  place.aim();
  expect(isSeen(4000)).toBe(true);
  // It was nearly known, and is known now.
  columns.set('500:5000', 2000);
  place.aim();
  expect(isSeen(2000)).toBe(true);
  place.toLine(600, 0);
  expect(place.x).toBe(0);
});

it('stays where the reader has scrolled sideways since', () => {
  const { place, columns, isSeen } = inView();
  columns.set('500:5000', 5000);
  place.toLine(500, 5000);
  expect(isSeen(5000)).toBe(true);
  place.scrolled(scrolledTo(10));
  columns.set('500:5000', 4000);
  place.aim();
  expect(place.heldLine).toBe(500);
  expect(isSeen(4000)).toBe(false);
});

it('is on the part that the byte is in when lines wrap, once that is known', () => {
  const { place, columns } = inView(true);
  place.toLine(500, 5000);
  expect(place.anchor).toEqual({ row: 496, offset: 12 });
  columns.set('500:5000', 5000);
  expect(place.anchor).toEqual({ row: 500, offset: (50 - 10 / 3) * ROW_HEIGHT });
});

it('is taken up again where it was kept', () => {
  const before = inView();
  before.place.toLine(500, 5000);
  const after = inView();
  after.place.restore(before.place.kept);
  after.columns.set('500:5000', 5000);
  after.place.aim();
  expect(after.isSeen(5000)).toBe(true);
});
