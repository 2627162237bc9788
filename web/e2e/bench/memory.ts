/** What the tab holds after its reader has been everywhere. */
import { readFile } from 'node:fs/promises';
import type { Browser, Page } from 'playwright-core';
import { AIMS, MIB, fixed, hold, table } from './figures';

/** Memory of a process that is its own, with its share of what it has in common with others. */
async function proportional(pid: number): Promise<{ pss: number; rss: number }> {
  const rollup = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8');
  const kib = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(rollup)?.[1] ?? NaN);
  return { pss: kib('Pss') * 1024, rss: kib('Rss') * 1024 };
}

export async function memory(browser: Browser, page: Page): Promise<void> {
  const session = await page.context().newCDPSession(page);
  await session.send('Performance.enable');
  const heap = async () => {
    const { metrics } = await session.send('Performance.getMetrics');
    return metrics.find(({ name }) => name === 'JSHeapUsedSize')?.value ?? NaN;
  };
  const rows: string[][] = [];
  const row = async (when: string) => {
    const { processInfo } = await (await browser.newBrowserCDPSession()).send('SystemInfo.getProcessInfo');
    const renderers = processInfo.filter(({ type }) => type === 'renderer');
    const sizes = await Promise.all(renderers.map(({ id }) => proportional(id)));
    // The others are spare processes, for tabs to come.
    const tab = sizes.sort((a, b) => b.pss - a.pss)[0];
    const nodes = await page.evaluate(() => document.querySelectorAll('*').length);
    rows.push([
      when,
      fixed((await heap()) / MIB, 1),
      fixed((tab?.pss ?? NaN) / MIB),
      fixed((tab?.rss ?? NaN) / MIB),
      String(nodes),
    ]);
    return (tab?.pss ?? NaN) / MIB;
  };
  await row('as it stands');
  await session.send('HeapProfiler.collectGarbage');
  hold('memory of the tab after a garbage collection', await row('after a garbage collection'), 'memory');
  table(
    'Memory of the tab, after all of the above',
    ['', 'JavaScript heap, MiB', 'process (PSS), MiB', 'process (RSS), MiB', 'elements'],
    [...rows, ['aim', '', fixed(AIMS.memory.most), '', '']],
  );
}
