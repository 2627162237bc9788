/** Heights of wrapped lines that were on screen, in pixels. */
export type Heights = ReadonlyMap<number, number>;

/** Copied for each change, so kept short: the lines on screen are measured in any case. */
const MAX_MEASURED = 2_000;

/** With these measures added; the same value when they say nothing new. */
export function withMeasured(known: Heights, measured: readonly (readonly [number, number])[]): Heights {
  if (measured.every(([line, height]) => known.get(line) === height)) return known;
  return new Map([...(known.size > MAX_MEASURED ? [] : known), ...measured]);
}
