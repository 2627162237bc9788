import { expect, it } from 'vitest';
import { PLAIN } from './sgr';
import { spanColours } from './colours';

it('takes the palette from the theme', () => {
  expect(spanColours({ ...PLAIN, fg: 1 })).toEqual({ text: 'var(--ansi-1)', ground: null });
  expect(spanColours(PLAIN)).toEqual({ text: null, ground: null });
});

it('keeps text legible on a ground that the log sets', () => {
  expect(spanColours({ ...PLAIN, bg: 3 }).text).toBe('#000000');
  expect(spanColours({ ...PLAIN, bg: 4 }).text).toBe('#ffffff');
  expect(spanColours({ ...PLAIN, bg: '#ffff00' }).text).toBe('#000000');
  expect(spanColours({ ...PLAIN, fg: 15, bg: 1 })).toEqual({ text: '#ffffff', ground: '#c3362b' });
});

it('changes sides when inverse', () => {
  expect(spanColours({ ...PLAIN, inverse: true })).toEqual({ text: 'var(--surface)', ground: 'var(--text)' });
  expect(spanColours({ ...PLAIN, fg: 2, inverse: true })).toEqual({ text: '#000000', ground: '#2f8f3f' });
});
