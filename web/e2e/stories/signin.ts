import { expect, it } from 'vitest';
import { once, stage } from '../stage/current';
import { isLive } from '../stage/screen';
import { RESULT, TOKEN } from '../stage/service';

/** A service that shows its builds to those who have signed in. */
export const hidden = once(async () => {
  const service = await stage.another({ monitor: { private: true } });
  await service.start();
  return service;
});

export function signInStories(): void {
  it('is wanted where the service is private, and leads to what was asked for', async () => {
    const service = await hidden();
    const id = await service.build('acme/secret', 'main', `echo for few eyes\n${RESULT}`, {
      message: 'Hush',
    });
    await service.reaches(id, 'succeeded');
    const page = await stage.page(`/builds/${id}`, { of: service });
    await page.getByLabel('API token').fill('wrong');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('does not accept that token').waitFor();
    expect(await page.content()).not.toContain('Hush');
    expect(await page.evaluate(async (id) => (await fetch(`/api/v1/builds/${id}/log`)).status, id)).toBe(401);

    await page.getByLabel('API token').fill(TOKEN);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('for few eyes').waitFor();
    await isLive(page).waitFor();
    // No script can read what stands for the token.
    const [cookie] = await page.context().cookies();
    expect(cookie).toMatchObject({ httpOnly: true, sameSite: 'Strict' });
    expect(await page.evaluate(() => document.cookie)).toBe('');
    expect(await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }))).not.toContain(
      TOKEN,
    );

    await page.reload();
    await page.getByText('for few eyes').waitFor();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByLabel('API token').waitFor();
    expect(await page.content()).not.toContain('for few eyes');
    stage.forgive(/401|WebSocket/);
  });

  it('lets no page of another site change anything', async () => {
    const page = await stage.page('');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByLabel('API token').fill(TOKEN);
    await page.getByRole('dialog').getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('button', { name: 'Sign out' }).waitFor();
    // The same browser, on another origin that knows the address.
    const other = await stage.another();
    await other.start();
    const attacker = await page.context().newPage();
    await attacker.goto(`${other.origin}/healthz`);
    const answers = await attacker.evaluate(async (address) => {
      const options = { method: 'POST', credentials: 'include', mode: 'no-cors' } as const;
      await fetch(address, options).catch(() => undefined);
      return true;
    }, `${stage.service.origin}/api/v1/builds/none/cancel`);
    expect(answers).toBe(true);
    const cookies = await page.context().cookies();
    const cookie = cookies.map(({ name, value }) => `${name}=${value}`).join('; ');
    const cancel = (headers: Record<string, string>) =>
      fetch(`${stage.service.origin}/api/v1/builds/none/cancel`, {
        method: 'POST',
        headers: { cookie, ...headers },
      });
    expect((await cancel({ origin: other.origin })).status).toBe(403);
    expect((await cancel({ origin: stage.service.origin })).status).toBe(404);
  });
}
