/** The text of a selection, exactly as it is shown, also of lines that never were on screen. */
import { parseLine } from './ansi';
import type { TextRange } from './drawing';
import { isBeginning, shorten } from './lines';
import { PIECE, pieceOf } from './longline';
import { ordered, selectedIn, type Selection } from './selection';

/** Bytes of log: what a clipboard takes without a halt, and what fits into the page's memory besides. */
export const MAX_COPIED = 32 * 1024 * 1024;
const DECODER = new TextDecoder('utf-8', { ignoreBOM: true });
/** Lines between two looks at the clock. */
const SLICE = 2_000;
const SLICE_MS = 12;

export class TooMuch extends Error {
  constructor(
    readonly bytes: number,
    readonly lines: number,
  ) {
    super('too much for the clipboard');
  }
}

export interface Source {
  /** Where a line begins; the log's length for the line after its last. */
  offset(line: number): Promise<number>;
  bytes(offset: number, limit: number): Promise<Uint8Array>;
}

/** Reads a selection's lines and gives its text. Pauses now and then, so that the page goes on. */
export async function textOf(selection: Selection, source: Source): Promise<string> {
  const { from, to } = ordered(selection);
  const [begin, end] = await Promise.all([source.offset(from.line), source.offset(to.line + 1)]);
  if (end - begin > MAX_COPIED) throw new TooMuch(end - begin, to.line - from.line + 1);
  const bytes = await source.bytes(begin, end - begin);
  const lines: string[] = [];
  let since = performance.now();
  let at = 0;
  for (let line = from.line; line <= to.line; line++) {
    const newline = bytes.indexOf(10, at);
    const lineEnd = newline === -1 ? bytes.length : newline;
    lines.push(shownText(bytes.subarray(at, lineEnd), selectedIn(selection, line)));
    at = lineEnd + 1;
    if (lines.length % SLICE === 0 && performance.now() - since > SLICE_MS) {
      await new Promise((resolve) => setTimeout(resolve));
      since = performance.now();
    }
  }
  return lines.join('\n');
}

/** The selected part of one line. */
export function shownText(bytes: Uint8Array, selected: TextRange | null): string {
  const raw = DECODER.decode(bytes);
  const kept = shorten(raw);
  const range = selected ?? { from: 0, to: Infinity };
  return isBeginning(kept, raw) ? piecedText(bytes, range) : parseLine(kept).text.slice(range.from, range.to);
}

function piecedText(bytes: Uint8Array, { from, to }: TextRange): string {
  let text = '';
  for (let piece = 0; piece * PIECE < bytes.length; piece++) {
    const begin = piece * PIECE;
    if (begin + PIECE <= from || begin >= to) continue;
    const before = Math.min(64, begin);
    const around = bytes.subarray(begin - before, begin + PIECE + 3);
    const { shown } = pieceOf(around, before, Math.min(PIECE, bytes.length - begin), begin);
    text += shown.text.slice(Math.max(0, from - begin), to - begin);
  }
  return text;
}
