/** What a reader sees of the page, most of all of a log, and does in it. */
import type { Page } from 'playwright-core';
import { TOKEN } from './service';

export const log = (page: Page) => page.getByRole('region', { name: 'Log', exact: true });

export interface LineOnScreen {
  number: number;
  text: string;
}

/** The lines on screen, with their text. */
export function linesOnScreen(page: Page): Promise<LineOnScreen[]> {
  return page.locator('.scroller').evaluate((scroller) => {
    const view = scroller.getBoundingClientRect();
    return Array.from(scroller.querySelectorAll<HTMLElement>('[data-line]'), (row) => ({
      number: Number(row.dataset['line']),
      text: row.querySelector('.text')?.textContent?.trim() ?? '',
      box: row.getBoundingClientRect(),
    }))
      .filter(({ box }) => box.bottom > view.top + 2 && box.top < view.bottom - 2)
      .map(({ number, text }) => ({ number, text }));
  });
}

export async function firstLine(page: Page): Promise<number> {
  return (await linesOnScreen(page)).at(0)?.number ?? 0;
}

export async function lastLine(page: Page): Promise<number> {
  return (await linesOnScreen(page)).at(-1)?.number ?? 0;
}

/** Whether a line is on screen, whole. */
export async function isOnScreen(page: Page, line: number): Promise<boolean> {
  return (await linesOnScreen(page)).some(({ number, text }) => number === line && text !== '');
}

/** Whether the keys that scroll are the log's. */
export function hasFocus(page: Page): Promise<boolean> {
  return page.locator('.scroller').evaluate((scroller) => scroller === document.activeElement);
}

/** Waits until nothing scrolls any more: for longer than the page itself takes to be sure of it. */
export async function rests(page: Page): Promise<void> {
  await page.locator('.scroller').evaluate(async (scroller) => {
    for (let still = 0, before = -1; still < 15; before = scroller.scrollTop) {
      await new Promise(requestAnimationFrame);
      still = scroller.scrollTop === before ? still + 1 : 0;
    }
  });
}

/** Follows a link to a line, as a click on its number would. */
export function goToLine(page: Page, line: number): Promise<void> {
  return page.evaluate((target) => void (location.hash = `#L${target}`), line);
}

export async function search(page: Page, text: string): Promise<void> {
  await page.locator('.scroller').focus();
  await page.keyboard.press('/');
  await page.keyboard.press('ControlOrMeta+a');
  await page.keyboard.type(text);
  await page.keyboard.press('Enter');
}

export const isLive = (page: Page) => page.locator('header .live', { hasText: /live/ });

/** As the page's own form does. */
export async function signIn(page: Page): Promise<void> {
  await page.evaluate(
    async (token) =>
      fetch('/api/v1/session', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ token }),
      }),
    TOKEN,
  );
  await page.reload();
}
