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

<<<<<<< HEAD
=======
/** Ten thousand lines, of which a hundred say so; a second between the two halves. */
const haystack = once(async () => {
  const lines = (from: number, to: number) =>
    `seq ${from} ${to} | sed 's/^\\(.*00\\)$/\\1 Hundred/; s/^/straw /'\n`;
  const script = `${lines(1, 5000)}${hold('half')}${lines(5001, 10_000)}echo 'a "Quoted" [end]'\n${RESULT}`;
  const id = await stage.service.build('acme/haystack', 'main', script, { message: 'Make hay' });
  // From the service's having the first half, a second passes until there is more.
  await until(async () => expect((await stage.service.one(id)).log.lines).toBeGreaterThan(5000));
  await pause(1000);
  await stage.service.go(id, 'half');
  await stage.service.reaches(id, 'succeeded');
  return id;
});

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

const log = (page: Page) => page.getByRole('region', { name: 'Log', exact: true });
const searchStatus = (page: Page) => page.getByRole('search').getByRole('status');

async function search(page: Page, text: string): Promise<void> {
  await page.locator('.scroller').focus();
  await page.keyboard.press('/');
  await page.keyboard.press('ControlOrMeta+a');
  await page.keyboard.type(text);
  await page.keyboard.press('Enter');
}

/** Whether a line is on screen, whole. */
async function isOnScreen(page: Page, line: number): Promise<boolean> {
  return (await linesOnScreen(page)).some(({ number, text }) => number === line && text !== '');
}

/** Whether the keys that scroll are the log's. */
function hasFocus(page: Page): Promise<boolean> {
  return page.locator('.scroller').evaluate((scroller) => scroller === document.activeElement);
}

/** Waits until nothing scrolls any more: for longer than the page itself takes to be sure of it. */
async function rests(page: Page): Promise<void> {
  await page.locator('.scroller').evaluate(async (scroller) => {
    for (let still = 0, before = -1; still < 15; before = scroller.scrollTop) {
      await new Promise(requestAnimationFrame);
      still = scroller.scrollTop === before ? still + 1 : 0;
    }
  });
}

async function copied(page: Page): Promise<string> {
  return page.evaluate(() => navigator.clipboard.readText());
}

/** Where two long texts part; they themselves are too long to be read in a failure. */
function firstDifference(one: string, other: string): string | null {
  if (one === other) return null;
  let at = 0;
  while (one[at] === other[at]) at += 1;
  return `at ${at}: ${JSON.stringify(one.slice(at, at + 60))}, not ${JSON.stringify(other.slice(at, at + 60))}`;
}

/** The bytes of a log without what a terminal acts upon, as its reader sees them. */
async function plainLines(id: string, first: number, last: number): Promise<string> {
  const lines = (await stage.service.logOf(id)).split('\n').slice(first - 1, last);
  return lines.join('\n');
}

>>>>>>> logview
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

<<<<<<< HEAD
=======
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
        await until(async () => expect(await searchStatus(page).innerText()).toMatch(/2/));
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

  it('shows what would turn a line around, and what is concealed as a terminal does; both are copied', async () => {
    const evil = 'if \u202e"live"\u2066 \u200f;';
    const id = await stage.service.build(fresh(), 'main', {
      'build.sh': '#!/bin/sh\ncat output\nexit 2\n',
      output: `${evil}\npassword \x1b[8msecret\x1b[28m, \x1b[4:3;53mcurly\x1b[0m\n`,
    });
    await stage.service.reaches(id, 'failed');
    const first = await lineOf(id, '"live"');
    const page = await stage.page(`/builds/${id}#L${first}-L${first + 1}`, {
      permissions: ['clipboard-read', 'clipboard-write'],
    });
    const text = page.locator(`[data-line="${first}"] .text`);
    await until(async () => expect(await text.innerText()).toBe('if <U+202E>"live"<U+2066> <U+200F>;'));
    // The strokes stand as the text does.
    const style = (words: string) =>
      page
        .locator(`[data-line="${first + 1}"]`)
        .getByText(words)
        .evaluate((span) => {
          const { color, textDecorationLine, fontStyle } = getComputedStyle(span);
          return [color, textDecorationLine, fontStyle];
        });
    expect(await style('secret')).toEqual(['rgba(0, 0, 0, 0)', 'none', 'normal']);
    expect((await style('curly')).slice(1)).toEqual(['underline overline', 'normal']);

    const lines = page.getByRole('region', { name: 'Lines of the log' });
    const before = await lines.boundingBox();
    await page.getByRole('button', { name: 'Copy lines', exact: true }).click();
    const notice = log(page).getByText('Copied 2 lines.');
    await notice.waitFor();
    expect(await lines.boundingBox()).toEqual(before);
    expect(await copied(page)).toBe(`${evil}\npassword secret, curly`);
    // What is selected is seen.
    expect((await style('secret'))[0]).not.toBe('rgba(0, 0, 0, 0)');
  });

>>>>>>> logview
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
