import { readFile, rm } from 'node:fs/promises';
import type { Page } from 'playwright-core';
import { expect, it } from 'vitest';
import { once, stage } from '../stage/current';
import { linesOnScreen, signIn } from '../stage/screen';
import { RESULT, TOKEN, hold } from '../stage/service';
import { until } from '../stage/wait';
import { fresh, running } from './writer';

/** A service with two builds; it keeps their logs until the story makes it forget. */
export const forgetful = once(async () => {
  const service = await stage.another();
  await service.start();
  const ids: string[] = [];
  for (const lines of [3, 5000]) {
    const id = await service.build('acme/old', 'main', `seq ${lines}\n${RESULT}`, { message: 'Long ago' });
    await service.reaches(id, 'succeeded');
    ids.push(id);
  }
  const [short = '', long = ''] = ids;
  /** As retention does, some time after the build. */
  const forget = once(async () => {
    await service.change({ retention: { logs: '1s' } });
    await until(async () => {
      await service.request('/api/v1/gc', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{}',
      });
      for (const id of ids) expect((await service.one(id)).log.bytes).toBe(0);
    });
  });
  return { service, short, long, forget };
});

/** A build page that says that its log is gone, and is whole otherwise. */
async function saysGone(page: Page): Promise<void> {
  const log = page.getByRole('region', { name: 'Log', exact: true });
  await log
    .getByText('no longer kept. Logs are kept for a time, which retention.logs of the service file sets.')
    .waitFor();
  expect(await log.locator('button, a, input, .strip, .scroller').count()).toBe(0);
  await page.locator('.facts').getByText('collecting').waitFor();
  await page.locator('.facts').getByRole('link', { name: 'result.tar.gz' }).waitFor();
  await page.getByRole('button', { name: 'Rebuild' }).waitFor();
  // Nor is there anything for a key to open.
  await page.keyboard.press('/');
  await page.keyboard.press(':');
  expect(await log.locator('input').count()).toBe(0);
}

