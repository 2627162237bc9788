import type { Locator, Page } from 'playwright-core';
import { expect, it } from 'vitest';
import { once, stage } from '../stage/current';
import { firstLine, goToLine, isLive, lastLine, linesOnScreen } from '../stage/screen';
import { until } from '../stage/wait';
import { hold, RESULT } from '../stage/service';
import { bursts, counting, running, written } from './writer';

/** The number in the last counted line on screen. */
async function counted(page: Page): Promise<number> {
  const lines = (await linesOnScreen(page)).filter(({ text }) => text.startsWith('counted'));
  return Number(lines.at(-1)?.text.split(' ').at(-1) ?? 0);
}

/** That each counted line on screen is the one after that above it, from one that was seen before something happened. */
async function isWholeFrom(page: Page, line: number): Promise<void> {
  await goToLine(page, line);
  await until(async () => {
    const lines = (await linesOnScreen(page)).filter(({ text }) => text !== '');
    expect(lines.map(({ number }) => number)).toContain(line);
    const offset = lines[0] ? lines[0].number - Number(lines[0].text.split(' ').at(-1)) : 0;
    expect(lines.length).toBeGreaterThan(10);
    for (const { number, text } of lines) expect(text).toBe(written(number - offset));
  });
}

/** A build that wrote a few hundred lines and has ended. */
const finished = once(async () => {
  const id = await running(bursts(300));
  await stage.service.go(id, '1');
  await stage.service.go(id, 'end');
  await stage.service.reaches(id, 'succeeded');
  return id;
});

const lineNumber = (page: Page, line: number) => page.locator(`[data-line="${line}"] .number`);

