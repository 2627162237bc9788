import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { archive, once, stage } from '../stage/current';
import { isLive } from '../stage/screen';
import type { Service } from '../stage/service';
import { RESULT } from '../stage/service';
import { forgetful } from './build';
import { broken } from './configuration';
import { showcase } from './showcase';
import { hidden } from './signin';
import { counting, running } from './writer';

interface Place {
  path: string;
  of?: Service;
}

const empty = once(async () => {
  const service = await stage.another();
  await service.start();
  return service;
});

const PLACES: Record<string, () => Promise<Place>> = {
  'the overview': async () => {
    await stage.service.build('acme/hello', 'main', `echo hello\n${RESULT}`);
    await running(counting(10));
    return { path: '' };
  },
  'a running build': async () => ({ path: `/builds/${await running(counting(10))}` }),
  'a failed build': async () => ({ path: `/builds/${await showcase()}` }),
  'a build with a long log': async () => {
    const of = await archive();
    const [build] = await of.list('limit=1');
    return { of, path: `/builds/${build?.id}` };
  },
  'a build whose log is no longer kept': async () => {
    const { service: of, long, forget } = await forgetful();
    await forget();
    return { of, path: `/builds/${long}` };
  },
  'a build that does not exist': () => Promise.resolve({ path: '/builds/none' }),
  'the repositories': () => Promise.resolve({ path: '/repositories' }),
  'the configuration': async () => ({ of: await broken(), path: '/configuration' }),
  'signing in': async () => ({ of: await hidden(), path: '' }),
  'an unknown address': () => Promise.resolve({ path: '/nowhere' }),
  'an empty service': async () => ({ of: await empty(), path: '' }),
};

/** What axe objects to, with where. */
async function objections(page: Page): Promise<string[]> {
  const axe = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
  await page.evaluate(await readFile(axe, 'utf8'));
  return page.evaluate(async () => {
    const { axe } = window as unknown as { axe: typeof import('axe-core') };
    const { violations } = await axe.run(document, { resultTypes: ['violations'] });
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.target).join(', ')}`);
  });
}

async function settled(page: Page): Promise<void> {
  await isLive(page).or(page.getByLabel('API token')).first().waitFor();
  await page.waitForFunction(() => !document.querySelector('[aria-busy=true], .awaited'));
}

export function axeStories(): void {
  describe.each(Object.entries(PLACES))('%s', (_, place) => {
    it('has nothing that axe objects to in light and dark, and fits into any width', async () => {
      const { path, of = stage.service } = await place();
      const page = await stage.page(path, { of, colorScheme: 'light' });
      for (const [width, colorScheme] of [
        [1440, 'light'],
        [820, 'dark'],
        [360, 'light'],
        [360, 'dark'],
      ] as const) {
        await page.setViewportSize({ width, height: 800 });
        await page.emulateMedia({ colorScheme });
        await settled(page);
        expect(await objections(page), `${width} px, ${colorScheme}`).toEqual([]);
        expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
      }
      stage.forgive(/40[14]|WebSocket/);
    });
  });
}
