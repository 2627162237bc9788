/** What is asked of the page while it is measured, from inside: everything waits for frames and nothing else. */
import type { Page } from 'playwright-core';

interface Watch {
  /** The text of a line that is on screen; null while it is not there or has not come. */
  textOf(line: number): string | null;
  /** Whether all lines on screen have come. */
  isWhole(): boolean;
  firstOnScreen(): number;
  /** Runs at each frame until it says true, and returns when the frame after that began. */
  shownAfter(condition: () => boolean): Promise<number>;
  /** Times between frames, how many showed a line that had not come, and over how many lines they went, until `stop` is called. */
  frames(): { stop: () => { intervals: number[]; unwhole: number; reached: number } };
}

declare global {
  interface Window {
    watch: Watch;
    firstLineAt: number | undefined;
    enteredAt: Promise<number>;
    stopFrames: () => { intervals: number[]; unwhole: number; reached: number };
  }
}

/** Puts it into every page that is opened from now on. */
export function addWatch(page: Page): Promise<unknown> {
  return page.addInitScript(() => {
    const rows = () => {
      const scroller = document.querySelector('.scroller');
      if (!scroller) return [];
      const view = scroller.getBoundingClientRect();
      return Array.from(scroller.querySelectorAll<HTMLElement>('[data-line]')).filter((row) => {
        const box = row.getBoundingClientRect();
        return box.bottom > view.top + 2 && box.top < view.bottom - 2;
      });
    };
    const textOf = (row: Element) => row.querySelector('.text')?.textContent?.trim() ?? '';
    window.watch = {
      textOf: (line) => {
        const row = rows().find((row) => Number(row.dataset['line']) === line);
        return row ? textOf(row) || null : null;
      },
      isWhole: () => {
        const shown = rows();
        return shown.length > 0 && shown.every((row) => textOf(row) !== '');
      },
      firstOnScreen: () => Number(rows()[0]?.dataset['line'] ?? 0),
      shownAfter: (condition) =>
        new Promise((resolve) => {
          const look = () => {
            if (condition()) requestAnimationFrame(() => resolve(performance.now()));
            else requestAnimationFrame(look);
          };
          requestAnimationFrame(look);
        }),
      frames: () => {
        const intervals: number[] = [];
        let unwhole = 0;
        let [least, most] = [Infinity, 0];
        let last = performance.now();
        let running = true;
        const look = (now: number) => {
          intervals.push(now - last);
          last = now;
          if (!window.watch.isWhole()) unwhole += 1;
          least = Math.min(least, window.watch.firstOnScreen());
          most = Math.max(most, window.watch.firstOnScreen());
          if (running) requestAnimationFrame(look);
        };
        requestAnimationFrame((now) => {
          last = now;
          requestAnimationFrame(look);
        });
        return {
          stop: () => {
            running = false;
            return { intervals, unwhole, reached: most - least };
          },
        };
      },
    };
    void window.watch
      .shownAfter(() => rows().some((row) => textOf(row) !== ''))
      .then((time) => (window.firstLineAt = time));
  });
}
