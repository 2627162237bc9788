/** Scripts that write numbered lines. */
import { RESULT, hold } from '../stage/service';
import { stage } from '../stage/current';

/** What line `number` of the script says. */
export const written = (number: number) => `counted to ${number}`;

/** Writes this many lines a second (at most; a busy machine writes fewer), until it is let go by `end`. */
export function counting(perSecond: number): string {
  const pause = Math.floor(1_000_000 / perSecond);
  return `n=0; while [ ! -e /tmp/go-end ]; do n=$((n + 1)); echo "counted to $n"; usleep ${pause}; done\n${RESULT}`;
}

/** Writes that many lines at once whenever the story lets it go on, by `go(id, '1')` and so on. */
export function bursts(...sizes: number[]): string {
  const parts = sizes.map(
    (size, at) =>
      `${hold(String(at + 1))}for i in $(seq ${size}); do n=$((n + 1)); echo "counted to $n"; done\n`,
  );
  return `n=0\n${parts.join('')}${hold('end')}${RESULT}`;
}

let serial = 0;

/** A repository that no other story has. */
export const fresh = () => `acme/story-${++serial}`;

/** A running build of a script, in a repository of its own. */
export async function running(script: string): Promise<string> {
  const id = await stage.service.build(fresh(), 'main', script, { message: 'Count' });
  await stage.service.reaches(id, 'building');
  return id;
}
