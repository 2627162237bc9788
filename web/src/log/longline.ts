/**
 * A line that is too long to be kept: read in pieces by byte offset as they come on screen, of which the least
 * recently used are forgotten. A piece that was not read yet counts one column for each byte.
 *
 * A place in such a line is `piece * PIECE + index into the piece's text`: it orders as the text does, and
 * needs no knowledge of what was not read.
 */
import { brokenSequenceAt, parseLine, type ShownLine } from './ansi';
import { HitsIn } from './hits';
import { PLAIN, type Style } from './sgr';
import { Grid } from './widths';

export type FetchBytes = (offset: number, limit: number, signal: AbortSignal) => Promise<Uint8Array>;

/** Bytes. */
export const PIECE = 32 * 1024;
/** Read before and after a piece, so that no sequence and no character is torn. */
const BEFORE = 64;
const AFTER = 3;
const MAX_KEPT = 16;
const MAX_REQUESTS = 2;

export interface Piece {
  readonly shown: ShownLine;
  readonly grid: Grid;
  readonly hits: HitsIn;
}

/** Bytes of a line read around one piece of it, as text: what begins within the piece, which is at this byte. */
export function pieceOf(
  bytes: Uint8Array,
  before: number,
  length: number,
  begin: number,
  style: Style = PLAIN,
): Piece {
  let from = before;
  while (from < bytes.length && isContinuation(bytes[from])) from += 1;
  let to = Math.min(bytes.length, before + length);
  while (to < bytes.length && isContinuation(bytes[to])) to += 1;
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  const text = decoder.decode(bytes.subarray(from, to));
  // A sequence that began in the piece before is left out there, and what is left of it here.
  const lead = decoder.decode(bytes.subarray(0, from));
  const broken = lead.slice(brokenSequenceAt(lead));
  const rest = broken === '' ? 0 : endOfSequence(broken, text);
  const raw = text.slice(rest);
  const shown = parseLine(raw, style);
  const skipped = new TextEncoder().encode(text.slice(0, rest)).length;
  const within = { from: begin + from - before + skipped, to: begin + to - before };
  return { shown, grid: new Grid(shown.text), hits: new HitsIn(raw, shown, within) };
}

function isContinuation(byte: number | undefined): boolean {
  return byte !== undefined && (byte & 0xc0) === 0x80;
}

/** How much of `text` ends the sequence that `begun` begins. */
function endOfSequence(begun: string, text: string): number {
  for (let at = 1; at <= Math.min(BEFORE, text.length); at++) {
    const whole = begun + text.slice(0, at);
    if (brokenSequenceAt(whole) === whole.length) return at;
  }
  return 0;
}

export class LongLine {
  private pieces = new Map<number, Piece>();
  /** Columns of the pieces that were read, where they are not as many as bytes. */
  private columnsRead = new Map<number, number>();
  /** The column at which each piece begins, and after the last the line's length. */
  private starts: number[] | null = null;
  private requests = new Map<number, AbortController>();
  private needed = new Set<number>();
  /** In which each piece that was read leaves what follows. */
  private readonly styles = new Map<number, Style>();
  /** Whether it was drawn since it was last seen what is missing. */
  private isDrawn = false;
  /** What the service refused once, it is not asked for again by itself. */
  private isRefused = false;

  constructor(
    /** Asks until there is an answer, or a refusal. */
    private readonly fetchBytes: FetchBytes,
    /** Of its first byte in the log. */
    private readonly offset: number,
    /** Bytes, without the line's end. */
    readonly length: number,
    /** That which holds where it begins. */
    private readonly style: Style,
    private readonly changed: () => void,
  ) {}

  get columns(): number {
    return this.columnStarts().at(-1) ?? 0;
  }

  /** The pieces that cover these columns; null for one that is on its way. */
  cut(fromColumn: number, toColumn: number): { piece: number; column: number; content: Piece | null }[] {
    const starts = this.columnStarts();
    const found = [];
    this.isDrawn = true;
    for (let piece = this.pieceAt(fromColumn); piece < this.count; piece++) {
      const column = starts[piece] ?? 0;
      if (column >= toColumn) break;
      found.push({ piece, column, content: this.piece(piece) });
    }
    return found;
  }

