/** From a line's write in the container, and from its arrival in the page, until it is on screen. */
import { readFile } from 'node:fs/promises';
import type { Browser, Page } from 'playwright-core';
import type { Service } from '../stage/service';
import { fixed, hold, quantile, table } from './figures';

const RATE = 1000;
/** The first second is the build's start. */
const WARM_UP = 1000;

/** What was seen of the lines after the first ones, in milliseconds. */
interface Seen {
  /** From the write to the frame after the one that has the line. */
  written: number[];
  /** From the message of the WebSocket to the end of the frame that has the line. */
  arrived: number[];
  /** How many frames began from the message on, up to that one. */
  frames: number[];
}

declare global {
  interface Window {
    /** When the message with a line came, and how many frames had begun until then. */
    arrivals: Map<number, { time: number; frame: number }>;
    framesBegun: number;
  }
}

/** Notes what comes over the WebSocket before the page itself hears of it. */
function addArrivals(page: Page): Promise<unknown> {
  return page.addInitScript(() => {
    window.arrivals = new Map();
    window.framesBegun = 0;
    const count = () => {
      window.framesBegun += 1;
      requestAnimationFrame(count);
    };
    requestAnimationFrame(count);
    const decoder = new TextDecoder('latin1');
    /** The beginning of a line whose end comes with the next message. */
    let rest = '';
    window.WebSocket = class extends WebSocket {
      constructor(address: string | URL) {
        super(address);
        this.addEventListener('message', ({ data }: MessageEvent<unknown>) => {
          if (!(data instanceof ArrayBuffer)) return;
          const arrival = { time: performance.now(), frame: window.framesBegun };
          // Before the bytes of the log stand channel and offset.
          const lines = (rest + decoder.decode(data.slice(12))).split('\n');
          rest = lines.pop() ?? '';
          for (const line of lines) {
            const number = /^paced (\d+) /.exec(line)?.[1];
            if (number !== undefined) window.arrivals.set(Number(number), arrival);
          }
        });
      }
    };
  });
}

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
  await addArrivals(page);
  await page.goto(`${service.origin}/monitor/builds/${id}`);
  await page.locator('[data-line]').first().waitFor();
  const measured = page.evaluate(
    ({ lines, warmUp }) =>
      new Promise<Seen>((resolve) => {
        const result: Seen = { written: [], arrived: [], frames: [] };
        let seen = -1;
        let waiting: number[] = [];
        const drawn = new MessageChannel();
        // Right after the frame, whatever was drawn in it.
        drawn.port1.onmessage = () => {
          const now = performance.now();
          for (const row of document.querySelectorAll('[data-line] .text')) {
            const [, number, nanoseconds] = /^paced (\d+) (\d+) /.exec(row.textContent ?? '') ?? [];
            if (number === undefined || Number(number) <= seen) continue;
            seen = Number(number);
            if (seen < warmUp) continue;
            waiting.push(Number(nanoseconds) / 1e6);
            // What the page had to fetch, since it was far behind, has none.
            const arrival = window.arrivals.get(seen);
            if (!arrival) continue;
            result.arrived.push(now - arrival.time);
            result.frames.push(window.framesBegun - arrival.frame);
          }
        };
        const look = () => {
          const now = performance.timeOrigin + performance.now();
          for (const written of waiting) result.written.push(now - written);
          waiting = [];
          drawn.port2.postMessage(null);
          if (seen >= lines - 1) resolve(result);
          else requestAnimationFrame(look);
        };
        requestAnimationFrame(look);
      }),
    { lines, warmUp: WARM_UP },
  );
  await service.go(id, '1');
  const { written, arrived, frames } = await measured;
  await context.close();
  const row = (name: string, delays: number[]) => [
    name,
    fixed(quantile(delays, 0.5), 1),
    fixed(quantile(delays, 0.9), 1),
    fixed(quantile(delays, 0.99), 1),
    fixed(Math.max(...delays), 1),
  ];
  table(
    `Delay of a line at ${RATE} lines/s, of which ${written.length} of ${lines - WARM_UP} were on screen`,
    ['', 'p50, ms', 'p90, ms', 'p99, ms', 'most, ms'],
    [
      row('from its write to the frame after it is in the page', written),
      row('from its arrival in the page to the end of the frame that shows it', arrived),
    ],
  );
  const first = frames.filter((count) => count <= 1).length;
  console.log(
    `\n${fixed((100 * first) / frames.length, 1)} % were shown by the first frame after they came.`,
  );
  hold('frames from the arrival of a line to the one that shows it, p99', quantile(frames, 0.99), 'arrival');
}
