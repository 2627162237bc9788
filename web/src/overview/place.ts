import type { Marks } from '../model/pages';

/** Where the reader is in the overview, as it is kept with the address: going back and reloading lead there. */
export interface Place {
  scroll: number;
  /** The row at the top of the screen and how far it is from it; null where the history begins further down. */
  anchor: { id: string | null; index: number; offset: number } | null;
  marks: Marks | null;
}

export function isPlace(kept: unknown): kept is Place {
  return typeof kept === 'object' && kept !== null && 'marks' in kept && 'scroll' in kept;
}
