/** The part of the address that names lines: `#L120`, `#L120-L130`. */

export interface LineRange {
  readonly first: number;
  readonly last: number;
}

export function parseLineHash(hash: string): LineRange | null {
  const found = /^#L(\d{1,12})(?:-L?(\d{1,12}))?$/.exec(hash);
  if (!found) return null;
  const one = Number(found[1]);
  const two = Number(found[2] ?? found[1]);
  if (one < 1 || two < 1) return null;
  return { first: Math.min(one, two), last: Math.max(one, two) };
}
