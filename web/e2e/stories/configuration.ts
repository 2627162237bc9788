import type { Locator } from 'playwright-core';
import { expect, it } from 'vitest';
import { once, stage } from '../stage/current';
import { RECIPE, RESULT, TOKEN, type Service } from '../stage/service';
import { until } from '../stage/wait';

const BROKEN = 'buildscripts: [build.sh]\nbuild.sh:\n  artefact: x\n';

/** A service with one file in force and one that is broken. */
export const broken = once(async (): Promise<Service> => {
  const service = await stage.another();
  await service.start();
  await service.configure('acme/good', 'main', RECIPE);
  await service.configure('acme/bad', 'main', BROKEN);
  return service;
});

export function configurationStories(): void {
  it('tells which files are in force, and of a broken one where and what is wrong', async () => {
    const page = await stage.page('/configuration', { of: await broken() });
    await page.getByText('acme/good/main.yaml').first().waitFor();
    const finding = page.locator('.finding').first();
    expect(await finding.innerText()).toContain('acme/bad/main.yaml:3');
    expect(await finding.innerText()).toContain('did you mean `artifact`?');
    // The excerpt has a mark at the place.
    expect(await finding.locator('mark').innerText()).toBe('artefact');
    // It also stands on every page that something is wrong.
    await page.getByRole('link', { name: 'Overview', exact: true }).click();
    await page.getByRole('link', { name: /Configuration.*1 error/ }).waitFor();
  });

  it('follows the files as they change', async () => {
    const service = await broken();
    const page = await stage.page('/configuration', { of: service });
    await page.getByText('1 file in force').waitFor();
    await service.configure('acme/bad', 'main', RECIPE);
    await page.getByText('2 files in force').waitFor();
    await page.locator('.finding').first().waitFor({ state: 'detached' });
    expect(await page.getByText(/broken/).count()).toBe(0);
    // Broken again, it is shown so, and what was in force stays.
    await service.configure('acme/bad', 'main', BROKEN);
    await page.getByText('2 files in force').waitFor();
    await page.getByText('1 broken').waitFor();
    await page.locator('.finding', { hasText: 'acme/bad/main.yaml:3' }).waitFor();
    await page.getByRole('link', { name: /Configuration.*1 error/ }).waitFor();
  });
}

export function repositoryStories(): void {
  it('has a row for each repository, with each branch in its latest state and its durations', async () => {
    const { service } = stage;
    const good = await service.build('acme/rows', 'main', `echo fine\n${RESULT}`);
    await service.reaches(good, 'succeeded');
    const bad = await service.build('acme/rows', 'topic', 'exit 3');
    await service.reaches(bad, 'failed');
    await service.configure('acme/rows', 'later', RECIPE);
    const page = await stage.page('/repositories?text=acme/rows');
    const chip = (branch: string) =>
      page.getByRole('list', { name: 'Branches of acme/rows' }).locator('.chip', { hasText: branch });
    await chip('main').getByText('succeeded').waitFor();
    await chip('topic').getByText('failed').waitFor();
    await chip('later').getByText('not built yet').waitFor();
    // What happens next shows by itself.
    const next = await service.build('acme/rows', 'topic', `echo fine\n${RESULT}`);
    await service.reaches(next, 'succeeded');
    await chip('topic').getByText('succeeded').waitFor();
    await chip('topic').click();
    await page.waitForURL(`**/builds/${next}`);
  });

  it('starts a build of a branch by keyboard, and gives the focus back where none is started', async () => {
    const { service } = stage;
    const built = await service.build('acme/start', 'main', `echo fine\n${RESULT}`);
    await service.reaches(built, 'succeeded');
    const page = await stage.page('/repositories?text=acme/start');
    const opener = page.getByRole('button', { name: 'Start a build of acme/start' });
    const asking = page.getByRole('dialog', { name: 'Start a build' });
    const signIn = page.getByRole('dialog', { name: 'Sign in' });
    const branch = asking.getByLabel('Branch');
    const isFocused = (place: Locator) =>
      until(async () => expect(await place.evaluate((one) => one === document.activeElement)).toBe(true));
    await opener.focus();
    await page.keyboard.press('Enter');
    await isFocused(branch);
    expect(await branch.inputValue()).toBe('main');
    await page.keyboard.press('Escape');
    await asking.waitFor({ state: 'hidden' });
    await isFocused(opener);

    await page.keyboard.press('Enter');
    await isFocused(branch);
    await page.keyboard.press('Enter');
    await signIn.getByText('to build main of acme/start').waitFor();
    await signIn.getByRole('button', { name: 'Cancel' }).click();
    await signIn.waitFor({ state: 'hidden' });
    await isFocused(branch);
    expect(await service.list('repository=acme/start')).toHaveLength(1);

    await page.keyboard.press('Enter');
    await isFocused(signIn.getByLabel('API token'));
    await page.keyboard.type(TOKEN);
    await page.keyboard.press('Enter');
    await page.waitForURL('**/builds/*');
    const [newest] = await service.list('repository=acme/start');
    expect(newest?.id).not.toBe(built);
    expect(page.url()).toContain(newest?.id);
    await isFocused(page.locator('main'));
  });
}
