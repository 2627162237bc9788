/**
 * Pictures of each page in three widths, light and dark, for docs/images and for comparing by eye:
 *   npm run screenshots [folder]
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright-core';
import { importArchive } from './stage/archive';
import { isLive } from './stage/screen';
import { RECIPE, RESULT, Service, hold } from './stage/service';
import { openBrowser } from './stage/stage';
import { found } from './stage/wait';

const FOLDER = process.argv[3] ?? fileURLToPath(new URL('../../docs/images', import.meta.url));
const WIDTHS = { 1440: 900, 820: 1000, 360: 740 };
const QUALITY = 60;

/** A compiler's words, then a pause in which the picture is taken. */
const COMPILE = (seconds: number) => `
printf '\\033[1m== configure\\033[0m\\nchecking for a C compiler ... cc\\n'
for i in $(seq 1 240); do
  printf '\\033[32m[%3d%%]\\033[0m cc -O2 -Wall -c src/module_%d.c -o build/module_%d.o\\n' $((i * 10 / 24)) $i $i
  [ $((i % 40)) -ne 0 ] || printf "\\033[1;33mwarning:\\033[0m src/module_%d.c:%d:9: unused variable 'index'\\n" $i $((i * 3))
done
usleep ${seconds * 1_000_000}
`;
const FAIL = `
printf "\\033[1msrc/upload.c:41:7:\\033[0m \\033[1;31merror:\\033[0m 'offset' undeclared (first use in this function)\\n"
printf '   41 |   if (offset > size) return;\\n      |       ^~~~~~\\n'
echo 'make: *** [Makefile:12: build/upload.o] Error 1' >&2
exit 2
`;

async function prepare(): Promise<Record<string, string>> {
  const [good, bad] = [`${COMPILE(1)}${RESULT}`, `${COMPILE(0.3)}${FAIL}`];
  const change = (message: string, author: string) => ({ message, author });
  const pushes: [string, string, string, string, string][] = [
    ['acme/app', 'main', good, 'Read the manifest once, at the edge', 'Ada Lovelace'],
    ['acme/app', 'main', bad, 'Let the uploader resume', 'Grace Hopper'],
    ['acme/app', 'main', good, 'Keep the offset of a resumed upload', 'Grace Hopper'],
    ['acme/web', 'main', good, 'Say what failed, and what to try', 'Łukasz'],
    ['acme/web', 'topic', `exit 0\n`, 'Try it with threads', 'Łukasz'],
    ['acme/app', 'main', good, 'Name the file that is missing', 'Ada Lovelace'],
    ['acme/app', 'release-2.1', bad, 'Release 2.1', 'Ada Lovelace'],
  ];
  const ids: string[] = [];
  for (const [name, branch, script, message, author] of pushes) {
    const id = await service.build(name, branch, script, change(message, author));
    ids.push(id);
    await found(`${id} ends`, async () => ((await service.one(id)).ended === null ? null : true));
  }
  await service.configure('acme/docs', 'main', RECIPE);
  await service.configure(
    'acme/tools',
    'main',
    'buildscripts: [build.sh]\nbuild.sh:\n  artefact: tools.tar.gz\n  format: binary\n',
  );
  const busy = `${COMPILE(0)}${hold('end')}${RESULT}`;
  await service.build('acme/app', 'main', busy, change('Write fewer words', 'Grace Hopper'));
  await service.build('acme/web', 'main', busy, change('Draw the chart by hand', 'Ada Lovelace'));
  await service.build('acme/app', 'topic', busy, change('Try it with threads', 'Łukasz'));
  await found('both run', async () => ((await service.list('state=building')).length === 2 ? true : null));
  const failed = ids.at(-1) ?? '';
  return {
    overview: '',
    build: `/builds/${failed}`,
    repositories: '/repositories',
    configuration: '/configuration',
  };
}

async function picture(page: Page, name: string): Promise<number> {
  const session = await page.context().newCDPSession(page);
  const { data } = await session.send('Page.captureScreenshot', { format: 'webp', quality: QUALITY });
  const bytes = Buffer.from(data, 'base64');
  await writeFile(`${FOLDER}/${name}.webp`, bytes);
  return bytes.length;
}

const browser = await openBrowser();
const service = await Service.prepare();
try {
  await mkdir(FOLDER, { recursive: true });
  await importArchive(service, { builds: 400 });
  await service.start();
  const pages = await prepare();
  let sum = 0;
  for (const colorScheme of ['light', 'dark'] as const) {
    const context = await browser.newContext({ colorScheme, reducedMotion: 'reduce' });
    const page = await context.newPage();
    for (const [name, path] of Object.entries(pages)) {
      for (const [width, height] of Object.entries(WIDTHS)) {
        await page.setViewportSize({ width: Number(width), height });
        await page.goto(`${service.origin}/monitor${path}`);
        await isLive(page).waitFor();
        await page.waitForFunction(() => !document.querySelector('[aria-busy=true], .awaited'));
        await page.waitForLoadState('networkidle');
        sum += await picture(page, `${name}-${width}-${colorScheme}`);
      }
    }
    await context.close();
  }
  console.log(`${FOLDER}: ${Math.round(sum / 1000)} kB`);
} finally {
  await browser.close();
  await service.quiet().catch(() => undefined);
  await service.close();
}