export function buildStories(): void {
  it('tells what was pushed, why it was built, each step, and what came of it', async () => {
    const { service } = stage;
    const name = fresh();
    const repository = await service.repository(name);
    await repository.commit({ 'README.md': 'hello' }, { message: 'Say hello', author: 'Grace' });
    const script = `echo working; echo result > /target/result.tar.gz\n`;
    const first = await service.build(name, 'main', script, { message: 'Work', author: 'Łukasz' });
    const build = await service.reaches(first, 'succeeded');
    const page = await stage.page(`/builds/${first}`);
    const facts = page.locator('.facts');
    await facts.getByText('Work').waitFor();
    const text = await facts.innerText();
    for (const fact of [
      'Łukasz',
      'push by ada',
      'preparing',
      'building',
      'collecting',
      'publishing',
      'autobuilder/busybox:test',
      '256 MiB',
      build.container?.slice(0, 12) ?? 'its container',
      'result.tar.gz',
      '7 B',
      build.artifacts[0]?.sha256 ?? 'its checksum',
    ])
      expect(text).toContain(fact);
    const commit = facts.getByRole('link', { name: build.commit.slice(0, 8) });
    expect(await commit.getAttribute('href')).toBe(`https://github.com/${name}/commit/${build.commit}`);
    // A step leads to its line.
    const line = build.steps.find((step) => step.name === 'building')?.line ?? 0;
    await facts.getByRole('link', { name: 'building' }).click();
    expect(new URL(page.url()).hash).toBe(`#L${line}`);
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      facts.getByRole('link', { name: 'result.tar.gz' }).click(),
    ]);
    expect(await readFile(await download.path(), 'utf8')).toBe('result\n');

    // The next build of this branch comes in by itself, and failed.
    const second = await service.build(name, 'main', 'exit 7', { message: 'Break' });
    await service.reaches(second, 'failed');
    await page.getByRole('link', { name: 'Newer build' }).waitFor();
    await page.keyboard.press(']');
    await page.waitForURL(`**/builds/${second}*`);
    await page
      .getByText(/exit code 7/)
      .first()
      .waitFor();
    const chart = page.getByRole('list', { name: /^Durations/ }).getByRole('link');
    await until(async () => expect(await chart.count()).toBe(2));
    expect(await chart.nth(0).getAttribute('aria-label')).toContain('succeeded');
    expect(await chart.nth(1).getAttribute('aria-label')).toContain('failed');
    await page.keyboard.press('[');
    await page.waitForURL(`**/builds/${first}*`);
    await page.goBack();
    await page.waitForURL(`**/builds/${second}*`);
  });

  it('is cancelled and built again with the token, which is asked for until it is right', async () => {
    const id = await running(hold('end'));
    const page = await stage.page(`/builds/${id}`);
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.keyboard.type('wrong');
    await page.keyboard.press('Enter');
    await page.getByText('does not accept that token').waitFor();
    await page.keyboard.type(TOKEN);
    await page.keyboard.press('Enter');
    await until(async () => expect(await page.title()).toMatch(/^⊘ acme\/story/));
    expect((await stage.service.one(id)).state).toBe('cancelled');
    await page.getByRole('button', { name: 'Rebuild' }).click();
    await until(async () => expect(await page.title()).toMatch(/^● acme\/story/));
    expect(page.url()).not.toContain(id);
    stage.forgive(/401/);
  });

  it('is cancelled by two clicks as by one, and not built again by what was meant to cancel it', async () => {
    const holder = await running(hold('end'));
    await running(hold('end'));
    const waiting = await stage.service.build(fresh(), 'main', hold('end'));
    const page = await stage.page(`/builds/${waiting}`);
    await signIn(page);
    const asked: string[] = [];
    page.on('request', (request) => request.method() === 'POST' && asked.push(request.url()));
    const { x, y, width, height } = (await page.getByRole('button', { name: 'Cancel' }).boundingBox()) ?? {
      x: 0,
      y: 0,
      width: 0,
      height: 0,
    };
    const press = async (clickCount: number) => {
      await page.mouse.down({ clickCount });
      await page.mouse.up({ clickCount });
    };
    await page.mouse.move(x + width / 2, y + height / 2);
    await press(1);
    // The first click's answer is here before the second.
    await page.getByRole('button', { name: 'Rebuild', disabled: false }).waitFor();
    await press(2);
    await page.evaluate(() => new Promise(requestAnimationFrame));
    expect(asked.map((address) => address.split('/').at(-1))).toEqual(['cancel']);

    // The build ends by itself as its Cancel is pressed by key.
    await page.goto(`${stage.service.origin}/monitor/builds/${holder}`);
    await page.getByRole('button', { name: 'Cancel' }).focus();
    const pressed = page.evaluate(
      () =>
        new Promise<void>((resolve) => {
          const look = () => {
            const { activeElement } = document;
            if (!(activeElement instanceof HTMLElement) || activeElement.textContent !== 'Rebuild')
              return requestAnimationFrame(look);
            // As Enter does.
            activeElement.click();
            resolve();
          };
          look();
        }),
    );
    await stage.service.cancel(holder);
    await pressed;
    await page.evaluate(() => new Promise(requestAnimationFrame));
    expect(asked).toHaveLength(1);
    // Whoever means it is heard, and has kept the focus.
    await page.getByRole('button', { name: 'Rebuild', disabled: false }).waitFor();
    await page.keyboard.press('Enter');
    await page.waitForURL((url) => !url.pathname.endsWith(holder));
    expect(asked.at(-1)).toMatch(/\/rebuild$/);
  });

  it('has its link and checksums copied where the browser gives no clipboard, and says so each time', async () => {
    const id = await stage.service.build(fresh(), 'main', RESULT);
    const { artifacts } = await stage.service.reaches(id, 'succeeded');
    // As on http, under a name of one's own.
    const page = await stage.page(`/builds/${id}`, {
      before: (page) =>
        page.addInitScript(() => Object.defineProperty(navigator, 'clipboard', { value: undefined })),
    });
    const pasted = async () => {
      await page.keyboard.press('/');
      await page.keyboard.press('ControlOrMeta+a');
      await page.keyboard.press('ControlOrMeta+v');
      return page.getByRole('searchbox').inputValue();
    };
    await page.getByRole('button', { name: /checksum/ }).click();
    expect(await pasted()).toBe(artifacts[0]?.sha256);
    const announced = page.evaluateHandle(() => {
      const said: string[] = [];
      const region = document.querySelector('body > .unseen[role=status], #app > .unseen[role=status]');
      if (!region) throw new Error('nothing is announced');
      new MutationObserver((changes) => {
        for (const { addedNodes } of changes)
          for (const { textContent } of addedNodes) if (textContent) said.push(textContent);
      }).observe(region, { childList: true, subtree: true });
      return said;
    });
    const said = await announced;
    for (let time = 1; time <= 2; time++) {
      await page.getByRole('button', { name: /to this build/ }).click();
      await until(async () => expect(await said.jsonValue()).toHaveLength(time));
    }
    expect(await said.jsonValue()).toEqual(['Copied', 'Copied']);
    expect(await pasted()).toBe((await stage.service.one(id)).url);
  });

  it('says what failed, and what to try', async () => {
    const page = await stage.page('/builds/none');
    await page.getByText('there is no build none').waitFor();
    expect(await page.getByRole('button', { name: 'Try again' }).count()).toBe(0);
    await page.getByRole('link', { name: 'To the overview', exact: true }).click();
    await page.getByText('History').first().waitFor();
    stage.forgive(/404/);
  });

  it('says that its log is no longer kept, and is whole otherwise', async () => {
    const { service, short, long, forget } = await forgetful();
    // The files are gone, and the service misses them.
    for (const file of ['log', 'log.index', 'log.zst'])
      await rm(service.path('data', 'builds', short, file), { force: true });
    const missed = await stage.page(`/builds/${short}`, { of: service });
    await saysGone(missed);
    stage.forgive(/404/);

    // Removed while somebody looks at its beginning: the end is missed when it is looked at.
    const page = await stage.page(`/builds/${long}#L1`, { of: service });
    await until(async () =>
      expect((await linesOnScreen(page))[0]).toEqual({ number: 1, text: expect.stringMatching(/./) }),
    );
    await forget();
    await page.keyboard.press('G');
    await saysGone(page);
    await page.reload();
    await saysGone(page);
    stage.forgive(/404/);
  });
}
