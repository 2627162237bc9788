import { listBuilds } from '../api/http';
import type { Build } from '../api/types';

/** The builds of the same script just before and just after one, on its branch. */
export interface Neighbours {
  older: Build | null;
  newer: Build | null;
}

/** How far back a build may be and still get its neighbours. */
const PAGE = 100;
const MOST_PAGES = 5;

export async function neighbours(build: Build, signal: AbortSignal): Promise<Neighbours> {
  let newer: Build | null = null;
  let seen = false;
  let before: string | undefined;
  for (let page = 0; page < MOST_PAGES; page++) {
    const { repository, branch } = build;
    const answer = await listBuilds({ repository, branch, limit: PAGE, before }, signal);
    for (const other of answer.builds) {
      if (other.id === build.id) seen = true;
      else if (other.script !== build.script || other.tag !== build.tag) continue;
      else if (seen) return { older: other, newer };
      else newer = other;
    }
    if (answer.next === null) break;
    before = answer.next;
  }
  return seen ? { older: null, newer } : { older: null, newer: null };
}
