import { expect, it } from 'vitest';
import { stage } from '../stage/current';
import {
  firstLine,
  goToLine,
  hasFocus,
  isOnScreen,
  lastLine,
  linesOnScreen,
  log,
  rests,
  search,
} from '../stage/screen';
import { until } from '../stage/wait';
import { haystack } from './haystack';
import { lineOf, showcase } from './showcase';
import { bursts, counting, fresh, running } from './writer';

export function logStories(): void {
  it('opens at the first error of a failed build, with some lines above it', async () => {
    const id = await showcase();
    const error = await lineOf(id, 'main.c:41:7: error');
    const page = await stage.page(`/builds/${id}`);
    await page.getByText('main.c:41:7: error: something went wrong').waitFor();
    await until(async () => expect(await isOnScreen(page, error)).toBe(true));
    expect(await firstLine(page)).toBeLessThan(error - 3);
    const { number } = (await linesOnScreen(page)).find(({ text }) => text.includes('error')) ?? {};
    expect(number).toBe(error);
    // The next one is make's.
    await page.keyboard.press('e');
    await page
      .getByRole('status')
      .filter({ hasText: /2 of \d+ errors/ })
      .waitFor();
  });

  it('tells of its errors in a place that was there before', async () => {
    const id = await showcase();
    let answer = () => {};
    const asked = new Promise<void>((resolve) => (answer = resolve));
    const page = await stage.page(`/builds/${id}`, {
      before: (page) =>
        page.route('**/search/marks?*', async (route) => {
          await asked;
          await route.continue();
        }),
    });
    const status = log(page).getByRole('toolbar').getByRole('status');
    await page.locator('[data-line]').first().waitFor();
    expect(await status.innerText()).toBe('');
    const before = await status.elementHandle();
    answer();
    await status.getByText(/\d+ errors/).waitFor();
    expect(await status.evaluate((now, before) => now === before, before)).toBe(true);
  });

  it('opens at the end where nothing failed, and at the line of the address', async () => {
    const id = await haystack();
    const total = (await stage.service.one(id)).log.lines;
    const page = await stage.page(`/builds/${id}`);
    await until(async () => expect(await lastLine(page)).toBe(total));
    const line = await lineOf(id, 'straw 4321');
    await goToLine(page, line);
    await until(async () => expect(await isOnScreen(page, line)).toBe(true));
    await page.reload();
    await until(async () => expect(await isOnScreen(page, line)).toBe(true));
    expect(await page.locator(`[data-line="${line}"]`).getAttribute('class')).toContain('marked');
  });

  it('says that it has no such line as in the address, and opens as without one', async () => {
    const script = `seq 500; echo 'main.c:7: error: far from the end'; seq 500; exit 1`;
    const failed = await stage.service.build(fresh(), 'main', script);
    const { lines } = (await stage.service.reaches(failed, 'failed')).log;
    const error = await lineOf(failed, 'far from the end');
    const page = await stage.page(`/builds/${failed}#L1000000`);
    const notice = log(page).getByRole('status');
    await notice
      .getByText(`This log has ${lines.toLocaleString('en')} lines: there is no line 1,000,000.`)
      .waitFor();
    await until(async () => expect(await isOnScreen(page, error)).toBe(true));
    expect(await page.getByRole('button', { name: /^Copy line/ }).count()).toBe(0);
    // By a link that is followed, too.
    await page.keyboard.press('g');
    await until(async () => expect(await isOnScreen(page, 1)).toBe(true));
    await goToLine(page, lines + 1);
    await notice.getByText(`there is no line ${(lines + 1).toLocaleString('en')}.`).waitFor();
    await until(async () => expect(await isOnScreen(page, error)).toBe(true));
    await log(page).getByRole('button', { name: 'Close this notice' }).click();
    await notice.getByText('This log has').waitFor({ state: 'detached' });
    expect(new URL(page.url()).hash).toBe('');
    expect(await hasFocus(page)).toBe(true);

    const good = await haystack();
    const total = (await stage.service.one(good)).log.lines;
    const atEnd = await stage.page(`/builds/${good}#L${total + 1}-L${total + 9}`);
    await log(atEnd).getByText(`there is no line`).waitFor();
    await until(async () => expect(await lastLine(atEnd)).toBe(total));
  });

  it('says that a line in the address is not written yet, and follows the end', async () => {
    const id = await running(bursts(100, 400));
    await stage.service.go(id, '1');
    const page = await stage.page(`/builds/${id}#L300`);
    const notice = log(page).getByText('Line 300 is not written yet.');
    await notice.waitFor();
    await page.getByText('counted to 100').waitFor();
    await stage.service.go(id, '2');
    await page.getByText('counted to 500').waitFor();
    await notice.waitFor({ state: 'detached' });
  });

  it('has numbers that are links, and ranges by shift-click', async () => {
    const id = await haystack();
    const page = await stage.page(`/builds/${id}#L200`);
    await until(async () => expect(await isOnScreen(page, 200)).toBe(true));
    await page.getByRole('link', { name: 'Line 203', exact: true }).click();
    expect(new URL(page.url()).hash).toBe('#L203');
    await page.getByRole('link', { name: 'Line 207', exact: true }).click({ modifiers: ['Shift'] });
    expect(new URL(page.url()).hash).toBe('#L203-L207');
    await page.reload();
    await until(async () => expect(await page.locator('.marked[data-line]').count()).toBe(5));
  });

  it('keeps the focus when what has it leaves the screen, and takes it by a click on its strip', async () => {
    const id = await haystack();
    const page = await stage.page(`/builds/${id}#L200`);
    const number = page.getByRole('link', { name: 'Line 203', exact: true });
    await number.focus();
    await page.locator('.scroller').hover();
    await page.mouse.wheel(0, 4000);
    await number.waitFor({ state: 'detached' });
    await until(async () => expect(await hasFocus(page)).toBe(true));
    // The browser's own keys go on from there.
    const before = await firstLine(page);
    await page.keyboard.press('PageDown');
    await until(async () => expect(await firstLine(page)).toBeGreaterThan(before + 10));
    // The row that names a step is left in the same way.
    const step = log(page).getByRole('button', { name: 'preparing' });
    await until(async () => {
      // Pressed while the browser still scrolls, it shows the top for a moment only; the scroll bar follows it later.
      await page.keyboard.press('g');
      expect(await page.locator('.scroller').evaluate(({ scrollTop }) => scrollTop)).toBe(0);
    });
    await step.focus();
    await page.keyboard.press('G');
    await step.waitFor({ state: 'detached' });
    await until(async () => expect(await hasFocus(page)).toBe(true));

    await search(page, 'hundred');
    await page.getByRole('searchbox').focus();
    const { height } = (await page.locator('.strip').boundingBox()) ?? { height: 0 };
    await page.locator('.strip').click({ position: { x: 3, y: height / 2 } });
    await until(async () => expect(await hasFocus(page)).toBe(true));
    const middle = await firstLine(page);
    await page.keyboard.press('PageUp');
    await until(async () => expect(await firstLine(page)).toBeLessThan(middle - 10));
    // The wheel over it scrolls the lines.
    const above = await firstLine(page);
    await page.locator('.strip').hover();
    await page.mouse.wheel(0, 900);
    await until(async () => expect(await firstLine(page)).toBeGreaterThan(above + 40));
  });

  it('is scrolled by the keys of the browser without a click, unless something else has the focus', async () => {
    const page = await stage.page(`/builds/${await haystack()}#L5000`);
    await until(async () => expect(await isOnScreen(page, 5000)).toBe(true));
    expect(await hasFocus(page)).toBe(false);
    const leadsFrom = async (key: string, leads: (before: number, now: number) => void) => {
      await page.evaluate(() => (document.activeElement as HTMLElement).blur());
      await rests(page);
      const before = await firstLine(page);
      await page.keyboard.press(key);
      await until(async () => leads(before, await firstLine(page)));
      expect(await hasFocus(page)).toBe(true);
    };
    await leadsFrom('PageUp', (before, now) => expect(now).toBeLessThan(before - 10));
    await leadsFrom('Space', (before, now) => expect(now).toBeGreaterThan(before + 10));
    await leadsFrom('ArrowDown', (before, now) => expect(now).toBeGreaterThan(before));
    await leadsFrom('ArrowUp', (before, now) => expect(now).toBeLessThan(before));
    await leadsFrom('PageDown', (before, now) => expect(now).toBeGreaterThan(before + 10));
    await leadsFrom('Home', (_, now) => expect(now).toBe(1));
    await leadsFrom('End', (_, now) => expect(now).toBeGreaterThan(9900));
    // Who followed a link to this page has the focus on all of it.
    await page.locator('main').focus();
    await page.keyboard.press('Home');
    await until(async () => expect(await firstLine(page)).toBe(1));

    await page.keyboard.press('/');
    await page.keyboard.press('End');
    expect(await page.getByRole('searchbox').evaluate((field) => field === document.activeElement)).toBe(
      true,
    );
  });

  it('is followed again by the key that leads to its end', async () => {
    const page = await stage.page(`/builds/${await running(counting(100))}`);
    await until(async () => expect(await lastLine(page)).toBeGreaterThan(100));
    const follow = page.getByRole('button', { name: 'Follow', exact: true });
    await page.keyboard.press('PageUp');
    await until(async () => expect(await follow.getAttribute('aria-pressed')).toBe('false'));
    await page.keyboard.press('End');
    await until(async () => expect(await follow.getAttribute('aria-pressed')).toBe('true'));
    const then = await lastLine(page);
    await until(async () => expect(await lastLine(page)).toBeGreaterThan(then + 50));
  });

  it('has no row for a step that wrote nothing', async () => {
    const id = await haystack();
    const { steps } = await stage.service.one(id);
    const wrote = steps.filter((step, at) => (steps[at + 1]?.line ?? Infinity) > step.line);
    expect(wrote.length).toBeLessThan(steps.length);
    const page = await stage.page(`/builds/${id}#L1`);
    await until(async () => expect(await firstLine(page)).toBe(1));
    await page.keyboard.press('Z');
    const rows = log(page).locator('[data-step] .name');
    await until(async () => expect(await rows.allInnerTexts()).toEqual(wrote.map(({ name }) => name)));
  });

  it('tells when each line was written, by the clock and since the start', async () => {
    const id = await haystack();
    const build = await stage.service.one(id);
    const early = await lineOf(id, 'straw 4999');
    const page = await stage.page(`/builds/${id}#L${early}`);
    await until(async () => expect(await isOnScreen(page, early)).toBe(true));
    const times = page.locator('[data-line] .time');
    expect(await times.count()).toBe(0);
    await page.keyboard.press('t');
    const at = async (line: number) => page.locator(`[data-line="${line}"] .time`).innerText();
    await until(async () => expect(await at(early)).toMatch(/\d/));
    const seconds = (text: string) =>
      text.split(':').reduce((sum, part) => sum * 60 + Number(part.replace(/[^\d.]/g, '')), 0);
    const between = async () => seconds(await at(early + 4)) - seconds(await at(early));
    // Between these two is the second.
    await until(async () => expect(await between()).toBeGreaterThan(0.8));
    expect(await between()).toBeLessThan(20);
    await page.keyboard.press('t');
    const clock = new Date(build.started ?? 0).getMinutes();
    await until(async () => expect(await at(early)).toMatch(/\d+:\d\d:\d\d/));
    expect(Math.abs(Number((await at(early)).split(':')[1]) - clock) % 59).toBeLessThan(2);
    await page.keyboard.press('t');
    await until(async () => expect(await times.count()).toBe(0));
  });

  it('folds the lines of a step', async () => {
    const id = await haystack();
    const page = await stage.page(`/builds/${id}#L100`);
    await until(async () => expect(await isOnScreen(page, 100)).toBe(true));
    const step = (name: string) => log(page).locator('[data-step] button', { hasText: name });
    await page.keyboard.press('z');
    await step('building').waitFor();
    await until(async () => expect(await isOnScreen(page, 100)).toBe(false));
    expect(await step('building').getAttribute('aria-expanded')).toBe('false');
    expect(await step('building').innerText()).toMatch(/10,00\d lines/);
    await step('building').click();
    await until(async () => expect((await linesOnScreen(page)).length).toBeGreaterThan(5));
    await page.keyboard.press('Z');
    await until(async () => expect(await page.locator('[data-line]').count()).toBe(0));
    // A link into a folded step unfolds it, and it alone.
    await goToLine(page, 5000);
    await until(async () => expect(await isOnScreen(page, 5000)).toBe(true));
    await page.keyboard.press('g');
    await until(async () => expect(await step('building').getAttribute('aria-expanded')).toBe('true'));
    expect(await step('preparing').getAttribute('aria-expanded')).toBe('false');
    // Also one to where the address already is.
    await page.keyboard.press('Z');
    await until(async () => expect(await page.locator('[data-line]').count()).toBe(0));
    const facts = page.locator('.facts').getByRole('link', { name: 'building' });
    const { hash } = new URL((await facts.getAttribute('href')) ?? '', page.url());
    for (const time of ['once', 'again']) {
      await facts.click();
      await until(async () => expect(await isOnScreen(page, Number(hash.slice(2))), time).toBe(true));
      await page.keyboard.press('Z');
      await until(async () => expect(await page.locator('[data-line]').count()).toBe(0));
    }
  });
}
