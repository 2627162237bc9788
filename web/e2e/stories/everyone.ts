/** What holds on all pages, for whoever uses them with whatever. */
import type { Page } from 'playwright-core';
import { expect, it } from 'vitest';
import { stage } from '../stage/current';
import { isLive } from '../stage/screen';
import { RESULT } from '../stage/service';
import { until } from '../stage/wait';
import { showcase } from './showcase';
import { counting, fresh, running } from './writer';

const FIRST_LOAD = 150_000;

/** Goes through a page by the Tab key, and tells what it reached without a visible focus. */
async function tabThrough(page: Page): Promise<{ reached: string[]; unseen: string[] }> {
  const reached: string[] = [];
  const unseen: string[] = [];
  await page.locator('body').press('Tab');
  for (let step = 0; step < 80; step++) {
    const { name, visible, again } = await page.evaluate(() => {
      const focused = document.activeElement as HTMLElement;
      const styles = [getComputedStyle(focused), getComputedStyle(focused, '::after')];
      const again = focused.dataset['reached'] === 'yes' || focused === document.body;
      focused.dataset['reached'] = 'yes';
      return {
        name: focused.getAttribute('aria-label') ?? focused.textContent?.trim() ?? '',
        visible: styles.some((style) => style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0),
        again,
      };
    });
    if (again) break;
    reached.push(name);
    if (!visible) unseen.push(name);
    await page.keyboard.press('Tab');
  }
  return { reached, unseen };
}

export function everyoneStories(): void {
  it('loads little', async () => {
    await showcase();
    for (const path of ['', `/builds/${await showcase()}`]) {
      const sizes = new Map<string, number>();
      const page = await stage.page(path, {
        before: async (page) => {
          const session = await page.context().newCDPSession(page);
          await session.send('Network.enable');
          const addresses = new Map<string, string>();
          session.on('Network.responseReceived', ({ requestId, response }) =>
            addresses.set(requestId, response.url),
          );
          session.on('Network.loadingFinished', ({ requestId, encodedDataLength }) =>
            sizes.set(addresses.get(requestId) ?? requestId, encodedDataLength),
          );
        },
      });
      await isLive(page).waitFor();
      const ofPage = [...sizes].filter(([address]) => new URL(address).pathname.startsWith('/monitor'));
      const sum = ofPage.reduce((sum, [, size]) => sum + size, 0);
      expect(ofPage.length).toBeGreaterThan(2);
      expect(sum, JSON.stringify(ofPage)).toBeLessThan(FIRST_LOAD);
    }
  });

  it('is reached by keyboard, with the focus always visible', async () => {
    const overview = await stage.page('');
    await overview.getByRole('table', { name: 'History' }).waitFor();
    expect((await tabThrough(overview)).unseen).toEqual([]);
    const build = await stage.page(`/builds/${await showcase()}`);
    await build.locator('[data-line]').first().waitFor();
    const { reached, unseen } = await tabThrough(build);
    expect(unseen).toEqual([]);
    for (const name of ['Rebuild', 'Wrap', 'Raw', 'Lines of the log']) expect(reached).toContain(name);
  });

  it('lists its keys', async () => {
    const page = await stage.page('');
    await page.getByRole('table', { name: 'History' }).waitFor();
    await page.keyboard.press('?');
    await page.getByRole('dialog').getByText('Keys').first().waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'hidden' });
  });

  it('stands still for who wants less motion', async () => {
    const id = await running(counting(10));
    const moves = async (reducedMotion: 'reduce' | 'no-preference') => {
      const page = await stage.page('', { reducedMotion });
      await page.locator(`article a[href$="${id}"]`).waitFor();
      return page.evaluate(
        () => document.getAnimations().filter((animation) => animation.playState === 'running').length,
      );
    };
    expect(await moves('no-preference')).toBeGreaterThan(0);
    expect(await moves('reduce')).toBe(0);
  });

  it('is light or dark by the system, or by hand', async () => {
    const page = await stage.page('', { colorScheme: 'light' });
    const brightness = () =>
      page.evaluate(() => {
        const pixel = new OffscreenCanvas(1, 1).getContext('2d');
        if (!pixel) throw new Error('there is no canvas');
        pixel.fillStyle = getComputedStyle(document.documentElement).backgroundColor;
        pixel.fillRect(0, 0, 1, 1);
        return pixel.getImageData(0, 0, 1, 1).data[0] ?? 0;
      });
    await isLive(page).waitFor();
    expect(await brightness()).toBeGreaterThan(200);
    await page.emulateMedia({ colorScheme: 'dark' });
    await until(async () => expect(await brightness()).toBeLessThan(60));
    await page.getByRole('button', { name: /^(Theme|Colours)/ }).click();
    await until(async () => expect(await brightness()).toBeGreaterThan(200));
    await page.reload();
    await until(async () => expect(await brightness()).toBeGreaterThan(200));
  });

  it('shows the state of the build in title and icon of the tab', async () => {
    const id = await stage.service.build(fresh(), 'main', counting(10));
    await stage.service.reaches(id, 'building');
    const page = await stage.page(`/builds/${id}`);
    const icon = async () => (await page.locator('link[rel=icon]').getAttribute('href')) ?? '';
    await until(async () => expect(await page.title()).toMatch(/^● acme\/story.*main/));
    const before = await icon();
    await stage.service.go(id, 'end');
    await until(async () => expect(await page.title()).toMatch(/^✓ /));
    expect(await icon()).not.toBe(before);
    expect(await icon()).toMatch(/^data:image\/svg/);
  });

  it('has badges that a cache can keep', async () => {
    const id = await stage.service.build('acme/badge', 'main', `echo fine\n${RESULT}`);
    await stage.service.reaches(id, 'succeeded');
    const address = '/badge/acme/badge/main.svg';
    const first = await stage.service.request(address);
    expect(first.headers.get('content-type')).toContain('image/svg+xml');
    expect(await first.text()).toContain('passing');
    const etag = first.headers.get('etag') ?? '';
    expect(etag).not.toBe('');
    const known = { headers: { 'if-none-match': etag } };
    expect((await stage.service.request(address, known)).status).toBe(304);
    await stage.service.reaches(await stage.service.build('acme/badge', 'main', 'exit 1'), 'failed');
    const later = await stage.service.request(address, known);
    expect([later.status, (await later.text()).includes('failing')]).toEqual([200, true]);
  });
}
