/** From a line's write in the container to the frame after it is in the page. */
import { readFile } from 'node:fs/promises';
import type { Browser } from 'playwright-core';
import type { Service } from '../stage/service';
import { fixed, quantile, table } from './figures';

const RATE = 1000;
/** The first second is the build's start. */
const WARM_UP = 1000;

/** `emitter` is benches/emitter.rs, compiled: each of its lines says when it was written. */
export async function delay(
  browser: Browser,
  service: Service,
  emitter: string,
  seconds: number,
): Promise<void> {
  const lines = RATE * seconds;
  const script = `#!/bin/sh\nchmod +x emitter\nuntil [ -e /tmp/go-1 ]; do usleep 20000; done\nEMITTER_LINES=${lines} EMITTER_RATE=${RATE} ./emitter\n`;
  const id = await service.build('acme/paced', 'main', {
    'build.sh': script,
    emitter: await readFile(emitter),
  });
  await service.reaches(id, 'building');
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  const page = await context.newPage();
  await page.goto(`${service.origin}/monitor/builds/${id}`);
  await page.locator('[data-line]').first().waitFor();
  const measured = page.evaluate(
    ({ lines, warmUp }) =>
      new Promise<number[]>((resolve) => {
        const delays: number[] = [];
        let seen = -1;
        let waiting: number[] = [];
        const look = () => {
          const now = performance.timeOrigin + performance.now();
          for (const written of waiting) delays.push(now - written);
          waiting = [];
          for (const row of document.querySelectorAll('[data-line] .text')) {
            const [, number, nanoseconds] = /^paced (\d+) (\d+) /.exec(row.textContent ?? '') ?? [];
            if (number === undefined || Number(number) <= seen) continue;
            seen = Number(number);
            if (seen >= warmUp) waiting.push(Number(nanoseconds) / 1e6);
          }
          if (seen >= lines - 1 && waiting.length === 0) resolve(delays);
          else requestAnimationFrame(look);
        };
        requestAnimationFrame(look);
      }),
    { lines, warmUp: WARM_UP },
  );
  await service.go(id, '1');
  const delays = await measured;
  await context.close();
  table(
    `Delay of a line, from its write to the frame after it is in the page, at ${RATE} lines/s`,
    ['lines seen', 'p50, ms', 'p90, ms', 'p99, ms', 'most, ms'],
    [
      [
        `${delays.length} of ${lines - WARM_UP}`,
        fixed(quantile(delays, 0.5), 1),
        fixed(quantile(delays, 0.9), 1),
        fixed(quantile(delays, 0.99), 1),
        fixed(Math.max(...delays), 1),
      ],
    ],
  );
}
