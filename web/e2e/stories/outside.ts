import type { Locator, Page } from 'playwright-core';
import { expect, it } from 'vitest';
import type { Build } from '../../src/api/types';
import { once, stage } from '../stage/current';
import { search } from '../stage/screen';
import { hold } from '../stage/service';
import { until } from '../stage/wait';
import { lineOf, showcase } from './showcase';
import { elsewhere } from './signin';

const IMAGE = '<img src=x onerror=alert(1)>';
const SCRIPT = '"><script>alert(2)</script>';
/** As far as git allows it in the name of a branch. */
const BRANCH = '<img/src=x/onerror=alert(3)>';
const PATH = `${SCRIPT}/${IMAGE}.sh`;
const ARTIFACT = `${IMAGE}.tar.gz`;

/** A service all of whose texts that others choose are hostile; three builds: a good, a bad, and a running one. */
const hostile = once(async () => {
  const service = await stage.another();
  await service.start();
  const name = 'acme/hostile';
  const quoted = (text: string) => `'${text}'`;
  const recipe = [`buildscripts: [${quoted(PATH)}]`, `${quoted(PATH)}:`, `  artifact: ${quoted(ARTIFACT)}`];
  await service.configure(name, BRANCH, `${recipe.join('\n')}\n`);
  await service.configure(
    'acme/broken',
    'main',
    `buildscripts: [${quoted(PATH)}]\n${quoted(IMAGE)}: ${SCRIPT}\n`,
  );
  const repository = await service.repository(name);
  const build = async (script: string) => {
    await repository.commit({ [PATH]: `#!/bin/sh\necho ${quoted(IMAGE)}\n${script}` }, { message: IMAGE });
    const push = await repository.push(BRANCH);
    // Git lets no author have such a name; GitHub tells it as it is.
    const told = JSON.stringify(push.payload)
      .replaceAll('"Ada"', JSON.stringify(SCRIPT))
      .replaceAll('"ada"', JSON.stringify(IMAGE));
    const [id = ''] = await service.deliver({ ...push, payload: JSON.parse(told) as unknown });
    return id;
  };
  const good = await build(`echo result >/target/${quoted(ARTIFACT)}\n`);
  await service.reaches(good, 'succeeded');
  const bad = await build('exit 3');
  await service.reaches(bad, 'failed');
  const running = await build(hold('end'));
  await service.reaches(running, 'building');
  return { service, good, bad, running };
});

/** What of a page its own source does not have. */
function foreignElements(page: Page): Promise<string[]> {
  return page.evaluate(() =>
    [...document.querySelectorAll('*')]
      .filter(
        (element) =>
          element.matches('img, iframe, object, embed, style, script:not([src^="/monitor/assets/"])') ||
          element.matches('a[href^="javascript:"]') ||
          element.getAttributeNames().some((name) => name.startsWith('on')),
      )
      .map(({ outerHTML }) => outerHTML),
  );
}

