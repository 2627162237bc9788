/** A line without its escape sequences: what the service searches, and so what the page looks at too. */

/**
 * Control sequences; strings up to BEL or ESC \; charset selections; and ESC with one more character. What
 * cannot stand in a sequence ends it, and is no part of it.
 */
// eslint-disable-next-line no-control-regex
const SEQUENCE = /\x1b(?:\[[ -?]*[@-~]?|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[()*+#%][ -~]?|[ -~])?/g;

export interface PlainText {
  readonly text: string;
  /** Where in the line as it came a character of the text stands. */
  sourceOf(at: number): number;
}

/** The text alone. */
export function withoutSequences(raw: string): string {
  return raw.includes('\x1b') ? raw.replace(SEQUENCE, '') : raw;
}

export function plainText(raw: string): PlainText {
  /** Before which character of the text something is left out, and how much is up to there. */
  const cuts: { at: number; leftOut: number }[] = [];
  let leftOut = 0;
  for (const { 0: sequence, index } of raw.matchAll(SEQUENCE)) {
    const at = index - leftOut;
    leftOut += sequence.length;
    cuts.push({ at, leftOut });
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
