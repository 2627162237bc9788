import { expect, it } from 'vitest';
import { stage } from '../stage/current';
import { TOKEN, hold } from '../stage/service';
import { until } from '../stage/wait';
import { running } from './writer';

export function buildStories(): void {
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
    await page.getByRole('button', { name: 'Try again' }).waitFor();
    await page.getByRole('link', { name: 'To the overview' }).click();
    await page.getByText('History').first().waitFor();
    stage.forgive(/404/);
  });
}
