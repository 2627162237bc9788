import { createRequire } from 'node:module';
import { readFile } from 'node:fs/promises';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { linesOnScreen, Stage } from './stage';

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.open({ LINES_PER_SECOND: '100' });
});
afterAll(() => stage.close());

/** Waits for a condition, with a deadline. */
const until = (condition: () => Promise<void>) => vi.waitFor(condition, { timeout: 10_000, interval: 50 });

const isLive = (page: Page) => page.locator('header .live', { hasText: /live/ });
const lastLine = async (page: Page) => (await linesOnScreen(page)).at(-1)?.number ?? 0;

describe('the overview', () => {
  it('shows what runs, what waits and what ended, within the content policy', async () => {
    const { page, problems } = await stage.page('');
    await page.getByText('2 running · 2 waiting').waitFor();
    await page.getByText('waits for a free place (2 of 2)').waitFor();
    await until(async () => expect(await page.locator('.tail').first().innerText()).toMatch(/gcc|warning/));
    expect(await page.getByRole('row').count()).toBeGreaterThan(20);
    expect(problems).toEqual([]);
  });

  it('keeps its filter in the address', async () => {
    const { page } = await stage.page('');
    await page.keyboard.press('/');
    await page.keyboard.type('pager');
    await page.waitForURL('**/monitor?text=pager');
    await page.getByLabel('State').selectOption('failed');
    await page.waitForURL('**/monitor?state=failed&text=pager');
    await page.reload();
    expect(await page.getByLabel('Filter builds by text').inputValue()).toBe('pager');
    const states = page.locator('.rows .state');
    await until(async () => expect(new Set(await states.allInnerTexts()).size).toBe(1));
  });

  it('scrolls through all of the history with few rows in the page, and comes back to its place', async () => {
    const { page } = await stage.page('');
    await until(async () => {
      await page.keyboard.press('G');
      expect(await page.getByText('That is the whole history.').count()).toBe(1);
    });
    expect(await page.locator('.rows [role=row]').count()).toBeLessThan(150);
    const place = await page.evaluate(() => scrollY);
    await page.locator('.rows [role=row] .name a').last().press('Enter');
    await page.waitForURL('**/builds/*');
    await page.goBack();
    await until(async () => expect(Math.abs((await page.evaluate(() => scrollY)) - place)).toBeLessThan(300));
  });

  it('is worked by keyboard', async () => {
    const { page } = await stage.page('');
    await page.locator('article').first().waitFor();
    await page.keyboard.press('j');
    await page.keyboard.press('Enter');
    await page.waitForURL('**/builds/*');
  });
});

describe('a running build', () => {
  it('is followed until the reader scrolls up, who is told how much is new', async () => {
    const { page } = await stage.page(`/builds/${await stage.runningBuild()}`);
    await until(async () => expect(await lastLine(page)).toBeGreaterThan(20));
    const before = await lastLine(page);
    await until(async () => expect(await lastLine(page)).toBeGreaterThan(before));
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
    const { page } = await stage.page(`/builds/${await stage.runningBuild()}`);
    await until(async () => expect(await lastLine(page)).toBeGreaterThan(20));
    const before = await lastLine(page);
    stage.loseConnections();
    await page.locator('header .live', { hasText: 'reconnecting' }).waitFor();
    await isLive(page).waitFor();
    await until(async () => expect(await lastLine(page)).toBeGreaterThan(before + 50));
    await page.evaluate((line) => (location.hash = `#L${line}`), before);
    await until(async () => {
      const lines = await linesOnScreen(page);
      expect(lines.map(({ number }) => number)).toContain(before);
      // The generated lines say their own numbers.
      for (const { number, text } of lines)
        if (number % 50) expect(text).toMatch(new RegExp(`part_${number}\\.o$`));
    });
  });

  it('is cancelled with the token, which is asked for until it is right', async () => {
    const { page } = await stage.page('/builds/showcase');
    await page.getByRole('button', { name: 'Rebuild' }).click();
    await page.keyboard.type('wrong');
    await page.keyboard.press('Enter');
    await page.getByText('does not accept that token').waitFor();
    await page.keyboard.type('fake');
    await page.keyboard.press('Enter');
    await until(async () => expect(await page.title()).toMatch(/^● acme\/app/));
    await page.getByRole('button', { name: 'Cancel' }).click();
    await until(async () => expect(await page.title()).toMatch(/^⊘ acme\/app/));
  });
});

