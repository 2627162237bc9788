/** What a reader sees of a log. */
import type { Page } from 'playwright-core';

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

/** Follows a link to a line, as a click on its number would. */
export function goToLine(page: Page, line: number): Promise<void> {
  return page.evaluate((target) => void (location.hash = `#L${target}`), line);
}

export const isLive = (page: Page) => page.locator('header .live', { hasText: /live/ });