  /** The place of the character that covers a column. */
  placeAt(column: number): number {
    const piece = this.pieceAt(column);
    const within = Math.max(0, column - (this.columnStarts()[piece] ?? 0));
    const content = this.pieces.get(piece);
    return piece * PIECE + (content ? content.grid.indexAt(within) : Math.min(PIECE - 1, within));
  }

  /** The place of a byte; of one in a piece that was not read, the byte is the nearest to it that is known. */
  placeOf(byte: number): number {
    const piece = Math.min(this.count - 1, Math.floor(byte / PIECE));
    const content = this.pieces.get(piece);
    return content ? piece * PIECE + content.hits.placeOf(byte) : byte;
  }

  columnOf(place: number): number {
    const piece = Math.min(this.count - 1, Math.floor(place / PIECE));
    const content = this.pieces.get(piece);
    const index = place - piece * PIECE;
    const start = this.columnStarts()[piece] ?? 0;
    return start + (content ? content.grid.columnAt(index) : Math.min(PIECE, index));
  }

  /** Drops requests for what is no longer looked at; called after each drawing. */
  settle(): void {
    if (!this.isDrawn) return;
    this.isDrawn = false;
    for (const [piece, request] of this.requests) if (!this.needed.has(piece)) request.abort();
    for (const piece of this.needed) {
      if (this.requests.size < MAX_REQUESTS && !this.isRefused) void this.read(piece);
    }
    this.needed.clear();
  }

  retry(): void {
    this.isRefused = false;
  }

  /** It is looked at no more. */
  leave(): void {
    for (const request of this.requests.values()) request.abort();
  }

  private get count(): number {
    return Math.max(1, Math.ceil(this.length / PIECE));
  }

  private piece(piece: number): Piece | null {
    const content = this.pieces.get(piece);
    if (!content) {
      this.needed.add(piece);
      return null;
    }
    this.pieces.delete(piece);
    this.pieces.set(piece, content);
    return content;
  }

  private columnStarts(): number[] {
    if (this.starts) return this.starts;
    const starts = [0];
    for (let piece = 0; piece < this.count; piece++) {
      const bytes = Math.min(PIECE, this.length - piece * PIECE);
      starts.push((starts[piece] ?? 0) + (this.columnsRead.get(piece) ?? bytes));
    }
    this.starts = starts;
    return starts;
  }

  private pieceAt(column: number): number {
    const starts = this.columnStarts();
    let low = 0;
    let high = this.count - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((starts[middle] ?? 0) <= column) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  private async read(piece: number): Promise<void> {
    if (this.requests.has(piece) || this.pieces.has(piece)) return;
    const request = new AbortController();
    this.requests.set(piece, request);
    const begin = piece * PIECE;
    const before = Math.min(BEFORE, begin);
    const length = Math.min(PIECE, this.length - begin);
    const limit = Math.min(before + length + AFTER, this.length - begin + before);
    try {
      const bytes = await this.fetchBytes(this.offset + begin - before, limit, request.signal);
      const content = pieceOf(bytes, before, length, begin, this.styleBefore(piece));
      this.styles.set(piece, content.shown.style);
      this.keep(piece, content, length);
    } catch {
      if (!request.signal.aborted) this.isRefused = true;
    }
    this.requests.delete(piece);
    this.changed();
  }

  /** What is left by the nearest piece before that was read: colours are set at a line's beginning, if at all. */
  private styleBefore(piece: number): Style {
    for (let before = piece - 1; before >= 0; before--) {
      const style = this.styles.get(before);
      if (style) return style;
    }
    return this.style;
  }

  private keep(piece: number, content: Piece, bytes: number): void {
    this.pieces.set(piece, content);
    const { columns } = content.grid;
    if (columns !== bytes) {
      this.columnsRead.set(piece, columns);
      this.starts = null;
    }
    for (const oldest of this.pieces.keys()) {
      if (this.pieces.size <= MAX_KEPT) break;
      this.pieces.delete(oldest);
    }
  }
}
