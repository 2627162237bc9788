/** A line without its escape sequences: what the service searches, and so what the page looks at too. */
import { readEscape } from './ansi';

export interface PlainText {
  readonly text: string;
  /** Where in the line as it came a character of the text stands. */
  sourceOf(at: number): number;
}

/** The text alone. */
export function withoutSequences(raw: string): string {
  let text = '';
  let end = 0;
  for (let at = raw.indexOf('\x1b'); at !== -1; at = raw.indexOf('\x1b', end)) {
    text += raw.slice(end, at);
    ({ end } = readEscape(raw, at));
  }
  return text + raw.slice(end);
}

export function plainText(raw: string): PlainText {
  /** Before which character of the text something is left out, and how much is up to there. */
  const cuts: { at: number; leftOut: number }[] = [];
  let leftOut = 0;
  for (let at = raw.indexOf('\x1b'); at !== -1;) {
    const { end } = readEscape(raw, at);
    cuts.push({ at: at - leftOut, leftOut: leftOut + end - at });
    leftOut += end - at;
    at = raw.indexOf('\x1b', end);
  }
  return { text: withoutSequences(raw), sourceOf: (at) => at + leftOutBefore(cuts, at) };
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