export function outsideStories(): void {
  it('is text, never HTML', async () => {
    const id = await showcase();
    const page = await stage.page(`/builds/${id}#L${await lineOf(id, '<script>')}`);
    await page.getByText('<script>alert("text is never HTML")</script>').waitFor();
    expect(await page.locator('.scroller img, .scroller script').count()).toBe(0);
    await page.getByRole('heading', { name: 'Show everything <b>there is</b>' }).waitFor();
  });

  it('is text in every field of every page', async () => {
    const { service, good, bad, running } = await hostile();
    const dialogs: string[] = [];
    const open = async (path: string) => {
      // Whatever the Content-Security-Policy stops, the browser complains of, and the story fails.
      return stage.page(path, {
        of: service,
        before: (page) => {
          page.on('dialog', (dialog) => {
            dialogs.push(dialog.message());
            void dialog.dismiss();
          });
          // These the service itself bounds.
          return page.route(`**/api/v1/builds/${bad}`, async (route) => {
            const answer = await route.fetch();
            const build = (await answer.json()) as Build;
            await route.fulfill({
              response: answer,
              json: {
                ...build,
                tag: `${IMAGE} tag`,
                image: `${SCRIPT} image`,
                commits: build.commits.map((commit) => ({ ...commit, url: 'javascript:alert(4)' })),
              },
            });
          });
        },
      });
    };
    const shows = async (page: Page, ...texts: string[]) => {
      await until(async () => {
        const text = await page.locator('body').innerText();
        for (const one of texts) expect(text).toContain(one);
      });
      expect(await foreignElements(page)).toEqual([]);
      expect(dialogs).toEqual([]);
    };

    const overview = await open('');
    await overview.locator('article .tail').getByText(IMAGE, { exact: true }).waitFor();
    await overview.locator('.rows').getByRole('row').nth(1).waitFor();
    await shows(overview, IMAGE, BRANCH, PATH, ARTIFACT, SCRIPT);
    await overview.goto(`${service.origin}/monitor?${new URLSearchParams({ text: IMAGE })}`);
    await overview.locator('.rows').getByRole('row').nth(1).waitFor();
    await shows(overview, IMAGE);
    await overview.goto(
      `${service.origin}/monitor?${new URLSearchParams({ branch: BRANCH, repository: 'acme/none' })}`,
    );
    await shows(overview, `the branch ${BRANCH}`);
    await overview.goto(`${service.origin}/monitor?${new URLSearchParams({ repository: SCRIPT })}`);
    await shows(overview, '<script>alert(2)</script>" is not a repository');

    await shows(await open('/repositories'), BRANCH);
    await shows(await open('/configuration'), IMAGE, SCRIPT);
    await shows(await open(`/builds/${running}`), IMAGE, SCRIPT, BRANCH, PATH);
    await shows(await open(`/builds/${good}`), `push by ${IMAGE}`, ARTIFACT);
    await shows(await open(`/builds/${encodeURIComponent(IMAGE)}`), IMAGE);

    const failed = await open(`/builds/${bad}`);
    await shows(failed, 'exit code 3', IMAGE, SCRIPT, `${IMAGE} tag`, `${SCRIPT} image`);
    await search(failed, IMAGE);
    await failed.locator('.hit').first().waitFor();
    await failed.getByRole('button', { name: 'Regular expression' }).click();
    await search(failed, `${SCRIPT}(`);
    await failed.getByRole('search').getByRole('alert').waitFor();
    await shows(failed, SCRIPT);
    stage.forgive(/400|404/);
  });

  it('cannot have the page in a frame, where clicks could be stolen', async () => {
    const page = await stage.page('');
    const { port, close } = await elsewhere();
    for (const host of ['127.0.0.1', 'localhost']) {
      const attacker = await page.context().newPage();
      await attacker.goto(`http://${host}:${port}`);
      await attacker.evaluate((address) => {
        const frame = document.createElement('iframe');
        frame.src = address;
        document.body.append(frame);
      }, `${stage.service.origin}/monitor`);
      const frame = () => attacker.frames()[1];
      await until(() => expect(frame()?.url()).toMatch(/^chrome-error:/));
      expect(await frame()?.locator('#app').count()).toBe(0);
    }
    await close();
  });

  it('is shown as a terminal would', async () => {
    const id = await showcase();
    const page = await stage.page(`/builds/${id}#L${await lineOf(id, 'colour 30')}`);
    await page.getByText('downloading #################### 100 %').waitFor();
    await page.getByText('written OVER').waitFor();
    await page.getByText("left alone: no title, a link's text").waitFor();
    const styled = (text: string) => page.locator('.text span', { hasText: text }).last();
    expect(await hueOf(styled('goes on'))).toBe('red');
    expect(await hueOf(styled('over the end of its line'))).toBe('red');
    expect(await hueOf(styled('true colour'))).toBe('green');
    expect(await hueOf(styled('one of 256'))).toBe('red');
    const weight = await styled('bold').evaluate((span) => getComputedStyle(span).fontWeight);
    expect(Number(weight)).toBeGreaterThanOrEqual(600);
    const line = await styled('underlined').evaluate((span) => getComputedStyle(span).textDecorationLine);
    expect(line).toContain('underline');
  });
}

/** Which colour a text mostly has. Its shade is chosen by the page, to be read on its ground. */
async function hueOf(text: Locator): Promise<string> {
  const [red = 0, green = 0, blue = 0] = await text.evaluate((element) => {
    const pixel = new OffscreenCanvas(1, 1).getContext('2d');
    if (!pixel) throw new Error('there is no canvas');
    pixel.fillStyle = getComputedStyle(element).color;
    pixel.fillRect(0, 0, 1, 1);
    return Array.from(pixel.getImageData(0, 0, 1, 1).data);
  });
  const strongest = Math.max(red, green, blue);
  if (strongest - Math.min(red, green, blue) < 30) return 'grey';
  return strongest === red ? 'red' : strongest === green ? 'green' : 'blue';
}
