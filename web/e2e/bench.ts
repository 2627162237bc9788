/** Measures the monitor in Chromium, with the real service, and fails where an aim is missed:   make bench-monitor */
import { chromium } from 'playwright-core';
import { delay } from './bench/delay';
import { judge } from './bench/figures';
import { jumps, open, opening, scrolling, searching } from './bench/longlog';
import { memory } from './bench/memory';
import { WARNING_EVERY, importArchive } from './stage/archive';
import { Service } from './stage/service';
import { CHROMIUM } from './stage/stage';

const quick = (process.env['QUICK'] ?? '') !== '';
const lines = quick ? 1_000_000 : 10_000_000;
const emitter = process.env['EMITTER'];

const browser = await chromium.launch({
  executablePath: CHROMIUM,
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--no-first-run'],
  // There is something to drag.
  ignoreDefaultArgs: ['--hide-scrollbars'],
});
const service = await Service.prepare();
try {
  await importArchive(service, { builds: 1, lines });
  await service.start();
  const [build] = await service.list();
  if (!build) throw new Error('nothing was imported');
  const address = `${service.origin}/monitor/builds/${build.id}`;
  const subject = { browser, address, lines, quick };
  console.log(
    `## The monitor\n\nChromium ${browser.version()}, a log of ${build.log.lines} lines, ${build.log.bytes} bytes.`,
  );

  await opening(subject);
  const page = await open(subject);
  await jumps(subject, page);
  await scrolling(subject, page);
  await memory(browser, page);
  await searching(page, [
    { text: 'undeclared', matches: 1 },
    { text: 'warning', matches: lines / WARNING_EVERY },
    { text: 'part_0*77777[.]o ', matches: 1, regex: true },
  ]);
  await page.context().close();
  if (emitter !== undefined) await delay(browser, service, emitter, quick ? 5 : 30);
  judge();
} finally {
  await browser.close();
  await service.quiet().catch(() => undefined);
  await service.close();
}
