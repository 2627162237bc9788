import type { Page } from 'playwright-core';
import { expect, it } from 'vitest';
import { stage } from '../stage/current';
import { goToLine, isOnScreen, log } from '../stage/screen';
import { RESULT, hold } from '../stage/service';
import { until } from '../stage/wait';
import { haystack } from './haystack';
import { lineOf } from './showcase';
import { bursts, fresh, running } from './writer';

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

export function logTextStories(): void {
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

  it('is as it was coloured far above, at a line that was gone to and at the end that is followed', async () => {
    const colour = (page: Page, line: number) =>
      page.locator(`[data-line="${line}"] .drawn span`).first().getAttribute('style');
    const script = `printf '\\033[1;35m\\n'; seq 10000; echo; exit 2`;
    const id = await stage.service.build(fresh(), 'main', script);
    await stage.service.reaches(id, 'failed');
    const page = await stage.page(`/builds/${id}#L9997`);
    await until(async () => expect(await colour(page, 9997)).toContain('--ansi-5'));
    expect(await page.locator('[data-line="9997"] .bold').count()).toBe(1);

    const live = await running(`printf '\\033[32m\\n'\n${bursts(3000, 10)}`);
    await stage.service.go(live, '1');
    await until(async () => expect((await stage.service.one(live)).log.lines).toBeGreaterThan(3000));
    const follower = await stage.page(`/builds/${live}`);
    const last = await lineOf(live, 'counted to 3000');
    await until(async () => expect(await colour(follower, last)).toContain('--ansi-2'));
    await stage.service.go(live, '2');
    await until(async () => expect(await colour(follower, last + 10)).toContain('--ansi-2'));
  });

  it('is copied exactly, also beyond what is on screen', async () => {
    const id = await haystack();
    const page = await stage.page(`/builds/${id}#L50-L5100`, {
      permissions: ['clipboard-read', 'clipboard-write'],
    });
    await until(async () => expect(await isOnScreen(page, 50)).toBe(true));
    const top = async () => (await page.locator('.scroller').boundingBox())?.y;
    const before = await top();
    await page.getByRole('button', { name: 'Copy lines', exact: true }).click();
    await log(page).getByText('Copied 5,051 lines.').waitFor();
    expect(await top()).toBe(before);
    const wanted = await plainLines(id, 50, 5100);
    await until(async () => expect(firstDifference((await copied(page)).trimEnd(), wanted)).toBeNull());
    // With the mouse, from within one line into another.
    const [from, to] = [page.locator('[data-line="60"] .text'), page.locator('[data-line="62"] .text')];
    await goToLine(page, 60);
    await until(async () => expect(await isOnScreen(page, 62)).toBe(true));
    const [above, below] = [await from.boundingBox(), await to.boundingBox()];
    if (!above || !below) throw new Error('there are no lines');
    await page.mouse.move(above.x + 1, above.y + above.height / 2);
    await page.mouse.down();
    await page.mouse.move(below.x + 300, below.y + below.height / 2, { steps: 5 });
    await page.mouse.up();
    await page.keyboard.press('ControlOrMeta+c');
    await until(async () => expect(await copied(page)).toBe(await plainLines(id, 60, 62)));
    // All of it.
    await page.keyboard.press('ControlOrMeta+a');
    await page.keyboard.press('ControlOrMeta+c');
    const all = (await stage.service.logOf(id)).trimEnd();
    await until(async () => expect(firstDifference((await copied(page)).trimEnd(), all)).toBeNull());
  });

  it('is copied by a button as by a key, without moving, and never in place of what is selected beside it', async () => {
    const id = await haystack();
    const page = await stage.page(`/builds/${id}#L60`, {
      permissions: ['clipboard-read', 'clipboard-write'],
    });
    await until(async () => expect(await isOnScreen(page, 62)).toBe(true));
    const button = page.getByRole('button', { name: 'Copy selection' });
    expect(await button.count()).toBe(0);
    const selectLines = async () => {
      const [above, below] = await Promise.all(
        [60, 62].map((line) => page.locator(`[data-line="${line}"] .text`).boundingBox()),
      );
      if (!above || !below) throw new Error('there are no lines');
      await page.mouse.move(above.x + 1, above.y + above.height / 2);
      await page.mouse.down();
      await page.mouse.move(below.x + 300, below.y + below.height / 2, { steps: 5 });
      await page.mouse.up();
    };
    const top = async () => (await page.locator('.scroller').boundingBox())?.y;
    // Also where the bar has no room for more.
    for (const width of [600, 900, 1000, 1100, 1280]) {
      await page.keyboard.press('Escape');
      await button.waitFor({ state: 'detached' });
      await page.setViewportSize({ width, height: 800 });
      await until(async () => expect(await isOnScreen(page, 62)).toBe(true));
      const before = await top();
      await selectLines();
      await button.waitFor();
      expect(await top()).toBe(before);
    }
    await button.click();
    const lines = await plainLines(id, 60, 62);
    await until(async () => expect(await copied(page)).toBe(lines));

    const beside = page.locator('.facts').getByText('Make hay');
    await beside.selectText();
    await page.keyboard.press('ControlOrMeta+c');
    await until(async () => expect(await copied(page)).toBe('Make hay'));
    // What was selected last is what is meant.
    await selectLines();
    await page.keyboard.press('ControlOrMeta+c');
    await until(async () => expect(await copied(page)).toBe(lines));
    await beside.selectText();
    await page.locator('.scroller').focus();
    await page.keyboard.press('ControlOrMeta+a');
    await page.keyboard.press('ControlOrMeta+c');
    await until(async () => expect((await copied(page)).split('\n').length).toBeGreaterThan(10_000));
  });

  it('can be had raw and as a file', async () => {
    const id = await haystack();
    const page = await stage.page(`/builds/${id}`);
    const whole = await stage.service.logOf(id);
    const raw = await page.getByRole('link', { name: 'Raw' }).getAttribute('href');
    expect(await page.evaluate(async (address) => (await fetch(address ?? '')).text(), raw)).toBe(whole);
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('link', { name: 'Download' }).click(),
    ]);
    expect(download.suggestedFilename()).toBe(`${id}.log`);
  });

  it('shows a line that grows with carriage returns as a terminal does', async () => {
    const id = await running(
      `printf 'progress 10 %%'\n${hold('1')}printf '\\rprogress 90 %%'\n${hold('2')}printf '\\rprogress done\\n'\n${hold('end')}${RESULT}`,
    );
    const page = await stage.page(`/builds/${id}`);
    await page.getByText('progress 10 %').waitFor();
    await stage.service.go(id, '1');
    await page.getByText('progress 90 %').waitFor();
    expect(await page.getByText('progress 10 %').count()).toBe(0);
    await stage.service.go(id, '2');
    await page.getByText('progress done').waitFor();
    expect(await page.getByText('progress 90 %').count()).toBe(0);
  });
}
