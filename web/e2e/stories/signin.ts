import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it } from 'vitest';
import { once, stage } from '../stage/current';
import { isLive } from '../stage/screen';
import { RESULT, TOKEN, hold } from '../stage/service';
import { until } from '../stage/wait';
import { running } from './writer';

/** A service that shows its builds to those who have signed in. */
export const hidden = once(async () => {
  const service = await stage.another({ monitor: { private: true } });
  await service.start();
  return service;
});

/** A page of somebody else, whom no Content-Security-Policy holds back. */
export async function elsewhere(): Promise<{ port: number; close: () => Promise<void> }> {
  const server = createServer((_, response) => {
    response.setHeader('content-type', 'text/html');
    response.end('<!doctype html><title>Elsewhere</title><body>');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return { port: (server.address() as AddressInfo).port, close };
}

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
    const id = await running(hold('end'));
    const cancel = `${stage.service.origin}/api/v1/builds/${id}/cancel`;
    const { port, close } = await elsewhere();
    // To a browser another port is the same site, and it sends the cookie along; another name is not.
    for (const [host, status] of [
      ['127.0.0.1', 403],
      ['localhost', 401],
    ] as const) {
      const attacker = await page.context().newPage();
      await attacker.goto(`http://${host}:${port}`);
      const answers: number[] = [];
      attacker.on('response', (response) => response.url() === cancel && answers.push(response.status()));
      const isKept = await attacker.evaluate(async (address) => {
        const request = fetch(address, { method: 'POST', credentials: 'include', mode: 'no-cors' });
        const isKept = await request.then(
          () => false,
          () => true,
        );
        const form = document.createElement('form');
        Object.assign(form, { method: 'POST', action: address });
        document.body.append(form);
        form.submit();
        return isKept;
      }, cancel);
      expect(isKept, 'the browser keeps the answer from the other page').toBe(true);
      await until(() => expect(new Set(answers)).toEqual(new Set([status])));
    }
    await close();
    expect((await stage.service.one(id)).state).toBe('building');
    // The page's own button does it, without another word.
    await page.goto(`${stage.service.origin}/monitor/builds/${id}`);
    await page.getByRole('button', { name: 'Cancel' }).click();
    await stage.service.reaches(id, 'cancelled');
  });
}
