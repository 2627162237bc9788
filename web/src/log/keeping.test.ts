import { describe, expect, it } from 'vitest';
import { keptLog } from './keeping';
import type { Layout } from './layout';
import { Layout as Rows, sectionsOf } from './layout';
import { Place } from './place.svelte';

function placeIn(layout: Layout): Place {
  const place = new Place({ layout, wrap: false, parts: () => 1, partOf: () => 0, columnOf: () => 0 });
  place.viewport = 180;
  place.textWidth = 700;
  return place;
}

const rows = (lines: number, folded: number[] = []) => new Rows(sectionsOf([1, 101], lines), new Set(folded));

describe('the place in a log', () => {
  it('is the same row and pixel after it was kept, however the log has grown', () => {
    const before = placeIn(rows(1000));
    before.toStart();
    before.moveBy(18 * 300 + 7);
    const kept = keptLog(JSON.parse(JSON.stringify({ log: before.kept, folded: [] })));
    const after = placeIn(rows(5000));
    if (kept) after.restore(kept.log);
    expect(after.anchor).toEqual(before.anchor);
    expect(after.anchor).toEqual({ row: 301, offset: 7 });
    expect(after.atEnd).toBe(false);
  });

  it('is the end for who was at the end', () => {
    const before = placeIn(rows(1000));
    before.toEnd();
    const after = placeIn(rows(5000));
    after.restore(before.kept);
    expect(after.atEnd).toBe(true);
  });

  it('is the line that was gone to', () => {
    const before = placeIn(rows(1000, [0]));
    before.toLine(500, 3);
    const after = placeIn(rows(1000, [0]));
    after.restore(before.kept);
    expect(after.heldLine).toBe(500);
    expect(after.anchor).toEqual(before.anchor);
  });
});

describe('a smooth scrolling', () => {
  const at = (scrollTop: number) =>
    ({
      scrollTop,
      scrollLeft: 0,
      scrollHeight: 18_036,
      clientHeight: 180,
      scrollWidth: 0,
      clientWidth: 0,
    }) as HTMLElement;

  it('does not take back who has gone elsewhere meanwhile, until the reader scrolls again', () => {
    const place = placeIn(rows(1000));
    place.scrolled(at(4000));
    place.scrolled(at(3900));
    place.toEnd();
    place.scrolled(at(3800));
    expect(place.atEnd).toBe(true);
    place.heed();
    place.scrolled(at(3700));
    expect(place.atEnd).toBe(false);
  });

  it('that ends at the end is no reason not to hear of what comes next', () => {
    const place = placeIn(rows(1000));
    place.scrolled(at(10_000));
    place.scrolled(at(18_036 - 180));
    expect(place.atEnd).toBe(true);
    place.scrolled(at(9000));
    expect(place.atEnd).toBe(false);
  });
});

describe('what was kept', () => {
  it('is taken back', () => {
    for (const log of [{ at: 'end' }, { at: 'line', line: 5, byte: 0 }, { at: 'row', key: -1, offset: 3.5 }])
      expect(keptLog({ log, folded: [1] })).toEqual({ log, folded: [1] });
  });

  it('is left alone when it is not of a log', () => {
    const others = [
      null,
      'text',
      { scroll: 10, anchor: null, marks: null },
      { log: { at: 'line', line: '5', byte: 0 }, folded: [] },
      { log: { at: 'row', key: 1, offset: null }, folded: [] },
      { log: { at: 'end' } },
    ];
    for (const other of others) expect(keptLog(other)).toBeNull();
  });
});