describe('a log of ten million lines', () => {
  it('shows any place at once, with few lines in the page', async () => {
    const { page } = await stage.page('/builds/ten-million#L5000000');
    await page.getByText('part_4999999.o').waitFor();
    expect(await page.locator('[data-line]').count()).toBeLessThan(150);
    for (const line of [1, 9_999_999, 1_234_567]) {
      const begun = performance.now();
      await page.evaluate((target) => (location.hash = `#L${target}`), line);
      await page.getByText(`part_${line}.o`, { exact: false }).first().waitFor();
      // Generous, for a machine that does other work.
      expect(performance.now() - begun).toBeLessThan(2000);
    }
  });

  it('reaches its very first and last line by the scroll bar', async () => {
    const { page } = await stage.page('/builds/ten-million');
    await until(async () => expect(await lastLine(page)).toBe(10_000_000));
    await page.locator('.scroller').evaluate((scroller) => (scroller.scrollTop = 0));
    await until(async () => expect((await linesOnScreen(page))[0]?.number).toBe(1));
    await page.locator('.scroller').evaluate((scroller) => (scroller.scrollTop = scroller.scrollHeight));
    await until(async () => expect(await lastLine(page)).toBe(10_000_000));
  });

  it('moves by single lines with the wheel', async () => {
    const { page } = await stage.page('/builds/ten-million#L5000000');
    await page.getByText('part_4999999.o').waitFor();
    const first = (await linesOnScreen(page))[0]?.number ?? 0;
    await page.locator('.scroller').hover();
    await page.mouse.wheel(0, 180);
    await until(async () => expect((await linesOnScreen(page))[0]?.number).toBe(first + 10));
  });
});

describe('what comes from outside', () => {
  it('is text, never HTML', async () => {
    const { page, problems } = await stage.page('/builds/showcase#L16');
    await page.getByText('<script>alert("text is never HTML")</script>').waitFor();
    expect(await page.locator('.scroller img, .scroller script').count()).toBe(0);
    expect(problems).toEqual([]);
  });

  it('is shown as a terminal would', async () => {
    const { page } = await stage.page('/builds/showcase#L1');
    await page.getByText('downloading #################### 100 %').waitFor();
    await page.getByText('written OVER').waitFor();
    await page.getByText("left alone: no title, a link's text").waitFor();
    const red = page.locator('.text span', { hasText: 'goes on' });
    expect(await red.evaluate((span) => getComputedStyle(span).color)).toBe('rgb(179, 32, 27)');
  });
});

it('says what failed, and what to try', async () => {
  const { page } = await stage.page('/builds/none');
  await page.getByText('there is no build none').waitFor();
  await page.getByRole('button', { name: 'Try again' }).waitFor();
  await page.getByRole('link', { name: 'To the overview' }).click();
  await page.getByText('History').first().waitFor();
});

describe.each([
  [1440, 'light'],
  [768, 'dark'],
  [360, 'light'],
] as const)('%i px wide, %s', (width, colorScheme) => {
  it.each(['', '/builds/showcase#L4', '/builds/ten-million', '/builds/none', '/nowhere'])(
    'has nothing that axe objects to, and fits: /monitor%s',
    async (path) => {
      const { page } = await stage.page(path, {
        viewport: { width, height: 800 },
        colorScheme,
        bypassCSP: true,
      });
      await isLive(page).waitFor();
      await page.waitForFunction(() => !document.querySelector('[aria-busy=true], .awaited'));
      const axe = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
      await page.evaluate(await readFile(axe, 'utf8'));
      const found = await page.evaluate(async () => {
        const { axe } = window as unknown as { axe: typeof import('axe-core') };
        const { violations } = await axe.run(document, { resultTypes: ['violations'] });
        return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.target).join(', ')}`);
      });
      expect(found).toEqual([]);
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
    },
  );
});
