/** Moving about in the long log. */
import type { Browser, Page } from 'playwright-core';
import { partOf } from '../stage/archive';
import { AIMS, fixed, hold, median, quantile, table } from './figures';
import { addWatch } from './watch';

export interface Subject {
  browser: Browser;
  address: string;
  lines: number;
  quick: boolean;
}

export async function open({ browser, address }: Subject, hash = ''): Promise<Page> {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  const page = await context.newPage();
  await addWatch(page);
  await page.goto(address + hash);
  await page.waitForFunction(() => window.firstLineAt !== undefined);
  return page;
}

/** From the start of the navigation to the first line of the log on screen, in a browser that knows nothing. */
export async function opening(subject: Subject): Promise<void> {
  const places = { 'where it opens by itself': '', 'in its middle': `#L${subject.lines / 2}` };
  const rows: string[][] = [];
  for (const [place, hash] of Object.entries(places)) {
    const times: number[] = [];
    for (let round = 0; round < (subject.quick ? 3 : 10); round++) {
      const page = await open(subject, hash);
      times.push(await page.evaluate(() => window.firstLineAt ?? NaN));
      await page.context().close();
    }
    rows.push([place, fixed(median(times)), fixed(Math.max(...times))]);
  }
  table('Time to the first line on screen', ['the log is opened', 'p50, ms', 'most, ms'], rows);
}

/** Numbers that look random and are the same in each run. */
function* scattered(): Generator<number, never> {
  for (let state = 12345; ;) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    yield state / 2 ** 32;
  }
}

/** From the jump until the frame after the one in which all lines of the place are there. */
export async function jumps(subject: Subject, page: Page): Promise<void> {
  const count = subject.quick ? 30 : 200;
  const random = scattered();
  const byAddress: number[] = [];
  const byScrollBar: number[] = [];
  for (let round = 0; round < count; round++) {
    const line = 1 + Math.floor(random.next().value * (subject.lines - 1));
    const jump = [line, partOf(line)] as const;
    byAddress.push(
      await page.evaluate(async ([line, part]) => {
        const begun = performance.now();
        location.hash = `#L${line}`;
        const { watch } = window;
        const shown = await watch.shownAfter(() => !!watch.textOf(line)?.includes(part) && watch.isWhole());
        return shown - begun;
      }, jump),
    );
  }
  for (let round = 0; round < count; round++) {
    byScrollBar.push(
      await page.evaluate(async (place) => {
        const scroller = document.querySelector('.scroller');
        if (!scroller) throw new Error('there is no log');
        const { watch } = window;
        const before = watch.firstOnScreen();
        const begun = performance.now();
        scroller.scrollTop = place * (scroller.scrollHeight - scroller.clientHeight);
        const shown = await watch.shownAfter(() => watch.firstOnScreen() !== before && watch.isWhole());
        return shown - begun;
      }, random.next().value),
    );
  }
  const row = (name: string, times: number[]) => {
    hold(`a jump ${name}, p99`, quantile(times, 0.99), 'jump');
    return [name, fixed(median(times)), fixed(quantile(times, 0.99)), fixed(Math.max(...times))];
  };
  table(
    `A jump to a random line, ${count} times`,
    ['', 'p50, ms', 'p99, ms', 'most, ms'],
    [row('by address', byAddress), row('by scroll bar', byScrollBar), ['aim', '', fixed(AIMS.jump.most), '']],
  );
}

/** Frames while somebody scrolls without pause. */
export async function scrolling(subject: Subject, page: Page): Promise<void> {
  const milliseconds = subject.quick ? 3000 : 12_000;
  const view = await page.locator('.scroller').boundingBox();
  if (!view) throw new Error('there is no log');
  const middle = { x: view.x + view.width / 2, y: view.y + view.height / 2 };
  const right = view.x + view.width - 6;
  const thumb = view.y + 24;
  const rows: string[][] = [];
  const measure = async (name: string, move: (elapsed: number) => Promise<void>) => {
    await page.evaluate(() => (window.stopFrames = window.watch.frames().stop));
    const begun = performance.now();
    for (let elapsed = 0; elapsed < milliseconds; elapsed = performance.now() - begun) await move(elapsed);
    const { intervals, unwhole, reached } = await page.evaluate(() => window.stopFrames());
    if (reached === 0) throw new Error(`nothing moved: ${name}`);
    hold(`a frame, ${name}, p50`, median(intervals), 'frame');
    const late = intervals.filter((interval) => interval > 25).length;
    rows.push([
      name,
      reached.toLocaleString('en'),
      String(intervals.length),
      fixed(median(intervals), 1),
      fixed(quantile(intervals, 0.99), 1),
      fixed(Math.max(...intervals), 1),
      `${fixed((100 * late) / intervals.length, 2)} %`,
      `${fixed((100 * unwhole) / intervals.length, 2)} %`,
    ]);
  };

  await page.mouse.move(middle.x, middle.y);
  await measure('wheel, down and up', (elapsed) => page.mouse.wheel(0, elapsed % 4000 < 3000 ? 120 : -120));
  await page.locator('.scroller').evaluate(async (scroller) => {
    scroller.scrollTop = 0;
    // The thumb, which is about to be taken, gets there later than the lines.
    for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame);
  });
  await page.mouse.move(right, thumb);
  await page.mouse.down();
  const travel = view.height - 40;
  await measure('scroll bar dragged through the log', (elapsed) =>
    page.mouse.move(right, thumb + travel * Math.abs(((elapsed / 4000) % 2) - 1)),
  );
  await page.mouse.up();
  table(
    'Frames while scrolling',
    [
      '',
      'lines passed',
      'frames',
      'p50, ms',
      'p99, ms',
      'most, ms',
      'over 1.5 frames',
      'with a line still to come',
    ],
    rows,
  );
}

/** From Enter to the count. */
export async function searching(page: Page, searches: Search[]): Promise<void> {
  const rows: string[][] = [];
  for (const { text, matches, regex = false } of searches) {
    await page.locator('.scroller').focus();
    await page.keyboard.press('/');
    const field = page.getByRole('searchbox', { name: 'Search in the log' });
    await field.fill('');
    const expression = page.getByRole('button', { name: 'Regular expression' });
    if ((await expression.getAttribute('aria-pressed')) !== String(regex)) await expression.click();
    await field.focus();
    await page.keyboard.type(text);
    // It listens before the key comes.
    await page.evaluate(() => {
      window.enteredAt = new Promise((resolve) =>
        addEventListener('keydown', (event) => event.key === 'Enter' && resolve(performance.now()), {
          capture: true,
        }),
      );
    });
    await page.keyboard.press('Enter');
    const took = await page.evaluate(async (count) => {
      const status = () => document.querySelector('[role=search] [role=status]')?.textContent?.trim() ?? '';
      // `17 of 1,200`, or `1,200 lines`.
      const isCounted = () => [status().split(' ').at(-1), status().split(' ')[0]].includes(count);
      const shown = await window.watch.shownAfter(isCounted);
      return shown - (await window.enteredAt);
    }, matches.toLocaleString('en'));
    const name = `\`${text}\`${regex ? ', a regular expression' : ''}`;
    hold(`a search for ${name}`, took, 'search');
    rows.push([name, matches.toLocaleString('en'), fixed(took)]);
  }
  table('A search', ['text', 'lines', 'from Enter to the count, ms'], rows);
}

export interface Search {
  text: string;
  matches: number;
  regex?: boolean;
}
