import type { Page } from 'playwright-core';
import { expect, it } from 'vitest';
import { stage } from '../stage/current';
import { firstLine, goToLine, isOnScreen, log, search } from '../stage/screen';
import { RESULT } from '../stage/service';
import { until } from '../stage/wait';
import { haystack } from './haystack';
import { lineOf } from './showcase';
import { fresh } from './writer';

const searchStatus = (page: Page) => page.getByRole('search').getByRole('status');

export function logSearchStories(): void {
  it('finds text in the whole log, marks it along the scroll bar, and goes from hit to hit', async () => {
    const id = await haystack();
    const page = await stage.page(`/builds/${id}#L1`);
    await until(async () => expect(await firstLine(page)).toBe(1));
    await search(page, 'hundred');
    await until(async () => expect(await searchStatus(page).innerText()).toMatch(/(^| of )100$|^100 lines$/));
    expect(new URL(page.url()).searchParams.get('find')).toBe('hundred');
    expect(await log(page).locator('.strip .hits').getAttribute('d')).not.toBe('');
    await page.locator('.scroller').focus();
    const hit = async (text: string) => {
      const line = await lineOf(id, text);
      await until(async () => expect(await isOnScreen(page, line)).toBe(true));
      await until(async () =>
        expect(await page.locator(`[data-line="${line}"] .hit.current`).count()).toBeGreaterThan(0),
      );
    };
    await hit('straw 100 Hundred');
    await page.keyboard.press('n');
    await hit('straw 200 Hundred');
    await page.keyboard.press('N');
    await page.keyboard.press('N');
    await hit('straw 10000 Hundred');
    await page.keyboard.press('n');
    await hit('straw 100 Hundred');
    // Whoever has gone elsewhere goes on from there.
    await goToLine(page, await lineOf(id, 'straw 5050'));
    await until(async () => expect(await isOnScreen(page, await lineOf(id, 'straw 5050'))).toBe(true));
    await page.locator('.scroller').focus();
    await page.keyboard.press('n');
    await hit('straw 5100 Hundred');
    // The search is in the address.
    await page.reload();
    await until(async () => expect(await searchStatus(page).innerText()).toMatch(/100/));
  });

  it('is searched by the keys that search a page, and twice pressed they are the browser’s own', async () => {
    const page = await stage.page(`/builds/${await haystack()}#L1`);
    await until(async () => expect(await firstLine(page)).toBe(1));
    // Whether the page has taken the key from the browser; a modifier goes down before its key does.
    await page.evaluate(() => {
      document.addEventListener(
        'keydown',
        (event) => {
          if (['Control', 'Meta', 'Shift'].includes(event.key)) return;
          setTimeout(() => (document.body.dataset['taken'] = String(event.defaultPrevented)));
        },
        true,
      );
    });
    const press = async (key: string) => {
      await page.evaluate(() => delete document.body.dataset['taken']);
      await page.keyboard.press(key);
      await page.locator('body[data-taken]').waitFor();
      return (await page.locator('body').getAttribute('data-taken')) === 'true';
    };
    const field = page.getByRole('searchbox');
    const isTypedIn = () => field.evaluate((input) => input === document.activeElement);
    expect(await press('Control+f')).toBe(true);
    await until(async () => expect(await isTypedIn()).toBe(true));
    await page.keyboard.type('hundred');
    await page.keyboard.press('Enter');
    await until(async () => expect(await searchStatus(page).innerText()).toBe('1 of 100'));
    expect(await press('Control+f')).toBe(false);
    expect(await press('F3')).toBe(true);
    await until(async () => expect(await searchStatus(page).innerText()).toBe('2 of 100'));
    await page.locator('.scroller').focus();
    expect(await press('F3')).toBe(true);
    await until(async () => expect(await searchStatus(page).innerText()).toBe('3 of 100'));
    expect(await press('Shift+F3')).toBe(true);
    await until(async () => expect(await searchStatus(page).innerText()).toBe('2 of 100'));
    // From the field for a line, too, where single keys are text.
    await page.keyboard.press(':');
    await until(async () => expect(await isTypedIn()).toBe(false));
    expect(await press('Meta+f')).toBe(true);
    await until(async () => expect(await isTypedIn()).toBe(true));
  });

  it('tells upper from lower case, takes regular expressions, and says what is wrong with one', async () => {
    const page = await stage.page(`/builds/${await haystack()}#L1`);
    const counts = (text: RegExp) =>
      until(async () => expect(await searchStatus(page).innerText()).toMatch(text));
    await search(page, 'hundred');
    await counts(/100/);
    await page.getByRole('button', { name: 'Upper and lower case differ' }).click();
    await counts(/no lines/);
    await page.getByRole('button', { name: 'Upper and lower case differ' }).click();
    await search(page, '^straw [0-9]700 ');
    await counts(/no lines/);
    await page.getByRole('button', { name: 'Regular expression' }).click();
    await counts(/of 9$|^9 lines/);
    await search(page, 'straw (');
    await page.getByRole('search').getByRole('alert').waitFor();
    await page.getByRole('button', { name: 'Regular expression' }).click();
    await search(page, '"Quoted" [');
    await counts(/1 of 1|1 line/);
    stage.forgive(/400/);
  });

  it('is what the address says: a link to the page leaves it, and going back brings it again', async () => {
    const name = fresh();
    const build = async () => {
      const id = await stage.service.build(name, 'main', `echo a needle; echo a needle\n${RESULT}`);
      await stage.service.reaches(id, 'succeeded');
      return id;
    };
    await build();
    const page = await stage.page(`/builds/${await build()}`);
    await page.getByText('a needle').first().waitFor();
    await search(page, 'needle');
    await until(async () => expect(await searchStatus(page).innerText()).toMatch(/of 2$/));
    const hits = log(page).locator('.hit');
    await hits.first().waitFor();
    await page.locator('.facts a[aria-current=page]').click();
    await page.waitForURL((url) => url.search === '');
    await until(async () => expect(await page.getByRole('search').count()).toBe(0));
    expect(await hits.count()).toBe(0);
    await page.goBack();
    await until(async () => expect(await page.getByRole('searchbox').inputValue()).toBe('needle'));
    await hits.first().waitFor();
  });

  it('goes to the next match from what is on screen', async () => {
    const id = await haystack();
    const page = await stage.page(`/builds/${id}#L1`);
    await until(async () => expect(await firstLine(page)).toBe(1));
    await search(page, 'hundred');
    await until(async () => expect(await searchStatus(page).innerText()).toBe('1 of 100'));
    await page.locator('.scroller').focus();
    const isAt = async (text: string) => {
      const line = await lineOf(id, text);
      await page.locator(`[data-line="${line}"] .hit.current`).waitFor();
    };
    // A match that is just above what is seen is behind the reader.
    const above = await lineOf(id, 'straw 5000 Hundred');
    const toJustBelow = () =>
      until(async () => {
        await page
          .locator('.scroller')
          .evaluate((element, top) => (element.scrollTop = top), (above + 4) * 18);
        const first = await firstLine(page);
        expect(first).toBeGreaterThan(above);
        expect(first).toBeLessThan(above + 10);
      });
    await toJustBelow();
    await page.keyboard.press('n');
    await isAt('straw 5100 Hundred');
    await page.keyboard.press('n');
    await isAt('straw 5200 Hundred');
    await toJustBelow();
    await page.keyboard.press('N');
    await isAt('straw 5000 Hundred');
  });
}
