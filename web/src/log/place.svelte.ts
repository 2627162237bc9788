/**
 * Where the reader is in the log, and the scroll bars that say so. The place is held at the log's end, or on a
 * line that was gone to, whatever becomes of the rows around it; or it is free, as scrolled.
 */
import { untrack } from 'svelte';
import type { Layout, RowKey } from './layout';
import {
  anchorAfterScroll,
  anchorOn,
  endAnchor,
  isAtEnd,
  moveBy,
  scrollHeight,
  scrollTopFor,
  START,
  type Anchor,
  type Geometry,
} from './viewport';

/** As --log-row in tokens.css. */
export const ROW_HEIGHT = 18;
/** After the last scroll event the scroll bars are put where the place really is. */
const SETTLE_MS = 150;
/** Who scrolls to where the end was so short a time ago has come to the end, however fast the log grows. */
const END_MS = 600;
/** Columns of air at the right of the widest line. */
const AIR = 2;

/** The reader's place, as it is kept with the address: at the end, on a line, or a row and pixels into it. */
export type KeptPlace = Hold | { readonly at: 'row'; readonly key: RowKey; readonly offset: number };

/** A byte of the line: where it is to be seen is only known once the line is here. */
type Hold = { readonly at: 'end' } | { readonly at: 'line'; readonly line: number; readonly byte: number };

export interface Lines {
  readonly layout: Layout;
  readonly wrap: boolean;
  /** Rows of the screen that a line takes at so many columns. */
  parts(line: number, columns: number): number;
  /** In which of those a byte of the line is. */
  partOf(line: number, byte: number, columns: number): number;
  /** The column in which it is to be seen; null while the line is on its way. */
  columnOf(line: number, byte: number): number | null;
}

export class Place {
  /** Pixels of the view, and of the part of it that shows text. */
  viewport = $state(0);
  textWidth = $state(0);
  charWidth = $state(7);
  /** Columns of the widest line that was seen. */
  widest = $state(0);

  private hold = $state.raw<Hold | null>(null);
  private free = $state.raw<{ key: RowKey; offset: number }>({ key: 1, offset: 0 });
  private left = $state.raw<Anchor>(START);
  private scrolling = $state(false);
  /** Whether the place in the line that was gone to is brought into view; until the reader moves sideways. */
  private isAiming = false;
  private aimedAt: number | null = null;
  /** What still scrolls is no longer the reader's. */
  private isElsewhere = false;
  private lastTop = 0;
  private lastLeft = 0;
  private settling: ReturnType<typeof setTimeout> | undefined;
  /** How many rows there were at times of the last moment, oldest first. */
  private grown: { readonly time: number; readonly rows: number }[] = [];

  readonly columns = $derived(Math.max(10, Math.floor(this.textWidth / this.charWidth)));
  readonly geometry = $derived.by<Geometry>(() => ({
    rows: this.lines.layout.rows,
    rowHeight: ROW_HEIGHT,
    viewport: this.viewport,
    heightOf: this.lines.wrap ? (row) => this.heightOf(row) : null,
  }));
  readonly anchor = $derived.by(() => this.anchorFor(this.geometry));
  readonly height = $derived(scrollHeight(this.geometry));
  private readonly across = $derived.by<Geometry>(() => ({
    rows: this.lines.wrap ? 0 : this.widest + AIR,
    rowHeight: this.charWidth,
    viewport: this.textWidth,
    heightOf: null,
  }));
  readonly width = $derived(scrollHeight(this.across));
  /** Pixels of text to the left of the view. */
  readonly x = $derived.by(() =>
    this.lines.wrap ? 0 : (this.left.row - 1) * this.charWidth + this.left.offset,
  );

  constructor(private readonly lines: Lines) {}

  get atEnd(): boolean {
    return this.hold?.at === 'end';
  }

  /** The line that was gone to, as long as the reader stays there. */
  get heldLine(): number | null {
    return this.hold?.at === 'line' ? this.hold.line : null;
  }

  get kept(): KeptPlace {
    return this.hold ?? { at: 'row', ...this.free };
  }

  restore(kept: KeptPlace): void {
    this.hold = kept.at === 'row' ? null : kept;
    if (kept.at === 'row') this.free = { key: kept.key, offset: kept.offset };
    this.takeAim();
  }

  toEnd(): void {
    this.leaveScrolling();
    this.hold = { at: 'end' };
  }

  toStart(): void {
    this.leaveScrolling();
    this.settleAt(START);
  }

  /** Stays where it is when the log grows. */
  letGo(): void {
    this.settleAt(this.anchor);
  }

  /** Shows a byte of a line, with some lines above it. */
  toLine(line: number, byte: number): void {
    this.leaveScrolling();
    this.hold = { at: 'line', line, byte };
    this.takeAim();
  }

  /** Brings into view sideways what was gone to, as it turns out where that is; called after each drawing. */
  aim(): void {
    const { hold } = this;
    if (hold?.at !== 'line') return;
    const column = hold.byte === 0 ? 0 : this.lines.columnOf(hold.line, hold.byte);
    if (column === null || column === this.aimedAt || !this.isAiming) return;
    this.aimedAt = column;
    untrack(() => this.show(column));
  }

  /** Moves by pixels; past the end the place stays there. */
  moveBy(pixels: number): void {
    this.moved(moveBy(this.anchor, pixels, this.geometry), pixels < 0);
  }

