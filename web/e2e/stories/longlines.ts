import { expect, it } from 'vitest';
import { once, stage } from '../stage/current';
import { firstLine, goToLine, isOnScreen } from '../stage/screen';
import { RESULT } from '../stage/service';
import { until } from '../stage/wait';
import { lineOf, showcase } from './showcase';

/** One line of ten megabytes between two others. */
const LONG_LINE = 10_000_000;
const longLine = once(async () => {
  const digits = `head -c ${LONG_LINE} /dev/zero | tr '\\0' x`;
  const script = `echo before; ${digits}; echo needle; echo after\n${RESULT}`;
  const id = await stage.service.build('acme/long-line', 'main', script);
  await stage.service.reaches(id, 'succeeded');
  return id;
});

export function longLineStories(): void {
  it('wraps long lines or not', async () => {
    const id = await showcase();
    const line = await lineOf(id, 'x'.repeat(400));
    const page = await stage.page(`/builds/${id}#L${line}`);
    const height = async () => {
      const boxes = await page
        .locator(`[data-line="${line}"]`)
        .evaluateAll((rows) => rows.map((row) => row.getBoundingClientRect().height));
      return boxes.reduce((sum, height) => sum + height, 0);
    };
    const width = () =>
      page.locator('.scroller').evaluate((scroller) => scroller.scrollWidth - scroller.clientWidth);
    await until(async () => expect(await isOnScreen(page, line)).toBe(true));
    const one = await height();
    expect(await width()).toBeGreaterThan(0);
    await page.keyboard.press('w');
    await until(async () => expect(await height()).toBeGreaterThanOrEqual(2 * one));
    expect(await width()).toBe(0);
    await page.reload();
    await until(async () => expect(await height()).toBeGreaterThanOrEqual(2 * one));
    await page.keyboard.press('w');
    await until(async () => expect(await height()).toBe(one));
  });

  it('is not stalled by a line of ten megabytes, wrapped or not, and shows its end', async () => {
    const id = await longLine();
    const line = await lineOf(id, 'before');
    const page = await stage.page(`/builds/${id}#L${line}`);
    await page.getByText('xxxxxxxxxx').first().waitFor();
    await page.evaluate(() => {
      let last = performance.now();
      const watched = window as unknown as { longest: number };
      watched.longest = 0;
      const look = (now: number) => {
        watched.longest = Math.max(watched.longest, now - last);
        last = now;
        requestAnimationFrame(look);
      };
      requestAnimationFrame((now) => {
        last = now;
        requestAnimationFrame(look);
      });
    });
    await page.keyboard.press('w');
    await page.keyboard.press('G');
    await page.getByText('after', { exact: true }).waitFor();
    await page.keyboard.press('g');
    await until(async () => expect(await firstLine(page)).toBe(1));
    await page.keyboard.press('w');
    await goToLine(page, line + 2);
    await page.getByText('after', { exact: true }).waitFor();
    const isEndInView = () =>
      page.locator('.scroller').evaluate((scroller) => {
        scroller.scrollLeft = scroller.scrollWidth;
        const texts = document.createTreeWalker(scroller, NodeFilter.SHOW_TEXT);
        for (let text = texts.nextNode(); text; text = texts.nextNode()) {
          const at = (text.textContent ?? '').indexOf('needle');
          if (at === -1) continue;
          const needle = document.createRange();
          needle.setStart(text, at);
          needle.setEnd(text, at + 'needle'.length);
          const { left, right } = needle.getBoundingClientRect();
          const view = scroller.getBoundingClientRect();
          return left > view.left && right <= view.left + scroller.clientWidth;
        }
        return false;
      });
    await until(async () => expect(await isEndInView()).toBe(true));
    const shown = await page.locator('.scroller').evaluate((scroller) => scroller.textContent?.length ?? 0);
    expect(shown).toBeLessThan(200_000);
    // Generous, for a machine that does other work.
    expect(await page.evaluate(() => (window as unknown as { longest: number }).longest)).toBeLessThan(2000);
  });
}