export function liveStories(): void {
  it('is followed until the reader scrolls up, who is told how much is new', async () => {
    const page = await stage.page(`/builds/${await running(counting(100))}`);
    await until(async () => expect(await counted(page)).toBeGreaterThan(60));
    await page.locator('.scroller').hover();
    await page.mouse.wheel(0, -300);
    const pill = page.getByText(/new lines ↓/);
    await pill.waitFor();
    const held = await lastLine(page);
    await page.waitForFunction(() => parseInt(document.querySelector('.pill')?.textContent ?? '') > 50);
    expect(await lastLine(page)).toBe(held);
    await pill.click();
    await until(async () => expect(await lastLine(page)).toBeGreaterThan(held + 50));
  });

  it('goes on after a lost connection, without hole or repeat', async () => {
    const page = await stage.page(`/builds/${await running(counting(100))}`);
    await until(async () => expect(await counted(page)).toBeGreaterThan(20));
    const before = await lastLine(page);
    stage.service.link.goDown();
    await page.locator('header .live', { hasText: 'reconnecting' }).waitFor();
    stage.service.link.comeBack();
    await isLive(page).waitFor();
    await until(async () => expect(await lastLine(page)).toBeGreaterThan(before + 50));
    await isWholeFrom(page, before);
    stage.forgive(/ERR_|WebSocket/);
  });

  it('goes on after the service was killed and started again', async () => {
    const page = await stage.page(`/builds/${await running(counting(100))}`);
    await until(async () => expect(await counted(page)).toBeGreaterThan(20));
    const before = await lastLine(page);
    await stage.service.kill();
    await page.locator('header .live', { hasText: 'reconnecting' }).waitFor();
    await stage.service.start();
    await isLive(page).waitFor();
    await until(async () => expect(await lastLine(page)).toBeGreaterThan(before + 50));
    await isWholeFrom(page, before);
    stage.forgive(/ERR_|WebSocket/);
  });

  it('notices a network that falls silent without a word, and goes on after it', async () => {
    const page = await stage.page(`/builds/${await running(counting(100))}`);
    await until(async () => expect(await counted(page)).toBeGreaterThan(20));
    stage.service.link.goSilent();
    const before = await lastLine(page);
    const id = page.url().split('/').at(-1) ?? '';
    const wrote = async () => (await stage.service.one(id)).log.lines;
    const then = await wrote();
    await until(async () => expect(await wrote()).toBeGreaterThan(then + 100));
    // Nobody tells the page: it misses what the service says every few seconds.
    await page.locator('header .live', { hasText: 'reconnecting' }).waitFor();
    stage.service.link.comeBack();
    await isLive(page).waitFor();
    await until(async () => expect(await lastLine(page)).toBeGreaterThan(before + 100));
    await isWholeFrom(page, before);
    stage.forgive(/ERR_|WebSocket/);
  });

  it('catches up in a tab that was in the background, without replaying', async () => {
    const id = await running(bursts(200, 30_000, 1));
    const page = await stage.page(`/builds/${id}`);
    await stage.service.go(id, '1');
    await until(async () => expect(await counted(page)).toBe(200));
    const session = await page.context().newCDPSession(page);
    await session.send('Page.setWebLifecycleState', { state: 'frozen' });
    await stage.service.go(id, '2');
    await until(async () => expect((await stage.service.one(id)).log.lines).toBeGreaterThan(30_200));
    await page.evaluate(() => {
      const seen = window as unknown as { seen: Set<string> };
      seen.seen = new Set();
      const look = () => {
        for (const row of document.querySelectorAll('[data-line]'))
          seen.seen.add(row.getAttribute('data-line') ?? '');
        requestAnimationFrame(look);
      };
      requestAnimationFrame(look);
    });
    await session.send('Page.setWebLifecycleState', { state: 'active' });
    await until(async () => expect(await counted(page)).toBe(30_200));
    // What was on screen in between is a small part of what came.
    expect(await page.evaluate(() => (window as unknown as { seen: Set<string> }).seen.size)).toBeLessThan(
      10_000,
    );
    await stage.service.go(id, '3');
    await until(async () => expect(await counted(page)).toBe(30_201));
    await isWholeFrom(page, (await lastLine(page)) - 100);
  });

  const outages = [
    {
      what: 'a build',
      go: (page: Page) => page.locator('article a').first().click(),
      shows: 'region',
      named: 'Log',
    },
    {
      what: 'the repositories',
      go: (page: Page) => page.getByRole('link', { name: 'Repositories' }).click(),
      shows: 'list',
      named: 'Repositories',
    },
    {
      what: 'a filtered history',
      go: (page: Page) => page.getByRole('searchbox', { name: /^Filter/ }).fill('main'),
      shows: 'rowgroup',
      named: '',
    },
  ] as const;
  it.each(outages)(
    'loads $what by itself that was gone to during an outage',
    async ({ go, shows, named }) => {
      await running(hold('end') + RESULT);
      const page = await stage.page('');
      await isLive(page).waitFor();
      await page.locator('article').first().waitFor();
      await stage.service.kill();
      await page.locator('header .live', { hasText: 'reconnecting' }).waitFor();
      await go(page);
      const failed = page.getByText('could not be loaded: the service does not answer');
      await failed.waitFor();
      await page.getByText('requests fail').waitFor();
      await stage.service.start();
      await isLive(page).waitFor();
      await failed.waitFor({ state: 'detached' });
      await page
        .getByRole(shows, named === '' ? {} : { name: named })
        .first()
        .waitFor();
      await page.getByText('requests fail').waitFor({ state: 'detached' });
      stage.forgive(/ERR_|WebSocket/);
    },
  );

  it('reads and searches a log again whose requests were lost without a word', async () => {
    const id = await running(bursts(30_000));
    await stage.service.go(id, '1');
    await stage.service.go(id, 'end');
    await stage.service.reaches(id, 'succeeded');
    const page = await stage.page(`/builds/${id}`);
    await isLive(page).waitFor();
    await until(async () => expect(await lastLine(page)).toBeGreaterThan(30_000));
    // Of each that the browser keeps open, none tells that it is dead.
    stage.service.link.goSilent();
    await goToLine(page, 12_000);
    await page.keyboard.press('/');
    await page.keyboard.type('counted to 12010');
    await page.getByText('searching …').waitFor();
    stage.service.link.comeBackForNew();
    await page.getByText('1 of 1').waitFor();
    await until(async () => {
      const lines = (await linesOnScreen(page)).map(({ text }) => text);
      expect(lines).toContain('counted to 12010');
      expect(lines).not.toContain('');
    });
    await isLive(page).waitFor();
    stage.forgive(/ERR_|WebSocket/);
  });

  it('is left by one step back, however many lines and steps were looked at', async () => {
    const id = await finished();
    const page = await stage.page('');
    await isLive(page).waitFor();
    await page.locator(`a[href$="/builds/${id}"]`).first().click();
    await page.waitForURL(`**/${id}`);
    await until(async () => expect(await lastLine(page)).toBeGreaterThan(300));
    const last = await lastLine(page);
    for (const line of [last - 3, last - 5]) {
      await lineNumber(page, line).click();
      await page.waitForURL(`**/${id}#L${line}`);
    }
    await page.getByRole('link', { name: 'building' }).click();
    await page.waitForURL(/#L\d$/);
    await until(async () => expect(await firstLine(page)).toBeLessThan(10));
    await page.goBack();
    await page.waitForURL(/\/monitor$/);
  });

  it.each([
    { width: 740, height: 360, least: 12 },
    { width: 320, height: 256, least: 2 },
  ])('has most of a window of $width × $height', async ({ width, height, least }) => {
    const page = await stage.page(`/builds/${await finished()}#L150`, { viewport: { width, height } });
    await isLive(page).waitFor();
    const whole = () =>
      page.locator('.scroller').evaluate((scroller) => {
        const view = scroller.getBoundingClientRect();
        const bottom = Math.min(view.bottom, innerHeight);
        const boxes = Array.from(scroller.querySelectorAll('[data-line]'), (row) =>
          row.getBoundingClientRect(),
        );
        return boxes.filter((box) => box.top >= view.top - 0.5 && box.bottom <= bottom + 0.5).length;
      });
    await until(async () => expect(await whole()).toBeGreaterThanOrEqual(least));
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    expect(wide).toBeLessThanOrEqual(width);
  });

  it('tells marks, hits and what cannot be pressed also in the colours of the system', async () => {
    const page = await stage.page(`/builds/${await finished()}#L103`, { forcedColors: 'active' });
    await lineNumber(page, 103).waitFor();
    await page.keyboard.press('/');
    await page.keyboard.type('counted to 10');
    await page.getByText(/ of 11$/).waitFor();
    const look = (part: Locator) =>
      part.first().evaluate((element) => {
        const { color, backgroundColor } = getComputedStyle(element);
        return { color, backgroundColor };
      });
    const ground = await look(page.locator('.text:not(.marked *)'));
    const marked = await look(page.locator('.marked .gutter'));
    const hit = await look(page.locator('.hit:not(.current)'));
    for (const { color, backgroundColor } of [marked, hit]) {
      expect(backgroundColor).not.toBe(color);
      expect(backgroundColor).not.toBe('rgba(0, 0, 0, 0)');
      expect(backgroundColor).not.toBe(ground.backgroundColor);
    }
    expect(marked.backgroundColor).not.toBe(hit.backgroundColor);
    const text = await look(page.locator('body'));
    const none = await look(page.locator('.step.none'));
    expect(none.color).not.toBe(text.color);
  });

  it('says of a build that is not there no more than helps', async () => {
    const page = await stage.page('/builds/nothing');
    await page.getByText('there is no build nothing').waitFor();
    expect(await page.title()).toMatch(/^Build not found/);
    expect(await page.locator('main').innerText()).not.toContain('/api/');
    await page.keyboard.press('?');
    const keys = page.getByRole('dialog').locator('kbd');
    for (const key of ['Escape', 'Shift+click', 'Shift+Enter', 'Shift+↑'])
      expect(await keys.allInnerTexts()).toContain(key);
    stage.forgive(/404/);
  });
}