  toFraction(fraction: number): void {
    const row = 1 + Math.floor(fraction * this.geometry.rows);
    this.moved(moveBy({ row, offset: 0 }, -this.viewport / 2, this.geometry), true);
  }

  isOnScreen(line: number): boolean {
    const row = this.lines.layout.rowOf(line);
    const below = moveBy(this.anchor, this.viewport - ROW_HEIGHT, { ...this.geometry, viewport: 0 });
    return row >= this.anchor.row && row <= below.row;
  }

  /** The reader begins to scroll. */
  heed(): void {
    this.isElsewhere = false;
  }

  /** The reader has scrolled. */
  scrolled(scroller: HTMLElement): void {
    const { scrollTop: top, scrollLeft: left } = scroller;
    if (this.isElsewhere) {
      [this.lastTop, this.lastLeft] = [top, left];
      this.settleLater();
      return;
    }
    if (Math.abs(left - this.lastLeft) >= 1) {
      this.isAiming = false;
      this.left = anchorAfterScroll(this.left, this.lastLeft, left, this.across);
      this.lastLeft = left;
      this.settleLater();
    }
    // Our own doing comes back as an event too.
    if (Math.abs(top - this.lastTop) < 1 || this.isCut(scroller)) return;
    this.noteRows();
    const before = this.anchor;
    const after = anchorAfterScroll(before, this.lastTop, top, this.geometry);
    this.lastTop = top;
    this.moved(after, after.row < before.row || (after.row === before.row && after.offset < before.offset));
    this.settleLater();
  }

  /** Puts the scroll bars where the place is, unless the reader is at them. */
  sync(scroller: HTMLElement): void {
    this.noteRows();
    const top = scrollTopFor(this.anchor, this.geometry);
    const left = scrollTopFor(this.left, this.across);
    if (this.scrolling) return;
    // Scrolled on, and the event is on its way: the reader's is the newer place.
    const isNewer =
      Math.abs(scroller.scrollTop - this.lastTop) >= 1 || Math.abs(scroller.scrollLeft - this.lastLeft) >= 1;
    if (isNewer && !this.isCut(scroller)) return;
    scroller.scrollTop = top;
    scroller.scrollLeft = left;
    this.lastTop = scroller.scrollTop;
    this.lastLeft = scroller.scrollLeft;
  }

  close(): void {
    clearTimeout(this.settling);
  }

  private takeAim(): void {
    this.isAiming = true;
    this.aimedAt = null;
    untrack(() => this.aim());
  }

  private show(column: number): void {
    const view = Math.floor(this.textWidth / this.charWidth);
    const from = this.left.row - 1;
    if (column >= from && column < from + view - AIR) return;
    this.left = { row: 1 + Math.max(0, column - Math.floor(view / 3)), offset: 0 };
    this.widest = Math.max(this.widest, column + view);
  }

  /** Whether the browser moved the scroll bars because there is less to scroll than there was. */
  private isCut(scroller: HTMLElement): boolean {
    const down = scroller.scrollHeight - scroller.clientHeight;
    const across = scroller.scrollWidth - scroller.clientWidth;
    return this.lastTop > down + 1 || this.lastLeft > across + 1;
  }

  private noteRows(): void {
    const time = performance.now();
    const { rows } = this.geometry;
    if (this.grown.at(-1)?.rows !== rows) this.grown.push({ time, rows });
    // The last one that is older still held at the beginning of the moment.
    while ((this.grown[1]?.time ?? Infinity) < time - END_MS) this.grown.shift();
  }

  private settleLater(): void {
    this.scrolling = true;
    clearTimeout(this.settling);
    this.settling = setTimeout(() => (this.scrolling = this.isElsewhere = false), SETTLE_MS);
  }

  /** Browsers go on with a smooth scrolling that is under way: it takes nobody back who has gone elsewhere. */
  private leaveScrolling(): void {
    this.isElsewhere = untrack(() => this.scrolling);
  }

  private moved(anchor: Anchor, up: boolean): void {
    const rows = Math.min(this.geometry.rows, this.grown[0]?.rows ?? Infinity);
    if (!up && isAtEnd(anchor, { ...this.geometry, rows })) this.hold = { at: 'end' };
    else this.settleAt(anchor);
  }

  private settleAt(anchor: Anchor): void {
    this.hold = null;
    this.free = { key: this.lines.layout.keyOf(anchor.row), offset: anchor.offset };
  }

  private anchorFor(geometry: Geometry): Anchor {
    const { hold, free } = this;
    if (hold?.at === 'end') return endAnchor(geometry);
    if (hold) {
      const row = this.lines.layout.rowOf(hold.line);
      const part = geometry.heightOf ? this.lines.partOf(hold.line, hold.byte, this.columns) : 0;
      return anchorOn(row, part * ROW_HEIGHT, geometry);
    }
    const row = this.lines.layout.rowOf(free.key);
    const height = geometry.heightOf?.(row) ?? ROW_HEIGHT;
    const offset = free.offset < height ? free.offset : height - ROW_HEIGHT;
    return moveBy({ row, offset }, 0, geometry);
  }

  private heightOf(row: number): number {
    const key = this.lines.layout.keyOf(row);
    return key < 1 ? ROW_HEIGHT : this.lines.parts(key, this.columns) * ROW_HEIGHT;
  }
}
