import type { Locator } from 'playwright-core';
import { expect, it } from 'vitest';
import { stage } from '../stage/current';
import { lineOf, showcase } from './showcase';

export function outsideStories(): void {
  it('is text, never HTML', async () => {
    const id = await showcase();
    const page = await stage.page(`/builds/${id}#L${await lineOf(id, '<script>')}`);
    await page.getByText('<script>alert("text is never HTML")</script>').waitFor();
    expect(await page.locator('.scroller img, .scroller script').count()).toBe(0);
    await page.getByRole('heading', { name: 'Show everything <b>there is</b>' }).waitFor();
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
