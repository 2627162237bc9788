import { setTimeout as pause } from 'node:timers/promises';
import type { Page } from 'playwright-core';
import { beforeAll, expect, it } from 'vitest';
import { partOf } from '../stage/archive';
import { MANY_BUILDS, MANY_LINES, archive, once, stage } from '../stage/current';
import { firstLine, goToLine, lastLine } from '../stage/screen';
import { until } from '../stage/wait';

const longest = once(async () => {
  const [build] = await (await archive()).list('limit=1');
  return build?.id ?? '';
});

async function open(hash: string): Promise<Page> {
  return stage.page(`/builds/${await longest()}${hash}`, { of: await archive() });
}

/** Its import has begun with the first story, and may still go on. */
const IMPORTED_MS = 300_000;

export function longPastStories(): void {
  beforeAll(async () => void (await archive()), IMPORTED_MS);

  it('scrolls through a long history with few rows in the page, and comes back to its place', async () => {
    const page = await stage.page('', { of: await archive() });
    const rows = page.locator('.rows [role=row]');
    await rows.first().waitFor();
    const depth = () => page.locator('.rows').evaluate((element) => element.clientHeight);
    const begun = await depth();
    /** The rows on screen: which each is, and which build, counted from the oldest. */
    const shown = () =>
      rows.evaluateAll((all) =>
        all
          .filter(
            (row) =>
              row.getBoundingClientRect().top >= 0 && row.getBoundingClientRect().bottom <= innerHeight,
          )
          .map((row) => [Number(row.ariaRowIndex), Number(/\((\d+)\)/.exec(row.textContent ?? '')?.[1])]),
      );
    await until(async () => {
      await page.keyboard.press('G');
      expect(await depth()).toBeGreaterThan(begun * 10);
    });
    // Only the reader goes further: the list does not run on by itself.
    await until(async () => {
      const before = await depth();
      await pause(500);
      expect(await depth()).toBe(before);
    });
    const reached = await depth();
    expect(reached).toBeLessThan(begun * 15);
    // Neither a hole nor a repeat on the way.
    const there = await shown();
    expect(there.length).toBeGreaterThan(10);
    for (const [index = 0, build] of there) expect(build).toBe(MANY_BUILDS + 2 - index);
    expect(await rows.count()).toBeLessThan(150);
    // Without the focus, which would bring the link into view first.
    const last = rows.locator('.name a').last();
    const place = await last.evaluate((link: HTMLElement) => {
      const place = scrollY;
      link.click();
      return place;
    });
    await page.waitForURL('**/builds/*');
    await page.goBack();
    await until(async () => expect(await shown()).toEqual(there));
    expect(await page.evaluate(() => scrollY)).toBe(place);
    expect(await depth()).toBe(reached);
    await page.reload();
    await until(async () => expect(await shown()).toEqual(there));
    expect(await depth()).toBe(reached);
  });

  it(
    'is as quick at its end as at its top, with no more in the page',
    async () => {
      // A seventh of them, as the end is reached page by page.
      const page = await stage.page('?repository=acme/app', { of: await archive() });
      await page.locator('.rows [role=row]').first().waitFor();
      /** What the page holds, and how long half of its frames take at most, while it is scrolled. */
      const scrolled = (pixels: number) =>
        page.evaluate(async (pixels) => {
          const frame = () => new Promise<number>(requestAnimationFrame);
          const intervals: number[] = [];
          let elements = 0;
          let last = await frame();
          for (let count = 0; count < 240; count++) {
            scrollBy(0, pixels);
            const now = await frame();
            intervals.push(now - last);
            last = now;
            elements = Math.max(elements, document.querySelectorAll('*').length);
          }
          intervals.sort((one, other) => one - other);
          return { elements, median: intervals[intervals.length / 2] ?? NaN };
        }, pixels);
      const top = await scrolled(20);
      await page.evaluate(async () => {
        while (!document.querySelector('.end')) {
          scrollTo(0, document.documentElement.scrollHeight);
          await new Promise(requestAnimationFrame);
        }
      });
      const rows = await page.locator('.rows').evaluate((element) => element.clientHeight / 30);
      expect(rows).toBeGreaterThan(MANY_BUILDS / 8);
      const end = await scrolled(-20);
      expect(end.elements).toBeLessThan(top.elements * 1.1);
      // Generous, for a machine that does other work; what grows with the list would be a hundred times slower.
      expect(end.median).toBeLessThan(Math.max(2 * top.median, 50));
    },
    IMPORTED_MS,
  );
}

export function longLogStories(): void {
  beforeAll(async () => void (await archive()), IMPORTED_MS);

  it('shows any place at once, with few lines in the page', async () => {
    const page = await open('#L5000000');
    await page.getByText(partOf(5_000_000)).waitFor();
    expect(await page.locator('[data-line]').count()).toBeLessThan(150);
    for (const line of [1, MANY_LINES - 1, 1_234_567]) {
      const begun = performance.now();
      await goToLine(page, line);
      await page.getByText(partOf(line)).waitFor();
      // Generous, for a machine that does other work.
      expect(performance.now() - begun).toBeLessThan(5000);
    }
  });

  it('reaches its very first and last line by the scroll bar', async () => {
    const page = await open('#L5000000');
    await page.getByText(partOf(5_000_000)).waitFor();
    const scroller = page.locator('.scroller');
    await scroller.evaluate((element) => (element.scrollTop = element.scrollHeight));
    await until(async () => expect(await lastLine(page)).toBe(MANY_LINES));
    // The last one whole, also by the page.
    const beyond = () =>
      page
        .locator(`[data-line="${MANY_LINES}"]`)
        .evaluate((row) => row.getBoundingClientRect().bottom)
        .then(async (bottom) => {
          const view = (element: Element) => element.getBoundingClientRect().top + element.clientHeight;
          return bottom - (await scroller.evaluate(view));
        });
    expect(await beyond()).toBeLessThanOrEqual(1);
    await page.keyboard.press('PageUp');
    await until(async () => expect(await lastLine(page)).toBeLessThan(MANY_LINES - 10));
    await page.keyboard.press('PageDown');
    await until(async () => {
      expect(await lastLine(page)).toBe(MANY_LINES);
      expect(await beyond()).toBeLessThanOrEqual(1);
    });
    await scroller.evaluate((element) => (element.scrollTop = 0));
    await until(async () => expect(await firstLine(page)).toBe(1));
  });

  it('moves by single lines with the wheel', async () => {
    const page = await open('#L5000000');
    await page.getByText(partOf(5_000_000)).waitFor();
    const first = await firstLine(page);
    await page.locator('.scroller').hover();
    await page.mouse.wheel(0, 180);
    await until(async () => expect(await firstLine(page)).toBe(first + 10));
  });
}
