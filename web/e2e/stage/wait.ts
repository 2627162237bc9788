/** Waiting for conditions, each with a deadline. Nothing waits this long when all is well. */
import { setTimeout as pause } from 'node:timers/promises';

export const SOON_MS = 30_000;

/** Looks until there is something. */
export async function found<T>(
  what: string,
  look: () => Promise<T | null | undefined> | T | null | undefined,
  limit = SOON_MS,
): Promise<T> {
  const deadline = performance.now() + limit;
  for (;;) {
    const seen = await look();
    if (seen !== null && seen !== undefined) return seen;
    if (performance.now() > deadline) throw new Error(`waited ${limit / 1000} s in vain: ${what}`);
    await pause(25);
  }
}

/** Runs expectations until they hold; when they never do, the last one that failed is the story's failure. */
export async function until(expectations: () => unknown, limit = SOON_MS): Promise<void> {
  const deadline = performance.now() + limit;
  for (;;) {
    try {
      await expectations();
      return;
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
    await pause(50);
  }
}
