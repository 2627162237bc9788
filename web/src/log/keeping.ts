/** Where the reader is in a log, as it is kept with the address: going back and reloading lead there. */
import type { KeptPlace } from './place.svelte';

export interface KeptLog {
  readonly log: KeptPlace;
  /** Steps that are folded. */
  readonly folded: readonly number[];
}

/** What was kept of a log, if that is what was kept: the history's state may be another page's, or an older one's. */
export function keptLog(kept: unknown): KeptLog | null {
  if (!isRecord(kept) || !isPlace(kept['log']) || !Array.isArray(kept['folded'])) return null;
  const folded: unknown[] = kept['folded'];
  return { log: kept['log'], folded: folded.filter((step) => isWhole(step)) };
}

function isPlace(place: unknown): place is KeptPlace {
  if (!isRecord(place)) return false;
  if (place['at'] === 'end') return true;
  if (place['at'] === 'line') return isWhole(place['line']) && isWhole(place['byte']);
  return place['at'] === 'row' && isWhole(place['key']) && Number.isFinite(place['offset']);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function isWhole(value: unknown): value is number {
  return Number.isInteger(value);
}
