import { expect, it } from 'vitest';
import { once, stage } from '../stage/current';
import { RESULT, hold } from '../stage/service';
import { found, until } from '../stage/wait';
import { counting, fresh, running } from './writer';

/** Some builds that have ended in different ways. */
const ended = once(async () => {
  const { service } = stage;
  const good = await service.build('acme/pager', 'main', `echo fine\n${RESULT}`, {
    message: 'Fix the pager',
  });
  const bad = await service.build('acme/pager', 'topic', 'echo broken; exit 3', {
    message: 'Break the pager',
  });
  const other = await service.build('acme/editor', 'main', `echo fine\n${RESULT}`, { message: 'Edit' });
  await Promise.all([
    service.reaches(good, 'succeeded'),
    service.reaches(bad, 'failed'),
    service.reaches(other, 'succeeded'),
  ]);
});

export function overviewStories(): void {
  it('shows what runs with its last lines moving, and why something waits', async () => {
    await ended();
    const first = await running(counting(20));
    await running(hold('end'));
    await stage.service.build(fresh(), 'main', hold('end'));
    const page = await stage.page('');
    for (const count of ['2 running', '1 waiting']) await page.getByText(count, { exact: true }).waitFor();
    await page.getByText('waits for a free place (2 of 2)').waitFor();
    const card = page.locator('article', { has: page.locator(`a[href$="${first}"]`) });
    const shown = async () =>
      Number(/counted to (\d+)\s*$/.exec(await card.locator('.tail').innerText())?.[1] ?? 0);
    const before = await found('a line', async () => (await shown()) || null);
    await until(async () => expect(await shown()).toBeGreaterThan(before + 5));
    expect(await page.getByRole('table', { name: 'History' }).getByRole('row').count()).toBeGreaterThan(3);
  });

  it('shows how far a build is against what its script usually takes, and when it is late', async () => {
    const { service } = stage;
    const name = fresh();
    await service.reaches(await service.build(name, 'main', `sleep 5\n${RESULT}`), 'succeeded');
    const id = await service.build(name, 'main', counting(10));
    await service.reaches(id, 'building');
    const page = await stage.page('');
    const card = page.locator('article', { has: page.locator(`a[href$="${id}"]`) });
    await card.getByText(/ of about \d/).waitFor();
    await card.getByRole('img', { name: /building/ }).waitFor();
    await card.getByText(/over the usual/).waitFor();
    const heights = await card
      .getByRole('img', { name: /building/ })
      .locator('.part')
      .evaluateAll((parts) => parts.map((part) => part.getBoundingClientRect().height));
    expect(new Set(heights), 'steps, those to come as well').toEqual(new Set([6]));
  });

  it('keeps its filter in the address', async () => {
    await ended();
    const page = await stage.page('');
    await page.getByRole('table', { name: 'History' }).waitFor();
    await page.keyboard.press('/');
    await page.keyboard.type('pager');
    await page.waitForURL('**/monitor?text=pager');
    await page.getByLabel('State').selectOption('failed');
    await page.waitForURL('**/monitor?state=failed&text=pager');
    await page.reload();
    expect(await page.getByLabel('Filter builds by text').inputValue()).toBe('pager');
    await until(async () => {
      const rows = await page.locator('.rows [role=row]').allInnerTexts();
      expect(rows).toEqual([expect.stringContaining('failed')]);
    });
  });

  it('is worked by keyboard', async () => {
    await ended();
    const page = await stage.page('');
    await page.locator('.rows [role=row]').first().waitFor();
    for (let row = 0; row < 3; row++) await page.keyboard.press('j');
    const focused = () => page.evaluate(() => document.activeElement?.getAttribute('href') ?? '');
    const selected = () => page.locator('[data-row].selected').getAttribute('data-row');
    await until(async () => expect(await focused()).toContain(`/builds/${await selected()}`));
    // Tab goes on from there.
    const third = await focused();
    await page.keyboard.press('Tab');
    await page.keyboard.press('Shift+Tab');
    expect(await focused()).toBe(third);
    await page.keyboard.press('Enter');
    await page.waitForURL(`**${third}`);
  });

  it('has a header for each column that is shown, and for no other', async () => {
    await ended();
    const page = await stage.page('');
    const history = page.getByRole('table', { name: 'History' });
    const row = history.locator('.rows').getByRole('row').first();
    await row.waitFor();
    for (const [width, columns] of [
      [1280, 7],
      [900, 5],
      [400, 5],
    ] as const) {
      await page.setViewportSize({ width, height: 800 });
      expect(await row.getByRole('cell').count()).toBe(columns);
      expect(await history.getByRole('columnheader').count()).toBe(columns);
    }
    // The row of headers is one of them.
    expect(await history.getByRole('row').first().getAttribute('aria-rowindex')).toBe('1');
    expect(await row.getAttribute('aria-rowindex')).toBe('2');
    const builds = await stage.service.list('state=finished');
    await until(async () =>
      expect(await history.getAttribute('aria-rowcount')).toBe(String(builds.length + 1)),
    );
  });
}
