import { expect, it } from 'vitest';
import { readTyped } from './names';

const KNOWN = ['acme/app', 'acme/apple', 'acme/docs', 'acme/web'];

it.each([
  ['', '', null],
  [' acme/app ', 'acme/app', null],
  ['APPLE', null, 'Not a whole name yet: acme/apple'],
  ['acme', null, 'Not a whole name yet: acme/app, acme/apple, acme/docs, …'],
  ['kernel', 'kernel', 'No repository has “kernel” in its name.'],
])('"%s" filters by %s and is told %s', (typed, apply, hint) => {
  expect(readTyped(typed, KNOWN, 'repository')).toEqual({ apply, hint });
});
