/** A line without its escape sequences: what the service searches, and so what the page looks at too. */
import { readEscape } from './ansi';

export interface PlainText {
  readonly text: string;
  /** Where in the line as it came a character of the text stands. */
  sourceOf(at: number): number;
}

export function plainText(raw: string): PlainText {
  /** Before which character of the text something is left out, and how much is up to there. */
  const cuts: { at: number; leftOut: number }[] = [];
  let text = '';
  let from = 0;
  let escape = raw.indexOf('\x1b');
  while (escape !== -1) {
    text += raw.slice(from, escape);
    from = readEscape(raw, escape).end;
    cuts.push({ at: text.length, leftOut: from - text.length });
    escape = raw.indexOf('\x1b', from);
  }
  text += raw.slice(from);
  return { text, sourceOf: (at) => at + leftOutBefore(cuts, at) };
}

function leftOutBefore(cuts: readonly { at: number; leftOut: number }[], at: number): number {
  let low = 0;
  let high = cuts.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((cuts[middle]?.at ?? 0) <= at) low = middle + 1;
    else high = middle;
  }
  return cuts[low - 1]?.leftOut ?? 0;
}
