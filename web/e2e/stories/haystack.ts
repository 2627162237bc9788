/** A log of ten thousand lines, for stories about going about in one. */
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'vitest';
import { once, stage } from '../stage/current';
import { RESULT, hold } from '../stage/service';
import { until } from '../stage/wait';

/** Ten thousand lines, of which a hundred say so; a second between the two halves. */
export const haystack = once(async () => {
  const lines = (from: number, to: number) =>
    `seq ${from} ${to} | sed 's/^\\(.*00\\)$/\\1 Hundred/; s/^/straw /'\n`;
  const script = `${lines(1, 5000)}${hold('half')}${lines(5001, 10_000)}echo 'a "Quoted" [end]'\n${RESULT}`;
  const id = await stage.service.build('acme/haystack', 'main', script, { message: 'Make hay' });
  // From the service's having the first half, a second passes until there is more.
  await until(async () => expect((await stage.service.one(id)).log.lines).toBeGreaterThan(5000));
  await pause(1000);
  await stage.service.go(id, 'half');
  await stage.service.reaches(id, 'succeeded');
  return id;
});
