import { expect, it } from 'vitest';
import { once, stage } from '../stage/current';
import { firstLine, goToLine, isOnScreen, search } from '../stage/screen';
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

/** Needles far to the right in lines far down, of which one is too long to be kept; and many such lines. */
const haywire = once(async () => {
  const xs = (count: number) => `head -c ${count} /dev/zero | tr '\\0' x`;
  const script = [
    `seq 100000`,
    `${xs(5000)}; echo ' needle one'; seq 2000`,
    `${xs(500_000)}; printf ' needle two '; ${xs(500_000)}; echo; seq 2000`,
    `for line in $(seq 20); do echo "long $line $(${xs(100_000)})"; done`,
    RESULT,
  ];
  const id = await stage.service.build('acme/haywire', 'main', script.join('\n'));
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

  it('goes to a match far to the right in a line that was not here yet, wrapped or not', async () => {
    const id = await haywire();
    const page = await stage.page(`/builds/${id}#L1`);
    await until(async () => expect(await firstLine(page)).toBe(1));
    const isSeen = () =>
      page.locator('.scroller').evaluate((scroller) => {
        const hit = scroller.querySelector('.hit.current')?.getBoundingClientRect();
        const view = scroller.getBoundingClientRect();
        const isWithin = hit && hit.left >= view.left && hit.right <= view.left + scroller.clientWidth;
        return isWithin && hit.top >= view.top && hit.bottom <= view.bottom;
      });
    const isAt = (needle: string) =>
      until(async () => {
        const line = await lineOf(id, needle);
        expect(await page.locator(`[data-line="${line}"] .hit.current`).count()).toBe(1);
        expect(await isSeen()).toBe(true);
      });
    await search(page, 'needle');
    await isAt('needle one');
    // A link to where the address is already leads nowhere.
    let start = 1;
    for (const wrapped of [false, true]) {
      await page.locator('.scroller').focus();
      if (wrapped) await page.keyboard.press('w');
      for (const steps of [1, 2]) {
        // From far away, of a page that has just been loaded, so that neither line is here.
        await goToLine(page, (start += 1));
        await until(async () => expect(await firstLine(page)).toBe(1));
        await page.reload();
        await until(async () => expect(await isOnScreen(page, 1)).toBe(true));
        await until(async () =>
          expect(await page.getByRole('search').getByRole('status').innerText()).toMatch(/2/),
        );
        await page.locator('.scroller').focus();
        for (let step = 0; step < steps; step++) await page.keyboard.press('n');
        await isAt(steps === 1 ? 'needle one' : 'needle two');
      }
    }
  });

  it('asks once for many long lines that are on screen together', async () => {
    const id = await haywire();
    const first = await lineOf(id, 'long 1 x');
    const page = await stage.page(`/builds/${id}#L${first}`);
    await page.getByText('long 20 xxx').waitFor();
    let asked = 0;
    page.on('request', (request) => {
      if (new URL(request.url()).pathname.endsWith('/log')) asked += 1;
    });
    /** So many are asked for until the page asks no more for half a second of frames. */
    const askedUntilQuiet = async () => {
      await until(async () => {
        const before = asked;
        await page.evaluate(async () => {
          for (let frame = 0; frame < 30; frame++) await new Promise(requestAnimationFrame);
        });
        expect(asked).toBe(before);
      });
      return asked;
    };
    await askedUntilQuiet();
    asked = 0;
    // Far to the right, where one piece of each line comes, or two.
    await page.locator('.scroller').evaluate((scroller) => (scroller.scrollLeft = 300_000));
    await until(() => expect(asked).toBeGreaterThan(0));
    expect(await askedUntilQuiet()).toBeLessThanOrEqual(40);
  });
}
