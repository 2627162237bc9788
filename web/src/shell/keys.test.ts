import { expect, it } from 'vitest';
import { nameOf } from './keys';

const nothing = { ctrlKey: false, metaKey: false, altKey: false, shiftKey: false };

it.each([
  ['f', { key: 'f' }],
  ['G', { key: 'G', shiftKey: true }],
  ['?', { key: '?', shiftKey: true }],
  ['Escape', { key: 'Escape' }],
  ['F3', { key: 'F3' }],
  ['Shift+F3', { key: 'F3', shiftKey: true }],
  ['Ctrl+f', { key: 'f', ctrlKey: true }],
  ['Ctrl+f', { key: 'f', metaKey: true }],
  ['Ctrl+f', { key: 'F', ctrlKey: true }],
  ['Ctrl+Shift+f', { key: 'F', ctrlKey: true, shiftKey: true }],
  ['Alt+f', { key: 'f', altKey: true }],
  // As Windows tells AltGr.
  ['Ctrl+Alt+[', { key: '[', ctrlKey: true, altKey: true }],
])('names a key with what is held besides: %s', (name, event) => {
  expect(nameOf({ ...nothing, ...event })).toBe(name);
});
