import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { stage } from '../stage/current';
import { TOKEN, hold } from '../stage/service';
import { until } from '../stage/wait';
import { fresh, running } from './writer';

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

  it('says what failed, and what to try', async () => {
    const page = await stage.page('/builds/none');
    await page.getByText('there is no build none').waitFor();
    expect(await page.getByRole('button', { name: 'Try again' }).count()).toBe(0);
    await page.getByRole('link', { name: 'To the overview', exact: true }).click();
    await page.getByText('History').first().waitFor();
    stage.forgive(/404/);
  });
}
